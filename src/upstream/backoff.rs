//! How long to wait before the next try: doubling, capped, with full jitter, and no longer than until
//! somebody else's try succeeds.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(2);

/// The waits between attempts at one thing.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure: between half and the whole of the doubled step.
    pub(crate) fn next(&mut self) -> Duration {
        let step = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        step / 2 + step.mul_f64(fastrand::f64() / 2.0)
    }

    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Waits, but only until a connection is opened that `reached` has not seen. Whether there was one.
pub(super) async fn sleep_unless_reached(
    wait: Duration,
    reached: &mut watch::Receiver<u64>,
) -> bool {
    tokio::select! {
        () = sleep(wait) => false,
        // The sender lives in the backing, as long as anybody connects to it.
        changed = reached.changed() => changed.is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_with_jitter_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let mut step = FIRST;
        for _ in 0..20 {
            let wait = backoff.next();
            assert!(
                wait >= step / 2 && wait <= step,
                "{wait:?} for a step of {step:?}"
            );
            step = (step * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
