//! A Redis Cluster behind, for clients that know nothing of clusters. What is missing is in docs/cluster.md.

mod announce;
mod blocking;
mod buses;
mod embedded;
mod entries;
mod families;
mod faults;
mod half_moved;
mod keyless;
mod migrated;
mod node;
mod order;
mod pubsub;
mod replicas;
mod scan;
mod scripts;
mod split;
mod spoofed;
mod told;
mod transactions;
mod waits;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Client, DEADLINE, RedisCluster, RedisServer, Respite, slot_of, wait_until};

const KEYS: usize = 20;

fn start(cluster: &RedisCluster) -> Respite {
    Respite::builder()
        .upstream(&cluster.url())
        .allow_log("link lost")
        .allow_log("is away")
        .allow_log("backing not usable")
        .start()
}

/// Writes ascending numbers to keys of its own until told to stop, many in a packet, and reads them back.
fn count_up(respite: &Respite, writer: usize, stop: &AtomicBool) -> usize {
    let mut client = respite.connect();
    let mut number = 0;
    let key = |n: usize| format!("w{writer}:{}", n % KEYS);
    while !stop.load(Ordering::Relaxed) {
        let first = number;
        number += 5 * KEYS;
        let mut packet: Vec<Vec<String>> = (first..number)
            .map(|n| vec!["SET".to_owned(), key(n), n.to_string()])
            .collect();
        packet.extend((0..KEYS).map(|n| vec!["GET".to_owned(), key(n)]));
        let commands: Vec<Vec<&str>> = packet
            .iter()
            .map(|words| words.iter().map(String::as_str).collect())
            .collect();
        let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
        let replies = client.pipeline(&commands);
        let (written, read) = replies.split_at(5 * KEYS);
        written.iter().for_each(|reply| reply.assert_ok());
        for (n, reply) in read.iter().enumerate() {
            reply.assert_str(&(number - KEYS + n).to_string());
        }
    }
    number
}

/// Reads a key again and again: what it holds never gets less.
fn watch(respite: &Respite, stop: &AtomicBool) {
    let mut client = respite.connect();
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        let reply = client.call(&["GET", "w0:0"]);
        if !reply.is_null() {
            let number: usize = reply.as_str().parse().expect("a number");
            assert!(number >= last, "{number} after {last}");
            last = number;
        }
    }
}

/// Has clients write and read while `happens` happens; none of them is told of it.
fn nobody_notices(respite: &Respite, happens: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let writers: Vec<_> = (0..3)
            .map(|writer| scope.spawn(move || count_up(respite, writer, stop)))
            .collect();
        let reader = scope.spawn(move || watch(respite, stop));
        let end = StopAtEnd(stop);
        happens();
        drop(end);
        for writer in writers {
            assert!(writer.join().expect("no mismatch") > 0);
        }
        reader.join().expect("no mismatch");
    });
}

/// Stops the clients, also when what happens fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_pipeline_over_all_nodes_is_answered_in_order() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    let key = |n: usize| format!("key:{n}");
    for round in 0..2 {
        let sets: Vec<_> = (0..1000)
            .map(|n| (key(n), format!("{round}:{n}")))
            .collect();
        let sets: Vec<[&str; 3]> = sets.iter().map(|(k, v)| ["SET", k, v]).collect();
        let sets: Vec<&[&str]> = sets.iter().map(|words| &words[..]).collect();
        client
            .pipeline(&sets)
            .iter()
            .for_each(|reply| reply.assert_ok());
        let keys: Vec<_> = (0..1000).map(key).collect();
        let gets: Vec<[&str; 2]> = keys.iter().map(|key| ["GET", key]).collect();
        let gets: Vec<&[&str]> = gets.iter().map(|words| &words[..]).collect();
        for (n, reply) in client.pipeline(&gets).iter().enumerate() {
            reply.assert_str(&format!("{round}:{n}"));
        }
    }
    let sizes = cluster
        .servers
        .iter()
        .map(|server| server.call(&["DBSIZE"]).int());
    let sizes: Vec<_> = sizes.collect();
    assert!(sizes.iter().all(|size| *size > 200), "{sizes:?}");
    // Keys of two slots in one command that cannot be split: as a node says.
    let error = client.call(&["MSETNX", "a", "1", "b", "2"]);
    error.assert_error("CROSSSLOT ");
}

#[test]
fn values_come_from_memory_and_are_told_of_changes() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    for key in ["foo", "hello", "bar"] {
        let mut client = respite.connect();
        client.call(&["SET", key, "1"]).assert_ok();
        let hits = || respite.call(&["CACHE.STATS"]).field("hits").int();
        let before = hits();
        wait_until("a hit", DEADLINE, || {
            client.call(&["GET", key]).assert_str("1");
            hits() > before
        });
        let slot = slot_of(&mut cluster.servers[0].connect(), key);
        let owner = &cluster.servers[cluster.owner(slot)];
        owner.call(&["SET", key, "2"]).assert_ok();
        wait_until("the change is seen", DEADLINE, || {
            client.call(&["GET", key]).as_str() == "2"
        });
    }
}

#[test]
fn slots_move_and_nobody_notices() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    nobody_notices(&respite, || {
        let mut client = cluster.servers[0].connect();
        for key in ["w0:0", "w0:1", "w1:0", "w2:5", "w0:0"] {
            let slot = slot_of(&mut client, key);
            let to = (cluster.owner(slot) + 1) % 3;
            cluster.move_slot(slot, to, || {});
        }
    });
}

#[test]
fn a_failover_by_command_goes_unnoticed() {
    let cluster = RedisCluster::start(3, 1);
    let respite = start(&cluster);
    let replica = {
        let is_replica = |server: &RedisServer| server.info("replication", "role") == "slave";
        let found = cluster.servers.iter().position(is_replica);
        found.expect("a replica")
    };
    // The old master closes its connections: a client whose command was under way is closed, as Redis would do.
    let mut reader = respite.connect();
    reader.call(&["SET", "k", "1"]).assert_ok();
    cluster.fail_over_to(replica);
    wait_until("writes are taken again", DEADLINE, || {
        let mut client: Client = respite.connect();
        (0..100).all(|n| {
            let sent = client.try_send_raw(format!("SET after:{n} {n}\r\n").as_bytes());
            sent.is_ok()
                && client
                    .try_read_reply_raw()
                    .is_ok_and(|reply| reply == b"+OK\r\n")
        })
    });
    let mut client = respite.connect();
    client.call(&["GET", "k"]).assert_str("1");
    for n in 0..100 {
        client
            .call(&["GET", &format!("after:{n}")])
            .assert_str(&n.to_string());
    }
}

#[test]
fn a_killed_master_is_replaced() {
    let mut cluster = RedisCluster::start(3, 1);
    let respite = start(&cluster);
    let slot = slot_of(&mut cluster.servers[0].connect(), "k");
    let mut writer = respite.connect();
    writer.call(&["SET", "k", "before"]).assert_ok();
    assert_eq!(writer.call(&["WAIT", "1", "10000"]).int(), 1);
    let owner = cluster.owner(slot);
    cluster.servers[owner].kill();
    wait_until("another has its slots", DEADLINE, || {
        let mut client: Client = respite.connect();
        let sent = client.try_send_raw(b"SET k after\r\n");
        sent.is_ok()
            && client
                .try_read_reply_raw()
                .is_ok_and(|reply| reply == b"+OK\r\n")
    });
    respite.call(&["GET", "k"]).assert_str("after");
}

#[test]
fn what_one_node_cannot_answer_for_all_is_refused() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    let reply = client.call(&["CLIENT", "TRACKING", "ON"]);
    assert!(reply.error().contains("behind a cluster"), "{reply:?}");
    client
        .call(&["EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", "k"])
        .assert_ok();
    client.call(&["GET", "k"]).assert_str("x");
    // The nodes of a Valkey may have more databases.
    let one = "ERR SELECT is not allowed in cluster mode";
    client.call(&["SELECT", "1"]).assert_error(one);
    client.call(&["SELECT", "0"]).assert_ok();
    client.call(&["MULTI"]).assert_ok();
    let selected = client.call(&["SELECT", "1"]);
    client.call(&["GET", "k"]).assert_str("QUEUED");
    let done = client.call(&["EXEC"]);
    match selected.is_error() {
        true => done.assert_error("EXECABORT"),
        false => done.items()[0].assert_error(one),
    };
    client.call(&["GET", "k"]).assert_str("x");
    client.call(&["SUBSCRIBE", "c"]).items();
    respite.call(&["PUBLISH", "c", "m"]);
    assert_eq!(client.read_reply().items()[2].as_str(), "m");
}
