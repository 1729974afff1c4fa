//! Guessing a password: counted, logged, and slow, right or wrong, for whoever guesses only.

use super::{APP, ROOT, config};
use crate::support::{Client, RedisServer, Respite, fetch};

fn guess(client: &mut Client) {
    let reply = client.call(&["AUTH", "app", "guess"]);
    reply.assert_error("WRONGPASS ");
}

#[test]
fn after_ten_failures_the_next_wait_and_hold_nobody_up() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).workers(1).http();
    let builder = builder.allow_log("logins fail again and again");
    let respite = builder.config(&config(&[APP])).start();
    let mut guesser = respite.connect();
    for _ in 0..15 {
        guess(&mut guesser);
    }
    // Pipelined guesses wait one after the other; others of the same worker do not.
    guesser.send_raw(b"AUTH app guess\r\nHELLO 3 AUTH app guess\r\nAUTH app guess\r\n");
    let mut other = respite.connect();
    other.call(&["PING"]).assert_error("NOAUTH ");
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
    // The first, and the tenth in a row.
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().all(|line| line.contains("127.0.0.1")),
        "{told:?}"
    );
    assert!(
        told[1].contains("again and again") && told[1].contains('9'),
        "{told:?}"
    );
}

#[test]
fn a_transaction_is_no_way_around() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url());
    let builder = builder.allow_log("logins fail again and again");
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
fn few_wait_to_be_judged_and_others_are_refused_unjudged() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let builder = builder.allow_log("logins fail again and again");
    let rules = format!("http.token = \"t\"\n{}", config(&[APP, ROOT]));
    let respite = builder.config(&rules).start();
    let mut guesser = respite.connect();
    for _ in 0..14 {
        guess(&mut guesser);
    }
    let mut crowd: Vec<_> = (0..200).map(|_| respite.connect()).collect();
    for client in &mut crowd {
        client.send(&["AUTH", "app", "guess"]);
    }
    // Other users are not theirs to slow down.
    let mut root = respite.connect();
    root.call(&["AUTH", "root", "toor"]).assert_ok();
    let replies: Vec<_> = crowd.iter_mut().map(Client::read_reply).collect();
    let text = "ERR too many logins have failed from this address, and too many wait: ";
    let refused = replies
        .iter()
        .filter(|reply| reply.error().starts_with(text));
    // How many were judged depends on how long it took to ask.
    assert!(refused.count() >= 100, "{replies:?}");
    let token = [("Authorization", "Bearer t")];
    let metrics = fetch(respite.http_port(), "GET", "/metrics", &token);
    let judged = replies
        .iter()
        .filter(|reply| reply.error().starts_with("WRONGPASS "));
    let count = format!("respite_auth_failures_total {}", 14 + judged.count());
    assert!(metrics.text().contains(&count), "{count}");
}

#[test]
fn what_is_queued_tells_no_password() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url());
    let builder = builder.allow_log("logins fail again and again");
    let respite = builder.config(&config(&[APP, ROOT])).start();
    let mut client = respite.connect();
    client.call(&["AUTH", "root", "toor"]).assert_ok();
    client.call(&["SET", "other", "seen"]).assert_ok();
    client.call(&["MULTI"]).assert_ok();
    for _ in 0..10 {
        client.call(&["AUTH", "app", "guess"]);
    }
    client.call(&["AUTH", "app", "secret"]);
    client.call(&["GET", "other"]);
    let replies = client.call(&["EXEC"]);
    replies.items()[10].assert_error("ERR too many logins");
    replies.items()[11].assert_str("seen");
}

#[test]
fn guesses_over_http_count_and_wait_as_well() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let builder = builder.allow_log("logins fail again and again");
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
