//! A master that sentinels watch over: what a `sentinel://` URL means.

use std::{fmt, str::FromStr};

use percent_encoding::utf8_percent_encode;

use super::endpoint::{USER, database, decode};
use super::hosts::{Authority, shown_login};
use super::{Address, Endpoint, Secret};

/// Sentinels that one URL may name.
const MOST_SENTINELS: usize = 64;
const SENTINEL_PORT: u16 = 26379;
const HELP: &str =
    "is written sentinel://[user:password@]host[:port][,host[:port] …]/master-name[?db=database]";

/// A set of Redis servers whose master the sentinels name. Displays as its URL without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelSet {
    /// Where the sentinels listen; at least one.
    pub sentinels: Vec<Address>,
    /// What the sentinels call the master.
    pub master: String,
    /// Whether the sentinels and the servers speak TLS.
    pub tls: bool,
    /// The user to log in as at the servers.
    pub user: Option<String>,
    /// The password for the servers.
    pub password: Option<Secret>,
    /// The user to log in as at the sentinels.
    pub sentinel_user: Option<String>,
    /// The password for the sentinels.
    pub sentinel_password: Option<Secret>,
    /// The database to select.
    pub db: u32,
}

// === impl SentinelSet ===

impl SentinelSet {
    /// Returns how to reach one of the servers.
    #[must_use]
    pub fn server(&self, address: Address) -> Endpoint {
        Endpoint {
            address,
            tls: self.tls,
            user: self.user.clone(),
            password: self.password.clone(),
            db: self.db,
            only_at: None,
        }
    }

    /// Returns how to reach one of the sentinels.
    #[must_use]
    pub fn sentinel(&self, address: Address) -> Endpoint {
        Endpoint {
            address,
            tls: self.tls,
            user: self.sentinel_user.clone(),
            password: self.sentinel_password.clone(),
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
            "rediss+sentinel"
        } else {
            "sentinel"
        };
        let hosts: Vec<_> = self.sentinels.iter().map(Address::to_string).collect();
        let master = utf8_percent_encode(&self.master, USER);
        let db = match self.db {
            0 => String::new(),
            db => format!("?db={db}"),
        };
        format!("{scheme}://{login}{}/{master}{db}", hosts.join(","))
    }
}

impl fmt::Display for SentinelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url(&shown_login(self.user.as_deref(), false)))
    }
}

impl FromStr for SentinelSet {
    /// Why not. It repeats no part of the text that can be a password.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err("a space or control character must be percent-encoded".to_owned());
        }
        let (scheme, rest) = text.split_once("://").ok_or(HELP)?;
        let tls = match scheme {
            "sentinel" => false,
            "rediss+sentinel" => true,
            _ => return Err(HELP.to_owned()),
        };
        if rest.contains('#') {
            return Err("percent-encode # in a URL".to_owned());
        }
        let (authority, path) = rest
            .split_once('/')
            .ok_or("a sentinel:// URL ends with /master-name")?;
        let authority = Authority::read(authority, SENTINEL_PORT)?;
        if authority.hosts.len() > MOST_SENTINELS {
            return Err(format!("names more than {MOST_SENTINELS} sentinels"));
        }
        let (master, db) = match path.split_once('?') {
            None => (path, ""),
            Some((master, query)) => {
                let db = query
                    .strip_prefix("db=")
                    .ok_or("a sentinel:// URL has no parameter but ?db=database")?;
                (master, db)
            }
        };
        let master = decode(master)?;
        if master.is_empty() || master.contains('/') {
            return Err("a sentinel:// URL ends with /master-name".to_owned());
        }
        Ok(SentinelSet {
            sentinels: authority.hosts,
            master,
            tls,
            user: authority.user,
            password: authority.password,
            sentinel_user: None,
            sentinel_password: None,
            db: database(db)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address::Tcp { host, port }
    }

    #[test]
    fn urls_are_read_and_shown_without_the_password() {
        let plain: SentinelSet = "sentinel://h1:26379,h2,[::1]:7/main"
            .parse()
            .expect("a URL");
        let hosts = [tcp("h1", 26379), tcp("h2", 26379), tcp("::1", 7)];
        assert_eq!(plain.sentinels, hosts);
        assert_eq!(
            (plain.master.as_str(), plain.db, plain.tls),
            ("main", 0, false)
        );
        assert_eq!(
            plain.to_string(),
            "sentinel://h1:26379,h2:26379,[::1]:7/main"
        );

        let full = "rediss+sentinel://us%40er:hu%2Fsh@10.0.0.1:5/my%20master?db=3";
        let full: SentinelSet = full.parse().expect("a URL");
        assert!(full.tls);
        assert_eq!(full.user.as_deref(), Some("us@er"));
        assert_eq!(full.password, Some(Secret::new("hu/sh")));
        assert_eq!((full.master.as_str(), full.db), ("my master", 3));
        let shown = "rediss+sentinel://us%40er@10.0.0.1:5/my%20master?db=3";
        assert_eq!(full.to_string(), shown);
        let masked = "rediss+sentinel://us%40er:***@10.0.0.1:5/my%20master?db=3";
        assert_eq!(full.masked(), masked);
        assert!(!format!("{full:?}").contains("hu/sh"));
        let server = full.server(tcp("n", 1));
        assert_eq!((server.db, server.tls), (3, true));
        assert_eq!(full.sentinel(tcp("n", 1)).password, None);
    }

    #[test]
    fn the_refusal_says_why_and_repeats_no_password() {
        for (text, why) in [
            ("sentinel://h1:1", "ends with /master-name"),
            ("sentinel://h1:1/", "ends with /master-name"),
            ("sentinel:///main", "a host is wrong"),
            ("sentinel://h1,,h2/main", "a host is wrong"),
            ("sentinel://h:0/main", "a port must be a number"),
            ("sentinel://h:x/main", "a port must be a number"),
            ("sentinel://:hush@h/main?x=1", "no parameter but ?db="),
            (
                "sentinel://:hush@h/main?db=x",
                "the database must be a number",
            ),
            ("sentinel://:hu#sh@h/main", "percent-encode #"),
            ("sentinel://:hu@sh@h/main", "percent-encode"),
            ("sentinel://:hu sh@h/main", "must be percent-encoded"),
            ("sentinel://:%ff@h/main", "must be UTF-8"),
            ("sentinel://h/main/2", "ends with /master-name"),
        ] {
            let reason = text.parse::<SentinelSet>().expect_err(text);
            assert!(reason.contains(why), "{text}: {reason}");
            assert!(!reason.contains("hu"), "{text}: {reason}");
        }
    }
}
