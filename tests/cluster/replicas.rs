//! `WAIT`: the masters that a client has written to, and the least of them.

use std::time::{Duration, Instant};

use super::start;
use crate::support::{RedisCluster, RedisServer, slot_of};

/// The replica of a master.
fn replica_of(cluster: &RedisCluster, master: usize) -> &RedisServer {
    let follows = format!("slave {}", cluster.id(master));
    let replica = { cluster.servers.iter() }.find(|server| {
        let nodes = server.call(&["CLUSTER", "NODES"]);
        let own = nodes.as_str().lines().find(|line| line.contains("myself"));
        own.is_some_and(|line| line.contains(&follows))
    });
    replica.expect("a replica")
}

#[test]
fn the_least_of_the_masters_that_were_written_to_counts() {
    let cluster = RedisCluster::start(3, 1);
    let respite = start(&cluster);
    let owner = |key: &str| cluster.owner(slot_of(&mut cluster.servers[0].connect(), key));
    let (foo, hello) = (owner("foo"), owner("hello"));
    assert_ne!(foo, hello);
    cluster.wait_until_replicas_follow();
    let replica = replica_of(&cluster, hello);
    let mut both = respite.connect();
    let mut only = respite.connect();
    let mut none = respite.connect();
    both.call(&["SET", "foo", "1"]).assert_ok();
    both.call(&["SET", "hello", "1"]).assert_ok();
    assert_eq!(both.call(&["WAIT", "1", "5000"]).int(), 1);
    replica.freeze();
    for round in 0..2 {
        both.call(&["SET", "hello", "2"]).assert_ok();
        both.call(&["SET", "foo", "2"]).assert_ok();
        let begun = Instant::now();
        assert_eq!(both.call(&["WAIT", "1", "100"]).int(), 0, "round {round}");
        assert!(begun.elapsed() >= Duration::from_millis(100));
        only.call(&["SET", "foo", "3"]).assert_ok();
        assert_eq!(only.call(&["WAIT", "1", "5000"]).int(), 1);
    }
    assert_eq!(none.call(&["WAIT", "1", "5000"]).int(), 1);
    // In a pipeline, behind a transaction, with what comes behind it.
    let replies = only.pipeline(&[
        &["MULTI"][..],
        &["SET", "hello", "4"],
        &["EXEC"],
        &["WAIT", "1", "50"],
        &["GET", "foo"],
    ]);
    assert_eq!(replies[3].int(), 0);
    replies[4].assert_str("3");
    both.send(&["WAIT", "1", "0"]);
    replica.thaw();
    assert_eq!(both.read_reply().int(), 1);
    // Whichever of them it is.
    let replica = replica_of(&cluster, foo);
    replica.freeze();
    both.call(&["SET", "foo", "5"]).assert_ok();
    assert_eq!(both.call(&["WAIT", "1", "50"]).int(), 0);
    replica.thaw();
    assert_eq!(both.call(&["WAIT", "1", "0"]).int(), 1);
    both.call(&["WAIT", "x", "0"])
        .assert_error("ERR value is not an integer or out of range");
    both.call(&["WAIT", "1", "x"])
        .assert_error("ERR timeout is not an integer or out of range");
    both.call(&["WAIT", "1", "-1"])
        .assert_error("ERR timeout is negative");
}
