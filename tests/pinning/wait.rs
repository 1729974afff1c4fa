//! `WAIT` counts what the client wrote over shared connections.

use crate::support::{DEADLINE, RedisServer, Respite, wait_until};

#[test]
fn wait_counts_the_clients_own_earlier_writes() {
    let redis = RedisServer::builder()
        .args(["--repl-diskless-sync-delay", "0"])
        .start();
    let port = redis.port().to_string();
    let replica = RedisServer::builder()
        .args(["--replicaof", "127.0.0.1", &port])
        .start();
    let respite = Respite::in_front_of(&redis);
    wait_until("the replica is online", DEADLINE, || {
        redis
            .call(&["INFO", "replication"])
            .as_str()
            .contains("state=online")
    });
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    assert_eq!(client.call(&["WAIT", "1", "5000"]).int(), 1);
    replica.freeze();
    // twice: the second time the connection comes from the pool and has waited before
    for round in 0..2 {
        client.call(&["SET", "a", "2"]).assert_ok();
        assert_eq!(client.call(&["WAIT", "1", "100"]).int(), 0, "round {round}");
    }
    let replies = client.pipeline(&[&["SET", "a", "3"][..], &["WAIT", "1", "100"], &["GET", "a"]]);
    assert_eq!(replies[1].int(), 0);
    replies[2].assert_str("3");
    client.send(&["WAIT", "1", "0"]);
    replica.thaw();
    assert_eq!(client.read_reply().int(), 1);
    assert!(replica.call(&["GET", "a"]).as_str() == "3");
}
