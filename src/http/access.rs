//! Who may ask what: a token, the users of `[access]`, protected mode.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::access::AccessList;
use crate::config::Http;

/// Pages that say only whether the server lives: probes ask for them without a login.
const FREE: [&str; 2] = ["/health", "/ready"];

/// Whether a page is served to whoever asks, whatever else happens.
pub(super) fn is_free(path: &str) -> bool {
    FREE.contains(&path)
}

/// The rules in force.
#[derive(Debug)]
pub struct Rules {
    /// `[http]`.
    pub http: Http,
    /// `[access] protected_mode`.
    pub protected_mode: bool,
    /// The users.
    pub access: Arc<AccessList>,
}

/// Decides; its rules can be replaced.
#[derive(Debug)]
pub struct Guard {
    rules: ArcSwap<Rules>,
}

/// A name with its password.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("a login is needed")]
    Unknown,
    #[error(
        "protected mode: there is neither a token nor a login for HTTP and it listens on all \
         interfaces, so only this host is served. Set http.token or http.basic_auth, listen on one \
         address, or set access.protected_mode to false"
    )]
    Protected,
}

impl Refused {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Refused::Unknown => StatusCode::UNAUTHORIZED,
            Refused::Protected => StatusCode::FORBIDDEN,
        }
    }
}

impl Guard {
    /// A guard with these rules.
    pub fn new(rules: Rules) -> Self {
        Guard {
            rules: ArcSwap::from_pointee(rules),
        }
    }

    /// Replaces the rules.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Whether keys are read as a user of `[access]`, whatever else the rules are.
    pub(super) fn keys_need_user(&self) -> bool {
        !self.rules.load().access.is_open()
    }

    /// Whether `/metrics` has every shard.
    pub(super) fn shows_fleet(&self) -> bool {
        self.rules.load().http.fleet_metrics
    }

    /// Lets a request for a page in or not. `everywhere`: the listener is on all interfaces.
    pub(super) fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: SocketAddr,
        everywhere: bool,
    ) -> Result<(), Refused> {
        let rules = self.rules.load();
        if rules.http.is_open() {
            let foreign = !peer.ip().to_canonical().is_loopback();
            let protected = rules.protected_mode && everywhere && foreign;
            return if protected {
                Err(Refused::Protected)
            } else {
                Ok(())
            };
        }
        // The session that reads a key logs in itself, with the rights of its user.
        let as_user = path.starts_with("/keys/") && !rules.access.is_open();
        if is_free(path) || as_user {
            return Ok(());
        }
        let by_token = || {
            let given = scheme(headers, "bearer")?;
            let token = rules.http.token.as_ref()?;
            // Of digests, nothing can be learnt by how long it takes to compare them.
            (Sha256::digest(given) == Sha256::digest(token.expose())).then_some(())
        };
        let by_login = || {
            let login = login(headers).filter(|_| rules.http.basic_auth)?;
            rules
                .access
                .authenticate(&login.user, &login.password)
                .map(drop)
        };
        by_token().or_else(by_login).ok_or(Refused::Unknown)
    }
}

/// The credentials of a scheme.
fn scheme<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| rest.trim())
}

/// The name and password of a request.
pub(super) fn login(headers: &HeaderMap) -> Option<Login> {
    let decoded = BASE64_STANDARD.decode(scheme(headers, "basic")?).ok()?;
    let colon = memchr::memchr(b':', &decoded)?;
    Some(Login {
        user: decoded[..colon].to_vec(),
        password: decoded[colon + 1..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::UserSpec;
    use crate::config::Secret;
    use axum::http::HeaderValue;

    fn guard(token: Option<&str>, basic_auth: bool, protected_mode: bool, users: bool) -> Guard {
        let user = UserSpec {
            name: "ann".to_owned(),
            password_sha256: Sha256::digest("pw").into(),
            commands: vec!["@all".to_owned()],
            keys: vec!["*".to_owned()],
        };
        let users = if users { vec![user] } else { Vec::new() };
        Guard::new(Rules {
            http: Http {
                listen: None,
                token: token.map(Secret::new),
                basic_auth,
                fleet_metrics: true,
            },
            protected_mode,
            access: Arc::new(AccessList::new(&[], users).expect("valid rules")),
        })
    }

    fn admit(guard: &Guard, path: &str, given: &str, peer: &str) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        if !given.is_empty() {
            headers.insert(
                AUTHORIZATION,
                HeaderValue::from_str(given).expect("a header"),
            );
        }
        guard.admit(path, &headers, peer.parse().expect("an address"), true)
    }

    const HERE: &str = "127.0.0.1:1";
    const THERE: &str = "10.0.0.1:1";

    #[test]
    fn without_a_login_other_hosts_are_refused() {
        let open = guard(None, false, true, false);
        assert_eq!(admit(&open, "/stats", "", HERE), Ok(()));
        assert_eq!(admit(&open, "/stats", "", "[::ffff:127.0.0.1]:1"), Ok(()));
        assert_eq!(admit(&open, "/stats", "", THERE), Err(Refused::Protected));
        let unprotected = guard(None, false, false, false);
        assert_eq!(admit(&unprotected, "/stats", "", THERE), Ok(()));
    }

    #[test]
    fn a_token_opens_every_page() {
        let guard = guard(Some("t0"), false, true, false);
        assert_eq!(admit(&guard, "/stats", "Bearer t0", THERE), Ok(()));
        assert_eq!(admit(&guard, "/keys/a", "bearer  t0", HERE), Ok(()));
        for given in ["", "Bearer t1", "Bearer", "Basic dDA6", "t0"] {
            assert_eq!(
                admit(&guard, "/stats", given, HERE),
                Err(Refused::Unknown),
                "{given}"
            );
        }
        assert_eq!(admit(&guard, "/health", "", THERE), Ok(()));
        assert_eq!(admit(&guard, "/ready", "", THERE), Ok(()));
    }

    #[test]
    fn a_user_opens_pages_if_that_is_wanted() {
        let right = format!("Basic {}", BASE64_STANDARD.encode("ann:pw"));
        let wrong = format!("Basic {}", BASE64_STANDARD.encode("ann:no"));
        let with = guard(Some("t0"), true, true, true);
        assert_eq!(admit(&with, "/stats", &right, THERE), Ok(()));
        assert_eq!(admit(&with, "/stats", &wrong, THERE), Err(Refused::Unknown));
        assert_eq!(admit(&with, "/stats", "Bearer t0", THERE), Ok(()));
        let without = guard(Some("t0"), false, true, true);
        assert_eq!(
            admit(&without, "/stats", &right, THERE),
            Err(Refused::Unknown)
        );
        assert!(without.keys_need_user());
    }
}
