//! The Redis behind: what the keys `upstream` and `upstream_…` mean.

use super::{
    ClusterSeeds, Endpoint, Secret, SentinelSet,
    error::{Problem, Problems},
};
use std::{fmt, str::FromStr};
use toml::{Table, Value};

/// What a client is told when the connection that carried its commands is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// Nothing: its own connection is closed, as Redis' would be, after the replies before.
    Close,
    /// An error with the code `UPSTREAM`, which says whether the command may have been executed.
    Error,
}

/// The keys of the table `[upstream]`, and the plain keys that they stand for.
const TABLE: [(&str, &str); 3] = [
    ("url", "upstream"),
    ("credential", "upstream_credential"),
    ("on_loss", "upstream_on_loss"),
];

/// Where commands go that Respite does not answer itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// A private redis-server that Respite starts and supervises.
    Embedded,
    /// A private Redis Cluster of so many masters.
    EmbeddedCluster(usize),
    /// One server.
    Single(Endpoint),
    /// The master that sentinels name.
    Sentinel(SentinelSet),
    /// A Redis Cluster.
    Cluster(ClusterSeeds),
}

/// How an embedded cluster is written, its number of masters behind it.
const EMBEDDED_CLUSTER: &str = "embedded-cluster:";
/// Fewer masters are no cluster; more are no help on one machine.
const MASTERS: std::ops::RangeInclusive<usize> = 3..=32;
const HELP: &str = "must be \"embedded\", \"embedded-cluster:3\", redis://[user:password@]host[:port][/database], \
                    rediss://…, unix:///path or sentinel://host:port,…/master-name";

/// Returns the plain key that a key of `[upstream]` stands for.
pub(super) fn key(name: &str) -> Option<&'static str> {
    let known = TABLE.iter().find(|(short, _)| *short == name);
    known.map(|(_, key)| *key)
}

/// Puts the keys of a table `[upstream]` where the plain ones are.
pub(super) fn flatten(mut file: Table, problems: &mut Problems) -> Table {
    if !matches!(file.get("upstream"), Some(Value::Table(_))) {
        return file;
    }
    let Some(Value::Table(table)) = file.remove("upstream") else {
        return file;
    };
    for (name, value) in table {
        match key(&name) {
            None => problems.push(Problem::UnknownKey {
                key: format!("upstream.{name}"),
                suggestion: None,
            }),
            Some(key) if file.contains_key(key) => {
                problems.invalid(key, format!("is given as upstream.{name} as well"));
            }
            Some(key) => {
                file.insert(key.to_owned(), value);
            }
        }
    }
    file
}

// === impl OnLoss ===

impl fmt::Display for OnLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close => "close",
            Self::Error => "error",
        })
    }
}

impl FromStr for OnLoss {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "close" => Ok(Self::Close),
            "error" => Ok(Self::Error),
            _ => Err("must be \"close\" or \"error\""),
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// Whether a server that uses this can go on with `new`: both are of one kind, with the same database for clients
    /// to begin in; sentinels and clusters with or without TLS as before.
    #[must_use]
    pub fn may_become(&self, new: &Self) -> bool {
        match (self, new) {
            (Self::Single(old), Self::Single(new)) => old.db == new.db,
            (Self::Sentinel(old), Self::Sentinel(new)) => (old.db, old.tls) == (new.db, new.tls),
            (Self::Cluster(old), Self::Cluster(new)) => old.tls == new.tls,
            (old, new) => old == new,
        }
    }

    /// Whether Respite starts the servers behind itself.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded | Self::EmbeddedCluster(_))
    }

    /// The user and password for the servers, to be replaced; none for an embedded one.
    pub(super) fn login(&mut self) -> Option<(&mut Option<String>, &mut Option<Secret>)> {
        match self {
            Self::Embedded | Self::EmbeddedCluster(_) => None,
            Self::Single(endpoint) => Some((&mut endpoint.user, &mut endpoint.password)),
            Self::Sentinel(set) => Some((&mut set.user, &mut set.password)),
            Self::Cluster(seeds) => Some((&mut seeds.user, &mut seeds.password)),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::EmbeddedCluster(masters) => write!(f, "{EMBEDDED_CLUSTER}{masters}"),
            Self::Single(endpoint) => endpoint.fmt(f),
            Self::Sentinel(set) => set.fmt(f),
            Self::Cluster(seeds) => seeds.fmt(f),
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
        if let Some(masters) = text.strip_prefix(EMBEDDED_CLUSTER) {
            let masters = masters.parse().ok().filter(|n| MASTERS.contains(n));
            let masters = masters.ok_or_else(|| {
                let (least, most) = (MASTERS.start(), MASTERS.end());
                format!("an embedded cluster has from {least} to {most} masters")
            });
            return masters.map(Self::EmbeddedCluster);
        }
        match text.split_once("://").map(|(scheme, _)| scheme) {
            Some("redis" | "rediss" | "unix") => text.parse().map(Self::Single),
            Some("sentinel" | "rediss+sentinel") => text.parse().map(Self::Sentinel),
            Some("cluster" | "rediss+cluster") => text.parse().map(Self::Cluster),
            _ => Err(HELP.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{env, file, problems};

    #[test]
    fn the_table_and_the_plain_keys_say_the_same() {
        let plain = file("upstream = \"redis://h\"\nupstream_on_loss = \"error\"").expect("valid");
        let table = file("[upstream]\nurl = \"redis://h\"\non_loss = \"error\"").expect("valid");
        assert_eq!(plain, table);
        assert_eq!(plain.upstream_on_loss, OnLoss::Error);
        for name in ["RESPITE_UPSTREAM__ON_LOSS", "RESPITE_UPSTREAM_ON_LOSS"] {
            let config = env("upstream = \"redis://h\"", &[(name, "error")]).expect("valid");
            assert_eq!(config, plain);
        }
        let embedded = file("[upstream]\non_loss = \"error\"").expect("valid");
        assert_eq!(embedded.upstream, Upstream::Embedded);
        assert_eq!(
            problems("upstream_on_loss = \"x\"\n[upstream]\non_loss = \"close\"\nurls = \"\""),
            [
                "upstream_on_loss: is given as upstream.on_loss as well",
                "unknown key \"upstream.urls\"",
                "upstream_on_loss: must be \"close\" or \"error\"",
            ]
        );
    }

    #[test]
    fn the_scheme_decides() {
        assert_eq!("embedded".parse(), Ok(Upstream::Embedded));
        for text in [
            "redis://h:6379/0",
            "rediss://h:6379/0",
            "unix:///run/redis.sock",
            "sentinel://h:26379/main",
            "rediss+sentinel://h:1,i:2/main?db=1",
            "cluster://h:6379,i:2",
        ] {
            let upstream: Upstream = text.parse().expect(text);
            assert_eq!(upstream.to_string(), text);
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
