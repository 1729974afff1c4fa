//! Who polls what, for people and for Prometheus. Nothing is decided by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::super::watcher::WatcherReport;

/// The kind of a Respite among the watchers.
const POLLER: &str = "poller";

/// The fleet as this Respite sees it.
#[derive(Debug, Default)]
pub(in super::super) struct Overview {
    pub(in super::super) members: Vec<MemberReport>,
    /// Shards tracked here that this Respite polls.
    pub(in super::super) held: usize,
    /// Shards tracked here that others poll.
    pub(in super::super) elsewhere: usize,
    /// Those that nobody polls: on their way from one to another, say.
    pub(in super::super) nobody: usize,
    /// Why the others cannot be heard of.
    pub(in super::super) error: Option<String>,
    /// When the backing has answered last.
    pub(in super::super) answered: Option<Instant>,
}

impl Overview {
    /// The members as `SHARD.WATCHERS` tells of them, `me` being this one.
    pub(in super::super) fn reports(&self, me: &Arc<str>) -> Vec<WatcherReport> {
        let report = |name: &Arc<str>, targets, last: Option<Instant>, error| WatcherReport {
            name: Arc::clone(name),
            kind: POLLER,
            targets,
            last_ok: last.map(|at| at.elapsed()),
            error,
            restarts: 0,
        };
        let mine = report(me, self.held, self.answered, self.error.clone());
        let others = self.members.iter().filter(|member| member.name != *me);
        let others = others.map(|member| report(&member.name, member.shards, member.heard, None));
        std::iter::once(mine).chain(others).collect()
    }
}

/// One Respite.
#[derive(Debug)]
pub(in super::super) struct MemberReport {
    pub(in super::super) name: Arc<str>,
    /// How many of the shards tracked here are its own to poll.
    pub(in super::super) shards: usize,
    /// When the last poll of its began that was heard of.
    pub(in super::super) heard: Option<Instant>,
}

/// What has happened since the start.
#[derive(Debug, Default)]
pub(in super::super) struct Counters {
    pub(in super::super) beats: Count,
    pub(in super::super) failures: Count,
    pub(in super::super) acquired: Count,
    pub(in super::super) released: Count,
    pub(in super::super) told: Count,
    pub(in super::super) told_bytes: Count,
    pub(in super::super) heard: Count,
    pub(in super::super) heard_bytes: Count,
    /// Records that are not such.
    pub(in super::super) unreadable: Count,
}

/// A number that grows.
#[derive(Debug, Default)]
pub(in super::super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(in super::super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
