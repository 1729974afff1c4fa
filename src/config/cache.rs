//! `[cache]`: what is kept, and for how long.

use super::{error::Problems, period::Period, raw, size::Size};
use crate::cache::{CacheSettings, Mode};
use std::time::Duration;

/// The shortest bound of staleness: heartbeats go four times as often.
const MIN_STALENESS: Duration = Duration::from_millis(20);

/// Makes the settings of the cache.
pub(super) fn validate(raw: raw::Cache, problems: &mut Problems) -> CacheSettings {
    let mode = match raw.mode.as_str() {
        "tracking" => Mode::Tracking,
        "expiry" => Mode::Expiry,
        "off" => Mode::Off,
        _ => {
            problems.invalid("cache.mode", "must be \"tracking\", \"expiry\" or \"off\"");
            Mode::Off
        }
    };
    let Period(expiry) = raw.expiry;
    if expiry.is_zero() {
        problems.invalid("cache.expiry", "must be more than 0");
    }
    let Period(staleness_max) = raw.staleness_max;
    if staleness_max < MIN_STALENESS {
        problems.invalid("cache.staleness_max", "must be at least 20ms");
    }
    for (key, patterns) in [
        ("cache.include", &raw.include),
        ("cache.exclude", &raw.exclude),
    ] {
        if patterns.iter().any(String::is_empty) {
            problems.invalid(key, "a pattern must not be empty");
        }
    }
    CacheSettings {
        mode,
        max_entries: positive(
            "cache.max_entries",
            u64::try_from(raw.max_entries).ok(),
            problems,
        ),
        max_bytes: positive("cache.max_bytes", Some(raw.max_bytes.0), problems),
        expiry,
        max_value_bytes: positive(
            "cache.max_value_bytes",
            Some(raw.max_value_bytes.0),
            problems,
        ),
        include: raw.include,
        exclude: raw.exclude,
        staleness_max,
        strict: raw.strict,
    }
}

/// Reads the settings back, for the effective configuration.
pub(super) fn to_raw(cache: &CacheSettings) -> raw::Cache {
    raw::Cache {
        mode: cache.mode.name().to_owned(),
        max_entries: i64::try_from(cache.max_entries).unwrap_or(i64::MAX),
        max_bytes: Size(cache.max_bytes as u64),
        expiry: Period(cache.expiry),
        max_value_bytes: Size(cache.max_value_bytes as u64),
        include: cache.include.clone(),
        exclude: cache.exclude.clone(),
        staleness_max: Period(cache.staleness_max),
        strict: cache.strict,
    }
}

fn positive(key: &str, value: Option<u64>, problems: &mut Problems) -> usize {
    match value.and_then(|value| usize::try_from(value).ok()) {
        Some(value) if value > 0 => value,
        _ => {
            problems.invalid(key, "must be at least 1");
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::Mode;
    use crate::config::testing::{file, problems};

    #[test]
    fn impossible_values_are_refused() {
        assert_eq!(
            problems("[cache]\nmode = \"on\"\nmax_entries = 0\nstaleness_max = \"1ms\""),
            [
                "cache.mode: must be \"tracking\", \"expiry\" or \"off\"",
                "cache.staleness_max: must be at least 20ms",
                "cache.max_entries: must be at least 1",
            ]
        );
        assert_eq!(file("").expect("defaults").cache.mode, Mode::Tracking);
    }
}
