//! Guessing a password: counted, logged once, and slow, for whoever guesses only.

use std::time::Duration;

use super::{APP, config};
use crate::support::{RedisServer, Respite, fetch};

fn guess(client: &mut crate::support::Client) {
    let reply = client.call(&["AUTH", "app", "guess"]);
    reply.assert_error("WRONGPASS ");
}

#[test]
fn after_ten_failures_the_next_wait_and_hold_nobody_up() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).workers(1).http();
    let respite = builder.config(&config(&[APP])).start();
    let mut guesser = respite.connect();
    for _ in 0..15 {
        guess(&mut guesser);
    }
    // Pipelined guesses wait one after the other; others of the same worker do not.
    guesser.send_raw(b"AUTH app guess\r\nHELLO 3 AUTH app guess\r\nAUTH app guess\r\n");
    let mut other = respite.connect();
    other.call(&["PING"]).assert_error("NOAUTH ");
    assert!(guesser.silent_for(Duration::from_millis(50)), "it waits");
    let mut transaction = respite.connect();
    other.call(&["AUTH", "app", "secret"]).assert_ok();
    other.call(&["GET", "app:1"]);
    for _ in 0..3 {
        guesser.read_reply().assert_error("WRONGPASS ");
    }
    guesser.call(&["AUTH", "app", "secret"]).assert_ok();
    transaction.call(&["AUTH", "app", "secret"]).assert_ok();
    let login = fetch(
        respite.http_port(),
        "GET",
        "/metrics",
        &[("Authorization", "Basic YXBwOnNlY3JldA==")],
    );
    assert!(
        login.text().contains("respite_auth_failures_total 18"),
        "{}",
        login.text()
    );
    let lines = respite.log();
    let told: Vec<&String> = lines.iter().filter(|line| line.contains("login")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("127.0.0.1"), "{told:?}");
}

#[test]
fn a_transaction_is_no_way_around() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url());
    let respite = builder.config(&config(&[APP])).start();
    let mut client = respite.connect();
    client.call(&["AUTH", "app", "secret"]).assert_ok();
    client.call(&["MULTI"]).assert_ok();
    for _ in 0..12 {
        client.call(&["AUTH", "app", "guess"]);
    }
    let replies = client.call(&["EXEC"]);
    let replies = replies.items();
    assert_eq!(replies.len(), 12);
    replies[9].assert_error("WRONGPASS ");
    for reply in &replies[10..] {
        reply.assert_error("ERR too many logins have failed from this address");
    }
    // Nothing is judged there any more, until a login elsewhere was right.
    client.call(&["MULTI"]).assert_ok();
    client.call(&["AUTH", "app", "secret"]);
    client.call(&["EXEC"]).items()[0].assert_error("ERR too many logins");
    client.call(&["AUTH", "app", "secret"]).assert_ok();
    client.call(&["MULTI"]).assert_ok();
    client.call(&["AUTH", "app", "secret"]);
    client.call(&["EXEC"]).items()[0].assert_ok();
}

#[test]
fn guesses_over_http_count_and_wait_as_well() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config("http.token = \"t\"").start();
    let status = |token: &str| {
        let headers = [("Authorization", token)];
        fetch(respite.http_port(), "GET", "/stats", &headers).status
    };
    for _ in 0..12 {
        assert_eq!(status("Bearer guess"), 401);
    }
    assert_eq!(status("Bearer t"), 200);
    let metrics = fetch(
        respite.http_port(),
        "GET",
        "/metrics",
        &[("Authorization", "Bearer t")],
    );
    assert!(metrics.text().contains("respite_auth_failures_total 12"));
}
