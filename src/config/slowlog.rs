//! `[slowlog]`: which commands are remembered as slow.

use super::{error::Problems, period::Period, raw};
use std::time::Duration;

/// Shorter ones are not looked at.
const SHORTEST: Duration = Duration::from_millis(1);
/// Each entry may have some kilobytes.
const MOST: i64 = 100_000;

/// Which commands are remembered as slow, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowlogSettings {
    /// Commands that took at least so long; zero: none.
    pub slower_than: Duration,
    /// The newest so many.
    pub max_len: usize,
}

pub(super) fn validate(raw: &raw::Slowlog, problems: &mut Problems) -> SlowlogSettings {
    let Period(slower_than) = raw.slower_than;
    if !slower_than.is_zero() && slower_than < SHORTEST {
        problems.invalid("slowlog.slower_than", "must be 0 or from 1ms");
    }
    if !(0..=MOST).contains(&raw.max_len) {
        problems.invalid("slowlog.max_len", "must be from 0 to 100000");
    }
    SlowlogSettings {
        slower_than,
        max_len: usize::try_from(raw.max_len).unwrap_or_default(),
    }
}

/// Reads the settings back, for the effective configuration.
pub(super) fn to_raw(slowlog: &SlowlogSettings) -> raw::Slowlog {
    raw::Slowlog {
        slower_than: Period(slowlog.slower_than),
        max_len: i64::try_from(slowlog.max_len).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::problems;

    #[test]
    fn bounds_are_checked() {
        assert_eq!(
            problems("[slowlog]\nslower_than = \"999us\"\nmax_len = -1"),
            [
                "slowlog.slower_than: must be 0 or from 1ms",
                "slowlog.max_len: must be from 0 to 100000"
            ]
        );
    }
}
