//! Commands of the backing's users that it is going to refuse, by what is known of their rules: sent, so that its `ACL LOG`
//! has them, and without voiding what the cache has for others.
//!
//! What is known may be a second old. So the reply is looked at: if it is no refusal after all, the cache forgets
//! then what it would have forgotten before, and only then is the reply shown.

use std::sync::Arc;

use super::cached::{changes_every_key, protect_keys, touches_unknown_keys};
use super::client::Session;
use super::dispatch::SHARED_BYTES;
use super::replies::Then;
use super::request::Request;
use super::state::ReplyMode;
use crate::cache::{Cache, Guard};
use crate::command::{Effects, Handling};

/// What the cache forgets when this is dropped, unless the command was refused.
struct LateCover {
    cache: Arc<Cache>,
    keys: Vec<(u32, Box<[u8]>)>,
    all: bool,
    refused: bool,
}

impl Drop for LateCover {
    fn drop(&mut self) {
        if self.refused {
            return;
        }
        let mut guard = Guard::new(Arc::clone(&self.cache));
        match self.all {
            true => guard.protect_all(),
            false => { self.keys.iter() }.for_each(|(db, key)| guard.protect(*db, key)),
        }
    }
}

impl Session {
    /// Whether a command may be covered when its reply has come: it goes to the one shared link, and its reply is looked
    /// at by nobody else.
    pub(super) fn may_cover_late(&self, request: Request<'_>) -> bool {
        let plain = request.leaf().is_some_and(|row| {
            row.handling == Handling::Forward && !row.effects.contains(Effects::CHANGES_COMMANDS)
        });
        plain
            && self.pinned.is_none()
            && !self.worker.directions.is_divided()
            && self.state.reply == ReplyMode::On
            && self.state.broken.is_none()
            && request.raw.len() <= SHARED_BYTES
            && !self.asks_for_push(request)
            && !touches_unknown_keys(request)
            && self.coherence.last_selected().is_none()
    }

    /// Looks at the reply of a command that is going to be refused.
    pub(super) fn cover_late(&self, request: Request<'_>) -> Then {
        let mut late = LateCover {
            cache: Arc::clone(&self.worker.cache),
            keys: Vec::new(),
            all: changes_every_key(request),
            refused: false,
        };
        protect_keys(request, self.state.db, |db, key| {
            late.keys.push((db, key.into()));
        });
        Then::Rewrite(Box::new(move |reply, out| {
            // Whether a server lets anybody `DEBUG` it says before it asks for rights.
            let refusals = [&b"-NOPERM "[..], b"-ERR DEBUG command not allowed"];
            late.refused = refusals.iter().any(|text| reply.starts_with(text));
            drop(late);
            out.extend_from_slice(reply);
        }))
    }
}
