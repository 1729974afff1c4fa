//! `upstream_on_loss = "close"`: a client whose commands or state are lost is closed, and nobody else.

use super::{cut_before_reply, link, own_connection, uncached};
use crate::support::{Direction, RedisServer, Relay, Respite};

fn setup() -> (RedisServer, Relay, Respite) {
    let redis = RedisServer::start();
    redis.call(&["SET", "k", "value"]).assert_ok();
    let relay = Relay::to(redis.port());
    let respite = uncached(&relay.url())
        .env("RESPITE_UPSTREAM_ON_LOSS", "close")
        .config("[timeouts]\nconnect = \"500ms\"")
        .start();
    (redis, relay, respite)
}

#[test]
fn a_write_without_an_answer_closes_its_client() {
    let (redis, relay, respite) = setup();
    let (mut client, mut other) = (respite.connect(), respite.connect());
    client.call(&["EXISTS", "k"]);
    other.call(&["EXISTS", "k"]);
    let link = link(&relay);
    link.pause(Direction::Down);
    client.send_raw(b"STRLEN k\r\nINCR n\r\nINCR n\r\n");
    link.wait_held(Direction::Down);
    other.send(&["STRLEN", "k"]);
    link.cut();
    // The read is not asked again: it could show what came behind it.
    assert!(client.closed());
    assert_eq!(other.read_reply().int(), 5);
    other.call(&["SET", "k", "again"]).assert_ok();
    // Both had been sent; neither is sent again.
    assert_eq!(redis.call(&["GET", "n"]).as_str(), "2");
}

#[test]
fn lost_state_closes_its_client() {
    for state in [&["MULTI"][..], &["WATCH", "k"]] {
        let (_redis, relay, respite) = setup();
        let mut client = respite.connect();
        client.call(state).assert_ok();
        own_connection(&relay).cut();
        assert!(client.closed(), "{state:?}");
    }
}

#[test]
fn a_blocked_client_and_an_exec_are_closed() {
    let (_redis, relay, respite) = setup();
    let mut client = respite.connect();
    client.call(&["MULTI"]).assert_ok();
    cut_before_reply(&own_connection(&relay), &mut client, &["EXEC"]);
    assert!(client.closed());
}

#[test]
fn commands_that_cannot_be_sent_close_their_client_and_pipelines_are_not_continued() {
    let (redis, relay, respite) = setup();
    let mut client = respite.connect();
    client.call(&["EXISTS", "k"]);
    relay.refuse();
    relay.cut_all();
    client.send_raw(b"INCR n\r\nMULTI\r\nINCR n\r\nEXEC\r\n");
    assert!(client.closed());
    relay.accept();
    assert!(redis.call(&["GET", "n"]).is_null());
}
