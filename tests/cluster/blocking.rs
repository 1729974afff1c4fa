//! Clients that are blocked at a node.

use std::time::{Duration, Instant};

use super::start;
use crate::support::{Client, DEADLINE, RedisCluster, Respite, slot_of, wait_until};

/// Waits until so many clients are blocked at the nodes.
#[track_caller]
fn blocked(cluster: &RedisCluster, clients: i64) {
    wait_until("clients are blocked", DEADLINE, || {
        let count = |server: &crate::support::RedisServer| {
            server
                .info("clients", "blocked_clients")
                .parse::<i64>()
                .unwrap_or(0)
        };
        cluster.servers.iter().map(count).sum::<i64>() == clients
    });
}

fn send(respite: &Respite, command: &[&str]) -> Client {
    let mut client = respite.connect();
    client.send(command);
    client
}

#[test]
fn blocked_clients_are_served_and_ended_as_in_redis() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut other = respite.connect();
    for key in ["foo", "hello", "bar"] {
        let mut pops = send(&respite, &["BLPOP", key, "0"]);
        pops.send(&["ECHO", "behind"]);
        blocked(&cluster, 1);
        other.call(&["RPUSH", key, "x"]).assert_int(1);
        assert_eq!(pops.read_reply().strings(), [key, "x"]);
        pops.read_reply().assert_str("behind");
        let stream = format!("{{{key}}}s");
        let mut reads = send(&respite, &["XREAD", "BLOCK", "0", "STREAMS", &stream, "$"]);
        blocked(&cluster, 1);
        other.call(&["XADD", &stream, "*", "f", "1"]);
        reads.read_reply().items()[0].items()[0].assert_str(&stream);
        let group = ["XGROUP", "CREATE", &stream, "g", "$"];
        other.call(&group).assert_ok();
        let ask = [
            "XREADGROUP",
            "GROUP",
            "g",
            "c",
            "BLOCK",
            "0",
            "STREAMS",
            &stream,
            ">",
        ];
        let mut reads = send(&respite, &ask);
        blocked(&cluster, 1);
        other.call(&["XADD", &stream, "*", "f", "2"]);
        reads.read_reply().items()[0].items()[0].assert_str(&stream);
        let (from, to) = (format!("{{{key}}}1"), format!("{{{key}}}2"));
        let mut moves = send(&respite, &["BLMOVE", &from, &to, "LEFT", "RIGHT", "0"]);
        blocked(&cluster, 1);
        other.call(&["RPUSH", &from, "y"]).assert_int(1);
        moves.read_reply().assert_str("y");
        // What is there already, and what never comes.
        other.call(&["LPOP", &to]).assert_str("y");
        assert!(other.call(&["BLPOP", &to, "0.01"]).is_null());
        assert!(
            other
                .call(&["XREAD", "BLOCK", "10", "STREAMS", &stream, "$"])
                .is_null()
        );
        // UNBLOCK and KILL.
        for (how, unblocked) in [("TIMEOUT", None), ("ERROR", Some("UNBLOCKED "))] {
            let mut waits = respite.connect();
            let id = waits.call(&["CLIENT", "ID"]).int().to_string();
            waits.send(&["BLPOP", key, "0"]);
            blocked(&cluster, 1);
            other.call(&["CLIENT", "UNBLOCK", &id, how]).assert_int(1);
            let reply = waits.read_reply();
            match unblocked {
                None => assert!(reply.is_null(), "{reply:?}"),
                Some(error) => reply.assert_error(error),
            }
            other.call(&["CLIENT", "UNBLOCK", &id]).assert_int(0);
        }
        let mut waits = respite.connect();
        let id = waits.call(&["CLIENT", "ID"]).int().to_string();
        waits.send(&["BLPOP", key, "0"]);
        blocked(&cluster, 1);
        other.call(&["CLIENT", "KILL", "ID", &id]).assert_int(1);
        assert!(waits.closed());
        blocked(&cluster, 0);
    }
    other
        .call(&["BLPOP", "foo", "bar", "0"])
        .assert_error("CROSSSLOT ");
}

#[test]
fn a_blocked_client_goes_with_its_slot() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut other = respite.connect();
    other.call(&["XADD", "{foo}s", "1-1", "f", "1"]);
    other
        .call(&["XGROUP", "CREATE", "{foo}s", "g", "$"])
        .assert_ok();
    let waits: Vec<Client> = [
        &["BLPOP", "foo", "0"][..],
        &["BRPOP", "{foo}1", "{foo}2", "600"],
        &["BLMOVE", "{foo}3", "{foo}4", "LEFT", "RIGHT", "0"],
        &["BZPOPMIN", "{foo}z", "0"],
        &["XREAD", "BLOCK", "600000", "STREAMS", "{foo}s", "$"],
        &[
            "XREADGROUP",
            "GROUP",
            "g",
            "c",
            "BLOCK",
            "0",
            "STREAMS",
            "{foo}s",
            ">",
        ],
    ]
    .iter()
    .map(|command| send(&respite, command))
    .collect();
    let begun = Instant::now();
    let mut ends = send(&respite, &["BLPOP", "{foo}never", "2.5"]);
    blocked(&cluster, 7);
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    let to = (cluster.owner(slot) + 1) % 3;
    cluster.move_slot(slot, to, || {});
    wait_until("all wait at the new owner", DEADLINE, || {
        cluster.servers[to].info("clients", "blocked_clients") == "7"
            || begun.elapsed() > Duration::from_millis(2400)
    });
    let mut replies = Vec::new();
    for command in [
        &["RPUSH", "foo", "a"][..],
        &["RPUSH", "{foo}2", "b"],
        &["RPUSH", "{foo}3", "c"],
        &["ZADD", "{foo}z", "1", "d"],
        &["XADD", "{foo}s", "2-1", "f", "2"],
    ] {
        assert!(!other.call(command).is_error());
    }
    for mut client in waits {
        replies.push(format!("{:?}", client.read_reply()));
    }
    for (reply, part) in replies
        .iter()
        .zip(["\"a\"", "\"b\"", "\"c\"", "\"d\"", "2-1", "2-1"])
    {
        assert!(reply.contains(part), "{reply}");
    }
    assert!(ends.read_reply().is_null());
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(2490), "{took:?}");
    // It has waited for what was left, and not from the beginning.
    assert!(took < Duration::from_millis(4500), "{took:?}");
}

#[test]
fn large_requests_and_unknown_commands_find_their_node() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    let large = "x".repeat(1_500_000);
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    for round in 0..3 {
        for key in ["foo", "hello", "bar"] {
            let value = format!("{round}{large}");
            let replies = client.pipeline(&[
                &["SET", key, "a"][..],
                &["SET", key, &value],
                &["STRLEN", key],
            ]);
            replies[1].assert_ok();
            replies[2].assert_int(1_500_001);
        }
        // Before Respite knows: the node of the last round turns it away.
        cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3, || {});
        let value = format!("y{large}");
        client.call(&["SET", "foo", &value]).assert_ok();
        client.call(&["GETRANGE", "foo", "0", "1"]).assert_str("yx");
    }
    let error = client.call(&["NO.SUCH", "foo"]);
    error.assert_error("ERR unknown command");
    client.call(&["GET", "bar"]);
}
