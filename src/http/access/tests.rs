use super::*;
use crate::access::{Password, UserSpec};
use crate::config::Secret;
use axum::http::HeaderValue;
use futures_util::FutureExt;
use std::pin::pin;

fn guard(token: Option<&str>, basic_auth: bool, protected_mode: bool, users: bool) -> Guard {
    let user = UserSpec {
        name: "ann".to_owned(),
        password: Password::Sha256(Sha256::digest("pw").into()),
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
