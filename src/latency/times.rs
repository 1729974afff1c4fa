//! The histograms of one user on one worker.

use std::sync::OnceLock;
use std::time::Duration;

use super::histogram::{Counts, Histogram};

/// The kinds that are not families.
pub(super) const PLAIN: [&str; 4] = ["hit", "fetch", "forward", "pinned"];
/// There is room for so many kinds: those and twelve families.
pub(super) const MOST_KINDS: usize = 16;

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(u8);

/// How long one user's commands took, as one worker has measured.
#[derive(Debug)]
pub struct Times {
    user: Box<str>,
    // Most users use few kinds.
    kinds: [OnceLock<Box<Histogram>>; MOST_KINDS],
}

// === impl Kind ===

impl Kind {
    /// A read that was answered from the cache.
    pub const HIT: Kind = Kind(0);
    /// A read that waited for a fetch into the cache.
    pub const FETCH: Kind = Kind(1);
    /// A command that the backing answered over a shared link.
    pub const FORWARD: Kind = Kind(2);
    /// A command that the backing answered over the client's own connection.
    pub const PINNED: Kind = Kind(3);

    /// A command of the family with this index. Those for which there is no room share the last place.
    #[must_use]
    pub fn family(index: usize) -> Kind {
        let at = (PLAIN.len() + index).min(MOST_KINDS - 1);
        Kind(u8::try_from(at).unwrap_or(u8::MAX))
    }
}

// === impl Times ===

impl Times {
    pub(super) fn new(user: &str) -> Self {
        Times {
            user: user.into(),
            kinds: [const { OnceLock::new() }; MOST_KINDS],
        }
    }

    /// Whose times these are; empty for those beyond the number of users that are told apart.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Counts `n` commands that took so long. Only for the thread that these belong to.
    #[inline]
    pub fn record(&self, kind: Kind, duration: Duration, n: u64) {
        if let Some(place) = self.kinds.get(usize::from(kind.0)) {
            place
                .get_or_init(|| Box::new(Histogram::new()))
                .record(duration, n);
        }
    }

    /// Adds what is counted of a kind.
    pub(super) fn add_to(&self, kind: usize, to: &mut Counts) -> bool {
        let histogram = self.kinds.get(kind).and_then(OnceLock::get);
        histogram.is_some_and(|histogram| {
            histogram.add_to(to);
            true
        })
    }
}
