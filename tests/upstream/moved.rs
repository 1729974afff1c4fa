//! An address that leads to another server than before.

use crate::support::{DEADLINE, RedisServer, Relay, wait_until};

#[test]
fn a_demoted_server_is_left_when_the_address_leads_to_the_new_master() {
    let old = RedisServer::start();
    let new = RedisServer::start();
    let relay = Relay::to(old.port());
    let respite = super::builder(&relay.url()).start();
    let mut client = respite.connect();
    client.call(&["SET", "k", "old"]).assert_ok();
    for _ in 0..3 {
        client.call(&["GET", "k"]).assert_str("old");
    }
    let port = new.port().to_string();
    old.call(&["REPLICAOF", "127.0.0.1", &port]).assert_ok();
    client.call(&["SET", "k", "x"]).assert_error("READONLY");
    relay.lead_to(new.port());
    wait_until("writes reach the new master", DEADLINE, || {
        let mut client = respite.connect();
        !client.call(&["SET", "k", "new"]).is_error()
    });
    new.call(&["GET", "k"]).assert_str("new");
    respite.call(&["GET", "k"]).assert_str("new");
}

#[test]
fn a_replica_that_was_meant_is_kept() {
    let master = RedisServer::start();
    let port = master.port().to_string();
    let replica = RedisServer::builder()
        .args(["--replicaof", "127.0.0.1", &port])
        .start();
    let respite = super::builder(&replica.url()).start();
    let mut watcher = respite.connect();
    watcher.call(&["WATCH", "k"]).assert_ok();
    wait_until("its role was looked at twice", DEADLINE, || {
        let stats = replica.call(&["INFO", "commandstats"]);
        let calls = stats.as_str().split("cmdstat_role:calls=").nth(1);
        calls.is_some_and(|calls| !calls.starts_with("1,"))
    });
    watcher.call(&["MULTI"]).assert_ok();
    watcher.call(&["GET", "k"]).assert_str("QUEUED");
    assert_eq!(watcher.call(&["EXEC"]).items().len(), 1);
}
