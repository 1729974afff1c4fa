//! A script may return any error, one that reads like a node's too: it is the client's, and no instruction.

use std::net::TcpListener;

use crate::support::{DEADLINE, RedisCluster, Reply, Respite, slot_of, wait_until};

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

/// One that names a node of the cluster for its own slot is run a few times, not until the time is over.
#[test]
fn a_script_that_sends_its_own_slot_away_is_told_so() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .env("RESPITE_TIMEOUTS__FAILOVER", "600")
        .start();
    let slot = slot_of(&mut cluster.servers[0].connect(), "k");
    let owner = cluster.owner(slot);
    let mut client = respite.connect();
    for (kind, named) in [("MOVED", owner), ("MOVED", owner + 1), ("ASK", owner + 1)] {
        client.call(&["DEL", "k"]);
        let error = format!("{kind} {slot} {}", cluster.servers[named % 3].addr());
        client
            .call(&["EVAL", SCRIPT, "1", "k", &error])
            .assert_error(&error);
        let runs = client.call(&["GET", "k"]);
        let runs: u32 = runs.as_str().parse().expect("a number");
        assert!((1..=4).contains(&runs), "{error}: run {runs} times");
        // The slot is where it was.
        client.call(&["INCR", "k"]).int();
    }
    for error in [
        "TRYAGAIN Multiple keys request during rehashing of slot".to_owned(),
        format!("MOVED {slot} {}", cluster.servers[0].addr()),
    ] {
        let keyless = "return {err = ARGV[1]}";
        client
            .call(&["EVAL", keyless, "0", &error])
            .assert_error(&error);
        client
            .call(&["EVAL", keyless, "1", "k", &error])
            .assert_error(&error);
    }
}

/// While two nodes disagree for a while, a script is asked for until one of them takes it.
#[test]
fn nodes_that_name_each_other_are_asked_until_one_takes_the_script() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder().upstream(&cluster.url()).start();
    let slot = slot_of(&mut cluster.servers[0].connect(), "k");
    let owner = cluster.owner(slot);
    let next = (owner + 1) % 3;
    let number = slot.to_string();
    // The owner has given the slot away, and the next one has not heard of it: in a cluster without messages.
    let set = |at: usize, of: usize| {
        let id = cluster.id(of);
        cluster.servers[at]
            .call(&["CLUSTER", "SETSLOT", &number, "NODE", &id])
            .assert_ok();
    };
    let mut client = respite.connect();
    client.call(&["SET", "other", "1"]).assert_ok();
    set(owner, next);
    std::thread::scope(|scope| {
        let client = &mut client;
        let asked = scope
            .spawn(move || client.call(&["EVAL", "return redis.call('INCR', KEYS[1])", "1", "k"]));
        wait_until("both have turned it away", DEADLINE, || {
            let turned_away = |at: usize| cluster.servers[at].errors("MOVED") > 2;
            turned_away(owner) && turned_away(next)
        });
        set(next, next);
        asked.join().expect("answered").assert_int(1);
    });
}
