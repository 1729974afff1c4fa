//! One Redis server, as a URL names it.

use super::{MeantFor, Secret, secret::MASK};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};
use url::{Host, Url};

/// One Redis server and how to log in to it. Displays as its URL without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The user to log in as; without it, `AUTH` has the password only.
    pub user: Option<String>,
    /// The password; without it, there is no `AUTH`.
    pub password: Option<Secret>,
    /// The database to select.
    pub db: u32,
    /// Where the password may be sent, when that depends on where the name of the host leads: a
    /// connection to elsewhere is given up before a byte is sent.
    pub only_at: Option<Arc<MeantFor>>,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A port of a host.
    Tcp {
        /// A name or an address, an IPv6 address without brackets.
        host: String,
        /// The port, not 0.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

const DEFAULT_PORT: u16 = 6379;

/// What stands for itself in a user name.
pub(super) const USER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What stands for itself in a path.
const PATH: &AsciiSet = &USER.remove(b'/');

// === impl Endpoint ===

impl Endpoint {
    /// Returns the URL with `***` for the password.
    pub(super) fn masked(&self) -> String {
        let user = self.user.as_deref().unwrap_or_default();
        let user = utf8_percent_encode(user, USER);
        match &self.password {
            Some(_) => self.url(&format!("{user}:{MASK}@")),
            None => self.to_string(),
        }
    }

    fn url(&self, login: &str) -> String {
        match &self.address {
            Address::Unix(path) => {
                let path = path.to_string_lossy();
                let path = utf8_percent_encode(&path, PATH);
                let db = match self.db {
                    0 => String::new(),
                    db => format!("?db={db}"),
                };
                format!("unix://{path}{db}")
            }
            address @ Address::Tcp { .. } => {
                let scheme = if self.tls { "rediss" } else { "redis" };
                format!("{scheme}://{login}{address}/{}", self.db)
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = match &self.user {
            Some(user) => format!("{}@", utf8_percent_encode(user, USER)),
            None => String::new(),
        };
        f.write_str(&self.url(&login))
    }
}

impl FromStr for Endpoint {
    /// Why not. It repeats no part of the text that can be a password.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The parser would drop them silently, also from a password.
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err("a space or control character must be percent-encoded".to_owned());
        }
        let url = Url::parse(text).map_err(|error| {
            format!("not a URL: {error} (percent-encode / ? # [ ] @ in a password)")
        })?;
        if url.fragment().is_some() {
            return Err("percent-encode # in a URL".to_owned());
        }
        match url.scheme() {
            "unix" => unix(&url),
            "redis" => tcp(&url, false),
            "rediss" => tcp(&url, true),
            _ => Err("must be a redis://, rediss:// or unix:// URL".to_owned()),
        }
    }
}

fn tcp(url: &Url, tls: bool) -> Result<Endpoint, String> {
    if url.query().is_some() {
        return Err(
            "a redis:// URL has no ?parameters (percent-encode ? in a password)".to_owned(),
        );
    }
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => decode(name)?,
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err("the URL has no host".to_owned()),
    };
    let port = url.port().unwrap_or(DEFAULT_PORT);
    if port == 0 {
        return Err("the port must not be 0".to_owned());
    }
    let user = decode(url.username())?;
    Ok(Endpoint {
        address: Address::Tcp { host, port },
        tls,
        user: (!user.is_empty()).then_some(user),
        password: match url.password() {
            Some(password) if !password.is_empty() => Some(Secret::new(decode(password)?)),
            _ => None,
        },
        db: database(url.path().trim_start_matches('/'))?,
        only_at: None,
    })
}

fn unix(url: &Url) -> Result<Endpoint, String> {
    let path = decode(url.path())?;
    if url.has_authority() && url.host().is_some() || path.len() < 2 || !path.starts_with('/') {
        return Err("a unix socket is written unix:///path".to_owned());
    }
    let db = match url.query() {
        None => "",
        Some(query) => query
            .strip_prefix("db=")
            .ok_or("a unix:// URL has no parameter but ?db=database")?,
    };
    Ok(Endpoint {
        address: Address::Unix(PathBuf::from(path)),
        tls: false,
        user: None,
        password: None,
        db: database(db)?,
        only_at: None,
    })
}

pub(super) fn database(text: &str) -> Result<u32, String> {
    const HELP: &str = "the database must be a number (percent-encode / ? # in a password)";
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HELP.to_owned());
    }
    match text {
        "" => Ok(0),
        digits => digits.parse().map_err(|_| HELP.to_owned()),
    }
}

pub(super) fn decode(text: &str) -> Result<String, String> {
    percent_decode_str(text)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| "what is percent-encoded must be UTF-8".to_owned())
}

// === impl Address ===

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().expect(text)
    }

    fn tcp(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address::Tcp { host, port }
    }

    #[test]
    fn urls_are_read() {
        let plain = endpoint("redis://cache.example");
        assert_eq!(plain.address, tcp("cache.example", 6379));
        assert!(!plain.tls && plain.user.is_none() && plain.password.is_none() && plain.db == 0);

        let full = endpoint("rediss://us%40er:p%2Fw%25@127.0.0.1:6380/3");
        assert_eq!(full.address, tcp("127.0.0.1", 6380));
        assert!(full.tls);
        assert_eq!(full.user.as_deref(), Some("us@er"));
        assert_eq!(full.password, Some(Secret::new("p/w%")));
        assert_eq!(full.db, 3);

        let v6 = endpoint("redis://:pw@[::1]/");
        assert_eq!(v6.address, tcp("::1", 6379));
        assert_eq!((v6.user, v6.password), (None, Some(Secret::new("pw"))));

        let unix = endpoint("unix:///run/my%20redis.sock?db=2");
        assert_eq!(unix.address, Address::Unix("/run/my redis.sock".into()));
        assert_eq!(unix.db, 2);
    }

    #[test]
    fn what_is_displayed_has_no_password_and_reads_back() {
        for (text, shown, masked) in [
            ("redis://h", "redis://h:6379/0", "redis://h:6379/0"),
            (
                "redis://u:hush@h:1/2",
                "redis://u@h:1/2",
                "redis://u:***@h:1/2",
            ),
            (
                "redis://:hush@h",
                "redis://h:6379/0",
                "redis://:***@h:6379/0",
            ),
            (
                "rediss://a%3Ab@[::1]:7",
                "rediss://a%3Ab@[::1]:7/0",
                "rediss://a%3Ab@[::1]:7/0",
            ),
            (
                "unix:///a%20b?db=4",
                "unix:///a%20b?db=4",
                "unix:///a%20b?db=4",
            ),
        ] {
            let endpoint = endpoint(text);
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(endpoint.masked(), masked);
            assert!(!format!("{endpoint:?}").contains("hush"));
            let mut again: Endpoint = shown.parse().expect(shown);
            again.password.clone_from(&endpoint.password);
            assert_eq!(again, endpoint);
        }
    }
}
