//! The login of the dashboard: a form, and a cookie that stands for what was typed into it.
//!
//! A cookie is a random number; what it stands for is kept here and judged anew by each request, so that a user who is
//! removed, or whose password changes, is out at once. Nothing survives the process.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;

use super::access::{Guard, Origin, Refused};
use super::answers::error;
use crate::random;

/// The name of the cookie.
const NAME: &str = "respite-session";
/// So many are logged in at the same time; the oldest has to log in again.
const MOST: usize = 1000;
/// So many of them by one login.
const MOST_OF_ONE: usize = 20;
/// What a login may have at the most.
pub(super) const FORM_BYTES: usize = 16 * 1024;
/// For so long.
const LIFE: Duration = Duration::from_secs(12 * 3600);

/// Who is logged in by a form.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<VecDeque<Open>>,
}

struct Open {
    id: String,
    authorization: HeaderValue,
    since: Instant,
}

/// What a login goes through.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) guard: Arc<Guard>,
    pub(super) sessions: Arc<Sessions>,
}

impl Sessions {
    /// What a form says, as the header that says the same: a token alone, or a name with a password.
    pub(super) fn authorization(user: &str, password: &str) -> Option<HeaderValue> {
        let text = if user.is_empty() {
            format!("Bearer {password}")
        } else {
            format!(
                "Basic {}",
                BASE64_STANDARD.encode(format!("{user}:{password}"))
            )
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Opens a session; returns the cookie for it.
    pub(super) fn open(&self, authorization: HeaderValue) -> HeaderValue {
        let id = random::password();
        let seconds = LIFE.as_secs();
        let text = format!("{NAME}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}");
        let mut open = self.open.lock();
        // Nobody's logins log others out.
        let own = |open: &Open| open.authorization == authorization;
        if open.iter().filter(|open| own(open)).count() == MOST_OF_ONE
            && let Some(oldest) = open.iter().position(own)
        {
            open.remove(oldest);
        }
        if open.len() == MOST {
            open.pop_front();
        }
        open.push_back(Open {
            id,
            authorization,
            since: Instant::now(),
        });
        HeaderValue::from_str(&text).expect("letters and digits")
    }

    /// Whether a request has the cookie of a session.
    pub(super) fn is_open(&self, headers: &HeaderMap) -> bool {
        cookie(headers).is_some_and(|id| self.open.lock().iter().any(|open| open.id == id))
    }

    /// Closes the session of a request; returns the cookie that takes its cookie away.
    pub(super) fn close(&self, headers: &HeaderMap) -> HeaderValue {
        if let Some(id) = cookie(headers) {
            self.open.lock().retain(|open| open.id != id);
        }
        HeaderValue::from_static("respite-session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
    }

    /// Puts what a session stands for into the head of a request that has its cookie and no login of its own.
    pub(super) fn apply(&self, headers: &mut HeaderMap) -> Origin {
        if headers.contains_key(AUTHORIZATION) {
            return Origin::Request;
        }
        let Some(id) = cookie(headers) else {
            return Origin::Request;
        };
        let mut open = self.open.lock();
        open.retain(|open| open.since.elapsed() < LIFE);
        let Some(found) = open.iter().find(|open| open.id == id) else {
            return Origin::Request;
        };
        headers.insert(AUTHORIZATION, found.authorization.clone());
        Origin::Session
    }
}

/// `user=…&password=…`: without a user the password is the token.
pub(super) async fn log_in(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    form: String,
) -> Response {
    // A page of somebody else's could log its visitor in as somebody he does not know of.
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    // Browsers leave that out over plain HTTP; then they say where the page is from.
    let elsewhere = || {
        let origin = headers.get(ORIGIN)?.to_str().unwrap_or("null");
        let (_, from) = origin.split_once("://").unwrap_or(("", ""));
        let host = headers.get(HOST)?.to_str().unwrap_or_default();
        Some(!from.eq_ignore_ascii_case(host))
    };
    if site.is_some_and(|site| site != b"same-origin") || elsewhere().unwrap_or(false) {
        return error(StatusCode::FORBIDDEN, "the form is for this page only");
    }
    let field = |wanted: &str| {
        let mut pairs = url::form_urlencoded::parse(form.as_bytes());
        pairs.find_map(|(name, value)| (name == wanted).then(|| value.into_owned()))
    };
    let (user, password) = (field("user"), field("password"));
    let login = Sessions::authorization(&user.unwrap_or_default(), &password.unwrap_or_default());
    let Some(login) = login else {
        return refused();
    };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, login.clone());
    // As any page is judged; the name by which the server was called has been looked at.
    let uri = Uri::from_static("/");
    let admitted = door.guard.admit(&uri, &headers, Origin::Request, peer);
    match admitted.await {
        Ok(_) => {}
        Err(Refused::Unknown | Refused::Wrong) => return refused(),
        Err(refused) => return error(refused.status(), &refused.to_string()),
    }
    let cookie = door.sessions.open(login);
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}

/// What the form hears, which asks by itself.
fn refused() -> Response {
    error(StatusCode::UNAUTHORIZED, "a login is needed")
}

/// 204 when the request has the cookie of a session.
pub(super) async fn is_open(State(door): State<Door>, headers: HeaderMap) -> Response {
    if door.sessions.is_open(&headers) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        // Not an error: nobody has to log in here, or another way was taken.
        (StatusCode::OK, "no session\n").into_response()
    }
}

pub(super) async fn log_out(State(door): State<Door>, headers: HeaderMap) -> Response {
    let cookie = door.sessions.close(&headers);
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}

/// The session that a request names.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = all
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == NAME && !value.is_empty()).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cookie(cookie: &HeaderValue) -> HeaderMap {
        let text = cookie.to_str().expect("text");
        let pair = text.split(';').next().expect("a pair");
        let mut headers = HeaderMap::new();
        headers.insert(
            COOKIE,
            HeaderValue::from_str(&format!("a=b; {pair}")).expect("a header"),
        );
        headers
    }

    #[test]
    fn a_cookie_stands_for_a_login_until_it_is_closed() {
        let sessions = Sessions::default();
        let login = Sessions::authorization("ann", "pw").expect("a login");
        assert_eq!(login, "Basic YW5uOnB3");
        let cookie = sessions.open(login.clone());
        assert!(
            cookie
                .to_str()
                .expect("text")
                .contains("HttpOnly; SameSite=Strict")
        );
        let mut headers = with_cookie(&cookie);
        assert_eq!(sessions.apply(&mut headers), Origin::Session);
        assert_eq!(headers.get(AUTHORIZATION), Some(&login));
        // A login of the request's own wins.
        let mut own = with_cookie(&cookie);
        own.insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert_eq!(sessions.apply(&mut own), Origin::Request);
        assert_eq!(own.get(AUTHORIZATION).expect("own"), "Bearer x");
        sessions.close(&headers);
        let mut headers = with_cookie(&cookie);
        assert_eq!(sessions.apply(&mut headers), Origin::Request);
        assert_eq!(headers.get(AUTHORIZATION), None);
    }

    #[test]
    fn sessions_are_bounded_and_differ() {
        let sessions = Sessions::default();
        let login = Sessions::authorization("", "token").expect("a login");
        assert_eq!(login, "Bearer token");
        let first = sessions.open(login.clone());
        let stays =
            |cookie: &HeaderValue| sessions.apply(&mut with_cookie(cookie)) == Origin::Session;
        for _ in 0..MOST_OF_ONE {
            assert_ne!(sessions.open(login.clone()), first);
        }
        assert!(!stays(&first), "of one login the oldest goes");
        // Others are logged out by nobody's logins.
        let ann = sessions.open(Sessions::authorization("ann", "pw").expect("a login"));
        for _ in 0..MOST {
            sessions.open(login.clone());
        }
        assert!(stays(&ann));
        assert_eq!(sessions.open.lock().len(), MOST_OF_ONE + 1);
        assert_eq!(Sessions::authorization("a", "b\n").map(|_| ()), Some(()));
        assert_eq!(Sessions::authorization("", "b\n"), None);
    }
}
