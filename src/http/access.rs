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
    AccessList, Attempt, Denials, Denied, DeniedPlace, DeniedReason, Judged, Logins, Refusal, Turn,
    Unjudged, UserId, Verdict, Verifier, Whom,
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
    verifier: Arc<Verifier>,
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
    #[error(
        "the users are the backing's ([access] users_of), whose logins are not taken here: log in with http.token"
    )]
    Token,
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
            Refused::Unknown | Refused::Token | Refused::Wrong => StatusCode::UNAUTHORIZED,
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
            verifier: Arc::default(),
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

    /// Works out slow hashes of passwords, for HTTP and wherever else it is asked to.
    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
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
        let of_backing = rules.access.is_of_backing();
        let takes_users =
            has_users && !of_backing && (rules.http.basic_auth || uri.path().starts_with("/keys/"));
        let login = login(headers).filter(|_| takes_users);
        if token.is_none() && login.is_none() {
            return Err(match of_backing {
                true => Refused::Token,
                false => Refused::Unknown,
            });
        }
        let attempt = |peer, whom, has_turn| Attempt {
            logins: Arc::clone(&self.logins),
            peer,
            whom,
            has_turn,
            counts: origin == Origin::Request,
        };
        if origin == Origin::Session {
            let attempt = attempt(None, Whom::Token, true);
            return self.judge(token, login.as_ref(), attempt).await.0;
        }
        let ip = Some(peer.ip());
        let whom = match &login {
            Some(login) => rules.access.whom(&login.user),
            None => Whom::Token,
        };
        // The place is held until the login is judged.
        let has_turn = self.logins.is_slowed(ip, &whom);
        let _place = match self.logins.turn(ip, &whom) {
            Turn::Now => None,
            Turn::At(at, place) => {
                tokio::time::sleep_until(at.into()).await;
                Some(place)
            }
            Turn::Never => return Err(Refused::Crowded),
        };
        let attempt = attempt(ip, whom.clone(), has_turn);
        let (judged, counted) = self.judge(token, login.as_ref(), attempt).await;
        match judged {
            Ok(_) => self.logins.succeeded(ip, &whom),
            Err(Refused::Wrong) => {
                if !counted {
                    self.logins.failed(ip, &whom);
                }
                let refusal = Refusal {
                    reason: DeniedReason::Auth,
                    place: DeniedPlace::Http,
                    object: uri.path().as_bytes(),
                    user: login.as_ref().map_or(b"", |login| &login.user),
                };
                self.denials.note(refusal, format!("addr={peer}"));
            }
            Err(_) => {}
        }
        judged
    }

    /// Judges a login by the rules that are in force now; whether a failure is counted already.
    async fn judge(
        &self,
        token: Option<&str>,
        login: Option<&Login>,
        attempt: Attempt,
    ) -> (Result<Viewer, Refused>, bool) {
        let judged = self.rules.load().judge(token, login);
        let unknown = match judged {
            Seen::As(viewer) => return (Ok(viewer), false),
            Seen::Wrong => return (Err(Refused::Wrong), false),
            Seen::Unknown(unknown) => unknown,
        };
        let verdict = match self.verifier.verify(unknown, attempt) {
            Some(judged) => judged.await.unwrap_or(Verdict::Slowed),
            None => Verdict::Slowed,
        };
        match verdict {
            Verdict::Right => match self.rules.load().judge(token, login) {
                Seen::As(viewer) => (Ok(viewer), false),
                _ => (Err(Refused::Wrong), true),
            },
            Verdict::Wrong => (Err(Refused::Wrong), true),
            Verdict::Slowed => (Err(Refused::Crowded), true),
        }
    }
}

impl Rules {
    /// Whose the login of a request is, if it is right.
    fn judge(&self, token: Option<&str>, login: Option<&Login>) -> Seen {
        if let (Some(token), Some(wanted)) = (token, &self.http.token) {
            // Of digests, nothing can be learnt by how long it takes to compare them.
            return match Sha256::digest(token) == Sha256::digest(wanted.expose()) {
                true => Seen::As(Viewer::Token),
                false => Seen::Wrong,
            };
        }
        let Some(login) = login else {
            return Seen::Wrong;
        };
        match self.access.judge(&login.user, &login.password) {
            Judged::Right(user) => Seen::As(Viewer::User(user)),
            Judged::Wrong => Seen::Wrong,
            Judged::Unknown(unknown) => Seen::Unknown(unknown),
        }
    }
}

/// What is known at once of who asks.
enum Seen {
    As(Viewer),
    Wrong,
    Unknown(Unjudged),
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
mod tests;
