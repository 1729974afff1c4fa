//! The Redis behind: what the key `upstream` means.

use super::Endpoint;
use std::{fmt, str::FromStr};

/// Where commands go that Respite does not answer itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// A private redis-server that Respite starts and supervises.
    Embedded,
    /// One server.
    Single(Endpoint),
}

const HELP: &str = "must be \"embedded\", redis://[user:password@]host[:port][/database], \
                    rediss://… or unix:///path";

// === impl Upstream ===

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Single(endpoint) => endpoint.fmt(f),
        }
    }
}

impl FromStr for Upstream {
    /// Why not. It repeats no part of the text that can be a password.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        match text.split_once("://").map(|(scheme, _)| scheme) {
            Some("redis" | "rediss" | "unix") => text.parse().map(Self::Single),
            Some(scheme @ ("sentinel" | "cluster")) => {
                Err(format!("{scheme}:// is not supported yet"))
            }
            _ => Err(HELP.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_decides() {
        assert_eq!("embedded".parse(), Ok(Upstream::Embedded));
        for text in [
            "redis://h:6379/0",
            "rediss://h:6379/0",
            "unix:///run/redis.sock",
        ] {
            let upstream: Upstream = text.parse().expect(text);
            assert_eq!(upstream.to_string(), text);
        }
    }

    #[test]
    fn topologies_to_come_are_refused_by_name() {
        for scheme in ["sentinel", "cluster"] {
            let refused = format!("{scheme}://a:1,b:2/main").parse::<Upstream>();
            assert_eq!(refused, Err(format!("{scheme}:// is not supported yet")));
        }
    }

    #[test]
    fn the_refusal_says_why_and_repeats_no_password() {
        for (text, why) in [
            ("", HELP),
            ("hush:6379", HELP),
            ("http://hush", HELP),
            ("redis://", "the URL has no host"),
            ("redis:///0", "the URL has no host"),
            ("redis://:hush@:6379", "empty host"),
            ("redis://:hush@h:0", "the port must not be 0"),
            ("redis://:hush@h:65536", "invalid port number"),
            ("redis://:hush@h/one", "the database must be a number"),
            ("redis://h/1/", "the database must be a number"),
            ("redis://h/-1", "the database must be a number"),
            ("redis://u:12/hush@h", "the database must be a number"),
            ("redis://u:12#hush@h", "percent-encode #"),
            ("redis://u:12?hush@h", "a redis:// URL has no ?parameters"),
            ("redis://:hu/sh@h", "not a URL: "),
            (
                "redis://:hu sh@h",
                "a space or control character must be percent-encoded",
            ),
            ("redis://:%ff@h", "what is percent-encoded must be UTF-8"),
            (
                "unix://run/redis.sock",
                "a unix socket is written unix:///path",
            ),
            ("unix:///", "a unix socket is written unix:///path"),
            (
                "unix:///r?pass=hush",
                "a unix:// URL has no parameter but ?db=database",
            ),
        ] {
            let reason = text.parse::<Upstream>().expect_err(text);
            assert!(reason.contains(why), "{text}: {reason}");
            assert!(!reason.contains("hu"), "{text}: {reason}");
        }
    }
}
