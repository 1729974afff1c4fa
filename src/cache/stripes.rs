//! Keys whose commands are under way.
//!
//! Counters striped by the hash of the key: while a stripe's count is above zero, nothing is served
//! or admitted for its keys; each change of a stripe also moves its version, so that a fill which
//! was sent before the command's reply is refused. Two keys in one stripe disturb each other and
//! nothing worse.

use std::sync::atomic::{AtomicU64, Ordering};

const STRIPES: usize = 8192;

/// The counters of all keys.
#[derive(Debug)]
pub(super) struct Stripes {
    pub(super) stripes: Box<[Stripe]>,
    /// Commands that may change any key.
    pub(super) all: Stripe,
}

/// Commands under way in the lower half, the version in the upper: one instruction moves both.
#[derive(Debug, Default)]
pub(super) struct Stripe(AtomicU64);

/// What a fill compares to know that nothing happened to its key meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    stripe: u64,
    all: u64,
}

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

    pub(super) fn enter(&self) {
        self.0.fetch_add(Self::VERSION + 1, Ordering::SeqCst);
    }

    /// One less under way; the carry moves the version.
    pub(super) fn leave(&self) {
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
    pub(super) fn index(hash: u64) -> u16 {
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
