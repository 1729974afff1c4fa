//! A backing that is told to end: at once, while a script keeps it busy, and while it waits for a replica.

use std::time::Duration;

use super::busy::run_away;
use super::{SENT, builder};
use crate::support::{Client, DEADLINE, RedisServer, wait_until};

#[test]
fn shutdown_ends_a_busy_backing() {
    let redis = RedisServer::builder()
        .args(["--lua-time-limit", "100"])
        .start();
    let respite = builder(&redis.url()).start();
    let mut runaway = run_away(&redis, &respite);
    let mut admin = respite.connect();
    admin.send(&["SHUTDOWN", "NOSAVE"]);
    wait_until("the backing has ended", DEADLINE, || {
        Client::try_connect(redis.port()).is_err()
    });
    for client in [&mut runaway, &mut admin] {
        let lost = client.read_reply();
        assert!(
            lost.error().starts_with("UPSTREAM ") && lost.error().ends_with(SENT),
            "{lost:?}"
        );
    }
}

/// Since version 7 a server waits for replicas that lag, and can be told to go on after all.
#[test]
fn a_shutdown_that_waits_holds_up_no_reads_and_can_be_aborted() {
    if RedisServer::version() < (7, 0, 0) {
        return;
    }
    let redis = RedisServer::builder()
        .args([
            "--repl-diskless-sync-delay",
            "0",
            "--shutdown-timeout",
            "600",
        ])
        .start();
    let port = redis.port().to_string();
    let replica = RedisServer::builder()
        .args(["--replicaof", "127.0.0.1", &port])
        .start();
    wait_until("the replica is online", DEADLINE, || {
        let info = redis.call(&["INFO", "replication"]);
        info.as_str().contains("state=online")
    });
    let respite = builder(&redis.url()).start();
    let (mut admin, mut reader, mut writer) =
        (respite.connect(), respite.connect(), respite.connect());
    replica.freeze();
    writer.call(&["SET", "k", "1"]).assert_ok();
    reader.call(&["SHUTDOWN", "ABORT"]).assert_error("ERR ");
    admin.send(&["SHUTDOWN", "NOSAVE"]);
    wait_until("the backing waits", DEADLINE, || {
        let info = redis.call(&["INFO", "server"]);
        info.as_str().contains("shutdown_in_milliseconds")
    });
    // Writes wait meanwhile, as with a pause; what is read then goes another way.
    writer.send(&["SET", "k", "2"]);
    wait_until("a read passes", DEADLINE, || {
        let mut fresh = respite.connect();
        fresh.set_timeout(Duration::from_secs(1));
        fresh.send(&["STRLEN", "k"]);
        fresh
            .try_read_reply_raw()
            .is_ok_and(|reply| reply == b":1\r\n")
    });
    reader.call(&["SHUTDOWN", "ABORT"]).assert_ok();
    admin
        .read_reply()
        .assert_error("ERR Errors trying to SHUTDOWN");
    writer.read_reply().assert_ok();
    reader.call(&["GET", "k"]).assert_str("2");
    replica.thaw();
}
