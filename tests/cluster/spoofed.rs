//! A script may return any error, one that reads like a node's too: it is the client's, and no instruction.

use std::net::TcpListener;

use crate::support::{RedisCluster, Reply, Respite, slot_of};

const SCRIPT: &str = "redis.call('INCR', KEYS[1]) return {err = ARGV[1]}";

#[test]
fn an_error_of_a_script_is_the_clients() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder().upstream(&cluster.url()).start();
    let mut client = respite.connect();
    for error in [
        "TRYAGAIN x",
        "LOADING x",
        "CLUSTERDOWN x",
        "MASTERDOWN x",
        "READONLY x",
        "MOVED 1 127.0.0.1:1",
        "ASK 1 127.0.0.1:1",
        "MOVED x",
    ] {
        client.call(&["DEL", "k"]);
        let reply = client.call(&["EVAL", SCRIPT, "1", "k", error]);
        assert!(reply.error().contains(error), "{error}: {reply:?}");
        client.call(&["GET", "k"]).assert_str("1");
    }
}

/// With the credentials for the nodes.
#[test]
fn nobody_is_connected_to_because_a_script_names_it() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .env("RESPITE_TIMEOUTS__FAILOVER", "1")
        .start();
    let thief = TcpListener::bind("127.0.0.1:0").expect("a port");
    thief.set_nonblocking(true).expect("nonblocking");
    let address = thief.local_addr().expect("an address");
    let slot = slot_of(&mut cluster.servers[0].connect(), "k");
    let mut other = respite.connect();
    for kind in ["MOVED", "ASK"] {
        let error = format!("{kind} {slot} {address}");
        let mut client = respite.connect();
        client.send(&["EVAL", SCRIPT, "1", "k", &error]);
        // It is told, or the client is closed, when nobody has taken it.
        let _ = client.try_read_reply_raw();
        assert!(
            thief.accept().is_err(),
            "{kind}: a node that only a script knows"
        );
        assert!(matches!(other.call(&["INCR", "k"]), Reply::Int(_)));
    }
}
