//! Clients that vanish in the middle of something leave nothing behind.

use super::{wait_for_blocked, wait_for_shared_only};
use crate::support::{Client, DEADLINE, RedisServer, Respite, encode, wait_until};

type Setup = fn(&mut Client, &RedisServer);

/// What a client is in the middle of when it goes.
const SCENES: &[(&str, Setup)] = &[
    ("MULTI", |client, _| {
        client.call(&["MULTI"]).assert_ok();
        client.call(&["SET", "gone", "1"]).assert_str("QUEUED");
    }),
    ("MULTI and half a request", |client, _| {
        client.call(&["MULTI"]).assert_ok();
        client.call(&["SET", "gone", "1"]).assert_str("QUEUED");
        client.send_raw(b"*1\r\n$4\r\nEXE");
    }),
    ("WATCH", |client, _| {
        client.call(&["WATCH", "gone"]).assert_ok();
    }),
    ("BLPOP", |client, redis| {
        block(client, redis, &["BLPOP", "list", "0"])
    }),
    ("BLMOVE", |client, redis| {
        block(
            client,
            redis,
            &["BLMOVE", "list", "gone", "LEFT", "LEFT", "0"],
        );
    }),
    ("XREAD", |client, redis| {
        block(client, redis, &["XREAD", "BLOCK", "0", "STREAMS", "s", "$"])
    }),
    ("BLPOP, and a write behind it", |client, redis| {
        client.send_raw(
            &[
                encode(&["BLPOP", "list", "0"]),
                encode(&["SET", "gone", "1"]),
            ]
            .concat(),
        );
        wait_for_blocked(&mut redis.connect(), 1);
    }),
    (
        "BLPOP, and more behind it than is read ahead",
        |client, redis| {
            let pad = "x".repeat(1 << 20);
            // CLIENT waits for what is in front of it, and everything behind for CLIENT
            client.send_raw(&[encode(&["BLPOP", "list", "0"]), encode(&["CLIENT", "ID"])].concat());
            client.send_raw(&encode(&["SET", "gone", &pad]).repeat(2));
            wait_for_blocked(&mut redis.connect(), 1);
        },
    ),
    ("SUBSCRIBE", |client, _| {
        client.send(&["SUBSCRIBE", "c1", "c2"]);
        client.read_reply();
        client.read_reply();
    }),
    ("PSUBSCRIBE over RESP3", |client, _| {
        client.hello3();
        client.call(&["PSUBSCRIBE", "c*"]);
    }),
    ("SSUBSCRIBE", |client, _| {
        client.call(&["SSUBSCRIBE", "c1"]);
    }),
    ("MONITOR", |client, _| client.call(&["MONITOR"]).assert_ok()),
    ("CLIENT TRACKING", |client, _| {
        client.hello3();
        client.call(&["CLIENT", "TRACKING", "ON"]).assert_ok();
        client.call(&["GET", "tracked"]);
    }),
    ("half a request", |client, _| {
        client.call(&["GET", "a"]);
        client.send_raw(b"*3\r\n$3\r\nSET\r\n$4\r\ngone\r\n$100\r\nabc");
    }),
];

fn block(client: &mut Client, redis: &RedisServer, command: &[&str]) {
    client.send(command);
    wait_for_blocked(&mut redis.connect(), 1);
}

#[test]
fn closing_leaves_nothing_behind() {
    every_scene(drop);
}

#[test]
fn resetting_leaves_nothing_behind() {
    every_scene(Client::reset);
}

fn every_scene(end: fn(Client)) {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        // The links of the cache track keys for as long as they live.
        .config("[cache]\nmode = \"off\"")
        .start();
    let mut asking = respite.connect();
    for (name, setup) in SCENES {
        eprintln!("{name}");
        if name.starts_with("SSUBSCRIBE") && RedisServer::lacks((7, 0), "SSUBSCRIBE") {
            continue;
        }
        let mut client = respite.connect();
        setup(&mut client, &redis);
        end(client);
        wait_for_shared_only(&redis);
        let mut admin = redis.connect();
        let clients = admin.call(&["INFO", "clients"]);
        for none in ["blocked_clients:0", "tracking_clients:0"] {
            assert!(clients.as_str().contains(none), "{name}: {clients:?}");
        }
        // Of those that it shared with others.
        wait_until("its subscriptions are ended", DEADLINE, || {
            admin.call(&["PUBSUB", "CHANNELS"]).items().is_empty()
                && admin.call(&["PUBSUB", "NUMPAT"]).int() == 0
        });
        if RedisServer::version() >= (7, 0, 0) {
            let channels = admin.call(&["PUBSUB", "SHARDCHANNELS"]);
            assert!(channels.items().is_empty(), "{name}");
        }
        admin.call(&["RPUSH", "list", "later"]);
        assert_eq!(
            admin.call(&["LRANGE", "list", "0", "-1"]).strings(),
            ["later"],
            "{name}"
        );
        assert_eq!(admin.call(&["EXISTS", "gone"]).int(), 0, "{name}");
        admin.call(&["DEL", "list"]);
        wait_until("Respite has forgotten the client", DEADLINE, || {
            asking.call(&["CLIENT", "LIST"]).as_str().lines().count() == 1
        });
    }
}
