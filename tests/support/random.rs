//! Random numbers that a failing test can be run again with.

use std::hash::{BuildHasher, Hasher};

/// A small generator (xorshift64*). Its seed is random or `RESPITE_SEED`, and is printed when a test fails.
#[derive(Debug)]
pub(crate) struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// A generator from `RESPITE_SEED`, or from a fresh seed.
    pub(crate) fn from_env() -> Self {
        let seed = std::env::var("RESPITE_SEED").map_or_else(
            |_| std::hash::RandomState::new().build_hasher().finish(),
            |text| text.parse().expect("RESPITE_SEED is a decimal number"),
        );
        Self::with_seed(seed)
    }

    /// A generator from this seed.
    pub(crate) fn with_seed(seed: u64) -> Self {
        // splitmix64, so that neighbouring seeds do not give neighbouring sequences
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self {
            seed,
            state: (z ^ (z >> 31)) | 1,
        }
    }

    /// The seed it was made from.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a usize fits");
        usize::try_from((self.next() >> 11) % bound).expect("below a usize")
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat: RESPITE_SEED={}", self.seed);
        }
    }
}
