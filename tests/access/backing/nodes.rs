//! Behind sentinels and a cluster: users are of each node, and what a node says counts.

use super::{builder, log_in, set_user};
use crate::support::{DEADLINE, RedisCluster, RedisServer, SentinelSet, slot_of, wait_until};

const ANN: &[&str] = &["on", ">pw", "~a:*", "&*", "+@all"];

fn on_all(servers: &[RedisServer], name: &str, rules: &[&str]) {
    servers
        .iter()
        .for_each(|server| set_user(&mut server.connect(), name, rules));
}

/// A key of a slot of each master.
fn keys_of(cluster: &RedisCluster) -> Vec<(usize, String)> {
    let mut keys: Vec<(usize, String)> = Vec::new();
    let mut client = cluster.servers[0].connect();
    for n in 0..1000 {
        let key = format!("a:{n}");
        let owner = cluster.owner(slot_of(&mut client, &key));
        if keys.iter().all(|(known, _)| *known != owner) {
            keys.push((owner, key));
        }
    }
    keys
}

#[test]
fn each_node_of_a_cluster_judges_for_itself() {
    let cluster = RedisCluster::start(3, 0);
    on_all(&cluster.servers, "ann", ANN);
    on_all(
        &cluster.servers,
        "few",
        &["on", ">pw", "~*", "-@all", "+@read"],
    );
    let respite = builder(&cluster.url()).allow_log("link lost").start();
    let keys = keys_of(&cluster);
    assert_eq!(keys.len(), 3);
    let mut ann = log_in(&respite, "ann", "pw");
    for (_, key) in &keys {
        ann.call(&["SET", key, "v"]).assert_ok();
        ann.call(&["ACL", "WHOAMI"]).assert_str("ann");
    }
    let names: Vec<&str> = keys.iter().map(|(_, key)| key.as_str()).collect();
    for _ in 0..10 {
        names
            .iter()
            .for_each(|name| ann.call(&["GET", name]).assert_str("v"));
        let values = ann.call(&[&["MGET"], &names[..]].concat());
        assert_eq!(values.strings(), ["v"; 3]);
        ann.call(&["GET", "other"]).assert_error("NOPERM");
        ann.call(&["MGET", names[0], "other"])
            .assert_error("NOPERM");
    }
    // Split, everywhere, transactions, scripts.
    ann.call(&["DEL", names[0], names[1], names[2]])
        .assert_int(3);
    ann.call(&["DEL", names[0], "other"]).assert_error("NOPERM");
    ann.call(&["DBSIZE"]).assert_int(0);
    let replies = ann.pipeline(&[
        &["MULTI"][..],
        &["SET", names[1], "t"],
        &["ACL", "WHOAMI"],
        &["EXEC"],
    ]);
    replies[3].items()[1].assert_str("ann");
    let script = "return redis.call('get', KEYS[1])";
    ann.call(&["EVAL", script, "1", names[1]]).assert_str("t");
    ann.call(&["EVAL", script, "1", "other"])
        .assert_error("NOPERM");
    let scanned = ann.call(&["SCAN", "0", "COUNT", "1000"]);
    assert!(!scanned.is_error(), "{scanned:?}");
    // A user who may ask nothing about the cluster.
    let mut few = log_in(&respite, "few", "pw");
    assert!(few.call(&["DBSIZE"]).int() > 0);
    few.call(&["GET", names[1]]).assert_str("t");
    few.call(&["SET", names[1], "x"]).assert_error("NOPERM");
    // One node takes a key away: its keys only, also from the cache.
    let (owner, key) = &keys[0];
    ann.call(&["MSET", names[0], "1", names[1], "2"])
        .assert_ok();
    for _ in 0..10 {
        ann.call(&["GET", key]).assert_str("1");
    }
    set_user(
        &mut cluster.servers[*owner].connect(),
        "ann",
        &["resetkeys"],
    );
    wait_until("its keys are not told", DEADLINE, || {
        ann.call(&["GET", key]).is_error()
    });
    ann.call(&["GET", names[1]]).assert_str("2");
    ann.call(&["MGET", names[0], names[1]])
        .assert_error("NOPERM");
    // Deleted everywhere.
    for server in &cluster.servers {
        server.call(&["ACL", "DELUSER", "ann"]).assert_int(1);
    }
    ann.set_timeout(DEADLINE);
    while ann.try_read_reply_raw().is_ok() {}
    few.call(&["GET", names[1]]).assert_str("2");
}

#[test]
fn a_slot_that_moves_is_read_and_written_as_the_user() {
    let cluster = RedisCluster::start(3, 0);
    on_all(&cluster.servers, "ann", ANN);
    let respite = builder(&cluster.url()).allow_log("link lost").start();
    let mut ann = log_in(&respite, "ann", "pw");
    let key = "a:moves";
    let slot = slot_of(&mut cluster.servers[0].connect(), key);
    ann.call(&["SET", key, "0"]).assert_ok();
    let to = (cluster.owner(slot) + 1) % 3;
    let mut number = 0;
    cluster.move_slot(slot, to, || {
        number += 1;
        let value = number.to_string();
        ann.call(&["SET", key, &value]).assert_ok();
        ann.call(&["GET", key]).assert_str(&value);
        ann.call(&["GET", "other"]).assert_error("NOPERM");
    });
    ann.call(&["SET", key, "end"]).assert_ok();
    ann.call(&["GET", key]).assert_str("end");
    ann.call(&["ACL", "WHOAMI"]).assert_str("ann");
    let log = cluster.servers[to].call(&["ACL", "LOG"]);
    let of_default = log
        .items()
        .iter()
        .any(|entry| entry.field("username").as_str() == "default");
    assert!(!of_default, "{log:?}");
}

#[test]
fn users_follow_the_master_that_the_sentinels_name() {
    let set = SentinelSet::start(1);
    on_all(&set.servers, "ann", ANN);
    let respite = builder(&set.url())
        .allow_log("link lost")
        .allow_log("backing not usable")
        .allow_log("cannot be read")
        .start();
    let mut ann = log_in(&respite, "ann", "pw");
    ann.call(&["SET", "a:1", "v"]).assert_ok();
    ann.call(&["GET", "a:1"]).assert_str("v");
    let old = set.master_port().expect("a master");
    set.fail_over();
    set.wait_for_another(old);
    // The new master knows him, too. What the old one takes until it is left is lost.
    wait_until("the new master is written to", DEADLINE, || {
        let taken = !ann.call(&["SET", "a:1", "w"]).is_error();
        let new = set.master_port().map(|port| set.server(port));
        taken && new.is_some_and(|new| new.call(&["GET", "a:1"]).as_bytes() == b"w")
    });
    ann.call(&["GET", "a:1"]).assert_str("w");
    ann.call(&["GET", "b"]).assert_error("NOPERM");
    ann.call(&["ACL", "WHOAMI"]).assert_str("ann");
}
