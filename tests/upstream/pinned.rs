//! The loss of a connection that carries a client's state.

use super::{SENT, builder, cut_before_reply, own_connection};
use crate::support::{Client, RedisServer, Relay, Respite};

fn setup() -> (RedisServer, Relay, Respite) {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = builder(&relay.url()).env("RUST_LOG", "debug").start();
    (redis, relay, respite)
}

/// Cuts the client's own connection and waits until Respite has noticed.
#[track_caller]
fn cut(relay: &Relay, respite: &mut Respite) {
    own_connection(relay).cut();
    respite.expect_log("pinned connection lost");
}

#[test]
fn a_transaction_lost_before_exec_is_not_executed() {
    let (redis, relay, mut respite) = setup();
    let mut client = respite.connect();
    client.call(&["MULTI"]).assert_ok();
    client.call(&["SET", "a", "1"]).assert_str("QUEUED");
    cut(&relay, &mut respite);
    for command in [
        &["SET", "a", "2"][..],
        &["GET", "a"],
        &["CLIENT", "ID"],
        &["WATCH", "a"],
    ] {
        client
            .call(command)
            .assert_error("UPSTREAM the transaction was lost");
    }
    let reply = client.call(&["EXEC"]);
    reply.assert_error("UPSTREAM ");
    assert!(
        reply.error().contains("nothing of it was executed"),
        "{reply:?}"
    );
    assert!(redis.call(&["GET", "a"]).is_null());
    assert!(client.call(&["GET", "a"]).is_null());
    client
        .call(&["EXEC"])
        .assert_error("ERR EXEC without MULTI");
    let replies = client.pipeline(&[&["MULTI"][..], &["SET", "a", "3"], &["EXEC"]]);
    replies[2].items()[0].assert_ok();
}

#[test]
fn discard_and_reset_end_a_lost_transaction() {
    let (_redis, relay, mut respite) = setup();
    for (end, reply) in [("DISCARD", "OK"), ("RESET", "RESET")] {
        let mut client = respite.connect();
        client.call(&["MULTI"]).assert_ok();
        cut(&relay, &mut respite);
        client.call(&["SET", "a", "1"]).assert_error("UPSTREAM ");
        client.call(&[end]).assert_str(reply);
        client.call(&["SET", "a", "1"]).assert_ok();
    }
}

#[test]
fn an_exec_without_an_answer_may_have_been_executed() {
    let (redis, relay, respite) = setup();
    let mut client = respite.connect();
    client.call(&["MULTI"]).assert_ok();
    client.call(&["INCR", "n"]).assert_str("QUEUED");
    cut_before_reply(&own_connection(&relay), &mut client, &["EXEC"]);
    let reply = client.read_reply();
    reply.assert_error("UPSTREAM ");
    assert!(reply.error().ends_with(SENT), "{reply:?}");
    client.call(&["GET", "n"]).assert_str("1");
    assert_eq!(redis.call(&["GET", "n"]).as_str(), "1");
}

#[test]
fn a_lost_watch_makes_exec_return_nil() {
    let (redis, relay, mut respite) = setup();
    let mut client = respite.connect();
    client.call(&["WATCH", "k"]).assert_ok();
    cut(&relay, &mut respite);
    client.call(&["GET", "k"]);
    client.call(&["MULTI"]).assert_ok();
    client.call(&["SET", "k", "1"]).assert_str("QUEUED");
    assert!(client.call(&["EXEC"]).is_null());
    assert!(redis.call(&["GET", "k"]).is_null());
    client.call(&["WATCH", "k"]).assert_ok();
    client.call(&["MULTI"]).assert_ok();
    client.call(&["SET", "k", "1"]).assert_str("QUEUED");
    client.call(&["EXEC"]).items()[0].assert_ok();
}

#[test]
fn a_refused_multi_does_not_let_the_rest_of_the_packet_through() {
    let (redis, relay, respite) = setup();
    let mut client = respite.connect();
    let connection = {
        client.call(&["WATCH", "k"]).assert_ok();
        own_connection(&relay)
    };
    connection.pause(crate::support::Direction::Down);
    client.send_raw(b"MULTI\r\nSET a 1\r\n");
    connection.wait_held(crate::support::Direction::Down);
    connection.cut();
    client.read_reply().assert_error("UPSTREAM ");
    client.read_reply().assert_error("UPSTREAM ");
    client.send_raw(b"SET a 2\r\nEXEC\r\n");
    client
        .read_reply()
        .assert_error("UPSTREAM the transaction was lost");
    client
        .read_reply()
        .assert_error("UPSTREAM the transaction was lost");
    assert!(redis.call(&["GET", "a"]).is_null());
    client.call(&["SET", "a", "3"]).assert_ok();
}

#[test]
fn listeners_are_closed_with_their_connection() {
    type Listen = fn(&mut Client);
    let scenes: [Listen; 3] = [
        |client| drop(client.call(&["SUBSCRIBE", "c"])),
        |client| {
            client.hello3();
            client.call(&["PSUBSCRIBE", "c*"]);
        },
        |client| {
            client.hello3();
            client.call(&["CLIENT", "TRACKING", "ON"]).assert_ok();
        },
    ];
    for listen in scenes {
        let (_redis, relay, respite) = setup();
        let (mut client, mut other) = (respite.connect(), respite.connect());
        other.call(&["GET", "a"]);
        listen(&mut client);
        // Subscribers share theirs.
        let names = [&b"respite-pinned"[..], b"respite-subscriber"];
        let own = |first: &[u8]| names.iter().any(|name| super::contains(first, name));
        relay.find(own).cut();
        assert!(client.closed());
        other.call(&["SET", "a", "1"]).assert_ok();
    }
}

#[test]
fn a_blocked_client_is_told_and_goes_on() {
    let (_redis, relay, respite) = setup();
    let mut client = respite.connect();
    client.send(&["BLPOP", "list", "0"]);
    let connection = own_connection(&relay);
    crate::support::wait_until("BLPOP went up", crate::support::DEADLINE, || {
        super::contains(&connection.first_bytes(), b"BLPOP")
    });
    connection.cut();
    let reply = client.read_reply();
    assert!(reply.error().ends_with(SENT), "{reply:?}");
    client.call(&["RPUSH", "list", "x"]);
    assert_eq!(
        client.call(&["BLPOP", "list", "0"]).strings(),
        ["list", "x"]
    );
}
