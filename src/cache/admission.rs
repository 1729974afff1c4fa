//! Which keys are worth a place when the cache is full: those asked for more often than the entry
//! that would have to go.
//!
//! A count-min sketch of four rows of four-bit counters, halved now and then so that the past
//! fades (TinyLFU, Einziger, Friedman and Manes, 2017). A read of a key that is not worth a place
//! is forwarded like any command and costs the backing nothing extra.

const ROWS: usize = 4;
const MOST: u8 = 15;

/// How often keys were asked for lately, about.
#[derive(Debug)]
pub(super) struct Frequency {
    /// Two counters a byte, rows one after the other.
    counters: Box<[u8]>,
    mask: usize,
    seen: usize,
    halve_at: usize,
}

impl Frequency {
    /// A sketch for about so many keys.
    pub(super) fn new(keys: usize) -> Self {
        // Wide for its sample: with more than one key a counter, noise would pass for popularity.
        let width = (keys * 8).clamp(1 << 10, 1 << 16).next_power_of_two();
        Frequency {
            counters: vec![0; ROWS * width / 2].into(),
            mask: width - 1,
            seen: 0,
            halve_at: width,
        }
    }

    fn places(&self, hash: u64) -> [(usize, u32); ROWS] {
        let width = self.mask + 1;
        std::array::from_fn(|row| {
            let mixed = hash
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(16 * row as u32 + 7);
            let column = mixed as usize & self.mask;
            ((row * width + column) / 2, (column as u32 & 1) * 4)
        })
    }

    /// Counts a request for a key; returns how often it was asked for before.
    pub(super) fn count(&mut self, hash: u64) -> u8 {
        let places = self.places(hash);
        let before = self.least(&places);
        if before < MOST {
            for (byte, shift) in places {
                if (self.counters[byte] >> shift) & MOST == before {
                    self.counters[byte] += 1 << shift;
                }
            }
        }
        self.seen += 1;
        if self.seen >= self.halve_at {
            self.seen /= 2;
            self.counters
                .iter_mut()
                .for_each(|byte| *byte = (*byte >> 1) & 0x77);
        }
        before
    }

    /// How often a key was asked for lately.
    pub(super) fn of(&self, hash: u64) -> u8 {
        self.least(&self.places(hash))
    }

    fn least(&self, places: &[(usize, u32); ROWS]) -> u8 {
        places
            .iter()
            .map(|(byte, shift)| (self.counters[*byte] >> shift) & MOST)
            .min()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_forgets() {
        let mut frequency = Frequency::new(64);
        for before in 0..10 {
            assert_eq!(frequency.count(42), before);
        }
        assert_eq!(frequency.of(42), 10);
        for other in 0..2000 {
            frequency.count(other * 7919 + 1);
        }
        assert!(frequency.of(42) < 10);
    }
}
