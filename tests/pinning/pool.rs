//! The pool behind pinned clients: its limit, and the state of the connections it hands out.

use super::connections_received;
use crate::support::{Client, RedisServer, Reply, Respite};

#[test]
fn the_limit_is_a_clear_error_and_passes() {
    let redis = RedisServer::start();
    let config = "[limits]\npinned = 2";
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(config)
        .start();
    let mut clients: Vec<Client> = (0..4).map(|_| respite.connect()).collect();
    clients[0].call(&["MULTI"]).assert_ok();
    clients[1].call(&["WATCH", "k"]).assert_ok();
    for refused in [2, 3] {
        let reply = clients[refused].call(&["MULTI"]);
        assert!(reply.error().contains("limits.pinned"), "{reply:?}");
        clients[refused]
            .call(&["SET", "k", "0"])
            .assert_error("EXECABORT ");
        clients[refused]
            .call(&["EXEC"])
            .assert_error("EXECABORT Transaction discarded because of previous errors.");
        clients[refused].call(&["SET", "k", "1"]).assert_ok();
    }
    clients[0].call(&["DISCARD"]).assert_ok();
    clients[1].call(&["UNWATCH"]).assert_ok();
    // the free connections belong to other workers than some of these clients
    for next in [2, 3, 0, 1] {
        clients[next].call(&["MULTI"]).assert_ok();
        clients[next].call(&["GET", "k"]).assert_str("QUEUED");
        clients[next].call(&["EXEC"]).items()[0].assert_str("1");
    }
    // all places for the clients of one worker, then for those of the other
    for pair in [[0, 2], [1, 3], [0, 2]] {
        for next in pair {
            clients[next].call(&["MULTI"]).assert_ok();
        }
        for next in pair {
            clients[next].call(&["EXEC"]);
        }
    }
}

#[test]
fn a_pooled_connection_is_brought_to_the_clients_state() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(1).start();
    let mut admin = redis.connect();
    for db in ["0", "5", "7"] {
        admin.call(&["SELECT", db]).assert_ok();
        admin.call(&["HSET", "h", "db", db]);
    }
    let mut warm = None;
    for (db, proto) in [
        ("0", "2"),
        ("5", "3"),
        ("7", "2"),
        ("0", "3"),
        ("5", "2"),
        ("0", "2"),
    ] {
        let mut client = respite.connect();
        client.call(&["HELLO", proto]);
        client.call(&["SELECT", db]).assert_ok();
        client.call(&["HGETALL", "h"]);
        client.call(&["MULTI"]).assert_ok();
        client.call(&["HGETALL", "h"]).assert_str("QUEUED");
        let hash = match client.call(&["EXEC"]) {
            Reply::Array(mut replies) => replies.remove(0),
            other => panic!("{other:?}"),
        };
        assert_eq!(matches!(hash, Reply::Map(_)), proto == "3", "{hash:?}");
        hash.field("db").assert_str(db);
        let pinned = admin.call(&["CLIENT", "LIST"]);
        let ids: Vec<&str> = pinned
            .as_str()
            .lines()
            .filter(|line| line.contains(" name=respite-pinned "))
            .filter_map(|line| line.split(' ').next())
            .collect();
        // one connection for all of them
        assert_eq!(*warm.get_or_insert(ids.join(",")), ids.join(","));
        assert_eq!(ids.len(), 1, "{pinned:?}");
    }
    let before = connections_received(&mut admin);
    let mut client = respite.connect();
    client.call(&["BLPOP", "none", "0.01"]);
    assert_eq!(connections_received(&mut admin), before);
}

#[test]
fn those_in_use_and_those_that_wait_are_counted_apart() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(1).start();
    let mut client = respite.connect();
    let counted = || {
        let info = respite.call(&["INFO", "respite"]);
        let value = |name: &str| {
            let lines = info
                .as_str()
                .lines()
                .filter_map(|line| line.split_once(':'));
            let found: Vec<&str> = lines
                .filter_map(|(field, value)| (field == name).then_some(value))
                .collect();
            found.join(" ")
        };
        (
            value("pinned_connections"),
            value("idle_pinned_connections"),
        )
    };
    let expected = |used: &str, idle: &str| (used.to_owned(), idle.to_owned());
    client.call(&["MULTI"]).assert_ok();
    assert_eq!(counted(), expected("1", "0"));
    client.call(&["EXEC"]);
    assert_eq!(counted(), expected("0", "1"));
    client.call(&["WATCH", "k"]).assert_ok();
    assert_eq!(counted(), expected("1", "0"));
}
