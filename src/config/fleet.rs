//! `[fleet]`: how shards are polled, and what `INFO` shows.

use super::{FleetTargets, error::Problems, fleet_targets, period::Period, raw};
use std::time::Duration;

/// The shortest time between two polls of one shard.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// The most polls under way at the same time.
const MAX_POLLS: usize = 10_000;

/// The most that `max_added` can be: all of them are one reply of the backing.
const MAX_ADDED: usize = 100_000;

/// What a bare `INFO` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoMode {
    /// What was polled last of the backing.
    Cached,
    /// What the backing says now.
    Live,
}

/// `[fleet]`, as the pollers need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSettings {
    /// The time between two polls of a busy shard.
    pub interval_min: Duration,
    /// The time between two polls of an idle shard.
    pub interval_max: Duration,
    /// What is added after each poll that finds a shard idle.
    pub interval_step: Duration,
    /// Operations per second from which on a shard is busy.
    pub active_ops: u64,
    /// Operations per second up to which a shard is idle.
    pub inactive_ops: u64,
    /// The limit of one poll, connecting included.
    pub timeout: Duration,
    /// Failures in a row that make a shard `down`.
    pub grace: u32,
    /// Polls under way at the same time, all shards together.
    pub max_concurrent_polls: usize,
    /// The most shards that `SHARD.ADD` adds.
    pub max_added: usize,
    /// What a bare `INFO` shows.
    pub info: InfoMode,
    /// Whether the Respites of one backing divide the shards among themselves.
    pub share: bool,
}

impl InfoMode {
    fn name(self) -> &'static str {
        match self {
            InfoMode::Cached => "cached",
            InfoMode::Live => "live",
        }
    }
}

pub(super) fn validate(raw: &raw::Fleet, problems: &mut Problems) -> FleetSettings {
    let Period(interval_min) = raw.interval_min;
    let Period(interval_max) = raw.interval_max;
    if interval_min < MIN_INTERVAL {
        problems.invalid("fleet.interval_min", "must be at least 10ms");
    }
    if interval_max < interval_min {
        problems.invalid("fleet.interval_max", "must be at least interval_min");
    }
    let Period(timeout) = raw.timeout;
    if timeout.is_zero() {
        problems.invalid("fleet.timeout", "must be more than 0");
    }
    let active_ops = number("active_ops", raw.active_ops, 0, u64::MAX, problems);
    let inactive_ops = number("inactive_ops", raw.inactive_ops, 0, u64::MAX, problems);
    if inactive_ops > active_ops {
        problems.invalid("fleet.inactive_ops", "must be at most active_ops");
    }
    let grace = number("grace", raw.grace, 1, u64::from(u32::MAX), problems);
    let polls = "max_concurrent_polls";
    let max_concurrent_polls = number(
        polls,
        raw.max_concurrent_polls,
        1,
        MAX_POLLS as u64,
        problems,
    );
    let max_added = number("max_added", raw.max_added, 0, MAX_ADDED as u64, problems);
    let info = match raw.info.as_str() {
        "cached" => InfoMode::Cached,
        "live" => InfoMode::Live,
        _ => {
            problems.invalid("fleet.info", "must be \"cached\" or \"live\"");
            InfoMode::Cached
        }
    };
    FleetSettings {
        interval_min,
        interval_max,
        interval_step: raw.interval_step.0,
        active_ops,
        inactive_ops,
        timeout,
        grace: u32::try_from(grace).unwrap_or(u32::MAX),
        max_concurrent_polls: usize::try_from(max_concurrent_polls).unwrap_or(MAX_POLLS),
        max_added: usize::try_from(max_added).unwrap_or(MAX_ADDED),
        info,
        share: raw.share,
    }
}

/// Reads the settings back, for the effective configuration.
pub(super) fn to_raw(fleet: &FleetSettings, targets: &FleetTargets) -> raw::Fleet {
    let integer = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let sources = fleet_targets::to_raw(targets);
    raw::Fleet {
        interval_min: Period(fleet.interval_min),
        interval_max: Period(fleet.interval_max),
        interval_step: Period(fleet.interval_step),
        active_ops: integer(fleet.active_ops),
        inactive_ops: integer(fleet.inactive_ops),
        timeout: Period(fleet.timeout),
        grace: i64::from(fleet.grace),
        max_concurrent_polls: integer(fleet.max_concurrent_polls as u64),
        max_added: integer(fleet.max_added as u64),
        info: fleet.info.name().to_owned(),
        share: fleet.share,
        listed: sources.listed,
        file: sources.file,
        local: sources.local,
        discovery: sources.discovery,
    }
}

fn number(key: &str, value: i64, least: u64, most: u64, problems: &mut Problems) -> u64 {
    match u64::try_from(value) {
        Ok(value) if (least..=most).contains(&value) => value,
        _ => {
            let reason = match most {
                u64::MAX => format!("must be at least {least}"),
                most => format!("must be from {least} to {most}"),
            };
            problems.invalid(format!("fleet.{key}"), reason);
            least
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{file, problems};

    #[test]
    fn impossible_values_are_refused() {
        assert_eq!(
            problems(
                "[fleet]\ninterval_min = \"1ms\"\ninterval_max = 0\ntimeout = 0\nactive_ops = -1\n\
                 inactive_ops = 1\ngrace = 0\nmax_concurrent_polls = 10001\nmax_added = -1\ninfo = \"old\""
            ),
            [
                "fleet.interval_min: must be at least 10ms",
                "fleet.interval_max: must be at least interval_min",
                "fleet.timeout: must be more than 0",
                "fleet.active_ops: must be at least 0",
                "fleet.inactive_ops: must be at most active_ops",
                "fleet.grace: must be from 1 to 4294967295",
                "fleet.max_concurrent_polls: must be from 1 to 10000",
                "fleet.max_added: must be from 0 to 100000",
                "fleet.info: must be \"cached\" or \"live\"",
            ]
        );
        let fleet = file("[fleet]\ninterval_min = 0.25\ninfo = \"live\"").expect("valid");
        assert_eq!(fleet.fleet.interval_min, Duration::from_millis(250));
        assert_eq!(fleet.fleet.info, InfoMode::Live);
    }
}
