//! `[limits]` and `[timeouts]`: how much and how long.

use super::{error::Problems, period::Period, raw, size::Size};
use std::time::Duration;

/// How much of everything there may be; each at least 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Clients connected at the same time.
    pub clients: usize,
    /// Bytes of one request, all its arguments together.
    pub request_bytes: usize,
    /// Bytes of one argument; at most `request_bytes`.
    pub bulk_bytes: usize,
    /// Reply bytes kept for a slow reader.
    pub client_output_bytes: usize,
    /// Bytes kept for all clients together.
    pub memory: usize,
    /// Requests of one client waiting for replies.
    pub client_in_flight: usize,
    /// Requests of all clients waiting for the upstream.
    pub upstream_in_flight: usize,
    /// Pinned backing connections, all workers together.
    pub pinned: usize,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to the upstream; more than zero.
    pub connect: Duration,
    /// For a slot of a cluster to have a master that serves it; more than zero.
    pub failover: Duration,
    /// Until the upstream answers a command; without it, for ever.
    pub reply: Option<Duration>,
    /// For what is in flight to finish at a stop; zero does not wait.
    pub drain: Duration,
    /// For clients to move over to a successor that has the listening sockets.
    pub handover: Duration,
    /// Until a silent client is disconnected; without it, never.
    pub idle: Option<Duration>,
}

/// No count needs more, and what is sized by one (a semaphore, a table) must not panic.
const MAX_COUNT: usize = 1_000_000_000;

// === impl Limits ===

impl Limits {
    pub(super) fn validate(raw: &raw::Limits, problems: &mut Problems) -> Self {
        let limits = Self {
            clients: count("limits.clients", raw.clients, problems),
            request_bytes: bytes("limits.request_bytes", raw.request_bytes, problems),
            bulk_bytes: bytes("limits.bulk_bytes", raw.bulk_bytes, problems),
            client_output_bytes: bytes(
                "limits.client_output_bytes",
                raw.client_output_bytes,
                problems,
            ),
            memory: bytes("limits.memory", raw.memory, problems),
            client_in_flight: count("limits.client_in_flight", raw.client_in_flight, problems),
            upstream_in_flight: count(
                "limits.upstream_in_flight",
                raw.upstream_in_flight,
                problems,
            ),
            pinned: count("limits.pinned", raw.pinned, problems),
        };
        if limits.request_bytes > 0 && limits.bulk_bytes > limits.request_bytes {
            problems.invalid(
                "limits.bulk_bytes",
                format!(
                    "must be at most limits.request_bytes ({})",
                    raw.request_bytes
                ),
            );
        }
        limits
    }
}

fn count(key: &str, value: i64, problems: &mut Problems) -> usize {
    let count = usize::try_from(value).unwrap_or(0);
    if count < 1 {
        problems.invalid(key, "must be at least 1");
    } else if count > MAX_COUNT {
        problems.invalid(key, format!("must be at most {MAX_COUNT}"));
    }
    count
}

fn bytes(key: &str, Size(value): Size, problems: &mut Problems) -> usize {
    if value < 1 {
        problems.invalid(key, "must be at least 1");
    }
    usize::try_from(value).unwrap_or_else(|_| {
        problems.invalid(key, format!("must be at most {}", usize::MAX));
        usize::MAX
    })
}

// === impl Timeouts ===

impl Timeouts {
    pub(super) fn validate(raw: &raw::Timeouts, problems: &mut Problems) -> Self {
        if raw.connect.0.is_zero() {
            problems.invalid("timeouts.connect", "must be more than 0");
        }
        if raw.failover.0.is_zero() {
            problems.invalid("timeouts.failover", "must be more than 0");
        }
        Self {
            connect: raw.connect.0,
            failover: raw.failover.0,
            reply: unless_zero(raw.reply),
            drain: raw.drain.0,
            handover: raw.handover.0,
            idle: unless_zero(raw.idle),
        }
    }
}

fn unless_zero(Period(duration): Period) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{file, problems};
    use std::time::Duration;

    #[test]
    fn every_limit_is_at_least_one() {
        for key in [
            "clients",
            "request_bytes",
            "bulk_bytes",
            "client_output_bytes",
            "memory",
            "client_in_flight",
            "upstream_in_flight",
            "pinned",
        ] {
            let refused = problems(&format!("[limits]\n{key} = 0"));
            assert_eq!(refused, [format!("limits.{key}: must be at least 1")]);
        }
        let refused = problems("[limits]\nclients = -5\npinned = 1000000001");
        assert_eq!(
            refused,
            [
                "limits.clients: must be at least 1",
                "limits.pinned: must be at most 1000000000"
            ]
        );
    }

    #[test]
    fn one_argument_fits_into_a_request() {
        let refused = problems("[limits]\nrequest_bytes = \"1MiB\"\nbulk_bytes = 1048577");
        assert_eq!(
            refused,
            ["limits.bulk_bytes: must be at most limits.request_bytes (1MiB)"]
        );
        let config = file("[limits]\nrequest_bytes = \"1MiB\"\nbulk_bytes = 1048576");
        assert_eq!(config.expect("equal is fine").limits.bulk_bytes, 1 << 20);
    }

    #[test]
    fn zero_means_never_where_it_can() {
        let config = file("[timeouts]\nreply = 0\ndrain = 0\nidle = 2.5").expect("valid");
        assert_eq!(config.timeouts.reply, None);
        assert_eq!(config.timeouts.drain, Duration::ZERO);
        assert_eq!(config.timeouts.idle, Some(Duration::from_millis(2500)));
        assert_eq!(
            problems("[timeouts]\nconnect = \"0s\""),
            ["timeouts.connect: must be more than 0"]
        );
    }

    #[test]
    fn bad_notation_names_its_key() {
        let refused =
            problems("[limits]\nbulk_bytes = \"1mb\"\n[timeouts]\nreply = \"soon\"\nidle = -1");
        assert_eq!(
            refused,
            [
                "limits.bulk_bytes: must be a size: a number of bytes, or one with a unit (B, KB, KiB, MB, MiB, GB, GiB)",
                "timeouts.idle: must be a duration: a number of seconds, or one with a unit (us, ms, s, m, h, d)",
                "timeouts.reply: must be a duration: a number of seconds, or one with a unit (us, ms, s, m, h, d)",
            ]
        );
    }
}
