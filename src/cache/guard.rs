//! Keeps keys from being served or admitted while a command on them is under way, and the cache true to what reads past
//! it show.

use std::sync::Arc;

use smallvec::SmallVec;

use super::mutant::{Mutant, is_active};
use super::passed::Passed;
use super::store::Cache;
use super::stripes::Stripes;
use crate::resp::Args;

/// Protects the keys of commands until it is dropped, which has to happen when their replies are
/// in and before the client can see them.
#[derive(Debug)]
pub struct Guard {
    cache: Arc<Cache>,
    stripes: SmallVec<[u16; 20]>,
    all: u32,
    /// `GET`s and `MGET`s: they change nothing, and show what may be newer than what is here.
    passed: Passed,
    /// A buffer for keys as the segments know them.
    full_key: Vec<u8>,
}

impl Guard {
    /// Protects nothing yet.
    pub fn new(cache: Arc<Cache>) -> Self {
        Guard {
            cache,
            stripes: SmallVec::new(),
            all: 0,
            passed: Passed::default(),
            full_key: Vec::new(),
        }
    }

    /// Takes note of a `GET` whose reply comes behind so many others.
    pub fn pass(&mut self, at: u32, db: u32, key: &[u8]) {
        match self.passed.has_room([key]) {
            true => self.passed.push(at, db, key, false),
            false => self.protect(db, key),
        }
    }

    /// The same of an `MGET`.
    pub fn pass_many(&mut self, at: u32, db: u32, keys: Args<'_>) {
        let has_room = self.passed.has_room(keys.iter());
        for key in &keys {
            match has_room {
                true => self.passed.push(at, db, key, true),
                false => self.protect(db, key),
            }
        }
    }

    /// Replies of the commands, or parts of them, have come and are about to be shown.
    pub fn show(&mut self, bytes: &[u8]) {
        self.passed.show(&self.cache, bytes, &mut self.full_key);
    }

    /// Protects a key and takes its entry away.
    pub fn protect(&mut self, db: u32, key: &[u8]) {
        let hash = self.cache.hash(key);
        let index = Stripes::index(hash);
        if !is_active(Mutant::WriteGuardReleasedEarly) {
            self.cache.stripes.stripes[usize::from(index)].enter();
            self.stripes.push(index);
        }
        self.cache.evict(db, key, hash, &mut self.full_key);
    }

    /// Protects every key and empties the cache.
    pub fn protect_all(&mut self) {
        self.cache.stripes.all.enter();
        self.all += 1;
        self.cache.flush();
    }

    /// Whether nothing is protected.
    pub fn is_empty(&self) -> bool {
        self.stripes.is_empty() && self.all == 0 && self.passed.is_empty()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for index in &self.stripes {
            self.cache.stripes.stripes[usize::from(*index)].leave();
        }
        for _ in 0..self.all {
            self.cache.stripes.all.leave();
        }
    }
}
