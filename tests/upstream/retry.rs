//! A connection cut between a request and its reply: reads are asked once more, writes are not.

use super::{
    NOT_SENT, SENT, contains, cut_before_reply, link, uncached, wait_for_service, wait_until_taken,
};
use crate::support::{Client, Direction, RedisServer, Relay, Respite, escape};
use std::time::{Duration, Instant};

fn setup(config: &str) -> (RedisServer, Relay, Respite) {
    let redis = RedisServer::start();
    redis.call(&["SET", "k", "value"]).assert_ok();
    let relay = Relay::to(redis.port());
    let respite = uncached(&relay.url()).config(config).start();
    (redis, relay, respite)
}

fn calls(redis: &RedisServer, command: &str) -> String {
    let stats = redis.info("commandstats", &format!("cmdstat_{command}"));
    stats.split(',').next().expect("calls=n").to_owned()
}

#[test]
fn a_read_without_an_answer_is_asked_again() {
    let (redis, relay, respite) = setup("");
    let mut client = respite.connect();
    client.call(&["TTL", "k"]);
    cut_before_reply(&link(&relay), &mut client, &["GET", "k"]);
    client.read_reply().assert_str("value");
    assert_eq!(calls(&redis, "get"), "calls=2");
    client.call(&["GET", "k"]).assert_str("value");
}

#[test]
fn a_read_in_front_of_a_write_that_was_executed_does_not_show_it() {
    let (redis, relay, respite) = setup("");
    let (mut client, mut other) = (respite.connect(), respite.connect());
    client.call(&["TTL", "k"]);
    let link = link(&relay);
    link.pause(Direction::Down);
    client.send_raw(b"GET k\r\nSET k later\r\n");
    link.wait_held(Direction::Down);
    other.send(&["GET", "k"]);
    wait_until_taken(&respite, "get");
    link.cut();
    for _ in 0..2 {
        let reply = client.read_reply();
        assert!(reply.error().ends_with(SENT), "{reply:?}");
    }
    other.read_reply().assert_str("later");
    assert_eq!(redis.call(&["GET", "k"]).as_str(), "later");
}

#[test]
fn a_write_without_an_answer_fails_and_is_not_repeated() {
    let (redis, relay, respite) = setup("");
    let mut client = respite.connect();
    client.call(&["TTL", "k"]);
    cut_before_reply(&link(&relay), &mut client, &["INCR", "n"]);
    let reply = client.read_reply();
    reply.assert_error("UPSTREAM the connection to the backing was lost: ");
    assert!(reply.error().ends_with(SENT), "{reply:?}");
    client.call(&["GET", "k"]).assert_str("value");
    assert_eq!(redis.call(&["GET", "n"]).as_str(), "1");
}

#[test]
fn each_of_a_pipeline_has_its_own_fate_in_order() {
    let (redis, relay, respite) = setup("");
    let mut client = respite.connect();
    let mut other = respite.connect();
    client.call(&["TTL", "k"]);
    let link = link(&relay);
    link.pause(Direction::Down);
    client
        .send_raw(b"GET k\r\nINCR n\r\nECHO here\r\nGET k\r\nINCRBY n 0\r\nSTRLEN k\r\nNOSUCH\r\n");
    link.wait_held(Direction::Down);
    other.send(&["LLEN", "list"]);
    link.cut();
    // What is read again must not show the writes behind it.
    for _ in 0..2 {
        let reply = client.read_reply();
        assert!(reply.error().ends_with(SENT), "{reply:?}");
    }
    client.read_reply().assert_str("here");
    for _ in 0..2 {
        let reply = client.read_reply();
        assert!(reply.error().ends_with(SENT), "{reply:?}");
    }
    assert_eq!(client.read_reply().int(), 5);
    // On a connection of its own, behind the others.
    client.read_reply().assert_error("ERR unknown command");
    assert_eq!(other.read_reply().int(), 0);
    assert_eq!(redis.call(&["GET", "n"]).as_str(), "1");
}

#[test]
fn a_read_whose_second_try_is_cut_as_well_fails() {
    let (redis, relay, respite) = setup("");
    let mut client = respite.connect();
    client.call(&["TTL", "k"]);
    let asks = |bytes: &[u8]| contains(bytes, b"\r\nGET\r\n");
    relay.when(asks, |connection| connection.pause(Direction::Down));
    client.send(&["GET", "k"]);
    for _ in 0..2 {
        let connection = relay.find(asks);
        connection.wait_held(Direction::Down);
        connection.cut();
    }
    let reply = client.read_reply();
    reply.assert_error("UPSTREAM ");
    assert!(reply.error().ends_with(SENT), "{reply:?}");
    assert_eq!(calls(&redis, "get"), "calls=2");
    client.call(&["STRLEN", "k"]);
}

#[test]
fn a_reply_cut_in_its_middle_closes_only_its_reader() {
    let (redis, relay, respite) = setup("");
    let mut big = respite.connect();
    let mut other = respite.connect();
    big.call(&["EXISTS", "k"]);
    redis.call(&["SETRANGE", "big", &(32 << 20).to_string(), "x"]);
    let link = link(&relay);
    link.hold_after(Direction::Down, 5 << 20);
    big.send(&["GET", "big"]);
    link.wait_held(Direction::Down);
    big.wait_for_bytes(100_000);
    other.send(&["GET", "k"]);
    link.cut();
    let error = big.try_read_reply_raw().expect_err("half a reply");
    assert!(
        error.starts_with("closed instead of a reply; unfinished: \"$33554433"),
        "{error}"
    );
    other.read_reply().assert_str("value");
    other.call(&["GET", "k"]).assert_str("value");
    respite.connect().call(&["GET", "k"]).assert_str("value");
}

#[test]
fn what_fails_behind_a_broken_reply_does_not_complete_it() {
    let (redis, relay, respite) = setup("");
    let mut big = respite.connect();
    big.call(&["EXISTS", "k"]);
    redis.call(&["SETRANGE", "big", "1000000", "x"]);
    let link = link(&relay);
    link.hold_after(Direction::Down, 999_000);
    let failing = b"INCR n\r\n".repeat(1000);
    big.send_raw(&[&b"GET big\r\n"[..], &failing].concat());
    link.wait_held(Direction::Down);
    // A reply that was not begun would be fetched again.
    big.wait_for_bytes(100_000);
    link.cut();
    // a thousand error texts are longer than what is missing
    let error = big.try_read_reply_raw().expect_err("half a reply");
    assert!(
        error.starts_with("closed instead of a reply; unfinished: \"$1000001"),
        "{error}"
    );
    assert!(!error.contains("UPSTREAM"), "{error}");
}

#[test]
fn commands_wait_for_a_backing_that_comes_back_in_time() {
    let (_redis, relay, respite) = setup("[timeouts]\nconnect = \"9s\"");
    let mut clients: Vec<Client> = (0..4).map(|_| respite.connect()).collect();
    clients[0].call(&["GET", "k"]);
    relay.refuse();
    relay.cut_all();
    clients[0].send(&["GET", "k"]);
    clients[1].send(&["INCR", "n"]);
    clients[2].send_raw(b"MULTI\r\nINCR n\r\nEXEC\r\n");
    clients[3].send(&["BLPOP", "list", "0"]);
    for taken in ["get", "incr", "multi", "blpop"] {
        wait_until_taken(&respite, taken);
    }
    relay.accept();
    clients[0].read_reply().assert_str("value");
    let one = clients[1].read_reply().int();
    clients[2].read_reply().assert_ok();
    clients[2].read_reply().assert_str("QUEUED");
    let other = clients[2].read_reply().items()[0].int();
    assert_eq!(one + other, 3);
    clients[0].call(&["RPUSH", "list", "x"]);
    assert_eq!(clients[3].read_reply().strings(), ["list", "x"]);
}

#[test]
fn commands_fail_fast_once_the_backing_has_been_away_for_long() {
    let (redis, relay, respite) = setup("[timeouts]\nconnect = \"1s\"");
    let mut client = respite.connect();
    client.call(&["GET", "k"]);
    relay.refuse();
    relay.cut_all();
    let commands: [&[&str]; 5] = [
        &["GET", "k"],
        &["INCR", "n"],
        &["BLPOP", "l", "0"],
        &["WATCH", "k"],
        &["SUBSCRIBE", "c"],
    ];
    client
        .call(&["GET", "k"])
        .assert_error("UPSTREAM cannot connect to 127.0.0.1:");
    let begin = Instant::now();
    for round in 0..6 {
        for command in commands {
            let reply = client.call(command);
            reply.assert_error("UPSTREAM ");
            assert!(
                reply.error().ends_with(NOT_SENT),
                "{round} {command:?}: {reply:?}"
            );
        }
    }
    // if each waited for the connect deadline it would be 30 s
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert_eq!(escape(&client.call_raw(&["PING"])), "+PONG\\r\\n");
    relay.accept();
    wait_for_service(&mut client);
    assert!(redis.call(&["GET", "n"]).is_null());
}
