//! What this Respite has counted of each method since its start, for metrics.
//!
//! `BUS.STATS` tells what all Respites counted together, which is kept in the backing.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// The most methods that are counted one by one; all further ones are counted together.
const MOST_COUNTED: usize = 500;
/// The upper bounds of the buckets, in seconds.
pub(in crate::bus) const BOUNDS: [f64; 10] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// The counts by bus and method.
#[derive(Debug, Default)]
pub(in crate::bus) struct KeptCounts(Mutex<BTreeMap<(String, String), Counts>>);

/// The counts of one method.
#[derive(Debug, Clone, Default)]
pub(in crate::bus) struct Counts {
    pub(in crate::bus) calls: u64,
    pub(in crate::bus) errors: u64,
    pub(in crate::bus) cache_hits: u64,
    pub(in crate::bus) queue: Times,
    pub(in crate::bus) work: Times,
}

/// Times, counted by length.
#[derive(Debug, Clone, Default)]
pub(in crate::bus) struct Times {
    /// Those up to each bound and above the one before; the last are those beyond all bounds.
    pub(in crate::bus) buckets: [u64; BOUNDS.len() + 1],
    pub(in crate::bus) seconds: f64,
}

impl KeptCounts {
    /// Adds what was counted of late.
    pub(in crate::bus) fn add(&self, bus: &str, method: &str, add: impl FnOnce(&mut Counts)) {
        let mut counts = self.0.lock();
        let mut name = (bus.to_owned(), method.to_owned());
        if counts.len() >= MOST_COUNTED && !counts.contains_key(&name) {
            // No bus and no method has an empty name.
            name = (String::new(), String::new());
        }
        add(counts.entry(name).or_default());
    }

    /// All of them as they are now.
    pub(in crate::bus) fn all(&self) -> BTreeMap<(String, String), Counts> {
        self.0.lock().clone()
    }
}

impl Times {
    pub(in crate::bus) fn add(&mut self, seconds: f64, count: u64) {
        let at = BOUNDS.iter().position(|bound| seconds <= *bound);
        self.buckets[at.unwrap_or(BOUNDS.len())] += count;
        self.seconds += seconds * count as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::counters::tally::Tally;

    #[test]
    fn what_is_counted_is_kept_and_bounded() {
        let counts = KeptCounts::default();
        let mut tally = Tally::default();
        tally.call();
        tally.queued(900);
        tally.queued(7_000);
        tally.worked(120_000_000);
        tally.error("BUSFAIL x no");
        counts.add("b", "m", |counts| tally.add_to(counts));
        counts.add("b", "m", |counts| tally.add_to(counts));
        let all = counts.all();
        let kept = &all[&("b".to_owned(), "m".to_owned())];
        assert_eq!((kept.calls, kept.errors, kept.cache_hits), (2, 2, 0));
        assert_eq!(kept.queue.buckets, [2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(kept.work.buckets[BOUNDS.len()], 2);
        assert!((kept.work.seconds - 240.0).abs() < 16.0, "{kept:?}");
        for n in 0..2 * MOST_COUNTED {
            counts.add("b", &n.to_string(), |counts| tally.add_to(counts));
        }
        let all = counts.all();
        assert_eq!(all.len(), MOST_COUNTED + 1);
        let calls: u64 = all.values().map(|counts| counts.calls).sum();
        assert_eq!(calls, 2 + 2 * MOST_COUNTED as u64);
    }
}
