//! A backing that a script keeps busy: others are told so, and it can be ended.

use super::builder;
use crate::support::{Client, DEADLINE, RedisServer, Respite, wait_until};

fn setup() -> (RedisServer, Respite) {
    let redis = RedisServer::builder()
        .args(["--lua-time-limit", "100"])
        .start();
    let respite = builder(&redis.url()).start();
    (redis, respite)
}

/// Begins a script that does not end, and waits until the backing says so.
pub(super) fn run_away(redis: &RedisServer, respite: &Respite) -> Client {
    let mut client = respite.connect();
    client.send(&["EVAL", "while true do end", "0"]);
    wait_until("the backing is busy", DEADLINE, || {
        let reply = redis.call(&["GET", "k"]);
        reply.is_error() && reply.error().starts_with("BUSY")
    });
    client
}

#[test]
fn others_get_busy_and_script_kill_ends_it() {
    let (redis, respite) = setup();
    let (mut plain, mut scripts) = (respite.connect(), respite.connect());
    plain.call(&["SET", "k", "1"]).assert_ok();
    assert_eq!(scripts.call(&["EVAL", "return 1", "0"]).int(), 1);
    let mut runaway = run_away(&redis, &respite);
    plain.call(&["SET", "k", "2"]).assert_error("BUSY ");
    scripts
        .call(&["EVAL", "return 1", "0"])
        .assert_error("BUSY ");
    let mut killer = respite.connect();
    killer.call(&["SCRIPT", "KILL"]).assert_ok();
    let killed = runaway.read_reply();
    assert!(
        killed.error().contains("Script killed by user"),
        "{killed:?}"
    );
    plain.call(&["SET", "k", "3"]).assert_ok();
    assert_eq!(scripts.call(&["EVAL", "return 1", "0"]).int(), 1);
}

#[test]
fn ping_says_what_the_backing_says() {
    let (redis, respite) = setup();
    let _runaway = run_away(&redis, &respite);
    let mut client = respite.connect();
    wait_until("PING tells", DEADLINE, || {
        let reply = client.call(&["PING"]);
        reply.is_error() && reply.error().starts_with("BUSY")
    });
    client.call(&["SCRIPT", "KILL"]).assert_ok();
    wait_until("PING is well again", DEADLINE, || {
        !client.call(&["PING"]).is_error()
    });
}

#[test]
fn reads_pass_writes_that_the_backing_holds_back() {
    let (redis, respite) = setup();
    let (mut writer, mut reader) = (respite.connect(), respite.connect());
    reader.call(&["SET", "k", "1"]).assert_ok();
    redis
        .call(&["CLIENT", "PAUSE", "60000", "WRITE"])
        .assert_ok();
    writer.send(&["SET", "k", "2"]);
    wait_until("a read passes", DEADLINE, || {
        let mut fresh = respite.connect();
        fresh.set_timeout(std::time::Duration::from_secs(1));
        fresh.send(&["STRLEN", "k"]);
        fresh
            .try_read_reply_raw()
            .is_ok_and(|reply| reply == b":1\r\n")
    });
    redis.call(&["CLIENT", "UNPAUSE"]).assert_ok();
    writer.read_reply().assert_ok();
}

#[test]
fn ping_says_that_the_backing_wants_a_login() {
    let (redis, respite) = setup();
    let mut client = respite.connect();
    client.call(&["PING"]).assert_str("PONG");
    let mut admin = redis.connect();
    admin
        .call(&["CONFIG", "SET", "requirepass", "hush"])
        .assert_ok();
    admin.call(&["CLIENT", "KILL", "TYPE", "normal"]);
    wait_until("PING tells", DEADLINE, || {
        let reply = client.call(&["PING"]);
        reply.is_error() && reply.error().contains(": NOAUTH ")
    });
    admin
        .call(&["CONFIG", "SET", "requirepass", ""])
        .assert_ok();
    wait_until("PING is well again", DEADLINE, || {
        !client.call(&["PING"]).is_error()
    });
}

#[test]
fn ping_tells_what_a_command_has_changed_at_once() {
    if RedisServer::lacks((7, 0), "MASTERDOWN for PING") {
        return;
    }
    let (_redis, respite) = setup();
    let gone = RedisServer::start();
    let (mut client, mut other) = (respite.connect(), respite.connect());
    client
        .call(&["CONFIG", "SET", "replica-serve-stale-data", "no"])
        .assert_ok();
    for _ in 0..3 {
        let port = gone.port().to_string();
        let replies = client.pipeline(&[&["REPLICAOF", "127.0.0.1", &port][..], &["PING"]]);
        replies[0].assert_ok();
        // Whether the link to its master is up already, only the backing knows.
        let direct = other.call(&["PING"]);
        for reply in [&replies[1], &direct] {
            assert!(
                reply.is_error() && reply.error().starts_with("MASTERDOWN"),
                "{replies:?} {direct:?}"
            );
        }
        client.call(&["REPLICAOF", "NO", "ONE"]).assert_ok();
        client.call(&["PING"]).assert_str("PONG");
    }
}
