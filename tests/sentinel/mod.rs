//! A backing whose master the sentinels name: found, followed, and believed no longer than it is one.

mod load;
mod refused;

use crate::support::{Client, DEADLINE, Respite, RespiteBuilder, SentinelSet, wait_until};

/// A Respite in front of a set, which announces that it loses masters.
fn builder(set: &SentinelSet) -> RespiteBuilder {
    Respite::builder()
        .upstream(&set.url())
        .allow_log("link lost")
        .allow_log("backing not usable")
}

/// The address of the master that Respite uses.
fn master_of(respite: &Respite) -> String {
    let info = respite.call(&["INFO", "respite"]);
    let line = info.as_str().lines().find_map(|line| {
        let url = line.strip_prefix("backing:")?;
        Some(
            url.trim_start_matches("redis://")
                .trim_end_matches("/0")
                .to_owned(),
        )
    });
    line.expect("the backing in INFO respite")
}

/// Waits until Respite uses the master that the sentinels name.
#[track_caller]
fn wait_until_followed(respite: &Respite, set: &SentinelSet) {
    wait_until("Respite uses the new master", DEADLINE, || {
        let port = set.master_port();
        port.is_some_and(|port| master_of(respite) == format!("127.0.0.1:{port}"))
    });
}

/// Asks until a write is taken; a lost connection is opened again.
#[track_caller]
fn wait_for_service(respite: &Respite, value: &str) {
    wait_until("writes are taken again", DEADLINE, || {
        let mut client = respite.connect();
        let sent = client.try_send_raw(&crate::support::encode(&["SET", "served", value]));
        sent.is_ok()
            && client
                .try_read_reply_raw()
                .is_ok_and(|reply| reply == b"+OK\r\n")
    });
}

#[test]
fn the_master_is_found_and_all_servers_are_tracked() {
    let set = SentinelSet::start(1);
    let respite = builder(&set).start();
    respite.call(&["SET", "k", "v"]).assert_ok();
    set.servers[0].call(&["GET", "k"]).assert_str("v");
    assert_eq!(master_of(&respite), set.servers[0].addr());
    wait_until("all servers are tracked", DEADLINE, || {
        let shards = respite.call(&["SHARD.LIST"]);
        let mut roles: Vec<_> = shards
            .items()
            .iter()
            .filter(|shard| shard.field("state").as_str() == "live")
            .map(|shard| shard.field("role").as_str().to_owned())
            .collect();
        roles.sort();
        roles == ["master", "replica", "sentinel", "sentinel", "sentinel"]
    });
}

#[test]
fn a_failover_by_command_is_followed_by_everything() {
    let set = SentinelSet::start(1);
    let respite = builder(&set).start();
    let mut reader = respite.connect();
    let mut pinned = respite.connect();
    respite.call(&["SET", "k", "before"]).assert_ok();
    for _ in 0..3 {
        reader.call(&["GET", "k"]).assert_str("before");
    }
    pinned.call(&["MULTI"]).assert_ok();
    pinned
        .call(&["SET", "k", "in a transaction"])
        .assert_str("QUEUED");
    set.fail_over();
    wait_until_followed(&respite, &set);
    wait_for_service(&respite, "after");
    let now = set.server(set.master_port().expect("a master"));
    now.call(&["GET", "served"]).assert_str("after");
    now.call(&["SET", "k", "direct"]).assert_ok();
    wait_until("what the new master was told is read", DEADLINE, || {
        respite.call(&["GET", "k"]).as_str() == "direct"
    });
    respite.call(&["BUS.REGISTER", "b", "m"]);
    let joined = respite.call(&["DISCOVERY.JOIN", "s", "n", "TTL", "10"]);
    assert!(!joined.is_error(), "{joined:?}");
}

#[test]
fn a_killed_master_is_replaced_and_is_no_master_when_it_is_back() {
    let mut set = SentinelSet::start(1);
    let respite = builder(&set).start();
    wait_for_service(&respite, "before");
    let old = set.servers[0].port();
    set.servers[0].kill();
    set.wait_for_another(old);
    wait_for_service(&respite, "after");
    set.servers[0].restart();
    // The sentinels close its connections when they make it a replica.
    wait_until("the old master is a replica", DEADLINE, || {
        let mut client = set.servers[0].connect();
        client.try_send_raw(b"ROLE\r\n").is_ok()
            && client
                .try_read_reply_raw()
                .is_ok_and(|reply| reply.windows(5).any(|part| part == b"slave"))
    });
    wait_for_service(&respite, "still");
    let now = set.server(set.master_port().expect("a master"));
    now.call(&["GET", "served"]).assert_str("still");
    assert_eq!(master_of(&respite), now.addr());
}

#[test]
fn a_master_that_was_asleep_is_not_believed() {
    let set = SentinelSet::start(1);
    let respite = builder(&set)
        .config("[timeouts]\nconnect = \"1s\"\nreply = \"1s\"")
        .start();
    let mut reader = respite.connect();
    respite.call(&["SET", "k", "old"]).assert_ok();
    for _ in 0..3 {
        reader.call(&["GET", "k"]).assert_str("old");
    }
    let old = set.servers[0].port();
    set.servers[0].freeze();
    set.wait_for_another(old);
    wait_until_followed(&respite, &set);
    wait_for_service(&respite, "after");
    respite.call(&["SET", "k", "new"]).assert_ok();
    set.servers[0].thaw();
    // It thinks for a while that it is the master still.
    wait_until("the old master is a replica", DEADLINE, || {
        respite.call(&["GET", "k"]).assert_str("new");
        set.servers[0].info("replication", "role") == "slave"
    });
    respite.call(&["SET", "k", "newer"]).assert_ok();
    respite.call(&["GET", "k"]).assert_str("newer");
}

#[test]
fn dead_sentinels_cost_nothing_while_the_master_lives() {
    let mut set = SentinelSet::start(1);
    set.sentinel(0).kill();
    let mut respite = builder(&set).start();
    wait_for_service(&respite, "without the first");
    for index in 1..3 {
        set.sentinel(index).kill();
    }
    respite.expect_log("no sentinel answers, the master stays what it was");
    let mut client: Client = respite.connect();
    client.call(&["SET", "k", "v"]).assert_ok();
    client.call(&["GET", "k"]).assert_str("v");
}
