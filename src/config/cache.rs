//! `[cache]`: what is kept, and for how long.

use super::access::{LONG_PATTERN, MOST_PATTERN};
use super::{error::Problems, period::Period, raw, size::Size};
use std::time::Duration;

/// The shortest bound of staleness: heartbeats go four times as often.
const MIN_STALENESS: Duration = Duration::from_millis(20);

/// What keeps entries from growing stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMode {
    /// The backing tells what has changed (`CLIENT TRACKING`).
    Tracking,
    /// Only the entries' expiry and the commands that pass through this Respite.
    Expiry,
    /// Nothing is cached.
    Off,
}

/// `[cache]`, as the cache itself needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// What keeps entries from growing stale.
    pub mode: CacheMode,
    /// Entries, all segments together.
    pub max_entries: usize,
    /// Bytes of keys, values and bookkeeping.
    pub max_bytes: usize,
    /// The longest that any entry lives.
    pub expiry: Duration,
    /// The largest value that is kept.
    pub max_value_bytes: usize,
    /// Variants of one key: what was read of it but by `GET`.
    pub max_variants: usize,
    /// The reads that are cached, in lower case; none: all.
    pub commands: Vec<String>,
    /// Only keys that match one of these are cached; none: all.
    pub include: Vec<String>,
    /// Keys that match one of these are never cached.
    pub exclude: Vec<String>,
    /// δ: how long an entry may be served after the last proof that the fill link is alive.
    pub staleness_max: Duration,
    /// Every read asks the backing.
    pub strict: bool,
}

impl CacheSettings {
    /// Whether nothing is ever cached.
    pub fn is_off(&self) -> bool {
        self.mode == CacheMode::Off || self.strict
    }
}

impl CacheMode {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            CacheMode::Tracking => "tracking",
            CacheMode::Expiry => "expiry",
            CacheMode::Off => "off",
        }
    }
}

/// Makes the settings of the cache.
pub(super) fn validate(raw: raw::Cache, problems: &mut Problems) -> CacheSettings {
    let mode = match raw.mode.as_str() {
        "tracking" => CacheMode::Tracking,
        "expiry" => CacheMode::Expiry,
        "off" => CacheMode::Off,
        _ => {
            problems.invalid("cache.mode", "must be \"tracking\", \"expiry\" or \"off\"");
            CacheMode::Off
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
        if patterns.iter().any(|pattern| pattern.len() > MOST_PATTERN) {
            problems.invalid(key, LONG_PATTERN);
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
        max_variants: positive(
            "cache.max_variants",
            u64::try_from(raw.max_variants).ok(),
            problems,
        ),
        commands: raw
            .commands
            .iter()
            .map(|name| name.to_lowercase())
            .collect(),
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
        max_variants: i64::try_from(cache.max_variants).unwrap_or(i64::MAX),
        commands: cache.commands.clone(),
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
    use crate::config::CacheMode;
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
        assert_eq!(file("").expect("defaults").cache.mode, CacheMode::Tracking);
    }
}
