//! What the fill links that are there can do, all together: the mode in force follows from it.
//!
//! It knows no link by itself; each tells when it comes and goes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::store::Cache;
use crate::config::CacheMode;

/// Links that are connected.
#[derive(Debug, Default)]
pub(super) struct Links {
    tracking: AtomicUsize,
    without: AtomicUsize,
    /// The backing has refused to track, and no link has tracked since.
    refused: AtomicBool,
}

impl Links {
    /// A link is connected.
    pub(super) fn up(&self, tracks: bool) {
        self.count(tracks).fetch_add(1, Ordering::SeqCst);
        if tracks && self.without.load(Ordering::SeqCst) == 0 {
            self.refused.store(false, Ordering::SeqCst);
        }
    }

    /// Its connection is gone.
    pub(super) fn down(&self, tracks: bool) {
        self.count(tracks).fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether some link does not hear what changes; with no link there, whether the last one did not.
    fn deaf(&self) -> bool {
        self.without.load(Ordering::SeqCst) > 0
            || self.refused.load(Ordering::SeqCst) && self.tracking.load(Ordering::SeqCst) == 0
    }

    fn count(&self, tracks: bool) -> &AtomicUsize {
        if tracks {
            &self.tracking
        } else {
            &self.without
        }
    }
}

impl Cache {
    /// The mode in force: tracking becomes expiry as soon as one link is without it.
    pub fn mode(&self) -> CacheMode {
        match self.settings.load().mode {
            CacheMode::Tracking if self.links.deaf() => CacheMode::Expiry,
            mode => mode,
        }
    }

    /// Notes that the backing has refused to track; true when that is news.
    pub fn note_refused(&self) -> bool {
        !self.links.refused.swap(true, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_link_without_tracking_is_enough_and_another_with_it_changes_nothing() {
        let links = Links::default();
        links.up(true);
        assert!(!links.deaf());
        links.refused.store(true, Ordering::SeqCst);
        links.up(false);
        assert!(links.deaf());
        links.up(true);
        assert!(links.deaf());
        links.down(false);
        assert!(!links.deaf(), "the others track");
    }

    #[test]
    fn while_no_link_is_there_the_last_answer_counts() {
        let links = Links::default();
        links.refused.store(true, Ordering::SeqCst);
        links.up(false);
        links.down(false);
        assert!(links.deaf());
        links.up(true);
        assert!(!links.deaf());
    }
}
