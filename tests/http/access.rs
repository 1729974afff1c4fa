//! Who may ask: tokens, users, protected mode.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::support::{RedisServer, Respite, fetch};

fn basic(login: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(login))
}

fn user(name: &str, rules: &str) -> String {
    let hash: String = Sha256::digest("pw")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("[[access.users]]\nname = \"{name}\"\npassword_sha256 = \"{hash}\"\n{rules}\n")
}

fn status(respite: &Respite, path: &str, login: &str) -> u16 {
    let headers = [("Authorization", login)];
    let headers = if login.is_empty() {
        &[][..]
    } else {
        &headers[..]
    };
    fetch(respite.http_port(), "GET", path, headers).status
}

#[test]
fn a_token_is_asked_for_and_can_be_replaced() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let mut respite = builder.config("http.token = \"one\"").start();
    for path in [
        "/",
        "/stats",
        "/dump",
        "/metrics",
        "/scrape?target=a",
        "/sd",
        "/shards",
        "/shards/a/info",
        "/services",
        "/bus/a/methods",
        "/keys/a",
        "/nothing",
    ] {
        assert_eq!(status(&respite, path, ""), 401, "{path}");
        assert_eq!(status(&respite, path, "Bearer two"), 401, "{path}");
    }
    assert_eq!(status(&respite, "/stats", "Bearer one"), 200);
    assert_eq!(status(&respite, "/keys/a", "Bearer one"), 404);
    assert_eq!(
        (
            status(&respite, "/health", ""),
            status(&respite, "/ready", "")
        ),
        (200, 200)
    );
    let refused = fetch(respite.http_port(), "GET", "/stats", &[]);
    assert!(refused.header("www-authenticate").is_some());
    respite.reload("http.token = \"two\"");
    respite.expect_log("configuration reloaded");
    assert_eq!(status(&respite, "/stats", "Bearer one"), 401);
    assert_eq!(status(&respite, "/stats", "Bearer two"), 200);
}

#[test]
fn keys_are_read_with_the_rights_of_a_user() {
    let redis = RedisServer::start();
    redis.call(&["SET", "app:1", "mine"]).assert_ok();
    redis.call(&["SET", "other", "secret"]).assert_ok();
    let config = format!(
        "http.token = \"t\"\n{}{}{}",
        user("ann", "keys = [\"app:*\"]"),
        user("bob", "commands = [\"+set\"]"),
        user("eve", ""),
    );
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config(&config).start();
    assert_eq!(status(&respite, "/keys/app:1", ""), 401);
    assert_eq!(
        status(&respite, "/keys/app:1", "Bearer t"),
        401,
        "a token is no user"
    );
    assert_eq!(status(&respite, "/keys/app:1", &basic("ann:no")), 401);
    assert_eq!(status(&respite, "/keys/app:1", &basic("ann:pw")), 200);
    // Whatever is in the cache by then.
    for _ in 0..5 {
        assert_eq!(status(&respite, "/keys/other", &basic("eve:pw")), 200);
        assert_eq!(status(&respite, "/keys/other", &basic("ann:pw")), 403);
    }
    assert_eq!(status(&respite, "/keys/app:1", &basic("bob:pw")), 403);
    assert_eq!(
        status(&respite, "/stats", &basic("eve:pw")),
        401,
        "basic_auth is off"
    );
    assert_eq!(status(&respite, "/stats", "Bearer t"), 200);
}

#[test]
fn a_user_sees_the_pages_with_basic_auth() {
    let redis = RedisServer::start();
    let config = format!("http.basic_auth = true\n{}", user("ann", ""));
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config(&config).start();
    assert_eq!(status(&respite, "/metrics", ""), 401);
    assert_eq!(status(&respite, "/metrics", &basic("ann:no")), 401);
    assert_eq!(status(&respite, "/metrics", &basic("ann:pw")), 200);
}

#[test]
fn denied_commands_are_denied_here_too() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config("access.deny = [\"get\"]").start();
    assert_eq!(status(&respite, "/keys/a", ""), 403);
}
