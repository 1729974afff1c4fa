//! One histogram: counts by size, within a sixteenth of the true duration, from nanoseconds to minutes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The finest difference is 2⁴ ns: less than it costs to look at the clock.
const UNIT_BITS: u32 = 4;
/// Each power of two is divided into 2⁴ buckets.
const SUB_BITS: u32 = 4;
const SUBS: usize = 1 << SUB_BITS;
/// Durations from 2⁴⁰ ns (18 minutes) count as that.
const MOST_BITS: u32 = 40;
const BUCKETS: usize = (MOST_BITS - UNIT_BITS - SUB_BITS + 1) as usize * SUBS;

/// Counts that one thread writes and others read.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
    max: AtomicU64,
}

/// Counts that were read at some time, or the difference of two such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    counts: Box<[u64]>,
    nanos: u64,
    max: u64,
}

/// The bucket of a duration.
#[inline]
fn bucket(nanos: u64) -> usize {
    let units = nanos.min((1 << MOST_BITS) - 1) >> UNIT_BITS;
    let shift = (u64::BITS - 1 - SUB_BITS) - (units | (SUBS as u64)).leading_zeros();
    // Below 2⁵ units a bucket is a unit, above a sixteenth of a power of two.
    ((shift as usize) << SUB_BITS) + (units >> shift) as usize
}

/// Where a bucket ends, in nanoseconds.
fn end(bucket: usize) -> u64 {
    let (octave, sub) = (bucket >> SUB_BITS, bucket & (SUBS - 1));
    let units = match octave {
        0 => sub as u64 + 1,
        octave => ((SUBS + sub) as u64 + 1) << (octave - 1),
    };
    units << UNIT_BITS
}

// === impl Histogram ===

impl Histogram {
    pub(super) fn new() -> Self {
        Histogram {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
            nanos: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    /// Counts `n` of this duration. One thread at a time: nothing here is a locked instruction.
    #[inline]
    pub(super) fn record(&self, duration: Duration, n: u64) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let count = &self.counts[bucket(nanos)];
        count.store(count.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        let sum = self.nanos.load(Ordering::Relaxed);
        let sum = sum.wrapping_add(nanos.wrapping_mul(n));
        self.nanos.store(sum, Ordering::Relaxed);
        if nanos > self.max.load(Ordering::Relaxed) {
            self.max.store(nanos, Ordering::Relaxed);
        }
    }

    /// Adds what is counted to `to`.
    pub(super) fn add_to(&self, to: &mut Counts) {
        for (to, from) in to.counts.iter_mut().zip(&self.counts) {
            *to += from.load(Ordering::Relaxed);
        }
        to.nanos = to.nanos.wrapping_add(self.nanos.load(Ordering::Relaxed));
        to.max = to.max.max(self.max.load(Ordering::Relaxed));
    }
}

// === impl Counts ===

impl Default for Counts {
    fn default() -> Self {
        Counts {
            counts: vec![0; BUCKETS].into(),
            nanos: 0,
            max: 0,
        }
    }
}

impl Counts {
    /// What was counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Counts) -> Counts {
        let pairs = self.counts.iter().zip(&before.counts);
        Counts {
            counts: pairs.map(|(now, then)| now.saturating_sub(*then)).collect(),
            nanos: self.nanos.wrapping_sub(before.nanos),
            max: self.max,
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Counts) {
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to += from;
        }
        self.nanos = self.nanos.wrapping_add(other.nanos);
        self.max = self.max.max(other.max);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All durations together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// The duration that this share of them does not exceed, rounded up to its bucket's end; none of nothing.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        let wanted = (share * count as f64)
            .ceil()
            .clamp(1.0, count.max(1) as f64) as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|n| {
            seen += n;
            seen >= wanted
        })?;
        Some(Duration::from_nanos(end(found).min(self.max)))
    }

    /// The longest, at most a sixteenth more than it was; none of nothing.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.quantile(1.0)
    }

    /// How many were shorter than 2ⁿ nanoseconds, exactly.
    #[must_use]
    pub fn below_power(&self, n: u32) -> u64 {
        self.counts[..bucket(1 << n)].iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        let mut before = 0;
        for at in 0..BUCKETS {
            let end = end(at);
            assert_eq!(bucket(before), at, "{before}");
            assert_eq!(bucket(end - 1), at, "{end}");
            let width = end - before;
            assert!(width == 1 << UNIT_BITS || width * 16 <= before, "{at}");
            before = end;
        }
        assert_eq!(before, 1 << MOST_BITS);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_within_a_sixteenth() {
        let histogram = Histogram::new();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros), 1);
        }
        let mut counts = Counts::default();
        histogram.add_to(&mut counts);
        assert_eq!(counts.count(), 1000);
        assert_eq!(counts.sum(), Duration::from_micros(500_500));
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let given = counts.quantile(share).expect("some").as_nanos() as f64 / 1000.0;
            assert!(
                given >= micros && given <= micros * 1.0625,
                "{share}: {given}"
            );
        }
        assert_eq!(counts.max(), Some(Duration::from_millis(1)));
        assert_eq!(Counts::default().max(), None);
    }

    #[test]
    fn a_difference_forgets_what_was_before() {
        let histogram = Histogram::new();
        histogram.record(Duration::from_secs(1), 3);
        let mut before = Counts::default();
        histogram.add_to(&mut before);
        histogram.record(Duration::from_micros(2), 5);
        let mut after = Counts::default();
        histogram.add_to(&mut after);
        let since = after.since(&before);
        assert_eq!((since.count(), since.sum()), (5, Duration::from_micros(10)));
        assert!(since.max() < Some(Duration::from_micros(3)));
        assert_eq!((since.below_power(10), since.below_power(11)), (0, 5));
    }
}
