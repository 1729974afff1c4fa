//! Replacing the configuration of a running server.

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use tracing::{info, warn};

use super::gateway::http_rules;
use crate::access::{AccessList, UserSpec};
use crate::config::{Config, Source, environment, load};
use crate::fleet::Fleet;
use crate::fleet::watcher::check_listed;
use crate::http::Guard;
use crate::session::shared::Shared;
use crate::telemetry;

/// Loads the configuration again from where it came and puts it in force.
#[derive(Debug)]
pub(super) struct Reloader {
    source: Source,
    current: Mutex<Config>,
    /// Who may use the admin listener.
    guard: Arc<Guard>,
    running: OnceLock<(Weak<Shared>, Arc<Fleet>)>,
}

impl Reloader {
    pub(super) fn new(source: Source, config: Config, guard: Arc<Guard>) -> Self {
        Reloader {
            source,
            current: Mutex::new(config),
            guard,
            running: OnceLock::new(),
        }
    }

    /// Names the server to be changed.
    pub(super) fn attach(&self, shared: &Arc<Shared>, fleet: Arc<Fleet>) {
        let already = self.running.set((Arc::downgrade(shared), fleet)).is_err();
        debug_assert!(!already, "attached once");
    }

    /// Loads and applies; the error says why nothing was changed.
    pub(super) fn reload(&self) -> Result<(), String> {
        let config = load(&self.source, environment());
        // One line, however many problems there are: for the log and for an error reply.
        let config = config.map_err(|error| error.to_string().replace('\n', "; "))?;
        let access = access_list(&config)?;
        check_listed(&config.targets)?;
        let Some((shared, fleet)) = self.running.get() else {
            return Ok(());
        };
        let Some(shared) = shared.upgrade() else {
            return Ok(());
        };
        let mut current = self.current.lock();
        telemetry::set_level(&config.log_level).map_err(|error| error.to_string())?;
        for key in current.changes_needing_restart(&config) {
            warn!("{key} has changed: it takes effect at the next start");
        }
        let access = Arc::new(access);
        self.guard.set_rules(http_rules(&config, &access));
        shared.replace_settings(|settings| {
            settings.limits = config.limits.clone();
            settings.timeouts = config.timeouts.clone();
            settings.access = access;
            settings.protected_mode = config.access.protected_mode;
        });
        fleet.reload(&config);
        *current = config;
        info!("configuration reloaded");
        Ok(())
    }
}

/// The access rules of a configuration.
pub(super) fn access_list(config: &Config) -> Result<AccessList, String> {
    let users = config.access.users.iter().map(|user| UserSpec {
        name: user.name.clone(),
        password_sha256: user.password_sha256,
        commands: user.commands.clone(),
        keys: user.keys.clone(),
    });
    let list = AccessList::new(&config.access.deny, users.collect());
    list.map_err(|error| format!("[access] {error}"))
}
