//! How late polls begin: of late, not since the start.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// How long is of late: the last whole one of these.
const WINDOW: Duration = Duration::from_secs(10);
/// Beyond a minute all polls are equally late, in microseconds.
const MOST: u64 = 60_000_000;

/// The lateness of the polls of a window of time.
#[derive(Debug)]
pub(super) struct Lateness {
    current: Histogram<u32>,
    since: Instant,
    /// The window before, once there was one.
    last: Histogram<u32>,
}

impl Lateness {
    pub(super) fn new(now: Instant) -> Self {
        let empty = Histogram::new_with_bounds(1, MOST, 2);
        let empty = empty.expect("the bounds and digits are valid");
        Lateness {
            current: empty.clone(),
            since: now,
            last: empty,
        }
    }

    pub(super) fn record(&mut self, due: Instant, now: Instant) {
        if now.saturating_duration_since(self.since) >= WINDOW {
            std::mem::swap(&mut self.current, &mut self.last);
            self.current.reset();
            self.since = now;
        }
        let late = now.saturating_duration_since(due).as_micros();
        self.current
            .saturating_record(u64::try_from(late).unwrap_or(MOST));
    }

    /// So late at most began this part of the polls.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        let window = match self.last.is_empty() {
            true => &self.current,
            false => &self.last,
        };
        Duration::from_micros(window.value_at_quantile(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let start = Instant::now();
        let mut lateness = Lateness::new(start);
        assert_eq!(lateness.quantile(0.99), Duration::ZERO);
        let at = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..100 {
            lateness.record(start, at(5));
        }
        assert_eq!(lateness.quantile(0.5).as_secs(), 5);
        for seconds in [11, 12, 21, 22] {
            lateness.record(at(seconds), at(seconds));
        }
        assert_eq!(lateness.quantile(0.99), Duration::ZERO);
    }
}
