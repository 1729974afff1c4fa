//! Open connections to instances that have nothing to do. A pool belongs to one thread, so that a
//! connection is served where it is used.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;

use super::body::RequestBody;

/// Idle connections that are kept per instance.
const MOST_IDLE: usize = 1024;
/// How long an idle connection is kept; servers close theirs not long after.
const IDLE: Duration = Duration::from_secs(30);

/// The idle connections of a thread.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<u64, Vec<Idle>>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection in use, with where it belongs.
pub(super) struct Lent {
    pub(super) pool: Arc<Pool>,
    pub(super) instance: u64,
    pub(super) sender: SendRequest<RequestBody>,
}

impl Pool {
    /// Takes the connection to an instance that was used last.
    pub(super) fn take(&self, instance: u64) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.lock();
        let connections = idle.get_mut(&instance)?;
        while let Some(Idle { sender, .. }) = connections.pop() {
            // One that is neither closed nor ready has not done with its last exchange: it is given up.
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Closes what was idle for too long.
    pub(super) fn sweep(&self, now: Instant) {
        self.idle.lock().retain(|_, connections| {
            connections.retain(|idle| {
                !idle.sender.is_closed() && now.saturating_duration_since(idle.since) < IDLE
            });
            !connections.is_empty()
        });
    }

    /// Closes all.
    pub(super) fn clear(&self) {
        self.idle.lock().clear();
    }
}

impl Lent {
    /// Gives the connection back when its exchange is over.
    pub(super) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.idle.lock();
        let connections = idle.entry(self.instance).or_default();
        if connections.len() < MOST_IDLE {
            connections.push(Idle {
                sender: self.sender,
                since: Instant::now(),
            });
        }
    }
}
