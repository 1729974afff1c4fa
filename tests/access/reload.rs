//! Replacing the rules of a running server.

use super::{APP, KEYED, ROOT, User, config};
use crate::support::{DEADLINE, RedisServer, Respite, wait_until};

#[test]
fn removing_a_user_closes_its_clients() {
    let redis = RedisServer::start();
    let both = config(&[APP, ROOT, KEYED]);
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&both)
        .start();
    let connect = |name, password| {
        let mut client = respite.connect();
        client.call(&["AUTH", name, password]).assert_ok();
        client
    };
    let mut kept = connect("root", "toor");
    let mut idle = connect("keyed", "pw");
    let mut subscriber = connect("keyed", "pw");
    subscriber.call(&["SUBSCRIBE", "c"]).items();
    let mut blocked = connect("keyed", "pw");
    blocked.send(&["BLPOP", "app:l", "0"]);
    let mut queueing = connect("keyed", "pw");
    queueing.call(&["MULTI"]).assert_ok();
    respite.reload(&config(&[APP, ROOT]));
    // None of them has to send anything for it.
    assert!(idle.closed() && subscriber.closed() && blocked.closed() && queueing.closed());
    kept.call(&["SET", "a", "1"]).assert_ok();
    let mut again = respite.connect();
    again
        .call(&["AUTH", "keyed", "pw"])
        .assert_error("WRONGPASS ");
}

fn wait_for_blocked(redis: &RedisServer, count: u32) {
    let line = format!("blocked_clients:{count}\r\n");
    wait_until(&line, DEADLINE, || {
        redis.call(&["INFO", "clients"]).as_str().contains(&line)
    });
}

#[test]
fn narrower_rules_close_who_waits_for_what_they_are_about() {
    const WIDE: User = User {
        name: "wide",
        keys: &["app:*", "free:*"],
        ..KEYED
    };
    let narrow = |user: User| match user.name {
        "wide" => User {
            keys: &["free:*"],
            ..user
        },
        _ => User {
            commands: &["+@all", "-@pubsub"],
            ..user
        },
    };
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&[WIDE, ROOT]))
        .start();
    let waiting = |name, password| {
        let waits: [&[&str]; 5] = [
            &["BLPOP", "app:l", "0"],
            &["SUBSCRIBE", "c"],
            &["WATCH", "app:1"],
            &["CLIENT", "TRACKING", "ON"],
            &["PING"],
        ];
        waits.map(|command| {
            let mut client = respite.connect();
            client.call(&["HELLO", "3", "AUTH", name, password]);
            client.send(command);
            if command[0] != "BLPOP" {
                client.read_reply();
            }
            client
        })
    };
    let mut wide = waiting("wide", "pw");
    let mut root = waiting("root", "toor");
    wait_for_blocked(&redis, 2);
    // What became wider, and what stayed, goes on.
    let wider = User {
        keys: &["app:*", "free:*", "more:*"],
        ..WIDE
    };
    let mut admin = respite.connect();
    admin.call(&["AUTH", "root", "toor"]).assert_ok();
    respite.rewrite_config(&config(&[wider, ROOT]));
    admin.call(&["RESPITE.RELOAD"]).assert_ok();
    assert!(redis.call(&["PUBLISH", "c", "still"]).int() >= 1);
    wide[1].read_reply().items()[2].assert_str("still");
    root[1].read_reply().items()[2].assert_str("still");
    respite.rewrite_config(&config(&[narrow(wider), ROOT]));
    admin.call(&["RESPITE.RELOAD"]).assert_ok();
    let (idle, waiting) = wide.split_last_mut().expect("some");
    for client in waiting {
        assert!(client.closed());
    }
    idle.call(&["PING"]).assert_str("PONG");
    wait_for_blocked(&redis, 1);
    redis
        .call(&["RPUSH", "app:l", "kept", "other"])
        .assert_int(2);
    root[0].read_reply().items()[1].assert_str("kept");
    respite.rewrite_config(&config(&[narrow(wider), narrow(ROOT)]));
    admin.call(&["RESPITE.RELOAD"]).assert_ok();
    assert!(root[1].closed() && root[2].closed() && root[3].closed());
    root[0].call(&["PING"]).assert_str("PONG");
    redis.call(&["LRANGE", "app:l", "0", "-1"]).items()[0].assert_str("other");
}

#[test]
fn a_reload_changes_what_a_user_may_do() {
    let redis = RedisServer::start();
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&[APP]))
        .start();
    let mut client = respite.connect();
    client.call(&["AUTH", "app", "secret"]).assert_ok();
    client.call(&["SET", "app:1", "x"]).assert_ok();
    client.call(&["DEL", "app:1"]).assert_error("NOPERM ");
    let wider = User {
        commands: &["@write", "respite.reload"],
        ..APP
    };
    respite.reload(&config(&[wider]));
    respite.expect_log("configuration reloaded");
    assert_eq!(client.call(&["DEL", "app:1"]).int(), 1);
    client.call(&["GET", "app:1"]).assert_error("NOPERM ");
    // The client itself may ask for it, and keeps its login.
    respite.rewrite_config(&config(&[APP]));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    assert!(client.call(&["GET", "app:1"]).is_null());
    client.call(&["RESPITE.RELOAD"]).assert_error("NOPERM ");
}

#[test]
fn an_invalid_file_leaves_the_old_rules() {
    let redis = RedisServer::start();
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&[APP, ROOT]))
        .start();
    let mut root = respite.connect();
    root.call(&["AUTH", "root", "toor"]).assert_ok();
    let bad = "lsten = \"127.0.0.1:1\"\n[limits]\nclients = 0\n";
    respite.reload(bad);
    let line = respite.expect_log("the old configuration stays in force");
    assert!(line.contains("unknown key \"lsten\""), "{line}");
    // Both problems, on one line, as an error reply is one.
    let error = root.call(&["RESPITE.RELOAD"]);
    error.assert_error("ERR the old configuration stays: ");
    assert!(error.error().contains("\"lsten\"") && error.error().contains("limits.clients"));
    respite.rewrite_config("[access]\ndeny = [\"@nosuch\"]\n");
    let error = root.call(&["RESPITE.RELOAD"]);
    assert!(error.error().contains("'@nosuch'"), "{error:?}");
    root.call(&["SET", "a", "1"]).assert_ok();
    let mut stranger = respite.connect();
    stranger.call(&["GET", "a"]).assert_error("NOAUTH ");
}
