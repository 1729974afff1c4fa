//! `CACHE.FLUSH MATCH`, and `CACHE.FLUSH` of a user who may touch some keys only: entries are looked at
//! one by one.
//!
//! A glob may take as many steps as it is long for each byte of a key, so this is no work for a worker,
//! and nothing is matched while a segment is locked.

use super::full_key::{FullKey, db_of, key_of};
use super::store::Cache;
use crate::command::Rights;
use crate::resp::Glob;

/// Which entries are to go.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Of one database only, with keys that match.
    pub(super) matching: Option<(u32, Glob)>,
    /// Only those that the caller may touch.
    pub(super) rights: Rights,
}

impl Chosen {
    fn takes(&self, full_key: &[u8]) -> bool {
        let key = key_of(full_key);
        self.matching
            .as_ref()
            .is_none_or(|(_, glob)| glob.is_match(key))
            && self.rights.may_use(key)
    }

    fn is_of_database(&self, full_key: &[u8]) -> bool {
        self.matching
            .as_ref()
            .is_none_or(|(db, _)| *db == db_of(full_key))
    }
}

impl Cache {
    /// Drops the entries that are chosen; returns how many. May take long.
    pub(super) fn flush_chosen(&self, chosen: &Chosen) -> usize {
        let mut dropped = 0;
        for part in &self.segments {
            let mut names: Vec<FullKey> = {
                let segment = part.segment.lock();
                let names = segment.entries.iter().map(|(key, _)| key);
                names
                    .filter(|key| chosen.is_of_database(key))
                    .cloned()
                    .collect()
            };
            names.retain(|key| chosen.takes(key));
            let mut segment = part.segment.lock();
            for key in names {
                // It may have gone meanwhile.
                if segment.entries.contains(&*key) {
                    segment.remove(&key);
                    dropped += 1;
                }
            }
        }
        dropped
    }
}
