//! Many clients at work while the master becomes another one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{builder, wait_for_service, wait_until_followed};
use crate::support::{Client, Reply, Respite, SentinelSet, encode};

const CLIENTS: usize = 50;

/// What a client was told, by kinds of errors.
type Told = BTreeMap<String, u64>;

/// Sends a packet, and checks that each reply is the one to its request. False when the connection is lost.
fn exchange(client: &mut Client, n: usize, round: usize, told: &mut Told) -> bool {
    let (mark, key) = (format!("{n}:{round}"), format!("load:{n}"));
    let packet = match n % 4 {
        0 => vec![vec!["INCR", &key], vec!["ECHO", &mark]],
        1 => vec![
            vec!["SET", &key, &mark],
            vec!["GET", &key],
            vec!["ECHO", &mark],
        ],
        2 => vec![
            vec!["MULTI"],
            vec!["INCR", &key],
            vec!["ECHO", &mark],
            vec!["EXEC"],
        ],
        _ => vec![vec!["BLPOP", &key, "0.01"], vec!["ECHO", &mark]],
    };
    let bytes: Vec<u8> = packet.iter().flat_map(|words| encode(words)).collect();
    if client.try_send_raw(&bytes).is_err() {
        return false;
    }
    for words in &packet {
        let Ok(reply) = client.try_read_reply_raw() else {
            return false;
        };
        let reply = Reply::parse(&reply);
        if reply.is_error() {
            let code = reply.error().split(' ').next().unwrap_or_default();
            *told.entry(code.to_owned()).or_default() += 1;
            continue;
        }
        match words[0] {
            "INCR" if n.is_multiple_of(4) => drop(reply.int()),
            "SET" | "MULTI" => reply.assert_ok(),
            // A write that the old master took may be lost with it.
            "GET" => assert!(reply.is_null() || reply.as_str().starts_with(&format!("{n}:"))),
            "ECHO" if n % 4 != 2 => reply.assert_str(&mark),
            "INCR" | "ECHO" => reply.assert_str("QUEUED"),
            "EXEC" => reply.items()[1].assert_str(&mark),
            _ => assert!(reply.is_null(), "{reply:?}"),
        }
    }
    true
}

fn work(respite: &Respite, n: usize, stop: &AtomicBool) -> Told {
    let mut told = Told::new();
    let mut client = respite.connect();
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        if !exchange(&mut client, n, round, &mut told) {
            client = respite.connect();
        }
    }
    told
}

#[test]
fn clients_are_never_told_that_a_master_is_read_only() {
    let set = SentinelSet::start(1);
    let respite = builder(&set).start();
    wait_for_service(&respite, "before");
    let stop = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        let (respite, stop) = (&respite, &stop);
        let workers: Vec<_> = (0..CLIENTS)
            .map(|n| scope.spawn(move || work(respite, n, stop)))
            .collect();
        set.fail_over();
        wait_until_followed(respite, &set);
        wait_for_service(respite, "after");
        stop.store(true, Ordering::Relaxed);
        let mut told = Told::new();
        for worker in workers {
            for (code, count) in worker.join().expect("no mismatch") {
                *told.entry(code).or_default() += count;
            }
        }
        told
    });
    eprintln!("told during a failover: {told:?}");
    // A transaction that began on the old master is over; what may have been executed is said to be lost.
    let known = ["UPSTREAM", "EXECABORT"];
    assert!(
        told.keys().all(|code| known.contains(&code.as_str())),
        "{told:?}"
    );
}
