//! Keys whose commands are under way.
//!
//! Counters striped by the hash of the key: while a stripe's count is above zero, nothing is served
//! or admitted for its keys; each change of a stripe also moves its version, so that a fill which
//! was sent before the command's reply is refused. Two keys in one stripe disturb each other and
//! nothing worse.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use super::mutant::{Mutant, is_active};
use super::store::Cache;

const STRIPES: usize = 8192;

/// The counters of all keys.
#[derive(Debug)]
pub(super) struct Stripes {
    stripes: Box<[Stripe]>,
    /// Commands that may change any key.
    all: Stripe,
}

/// Commands under way in the lower half, the version in the upper: one instruction moves both.
#[derive(Debug, Default)]
struct Stripe(AtomicU64);

/// What a fill compares to know that nothing happened to its key meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    stripe: u64,
    all: u64,
}

/// Protects the keys of commands until it is dropped, which has to happen when their replies are
/// in and before the client can see them.
#[derive(Debug)]
pub struct Guard {
    cache: Arc<Cache>,
    stripes: SmallVec<[u16; 20]>,
    all: u32,
    /// A buffer for keys as the segments know them.
    full_key: Vec<u8>,
}

// === impl Stripes ===

impl Default for Stripes {
    fn default() -> Self {
        Stripes {
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
            all: Stripe::default(),
        }
    }
}

impl Stripe {
    const VERSION: u64 = 1 << 32;

    fn enter(&self) {
        self.0.fetch_add(Self::VERSION + 1, Ordering::SeqCst);
    }

    /// One less under way; the carry moves the version.
    fn leave(&self) {
        self.0.fetch_add(Self::VERSION - 1, Ordering::SeqCst);
    }

    /// Its version; none while a command is under way.
    #[inline]
    fn version(&self) -> Option<u64> {
        let state = self.0.load(Ordering::SeqCst);
        state.is_multiple_of(Self::VERSION).then_some(state)
    }
}

impl Stripes {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are fewer than 2^16 stripes"
    )]
    fn index(hash: u64) -> u16 {
        ((hash >> 32) as usize % STRIPES) as u16
    }

    /// The version of a key's stripe; none while a command on it is under way.
    #[inline]
    pub(super) fn version(&self, hash: u64) -> Option<Version> {
        Some(Version {
            stripe: self.stripes[usize::from(Self::index(hash))].version()?,
            all: self.all.version()?,
        })
    }
}

// === impl Guard ===

impl Guard {
    /// Protects nothing yet.
    pub fn new(cache: Arc<Cache>) -> Self {
        Guard {
            cache,
            stripes: SmallVec::new(),
            all: 0,
            full_key: Vec::new(),
        }
    }

    /// Protects a key and takes its entry away.
    pub fn protect(&mut self, db: u32, key: &[u8]) {
        let hash = self.cache.hash(key);
        self.enter(hash);
        self.cache.evict(db, key, hash, &mut self.full_key);
    }

    /// Begins to protect the keys of a hash; the caller sees to the entry and the flight.
    #[inline]
    pub(super) fn enter(&mut self, hash: u64) {
        let index = Stripes::index(hash);
        if !is_active(Mutant::WriteGuardReleasedEarly) {
            self.cache.stripes.stripes[usize::from(index)].enter();
            self.stripes.push(index);
        }
    }

    /// Protects every key and empties the cache.
    pub fn protect_all(&mut self) {
        self.cache.stripes.all.enter();
        self.all += 1;
        self.cache.flush();
    }

    /// Whether nothing is protected.
    pub fn is_empty(&self) -> bool {
        self.stripes.is_empty() && self.all == 0
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
