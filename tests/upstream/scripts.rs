//! Scripts, which travel on links of their own: what becomes of one whose link is lost.

use super::{SENT, builder, contains, cut_before_reply};
use crate::support::{Connection, RedisServer, Relay, Respite, RespiteBuilder};

const COUNT: &[&str] = &["EVAL", "return redis.call('INCR', KEYS[1])", "1", "n"];

fn setup(respite: impl Fn(&str) -> RespiteBuilder) -> (RedisServer, Relay, Respite) {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = respite(&relay.url()).start();
    (redis, relay, respite)
}

/// The open relayed connection that this script has been sent over.
#[track_caller]
fn scripts_link(relay: &Relay, script: &str) -> Connection {
    relay.find(|bytes| contains(bytes, script.as_bytes()))
}

#[test]
fn a_script_that_may_have_run_is_not_sent_again() {
    let (redis, relay, respite) = setup(builder);
    let (mut client, mut other) = (respite.connect(), respite.connect());
    assert_eq!(client.call(COUNT).int(), 1);
    other.call(&["SET", "k", "1"]).assert_ok();
    cut_before_reply(&scripts_link(&relay, COUNT[1]), &mut client, COUNT);
    let lost = client.read_reply();
    assert!(
        lost.error().starts_with("UPSTREAM ") && lost.error().ends_with(SENT),
        "{lost:?}"
    );
    // It has run, once; who called no script has noticed nothing.
    other.call(&["GET", "n"]).assert_str("2");
    assert_eq!(client.call(COUNT).int(), 3);
    assert_eq!(redis.call(&["GET", "n"]).as_str(), "3");
}

#[test]
fn a_script_that_may_have_run_closes_its_client_alone() {
    let closing = |url: &str| builder(url).env("RESPITE_UPSTREAM_ON_LOSS", "close");
    let (redis, relay, respite) = setup(closing);
    let (mut client, mut other) = (respite.connect(), respite.connect());
    assert_eq!(client.call(COUNT).int(), 1);
    other.call(&["SET", "k", "1"]).assert_ok();
    cut_before_reply(&scripts_link(&relay, COUNT[1]), &mut client, COUNT);
    assert!(client.closed());
    other.call(&["GET", "n"]).assert_str("2");
    assert_eq!(redis.call(&["GET", "n"]).as_str(), "2");
}

#[test]
fn a_script_that_only_reads_is_sent_again() {
    if RedisServer::version() < (7, 0, 0) {
        return;
    }
    let (redis, relay, respite) = setup(builder);
    redis.call(&["SET", "n", "7"]).assert_ok();
    let read = &["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "n"];
    let mut client = respite.connect();
    client.call(read).assert_str("7");
    cut_before_reply(&scripts_link(&relay, read[1]), &mut client, read);
    client.read_reply().assert_str("7");
}
