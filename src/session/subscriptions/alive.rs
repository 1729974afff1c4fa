//! Whether the backing is still there, on the connection that subscriptions share.

use std::time::{Duration, Instant};

use super::naming::Naming;
use super::pending::What;
use super::{PING, Subscriptions};
use crate::resp::write_command;

/// A connection on which nothing has come for so long is asked whether the backing is still there: it may be half-open,
/// and those who are subscribed would wait for messages that never come.
const QUIET: Duration = Duration::from_secs(1);

impl Subscriptions {
    /// Asks the backing for a sign of life if somebody is subscribed and nothing has come for a while.
    pub(crate) fn ask_if_quiet(&self, now: Instant) {
        let mut inner = self.inner.borrow_mut();
        let Some(heard) = inner.connected.and(inner.heard) else {
            return;
        };
        let has_topics = inner.topics.iter().any(|topics| !topics.is_empty());
        let is_quiet = now.saturating_duration_since(heard) >= QUIET;
        if has_topics && is_quiet && inner.pending.is_empty() {
            write_command(&mut inner.out, PING);
            inner.wait_for(Naming::Channels, What::Alive, None);
        }
    }

    /// Whether the backing has not answered for so long.
    pub(crate) fn is_overdue(&self, limit: Duration, now: Instant) -> bool {
        let inner = self.inner.borrow();
        let (Some(connected), Some(front)) = (inner.connected, inner.pending.front()) else {
            return false;
        };
        now.saturating_duration_since(front.since.max(connected)) > limit
    }
}
