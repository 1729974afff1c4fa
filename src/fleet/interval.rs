//! How often a shard is polled: the busier, the more often.

use std::time::Duration;

use crate::config::FleetSettings;

/// The wait after the first failure; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// So many new shards are polled at once.
const AT_ONCE: usize = 32;

const SECOND: i128 = 1_000_000_000;

/// The interval after a poll that found `reported` operations per second at the server, `current`
/// being the interval that led to it.
///
/// The poller's own commands, one per interval, are taken off first. A server that does not report
/// its operations counts as inactive.
#[must_use]
pub fn next_interval(
    settings: &FleetSettings,
    current: Duration,
    reported: Option<u64>,
) -> Duration {
    // In whole numbers: `reported - 1 / current` compares with a bound as
    // `(reported - bound) * current` does with one second.
    let nanos = i128::try_from(current.as_nanos()).unwrap_or(i128::MAX);
    let beyond = |bound: u64| {
        let reported = i128::from(reported.unwrap_or(0));
        reported
            .saturating_sub(i128::from(bound))
            .saturating_mul(nanos)
    };
    let next = if reported.is_some() && beyond(settings.active_ops) >= SECOND {
        settings.interval_min
    } else if reported.is_none() || beyond(settings.inactive_ops) <= SECOND {
        current.saturating_add(settings.interval_step)
    } else {
        current
    };
    next.clamp(settings.interval_min, settings.interval_max)
}

/// The operations per second that are not the poller's own, rounded.
pub(super) fn others(reported: u64, interval: Duration) -> u64 {
    let millis = interval.as_millis().max(1);
    let own = (1000 + millis / 2) / millis;
    reported.saturating_sub(u64::try_from(own).unwrap_or(u64::MAX))
}

/// The time over which the first polls of so many new shards are spread: many take the shortest interval.
pub(super) fn spread(shards: usize, shortest: Duration) -> Duration {
    match shards {
        0..=AT_ONCE => Duration::ZERO,
        _ => shortest,
    }
}

/// The wait after so many failures in a row, at least one.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    let factor = 1_u32 << failures.saturating_sub(1).min(16);
    FIRST_BACKOFF.saturating_mul(factor).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings() -> FleetSettings {
        Config::default().fleet
    }

    /// The intervals, in seconds, that follow from what a new shard's server reports poll after poll.
    fn follow(settings: &FleetSettings, reported: &[Option<u64>]) -> Vec<f64> {
        let mut interval = settings.interval_min;
        let step = |reported: &Option<u64>| {
            interval = next_interval(settings, interval, *reported);
            interval.as_secs_f64()
        };
        reported.iter().map(step).collect()
    }

    #[test]
    fn an_idle_server_is_polled_less_and_less_often() {
        // What an idle Redis reports is the poller: two a second, one, less than one.
        let idle = [2, 1, 1, 0, 0, 0, 0].map(Some);
        let expected = [1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 3.0];
        assert_eq!(follow(&settings(), &idle), expected);
        assert_eq!(follow(&settings(), &[None; 7]), expected, "a Sentinel");
    }

    #[test]
    fn a_busy_server_is_polled_at_the_minimum_at_once() {
        // At 3 s the poller is a third of an operation per second.
        let mut reported = [0; 8].map(Some).to_vec();
        reported.extend([Some(11), Some(12), Some(5)]);
        let expected = [1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 3.0, 3.0, 0.5, 0.5, 1.0];
        assert_eq!(follow(&settings(), &reported), expected);
    }

    #[test]
    fn in_between_the_interval_stays() {
        // At 1 s, one of the operations is the poller's: 5 of others is idle, 10 is busy.
        let reported = [2, 7, 10, 7, 6, 5].map(Some);
        let expected = [1.0, 1.0, 1.0, 1.0, 1.5, 2.0];
        assert_eq!(follow(&settings(), &reported), expected);
        assert_eq!(follow(&settings(), &[Some(2), Some(11)]), [1.0, 0.5]);
        // At 0.5 s two are: 7 is idle, 8 to 11 in between, 12 busy.
        for (reported, next) in [(7, 1.0), (8, 0.5), (11, 0.5), (12, 0.5)] {
            assert_eq!(follow(&settings(), &[Some(reported)]), [next], "{reported}");
        }
    }

    #[test]
    fn the_bounds_are_exact() {
        let settings = settings();
        let at = |millis, reported| {
            next_interval(&settings, Duration::from_millis(millis), Some(reported)).as_millis()
        };
        // 1 / 1.5 s = 0.67: 5.33 of others are in between, 9.33 too, 10.33 busy.
        assert_eq!(
            [at(1500, 5), at(1500, 6), at(1500, 10), at(1500, 11)],
            [2000, 1500, 1500, 500]
        );
        // 1 / 3 s = 0.33: 9.67 are in between, 10.67 busy.
        assert_eq!([at(3000, 10), at(3000, 11)], [3000, 500]);
    }

    #[test]
    fn a_changed_configuration_clamps() {
        let mut settings = settings();
        settings.interval_max = Duration::from_secs(1);
        let next = next_interval(&settings, Duration::from_secs(3), Some(7));
        assert_eq!(next, Duration::from_secs(1));
        settings.interval_min = Duration::from_millis(800);
        let next = next_interval(&settings, Duration::from_millis(500), Some(9));
        assert_eq!(next, Duration::from_millis(800));
    }

    #[test]
    fn the_pollers_own_commands_are_not_shown() {
        let shown = |reported, millis| others(reported, Duration::from_millis(millis));
        assert_eq!(
            [shown(2, 500), shown(9, 500), shown(1, 1500), shown(1, 3000)],
            [0, 7, 0, 1]
        );
        assert_eq!(shown(0, 500), 0);
    }

    #[test]
    fn failures_back_off_up_to_ten_seconds() {
        let seconds: Vec<u64> = (1..8).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10]);
        assert_eq!(backoff(u32::MAX), LONGEST_BACKOFF);
    }
}
