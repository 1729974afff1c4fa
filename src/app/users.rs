//! Connects the backing's users with the clients.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::config::{Config, UsersOf};
use crate::session::shared::Shared;
use crate::session::users::{BackingUsers, Clients};
use crate::upstream::ControlLink;

/// Looks after the users of the backing, where they are the users here.
pub(super) fn look_after(config: &Config, shared: &Arc<Shared>, control: &Arc<ControlLink>) {
    if config.access.users_of != UsersOf::Backing {
        return;
    }
    let (rules, clients) = (Arc::downgrade(shared), Arc::downgrade(shared));
    let nobody = Arc::clone(&shared.settings().access);
    let clients = Clients {
        access: Box::new(move || {
            let shared = rules.upgrade();
            shared.map_or(Arc::clone(&nobody), |it| Arc::clone(&it.settings().access))
        }),
        look: Box::new(move || {
            if let Some(shared) = clients.upgrade() {
                shared.look_again();
            }
        }),
    };
    let users = BackingUsers::start(&shared.backing, control, &Handle::current(), clients);
    shared.set_users(users);
}
