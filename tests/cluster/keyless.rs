//! Commands without a key, which are for all masters of a cluster: what a client sees is what one Redis says.

use std::time::Duration;

use super::start;
use crate::support::{Client, DEADLINE, RedisCluster, RedisServer, Respite, slot_of, wait_until};

/// A key of each master.
const KEYS: [&str; 3] = ["foo", "hello", "bar"];

/// A cluster with this and a standalone server to compare with, each behind a Respite.
struct Pair {
    clustered: Respite,
    single: Respite,
    cluster: RedisCluster,
    _server: RedisServer,
}

fn pair() -> Pair {
    let cluster = RedisCluster::start(3, 0);
    let clustered = start(&cluster);
    let server = RedisServer::start();
    let single = Respite::in_front_of(&server);
    Pair {
        cluster,
        clustered,
        _server: server,
        single,
    }
}

/// Has both answer; the replies are the same bytes.
#[track_caller]
fn same(clients: &mut (Client, Client), command: &[&str]) -> Vec<u8> {
    let expected = clients.1.call_raw(command);
    let got = clients.0.call_raw(command);
    assert_eq!(
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(&expected),
        "{command:?}"
    );
    got
}

#[test]
fn replies_are_those_of_one_redis() {
    let pair = pair();
    for resp3 in [false, true] {
        let mut clients = (pair.clustered.connect(), pair.single.connect());
        if resp3 {
            clients.0.hello3();
            clients.1.hello3();
        }
        same(&mut clients, &["FLUSHALL"]);
        same(&mut clients, &["DBSIZE"]);
        same(&mut clients, &["RANDOMKEY"]);
        same(&mut clients, &["KEYS", "*"]);
        for n in 0..50 {
            same(&mut clients, &["SET", &format!("key:{n}"), "v"]);
        }
        same(&mut clients, &["SET", "foo", "v"]);
        same(&mut clients, &["DBSIZE"]);
        same(&mut clients, &["KEYS", "fo?"]);
        for command in [
            &["SCRIPT", "LOAD", "return 7"][..],
            &["SCRIPT", "EXISTS", "6", "5"],
            &["SCRIPT", "FLUSH"],
            &["SCRIPT", "FLUSH", "WHAT"],
            &["SCRIPT", "KILL"],
            &["FUNCTION", "KILL"],
            &[
                "FUNCTION",
                "LOAD",
                "#!lua name=l\nredis.register_function('f', function() return 1 end)",
            ],
            &[
                "FUNCTION",
                "LOAD",
                "#!lua name=l\nredis.register_function('f', function() return 1 end)",
            ],
            &["FUNCTION", "LOAD", "no library"],
            &["FUNCTION", "STATS"],
            &["FUNCTION", "DELETE", "l"],
            &["FUNCTION", "DELETE", "l"],
            &["FUNCTION", "FLUSH"],
            &["CONFIG", "SET", "slowlog-max-len", "100"],
            &["CONFIG", "SET", "no-such", "100"],
            &["CONFIG", "RESETSTAT"],
            &["SLOWLOG", "RESET"],
            &["SLOWLOG", "LEN"],
            &["SLOWLOG", "GET", "5"],
            &["LATENCY", "LATEST"],
            &["LATENCY", "RESET"],
            &["MEMORY", "PURGE"],
            &["PUBSUB", "CHANNELS"],
            &["PUBSUB", "NUMSUB", "a", "b"],
            &["PUBSUB", "NUMPAT"],
            &["ACL", "SETUSER", "u", "on"],
            &["ACL", "SETUSER", "u", "what"],
            &["ACL", "DELUSER", "u"],
            &["ACL", "DELUSER", "u"],
            &["PING"],
            &["DBSIZE", "x"],
            &["KEYS"],
            &["SCRIPT"],
            &["SCRIPT", "NOPE"],
            &["CONFIG", "SET"],
        ] {
            same(&mut clients, command);
        }
        let mut keys: Vec<String> = {
            let reply = clients.0.call(&["KEYS", "*"]);
            reply.strings().iter().map(|&key| key.to_owned()).collect()
        };
        keys.sort();
        let mut expected: Vec<String> = (0..50).map(|n| format!("key:{n}")).collect();
        expected.push("foo".to_owned());
        expected.sort();
        assert_eq!(keys, expected);
        let some = clients.0.call(&["RANDOMKEY"]);
        assert!(keys.iter().any(|key| key == some.as_str()));
    }
}

#[test]
fn every_master_is_told() {
    let pair = pair();
    let (cluster, clustered) = (&pair.cluster, &pair.clustered);
    let mut client = clustered.connect();
    client
        .call(&["CONFIG", "SET", "slowlog-max-len", "77"])
        .assert_ok();
    let sha = client.call(&["SCRIPT", "LOAD", "return 7"]);
    for server in &cluster.servers {
        let got = server.call(&["CONFIG", "GET", "slowlog-max-len"]);
        got.items()[1].assert_str("77");
        let known = server.call(&["SCRIPT", "EXISTS", sha.as_str()]);
        known.items()[0].assert_int(1);
    }
    for key in KEYS {
        client.call(&["SET", key, "1"]).assert_ok();
    }
    client.call(&["FLUSHALL"]).assert_ok();
    for server in &cluster.servers {
        server.call(&["DBSIZE"]).assert_int(0);
    }
    // Somebody is subscribed at each node.
    let mut subscribers: Vec<Client> = cluster.servers.iter().map(RedisServer::connect).collect();
    for (n, subscriber) in subscribers.iter_mut().enumerate() {
        subscriber.call(&["SUBSCRIBE", "all"]).items();
        subscriber.call(&["SUBSCRIBE", &format!("own:{n}")]).items();
    }
    let counts = client.call(&["PUBSUB", "NUMSUB", "all", "own:1", "none"]);
    let counts: Vec<i64> = counts
        .items()
        .iter()
        .skip(1)
        .step_by(2)
        .map(crate::support::Reply::int)
        .collect();
    assert_eq!(counts, [3, 1, 0]);
    let mut channels: Vec<String> = {
        let reply = client.call(&["PUBSUB", "CHANNELS"]);
        reply
            .strings()
            .iter()
            .map(|&name| name.to_owned())
            .collect()
    };
    channels.sort();
    assert_eq!(channels, ["all", "own:0", "own:1", "own:2"]);
}

#[test]
fn a_clients_order_holds_around_them() {
    let pair = pair();
    let clustered = &pair.clustered;
    let mut client = clustered.connect();
    for round in 0..20 {
        let round = round.to_string();
        let mut packet: Vec<&[&str]> = Vec::new();
        let sets: Vec<[&str; 3]> = KEYS.iter().map(|key| ["SET", *key, &*round]).collect();
        packet.extend(sets.iter().map(|set| &set[..]));
        packet.extend([
            &["DBSIZE"][..],
            &["FLUSHALL"],
            &["DBSIZE"],
            &["SET", "foo", "after"],
            &["GET", "foo"],
            &["GET", "hello"],
            &["KEYS", "*"],
            &["FLUSHDB"],
            &["GET", "foo"],
        ]);
        let replies = client.pipeline(&packet);
        replies[3].assert_int(3);
        replies[4].assert_ok();
        replies[5].assert_int(0);
        replies[7].assert_str("after");
        assert!(replies[8].is_null());
        assert_eq!(replies[9].strings(), ["foo"]);
        assert!(replies[11].is_null());
    }
}

#[test]
fn what_is_flushed_is_cached_no_more() {
    let pair = pair();
    let clustered = &pair.clustered;
    let mut client = clustered.connect();
    let hits = || clustered.call(&["CACHE.STATS"]).field("hits").int();
    for key in KEYS {
        client.call(&["SET", key, "1"]).assert_ok();
        let before = hits();
        wait_until("a hit", DEADLINE, || {
            client.call(&["GET", key]).assert_str("1");
            hits() > before
        });
    }
    let mut other = clustered.connect();
    other.call(&["FLUSHALL"]).assert_ok();
    for key in KEYS {
        assert!(client.call(&["GET", key]).is_null());
    }
}

#[test]
fn what_is_for_one_node_says_so() {
    let pair = pair();
    let clustered = &pair.clustered;
    let mut client = clustered.connect();
    for (command, name) in [
        (&["MEMORY", "STATS"][..], "memory stats"),
        (&["LATENCY", "DOCTOR"], "latency doctor"),
        (&["DEBUG", "SLEEP", "0"], "debug"),
        (&["SHUTDOWN"], "shutdown"),
    ] {
        let reply = client.call(command);
        let expected = format!("ERR '{name}' is for one node: RESPITE.NODE <id>");
        reply.assert_error(&expected);
    }
}

#[test]
fn keys_of_a_slot_that_moves_are_there_once() {
    let pair = pair();
    let (cluster, clustered) = (&pair.cluster, &pair.clustered);
    let keys: Vec<String> = (0..20).map(|n| format!("{{foo}}:{n}")).collect();
    let mut client = clustered.connect();
    for key in &keys {
        client.call(&["SET", key, "1"]).assert_ok();
    }
    client.call(&["SET", "hello", "1"]).assert_ok();
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    let mut expected = keys.clone();
    expected.push("hello".to_owned());
    expected.sort();
    for step in [1, 2, 1] {
        let to = (cluster.owner(slot) + step) % 3;
        cluster.move_slot(slot, to, || {
            let reply = client.call(&["KEYS", "*"]);
            let mut found = reply.strings();
            found.sort_unstable();
            assert_eq!(found, expected);
            client.call(&["DBSIZE"]).assert_int(21);
        });
    }
    // Everything goes, on whichever side it is.
    let to = (cluster.owner(slot) + 1) % 3;
    let mut flushed = false;
    cluster.move_slot(slot, to, || {
        if !std::mem::replace(&mut flushed, true) {
            client.call(&["FLUSHALL"]).assert_ok();
            client.call(&["DBSIZE"]).assert_int(0);
        }
    });
}

#[test]
fn a_node_that_is_away_is_named_and_nothing_told_in_part() {
    let mut cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    for key in KEYS {
        client.call(&["SET", key, "1"]).assert_ok();
    }
    let address = cluster.servers[1].addr();
    cluster.servers[1].kill();
    client.set_timeout(Duration::from_secs(60));
    client.send(&["DBSIZE"]);
    client.send(&["ECHO", "next"]);
    let error = client.read_reply();
    // Redis 8 says of whom it takes for lost that he has no slots.
    let nobody = error.error().starts_with("CLUSTERDOWN ");
    let named = error.error().starts_with("UPSTREAM") && error.error().contains(&address);
    let newer = RedisServer::version() >= (8, 0, 0);
    assert!(named || nobody && newer, "{error:?}");
    client.read_reply().assert_str("next");
}
