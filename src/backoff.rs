//! How long to wait before the next try: doubling, capped, with jitter.

use std::time::Duration;

/// The waits between attempts at one thing.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Default for Backoff {
    /// For connections: from 20 ms to 2 s.
    fn default() -> Self {
        Backoff::new(Duration::from_millis(20), Duration::from_secs(2))
    }
}

impl Backoff {
    /// From `first` to `longest`.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Backoff {
            first,
            longest,
            failures: 0,
        }
    }

    /// The wait after one more failure: between half and the whole of the doubled step.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        let step = doubled.min(self.longest);
        self.failures = self.failures.saturating_add(1);
        step / 2 + step.mul_f64(fastrand::f64() / 2.0)
    }

    /// Whether the last attempt failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_with_jitter_up_to_the_cap() {
        let (mut step, longest) = (Duration::from_millis(50), Duration::from_secs(2));
        let mut backoff = Backoff::new(step, longest);
        for _ in 0..40 {
            let wait = backoff.next();
            assert!(
                wait >= step / 2 && wait <= step,
                "{wait:?} for a step of {step:?}"
            );
            step = (step * 2).min(longest);
        }
        assert!(backoff.has_failed());
        backoff.reset();
        assert!(!backoff.has_failed());
        assert!(backoff.next() <= Duration::from_millis(50));
    }
}
