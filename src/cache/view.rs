//! What can be seen of the cache from outside.

use std::time::Instant;

use super::entry::Entry;
use super::full_key::{db_of, key_of, write_full_key};
use super::lease::ticks;
use super::store::Cache;
use super::value::{Value, Worth};

/// What all segments hold and have counted.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

impl Cache {
    /// Looks at a key's entry, if there is one that could be served, without using it.
    pub(super) fn inspect<T>(
        &self,
        db: u32,
        key: &[u8],
        look: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        let hash = self.hash(key);
        let mut full_key = Vec::new();
        write_full_key(hash, db, key, &mut full_key);
        let (_, segment) = self.lock(hash);
        let now = ticks(Instant::now());
        let entry = segment.entries.peek(&*full_key)?;
        let mut values = entry.values();
        let is_of_use = |value: &Value| !matches!(value.worth(now), Worth::Expired | Worth::Ended);
        values.any(is_of_use).then(|| look(entry))
    }

    /// The keys with the most hits of late, most first: database, key, about how many hits.
    /// Only keys that `shows` takes.
    pub fn hottest(&self, most: usize, shows: impl Fn(&[u8]) -> bool) -> Vec<(u32, Vec<u8>, u64)> {
        let mut hottest = Vec::new();
        for part in &self.segments {
            let segment = part.segment.lock();
            let keys = segment.hot.iter();
            hottest.extend(keys.map(|(key, hits)| (db_of(key), key_of(key).to_vec(), hits)));
        }
        hottest.retain(|(_, key, _)| shows(key));
        hottest.sort_unstable_by_key(|(_, _, hits)| std::cmp::Reverse(*hits));
        hottest.truncate(most);
        hottest
    }

    /// Hits, misses and entries, for `INFO`.
    pub fn summary(&self) -> [(&'static str, u64); 3] {
        let totals = self.totals();
        [
            ("cache_hits", totals.hits),
            ("cache_misses", totals.misses),
            ("cache_entries", totals.entries as u64),
        ]
    }

    /// The sums over all segments.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for part in &self.segments {
            let segment = part.segment.lock();
            totals.entries += segment.entries.len();
            totals.bytes += segment.bytes;
            totals.hits += segment.hits;
            totals.misses += segment.misses;
        }
        totals
    }
}
