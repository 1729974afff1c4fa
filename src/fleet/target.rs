//! A server to be tracked, as a watcher names it; nothing here says whether it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Credential, Endpoint, Meant};

/// So many labels has a shard at most.
pub(super) const MOST_LABELS: usize = 64;

/// The most shards that are tracked, all sources together.
pub const MAX_TARGETS: usize = 100_000;

/// The longest id, in bytes.
const MAX_ID: usize = 255;

/// The names that `INFO` takes for sections, in lower case: no shard may be called so.
const RESERVED: [&str; 23] = [
    "all",
    "availability_zone",
    "clients",
    "cluster",
    "commandstats",
    "cpu",
    "debug",
    "default",
    "errorstats",
    "everything",
    "keysizes",
    "keyspace",
    "latencystats",
    "memory",
    "module_list",
    "modules",
    "persistence",
    "replication",
    "respite",
    "sentinel",
    "server",
    "stats",
    "threads",
];

/// A server to be tracked.
///
/// Two targets are equal when tracking one is tracking the other, logins included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name of the shard; [`check_id`] says what is allowed.
    pub id: String,
    /// Where the server listens and how to log in to it. Never shown but for its address.
    pub endpoint: Endpoint,
    /// What else is known of it, for lists and metrics.
    pub labels: BTreeMap<String, String>,
}

/// The logins of `[credentials.NAME]`, for targets that name one. Cheap to clone; prints no password.
#[derive(Debug, Clone, Default)]
pub struct Credentials(Arc<BTreeMap<String, Credential>>);

impl Credentials {
    /// Takes the logins of a configuration.
    #[must_use]
    pub fn new(credentials: BTreeMap<String, Credential>) -> Self {
        Self(Arc::new(credentials))
    }

    /// Fills the login of the credential `name` in for a server whose address the configuration itself
    /// names together with it.
    ///
    /// # Errors
    /// Says that there is no such credential.
    pub fn log_in(&self, endpoint: &mut Endpoint, name: &str) -> Result<(), String> {
        let credential = self.get(name)?;
        endpoint.user = Some(credential.user.clone());
        endpoint.password = Some(credential.password.clone());
        Ok(())
    }

    /// Fills the login of the credential `name` in for a server that was found, if the credential is
    /// meant for its address; `user` takes the place of the credential's own. What names servers at run time
    /// (files, the backing, processes) can be written by others than those who write the configuration.
    ///
    /// # Errors
    /// Says that there is no such credential, or that it is not meant for the address.
    pub fn log_in_to_found(
        &self,
        endpoint: &mut Endpoint,
        name: &str,
        user: Option<&str>,
    ) -> Result<(), String> {
        let credential = self.get(name)?;
        endpoint.only_at = match credential.meant_for.judge(&endpoint.address) {
            Meant::Yes => None,
            Meant::AtSome => Some(Arc::clone(&credential.meant_for)),
            Meant::No => {
                let address = endpoint.address.to_string();
                let address = address.escape_debug();
                return Err(format!(
                    "[credentials.{name}] is not meant for {address}: see its key \"for\""
                ));
            }
        };
        endpoint.user = Some(user.unwrap_or(&credential.user).to_owned());
        endpoint.password = Some(credential.password.clone());
        Ok(())
    }

    fn get(&self, name: &str) -> Result<&Credential, String> {
        let credential = self.0.get(name);
        // The name may be what anybody has written into the backing.
        credential.ok_or_else(|| format!("there is no [credentials.{}]", name.escape_debug()))
    }
}

/// Checks the name of a shard: 1 to 255 bytes without control characters, and neither `none` nor a
/// section of `INFO`, in any case.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() || id.len() > MAX_ID {
        return Err("a shard id has 1 to 255 bytes");
    }
    if id.chars().any(char::is_control) {
        return Err("a shard id has no control characters");
    }
    let lower = id.to_ascii_lowercase();
    if lower == "none" || RESERVED.binary_search(&lower.as_str()).is_ok() {
        return Err("a shard id may not be NONE or the name of a section of INFO");
    }
    Ok(())
}

/// Reads an address as lists of targets have it: `HOST:PORT`, or a `redis://`, `rediss://` or
/// `unix://` URL, without a login, which a credential gives by its name.
///
/// # Errors
/// Says what is wrong with it; repeats no part that can be a password.
pub fn parse_addr(text: &str) -> Result<Endpoint, String> {
    let endpoint: Endpoint = if text.contains("://") {
        text.parse()?
    } else if text.is_empty() || text.contains(['/', '@', '?', '#']) {
        return Err("must be HOST:PORT or a URL".to_owned());
    } else {
        format!("redis://{text}").parse()?
    };
    if endpoint.user.is_some() || endpoint.password.is_some() {
        return Err("must have no login: name a credential".to_owned());
    }
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked() {
        assert!(RESERVED.is_sorted(), "it is searched by halves");
        for id in ["a", "10.0.0.1:6379", "Größe", "a b", &"x".repeat(255)] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        let long = "x".repeat(256);
        for id in [
            "",
            &long,
            "a\nb",
            "a\u{7f}",
            "None",
            "Server",
            "COMMANDSTATS",
        ] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn addresses_have_no_login() {
        for (text, shown) in [
            ("h:1", "redis://h:1/0"),
            ("h", "redis://h:6379/0"),
            ("[::1]:7", "redis://[::1]:7/0"),
            ("rediss://h:1", "rediss://h:1/0"),
            ("unix:///run/r.sock", "unix:///run/r.sock"),
        ] {
            assert_eq!(parse_addr(text).expect(text).to_string(), shown);
        }
        for text in [
            "",
            "h:x",
            "redis://:hush@h",
            "u@h:1",
            "hush/@h",
            "http://h",
            "h:1/hush?",
        ] {
            let refused = parse_addr(text).expect_err(text);
            assert!(!refused.contains("hush"), "{refused}");
        }
    }

    #[test]
    fn a_login_comes_by_name() {
        let mut endpoint: Endpoint = "redis://h".parse().expect("a URL");
        let login = Credential {
            user: "u".to_owned(),
            password: crate::config::Secret::new("hush"),
            password_file: None,
            meant_for: Arc::default(),
        };
        let credentials = Credentials::new([("main".to_owned(), login)].into());
        assert_eq!(
            credentials.log_in(&mut endpoint, "other"),
            Err("there is no [credentials.other]".to_owned())
        );
        assert_eq!(credentials.log_in(&mut endpoint, "main"), Ok(()));
        assert_eq!(endpoint.user.as_deref(), Some("u"));
        let refused = credentials.log_in_to_found(&mut endpoint, "main", Some("v"));
        let reason = "[credentials.main] is not meant for h:6379: see its key \"for\"";
        assert_eq!(refused, Err(reason.to_owned()));
        assert_eq!(endpoint.user.as_deref(), Some("u"));
        assert!(!format!("{endpoint:?} {credentials:?}").contains("hush"));
    }
}
