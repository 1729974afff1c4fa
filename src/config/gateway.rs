//! `[gateway]`: where requests are taken and how they are forwarded. What to is in the services file.

use super::{ListenAddr, error::Problems, period::Period, raw, size::Size};
use std::{path::PathBuf, time::Duration};

/// More threads than any machine this runs on has cores.
const MAX_THREADS: i64 = 1024;
const MAX_CONNECTIONS: i64 = 10_000_000;

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Where it listens; without it, requests are forwarded for `GATEWAY.FORWARD` only.
    pub listen: Option<ListenAddr>,
    /// The services file; without it there is no gateway.
    pub services: Option<PathBuf>,
    /// Threads that forward; 0 is to be chosen from the cores. At most 1024.
    pub threads: usize,
    /// Client connections at the same time.
    pub connections: usize,
    /// To connect to an instance; more than zero.
    pub connect: Duration,
    /// Without a byte from an instance or to a client; more than zero.
    pub timeout: Duration,
    /// Without a byte either way over a connection that has switched protocols; more than zero.
    pub idle: Duration,
    /// Bytes of a body that is kept in case it has to be sent again.
    pub retry_bytes: usize,
    /// Bytes of a body in `GATEWAY.FORWARD` and of its response.
    pub forward_bytes: usize,
}

pub(super) fn validate(raw: &raw::Gateway, problems: &mut Problems) -> GatewaySettings {
    let listen = match raw.listen.as_str() {
        "" => None,
        text => text
            .parse()
            .map_err(|reason: String| problems.invalid("gateway.listen", reason))
            .ok(),
    };
    let count =
        |key: &str, value: i64, range: std::ops::RangeInclusive<i64>, problems: &mut Problems| {
            if !range.contains(&value) {
                let reason = format!("must be from {} to {}", range.start(), range.end());
                problems.invalid(key, reason);
            }
            usize::try_from(value).unwrap_or(0)
        };
    let threads = count("gateway.threads", raw.threads, 0..=MAX_THREADS, problems);
    let range = 1..=MAX_CONNECTIONS;
    let connections = count("gateway.connections", raw.connections, range, problems);
    for (key, Period(period)) in [
        ("gateway.connect", raw.connect),
        ("gateway.timeout", raw.timeout),
        ("gateway.idle", raw.idle),
    ] {
        if period.is_zero() {
            problems.invalid(key, "must be more than 0");
        }
    }
    let bytes = |Size(bytes): Size| usize::try_from(bytes).unwrap_or(usize::MAX);
    GatewaySettings {
        listen,
        services: super::lists::path(&raw.services),
        threads,
        connections,
        connect: raw.connect.0,
        timeout: raw.timeout.0,
        idle: raw.idle.0,
        retry_bytes: bytes(raw.retry_bytes),
        forward_bytes: bytes(raw.forward_bytes),
    }
}

/// Reads the settings back, for the effective configuration.
pub(super) fn to_raw(gateway: &GatewaySettings) -> raw::Gateway {
    let integer = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let size = |bytes: usize| Size(u64::try_from(bytes).unwrap_or(u64::MAX));
    let services = gateway.services.as_ref();
    raw::Gateway {
        listen: gateway
            .listen
            .as_ref()
            .map_or_else(String::new, ListenAddr::to_string),
        services: services.map_or_else(String::new, |path| path.display().to_string()),
        threads: integer(gateway.threads),
        connections: integer(gateway.connections),
        connect: Period(gateway.connect),
        timeout: Period(gateway.timeout),
        idle: Period(gateway.idle),
        retry_bytes: size(gateway.retry_bytes),
        forward_bytes: size(gateway.forward_bytes),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{file, problems};

    #[test]
    fn impossible_values_are_refused() {
        assert_eq!(
            problems(
                "[gateway]\nlisten = \"8081\"\nthreads = -1\nconnections = 0\nconnect = 0\ntimeout = \"0s\"\nidle = 0"
            ),
            [
                "gateway.listen: \"8081\" is not HOST:PORT: it has no port",
                "gateway.threads: must be from 0 to 1024",
                "gateway.connections: must be from 1 to 10000000",
                "gateway.connect: must be more than 0",
                "gateway.timeout: must be more than 0",
                "gateway.idle: must be more than 0",
            ]
        );
    }

    #[test]
    fn what_is_given_is_taken() {
        let gateway = file("[gateway]\nlisten = \"\"\nservices = \"s.json\"\nretry_bytes = 0")
            .expect("valid")
            .gateway;
        assert_eq!(gateway.listen, None);
        assert_eq!(
            gateway.services.as_deref(),
            Some(std::path::Path::new("s.json"))
        );
        assert_eq!(gateway.retry_bytes, 0);
    }
}
