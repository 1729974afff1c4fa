//! Who may ask what: the name that the server is called by, a token, the users of `[access]`, protected mode.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::host::is_for_us;
use super::page;
use crate::access::{
    AccessList, Denials, Denied, DeniedPlace, DeniedReason, Logins, Refusal, Turn, UserId, Whom,
};
use crate::command::{Rights, Table};
use crate::config::Http;
use crate::resp::ArgVec;

/// Pages that say only whether the server lives: probes ask for them without a login, by any name.
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
    logins: Arc<Logins>,
    denials: Arc<Denials>,
}

/// Whoever was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Viewer {
    /// Nobody has to log in.
    Anybody,
    /// Has shown the token: may see everything that is not denied to all.
    Token,
    /// Sees what this user may see.
    User(UserId),
}

/// What whoever was let in may see.
#[derive(Clone)]
pub struct Sight {
    access: Arc<AccessList>,
    user: Option<UserId>,
    table: Arc<Table>,
}

/// Where the login of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The request itself: it may be a guess, so it may have to wait for its turn.
    Request,
    /// A session that was opened with it: whoever guesses from the same address does not hold it up.
    Session,
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
    /// The login was wrong.
    #[error("a login is needed")]
    Wrong,
    #[error("too many logins have failed from this address, and too many wait: try again later")]
    Crowded,
    #[error(
        "the Host of the request is neither an address nor localhost: name it in http.hosts if this \
         server is meant"
    )]
    Host,
    #[error(
        "protected mode: there is neither a token nor a user, so only this host is served. Set \
         http.token or access.users, or set access.protected_mode to false"
    )]
    Protected,
}

impl Refused {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Refused::Unknown | Refused::Wrong => StatusCode::UNAUTHORIZED,
            Refused::Crowded => StatusCode::TOO_MANY_REQUESTS,
            Refused::Protected | Refused::Host => StatusCode::FORBIDDEN,
        }
    }
}

impl Guard {
    /// A guard with these rules.
    pub fn new(rules: Rules) -> Self {
        Guard {
            rules: ArcSwap::from_pointee(rules),
            logins: Arc::default(),
            denials: Arc::default(),
        }
    }

    /// Replaces the rules.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// The logins that failed, over HTTP and wherever else it is asked about.
    pub fn logins(&self) -> &Arc<Logins> {
        &self.logins
    }

    /// What was refused, over HTTP and wherever else it is asked about.
    pub fn denials(&self) -> &Arc<Denials> {
        &self.denials
    }

    /// The rules in force: the same value until they are replaced.
    pub(super) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Whether `/metrics` has every shard.
    pub(super) fn shows_fleet(&self) -> bool {
        self.rules.load().http.fleet_metrics
    }

    /// What a viewer may see, with the commands that are known now.
    pub(super) fn sight(&self, viewer: Viewer, table: Arc<Table>) -> Sight {
        Sight {
            access: Arc::clone(&self.rules.load().access),
            user: match viewer {
                Viewer::Anybody => None,
                Viewer::Token => Some(UserId::TRUSTED),
                Viewer::User(user) => Some(user),
            },
            table,
        }
    }

    /// Lets a request for a page in or not. A login may have to wait for its turn to be judged.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place up.
    pub(super) async fn admit(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        origin: Origin,
        peer: SocketAddr,
    ) -> Result<Viewer, Refused> {
        let rules = self.rules.load_full();
        if FREE.contains(&uri.path()) {
            return Ok(Viewer::Anybody);
        }
        if !is_for_us(uri, headers, &rules.http.hosts) {
            return Err(Refused::Host);
        }
        let has_users = !rules.access.is_open();
        if !has_users && rules.http.token.is_none() {
            let foreign = !peer.ip().to_canonical().is_loopback();
            return match rules.protected_mode && foreign {
                true => Err(Refused::Protected),
                false => Ok(Viewer::Anybody),
            };
        }
        // The form and what it is made of say nothing of this server.
        if page::is_free(uri.path()) {
            return Ok(Viewer::Anybody);
        }
        let token = scheme(headers, "bearer").filter(|_| rules.http.token.is_some());
        // Keys are for those who may read them, whoever may see the rest.
        let takes_users = has_users && (rules.http.basic_auth || uri.path().starts_with("/keys/"));
        let login = login(headers).filter(|_| takes_users);
        if token.is_none() && login.is_none() {
            return Err(Refused::Unknown);
        }
        // By the rules that are in force by then.
        let judged = || {
            let viewer = self.rules.load().judge(token, login.as_ref());
            viewer.ok_or(Refused::Wrong)
        };
        if origin == Origin::Session {
            return judged();
        }
        let ip = Some(peer.ip());
        let whom = match &login {
            Some(login) => rules.access.whom(&login.user),
            None => Whom::Token,
        };
        // The place is held until the login is judged.
        let _place = match self.logins.turn(ip, &whom) {
            Turn::Now => None,
            Turn::At(at, place) => {
                tokio::time::sleep_until(at.into()).await;
                Some(place)
            }
            Turn::Never => return Err(Refused::Crowded),
        };
        let judged = judged();
        match judged {
            Ok(_) => self.logins.succeeded(ip, &whom),
            Err(_) => {
                self.logins.failed(ip, &whom);
                let refusal = Refusal {
                    reason: DeniedReason::Auth,
                    place: DeniedPlace::Http,
                    object: uri.path().as_bytes(),
                    user: login.as_ref().map_or(b"", |login| &login.user),
                };
                self.denials.note(refusal, format!("addr={peer}"));
            }
        }
        judged
    }
}

impl Rules {
    /// Whose the login of a request is, if it is right.
    fn judge(&self, token: Option<&str>, login: Option<&Login>) -> Option<Viewer> {
        if let (Some(token), Some(wanted)) = (token, &self.http.token) {
            // Of digests, nothing can be learnt by how long it takes to compare them.
            return (Sha256::digest(token) == Sha256::digest(wanted.expose()))
                .then_some(Viewer::Token);
        }
        let login = login?;
        let user = self.access.authenticate(&login.user, &login.password);
        user.map(Viewer::User)
    }
}

impl Sight {
    /// Whether the viewer may run a command, by its name in capitals with its subcommand, and so see what
    /// it tells.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_run(&self, command: &str) -> Result<(), Denied> {
        let args: ArgVec = command.split(' ').collect();
        let args = args.as_args();
        let row = self.table.get(&args[0]);
        let sub = row.and_then(|row| row.subcommand(args.get(1)?));
        self.access.check(self.user, row, &args[0], sub, args)
    }

    /// What the viewer may see of Respite's own.
    pub fn rights(&self) -> Rights {
        self.access.rights(self.user)
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
    use futures_util::FutureExt;
    use std::pin::pin;

    fn guard(token: Option<&str>, basic_auth: bool, protected_mode: bool, users: bool) -> Guard {
        let user = UserSpec {
            name: "ann".to_owned(),
            password_sha256: Sha256::digest("pw").into(),
            commands: vec!["@all".to_owned()],
            keys: vec!["*".to_owned()],
            channels: Vec::new(),
        };
        let users = if users { vec![user] } else { Vec::new() };
        Guard::new(Rules {
            http: Http {
                listen: None,
                token: token.map(Secret::new),
                basic_auth,
                hosts: vec!["respite.example".to_owned()],
                fleet_metrics: true,
            },
            protected_mode,
            access: Arc::new(AccessList::new(&[], users).expect("valid rules")),
        })
    }

    async fn admit(guard: &Guard, path: &str, given: &str, peer: &str) -> Result<Viewer, Refused> {
        let mut headers = HeaderMap::new();
        if !given.is_empty() {
            headers.insert(
                AUTHORIZATION,
                HeaderValue::from_str(given).expect("a header"),
            );
        }
        let peer = peer.parse().expect("an address");
        let path = path.parse().expect("a URI");
        guard.admit(&path, &headers, Origin::Request, peer).await
    }

    const HERE: &str = "127.0.0.1:1";
    const THERE: &str = "10.0.0.1:1";
    const WRONG: Result<Viewer, Refused> = Err(Refused::Wrong);

    #[tokio::test(start_paused = true)]
    async fn without_a_login_other_hosts_are_refused() {
        let open = guard(None, true, true, false);
        assert_eq!(admit(&open, "/stats", "", HERE).await, Ok(Viewer::Anybody));
        let mapped = "[::ffff:127.0.0.1]:1";
        assert_eq!(
            admit(&open, "/stats", "", mapped).await,
            Ok(Viewer::Anybody)
        );
        assert_eq!(
            admit(&open, "/stats", "", THERE).await,
            Err(Refused::Protected)
        );
        assert_eq!(
            admit(&open, "/health", "", THERE).await,
            Ok(Viewer::Anybody)
        );
        assert_eq!(
            admit(&open, "/login", "", THERE).await,
            Err(Refused::Protected)
        );
        let unprotected = guard(None, true, false, false);
        assert_eq!(
            admit(&unprotected, "/stats", "", THERE).await,
            Ok(Viewer::Anybody)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_opens_every_page() {
        let guard = guard(Some("t0"), true, true, false);
        assert_eq!(
            admit(&guard, "/stats", "Bearer t0", THERE).await,
            Ok(Viewer::Token)
        );
        assert_eq!(
            admit(&guard, "/keys/a", "bearer  t0", HERE).await,
            Ok(Viewer::Token)
        );
        for given in ["", "Bearer", "Basic dDA6", "t0"] {
            assert_eq!(
                admit(&guard, "/stats", given, HERE).await,
                Err(Refused::Unknown),
                "{given}"
            );
        }
        assert_eq!(admit(&guard, "/stats", "Bearer t1", HERE).await, WRONG);
        assert_eq!(
            admit(&guard, "/health", "", THERE).await,
            Ok(Viewer::Anybody)
        );
        assert_eq!(
            admit(&guard, "/ready", "", THERE).await,
            Ok(Viewer::Anybody)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_opens_pages_unless_that_is_not_wanted() {
        let right = format!("Basic {}", BASE64_STANDARD.encode("ann:pw"));
        let wrong = format!("Basic {}", BASE64_STANDARD.encode("ann:no"));
        let with = guard(None, true, true, true);
        let seen = admit(&with, "/stats", &right, THERE).await;
        assert!(matches!(seen, Ok(Viewer::User(_))), "{seen:?}");
        assert_eq!(admit(&with, "/stats", &wrong, THERE).await, WRONG);
        assert_eq!(
            admit(&with, "/stats", "Bearer t0", THERE).await,
            Err(Refused::Unknown)
        );
        assert_eq!(
            admit(&with, "/stats", "", HERE).await,
            Err(Refused::Unknown)
        );
        assert_eq!(admit(&with, "/login", "", THERE).await, Ok(Viewer::Anybody));
        assert_eq!(
            admit(&with, "/ui/x.js", "", THERE).await,
            Ok(Viewer::Anybody)
        );
        let without = guard(Some("t0"), false, true, true);
        assert_eq!(
            admit(&without, "/stats", &right, THERE).await,
            Err(Refused::Unknown)
        );
        assert!(admit(&without, "/keys/a", &right, THERE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn after_failures_the_right_token_waits_as_well() {
        let guard = guard(Some("t0"), true, true, false);
        let asked = |given| pin!(admit(&guard, "/stats", given, THERE)).now_or_never();
        for _ in 0..11 {
            assert_eq!(asked("Bearer t1"), Some(WRONG));
        }
        // Many who hang up; those who stay have a few places.
        assert!(asked("Bearer t0").is_none() && asked("Bearer t1").is_none());
        let mut waiting: Vec<_> = (0..10)
            .map(|_| Box::pin(admit(&guard, "/stats", "Bearer t0", THERE)))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(asked("Bearer t0"), Some(Err(Refused::Crowded)));
        assert_eq!(asked("Bearer t1"), Some(Err(Refused::Crowded)));
        assert_eq!(guard.logins().failures(), 11);
        // Whoever is logged in is held up by nobody, and begins nothing anew for them.
        let mut headers = HeaderMap::new();
        for (given, seen) in [("Bearer t0", Ok(Viewer::Token)), ("Bearer t1", WRONG)] {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(given));
            let uri = Uri::from_static("/stats");
            let peer = THERE.parse().expect("an address");
            let asked = pin!(guard.admit(&uri, &headers, Origin::Session, peer)).now_or_never();
            assert_eq!(asked, Some(seen));
        }
        assert_eq!(asked("Bearer t0"), Some(Err(Refused::Crowded)));
        assert_eq!(guard.logins().failures(), 11);
    }
}
