//! A Redis Cluster: what a `cluster://` URL means.

use std::{fmt, str::FromStr};

use super::hosts::{Authority, shown_login};
use super::{Address, Endpoint, Secret};

/// Nodes that one URL may name.
const MOST_SEEDS: usize = 64;
const PORT: u16 = 6379;
const HELP: &str = "is written cluster://[user:password@]host[:port][,host[:port] …]";

/// A Redis Cluster, by some of its nodes. Displays as its URL without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSeeds {
    /// Nodes that are asked for the others; at least one.
    pub seeds: Vec<Address>,
    /// Whether the nodes speak TLS.
    pub tls: bool,
    /// The user to log in as at the nodes.
    pub user: Option<String>,
    /// The password for the nodes.
    pub password: Option<Secret>,
}

// === impl ClusterSeeds ===

impl ClusterSeeds {
    /// Returns how to reach one of the nodes.
    #[must_use]
    pub fn node(&self, address: Address) -> Endpoint {
        Endpoint {
            address,
            tls: self.tls,
            user: self.user.clone(),
            password: self.password.clone(),
            db: 0,
            only_at: None,
        }
    }

    /// Returns the URL with `***` for the password.
    pub(super) fn masked(&self) -> String {
        self.url(&shown_login(self.user.as_deref(), self.password.is_some()))
    }

    fn url(&self, login: &str) -> String {
        let scheme = if self.tls {
            "rediss+cluster"
        } else {
            "cluster"
        };
        let hosts: Vec<_> = self.seeds.iter().map(Address::to_string).collect();
        format!("{scheme}://{login}{}", hosts.join(","))
    }
}

impl fmt::Display for ClusterSeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url(&shown_login(self.user.as_deref(), false)))
    }
}

impl FromStr for ClusterSeeds {
    /// Why not. It repeats no part of the text that can be a password.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err("a space or control character must be percent-encoded".to_owned());
        }
        let (scheme, rest) = text.split_once("://").ok_or(HELP)?;
        let tls = match scheme {
            "cluster" => false,
            "rediss+cluster" => true,
            _ => return Err(HELP.to_owned()),
        };
        if rest.contains('#') {
            return Err("percent-encode # in a URL".to_owned());
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let hosts = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
        if hosts.contains(['/', '?']) {
            return Err("a cluster has database 0 only, and its URL no parameters".to_owned());
        }
        let authority = Authority::read(authority, PORT)?;
        if authority.hosts.len() > MOST_SEEDS {
            return Err(format!("names more than {MOST_SEEDS} nodes"));
        }
        Ok(ClusterSeeds {
            seeds: authority.hosts,
            tls,
            user: authority.user,
            password: authority.password,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_the_password() {
        let plain: ClusterSeeds = "cluster://h1,h2:7000,[::1]:7/".parse().expect("a URL");
        assert_eq!(plain.to_string(), "cluster://h1:6379,h2:7000,[::1]:7");
        let full = "rediss+cluster://us%40er:hu%2Fsh@10.0.0.1:5";
        let full: ClusterSeeds = full.parse().expect("a URL");
        assert_eq!(full.user.as_deref(), Some("us@er"));
        assert_eq!(full.masked(), "rediss+cluster://us%40er:***@10.0.0.1:5");
        assert!(!format!("{full:?}").contains("hu/sh"));
        let node = full.node(full.seeds[0].clone());
        assert!(node.tls && node.password == Some(Secret::new("hu/sh")));
    }

    #[test]
    fn the_refusal_says_why_and_repeats_no_password() {
        for (text, why) in [
            ("cluster://", "a host is wrong"),
            ("cluster://h1,,h2", "a host is wrong"),
            ("cluster://h:0", "a port must be a number"),
            ("cluster://h/1", "database 0 only"),
            ("cluster://h?db=1", "database 0 only"),
            ("cluster://:hu#sh@h", "percent-encode #"),
            ("cluster://:hu@sh@h", "percent-encode"),
            ("cluster://:hu/sh@h", "percent-encode"),
            ("cluster://:hu sh@h", "must be percent-encoded"),
            ("cluster://:%ff@h", "must be UTF-8"),
            ("cluster://:hu@h?db=1", "no parameters"),
            ("redis://:hu@h", "is written cluster://"),
        ] {
            let reason = text.parse::<ClusterSeeds>().expect_err(text);
            assert!(reason.contains(why), "{text}: {reason}");
            assert!(!reason.contains("hu"), "{text}: {reason}");
        }
    }
}
