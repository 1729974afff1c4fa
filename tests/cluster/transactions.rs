//! Transactions: one slot each, wherever that is by the time of `EXEC`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{StopAtEnd, start};
use crate::support::{
    Client, DEADLINE, RedisCluster, RedisServer, Reply, Respite, slot_of, wait_until,
};

/// Keys of three nodes.
const KEYS: [&str; 3] = ["foo", "hello", "bar"];

fn owner_of(cluster: &RedisCluster, key: &str) -> usize {
    let slot = slot_of(&mut cluster.servers[0].connect(), key);
    cluster.owner(slot)
}

fn strings(replies: &[Reply]) -> Vec<String> {
    replies.iter().map(|reply| format!("{reply:?}")).collect()
}

/// What a client sends, `K` is the key.
const SCRIPTS: [&str; 20] = [
    "MULTI; SET K 1; INCR K; GET K; EXEC",
    "MULTI; EXEC; GET K",
    "MULTI; PING; ECHO x; INCR K; ECHO y; EXEC",
    "MULTI; ECHO x; PING; EXEC",
    "MULTI; SET K 9; DISCARD; GET K",
    "MULTI; ECHO x; DISCARD; EXEC",
    "MULTI; DISCARD; DISCARD",
    "EXEC; GET K",
    // Errors at queue time, before and behind the first key.
    "MULTI; ECHO; SET K 9; EXEC; GET K",
    "MULTI; SET K; SET K 9; EXEC; GET K",
    "MULTI; SET K 9; NO.SUCH K; EXEC; GET K",
    "MULTI; NO.SUCH K; SET K 9; EXEC; GET K",
    "MULTI; MULTI; INCR K; EXEC; GET K",
    "MULTI; INCR K; MULTI; WATCH K; EXEC; GET K",
    "MULTI; WATCH K; EXEC; GET K",
    // Errors when it is executed.
    "MULTI; LPUSH K x; INCR K; EXEC; GET K",
    // What blocks elsewhere does not here.
    "MULTI; BLPOP {K}none 0; EXEC",
    "MULTI; CLIENT GETNAME; SET K 7; CLIENT GETNAME; EXEC",
    "MULTI; EVAL return(redis.call('INCR',KEYS[1])) 1 K; EXEC",
    "MULTI; UNWATCH; INCR K; EXEC",
];

#[test]
fn a_transaction_does_at_each_node_what_it_does_in_redis() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let plain = RedisServer::start();
    for key in KEYS {
        for script in SCRIPTS {
            let script = script
                .replace('K', key)
                .replace(&format!("{key}EYS"), "KEYS");
            let commands: Vec<Vec<&str>> = script
                .split("; ")
                .map(|words| words.split(' ').collect())
                .collect();
            let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
            for pipelined in [true, false] {
                let run = |mut client: Client| match pipelined {
                    true => client.pipeline(&commands),
                    false => commands
                        .iter()
                        .map(|command| client.call(command))
                        .collect(),
                };
                let expected = run(plain.connect());
                let seen = run(respite.connect());
                assert_eq!(strings(&seen), strings(&expected), "{script}");
            }
        }
    }
    let mut client = respite.connect();
    client.hello3();
    let replies = client.pipeline(&[
        &["MULTI"][..],
        &["HSET", "h", "f", "1"],
        &["HGETALL", "h"],
        &["EXEC"],
    ]);
    assert!(
        format!("{:?}", replies[3].items()[1]).contains('{'),
        "{replies:?}"
    );
}

#[test]
fn keys_of_another_slot_are_refused_and_nothing_is_executed() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    for other in [
        &["SET", "bar", "1"][..],
        &["MGET", "foo", "bar"],
        &["MSET", "a", "1", "b", "2"],
    ] {
        let replies = client.pipeline(&[
            &["MULTI"][..],
            &["ECHO", "x"],
            &["SET", "foo", "1"],
            other,
            &["SET", "{foo}2", "1"],
            &["EXEC"],
        ]);
        replies[0].assert_ok();
        replies[3].assert_error("CROSSSLOT Keys in request don't hash to the same slot");
        replies[4].assert_str("QUEUED");
        replies[5].assert_error("EXECABORT Transaction discarded because of previous errors.");
    }
    // Refused before it is known where it goes, too.
    let replies = client.pipeline(&[
        &["MULTI"][..],
        &["MSET", "a", "1", "b", "2"],
        &["SET", "foo", "1"],
        &["EXEC"],
    ]);
    replies[1].assert_error("CROSSSLOT ");
    replies[3].assert_error("EXECABORT ");
    let replies = client.pipeline(&[
        &["MULTI"][..],
        &["FLUSHALL"],
        &["SET", "foo", "1"],
        &["EXEC"],
    ]);
    replies[1].assert_error("ERR ");
    replies[3].assert_error("EXECABORT ");
    assert!(client.call(&["GET", "foo"]).is_null());
    // The connections are clean.
    for key in KEYS {
        let replies = client.pipeline(&[&["MULTI"][..], &["INCR", key], &["EXEC"], &["GET", key]]);
        replies[2].items()[0].assert_int(1);
        replies[3].assert_str("1");
    }
    let opened = || {
        let info = respite.call(&["INFO", "respite"]);
        let line = { info.as_str() }
            .lines()
            .find_map(|line| line.strip_prefix("total_pinned_connections_opened:"))
            .expect("counted");
        line.trim().parse::<u64>().expect("a number")
    };
    let before = opened();
    for n in 0..50 {
        let key = KEYS[n % 3];
        client.pipeline(&[&["MULTI"][..], &["INCR", key], &["EXEC"]]);
    }
    assert_eq!(
        opened(),
        before,
        "transactions open no connections at steady state"
    );
}

/// Adds to a counter and a list in transactions until told to stop; returns how many there were.
fn count(respite: &Respite, key: &str, many: bool, stop: &AtomicBool) -> usize {
    let mut client = respite.connect();
    let list = format!("{key}list");
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let one: &[&[&str]] = &[
            &["MULTI"],
            &["INCR", key],
            &["RPUSH", &list, "x"],
            &["ECHO", "x"],
            &["EXEC"],
        ];
        let replies = match many {
            true => client.pipeline(&one.repeat(5)),
            false => one.iter().map(|command| client.call(command)).collect(),
        };
        for transaction in replies.chunks(5) {
            assert!(!transaction[4].is_error(), "{transaction:?}");
            let all = transaction[4].items();
            done += 1;
            let number = i64::try_from(done).expect("small");
            assert_eq!(
                (all[0].int(), all[1].int()),
                (number, number),
                "{transaction:?}"
            );
        }
    }
    done
}

#[test]
fn slots_move_under_transactions_and_the_counters_are_exact() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let stop = AtomicBool::new(false);
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (stop, respite, total) = (&stop, &respite, &total);
        let writers: Vec<_> = [("{foo}", true), ("{foo}x", false), ("{hello}", true)]
            .into_iter()
            .map(|(key, many)| {
                scope.spawn(move || {
                    let done = count(respite, key, many, stop);
                    total.fetch_add(done, Ordering::Relaxed);
                    (key, done)
                })
            })
            .collect();
        let end = StopAtEnd(stop);
        let mut client = cluster.servers[0].connect();
        for _ in 0..3 {
            for key in ["foo", "hello"] {
                let slot = slot_of(&mut client, key);
                let to = (cluster.owner(slot) + 1) % 3;
                cluster.move_slot(slot, to, || {});
            }
        }
        drop(end);
        for writer in writers {
            let (key, done) = writer.join().expect("no mismatch");
            let seen = respite.call(&["GET", key]);
            seen.assert_str(&done.to_string());
        }
    });
    assert!(total.load(Ordering::Relaxed) > 10);
}

#[test]
fn a_migrating_slot_is_waited_for() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    client.call(&["SET", "{foo}there", "1"]).assert_ok();
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    let to = (cluster.owner(slot) + 1) % 3;
    std::thread::scope(|scope| {
        let (sent, may_go_on) = std::sync::mpsc::channel();
        let client = &mut client;
        let asked = scope.spawn(move || {
            may_go_on.recv().expect("told");
            // One of its keys is at the new place only, then: `ASK` or `TRYAGAIN`.
            client.pipeline(&[
                &["MULTI"][..],
                &["SET", "{foo}new", "2"],
                &["MGET", "{foo}new", "{foo}there"],
                &["EXEC"],
            ])
        });
        let mut sent = Some(sent);
        cluster.move_slot(slot, to, || {
            let sent = sent.take().expect("one key");
            sent.send(()).expect("it waits");
            // The node has turned it away at least once by then.
            wait_until("it was turned away", DEADLINE, || {
                let owner = &cluster.servers[owner_of(&cluster, "foo")];
                ["ASK", "TRYAGAIN"]
                    .iter()
                    .any(|kind| owner.errors(kind) > 0)
            });
        });
        let replies = asked.join().expect("answered");
        replies[3].items()[0].assert_ok();
        assert_eq!(replies[3].items()[1].strings(), ["2", "1"]);
    });
}

#[test]
fn a_transaction_whose_node_is_lost_says_so_at_its_end() {
    let mut cluster = RedisCluster::start(3, 1);
    cluster.wait_until_replicas_follow();
    let mut respite = start(&cluster);
    respite.allow_log("backing");
    respite.allow_log("is away");
    let mut client = respite.connect();
    client.call(&["SET", "foo", "before"]).assert_ok();
    let owner = owner_of(&cluster, "foo");
    // Of this client's own write.
    assert_eq!(client.call(&["WAIT", "1", "5000"]).int(), 1);
    client.call(&["MULTI"]).assert_ok();
    client.call(&["SET", "foo", "lost"]).assert_str("QUEUED");
    cluster.servers[owner].kill();
    wait_until("it is noticed", DEADLINE, || {
        client.call(&["ECHO", "x"]).is_error()
    });
    client
        .call(&["SET", "foo", "more"])
        .assert_error("UPSTREAM ");
    client.call(&["EXEC"]).assert_error("UPSTREAM ");
    // One that comes as a whole waits for the next master.
    let replies = client.pipeline(&[
        &["MULTI"][..],
        &["GET", "foo"],
        &["SET", "foo", "after"],
        &["EXEC"],
    ]);
    let all = replies[3].items();
    all[0].assert_str("before");
    all[1].assert_ok();
    client.call(&["GET", "foo"]).assert_str("after");
}
