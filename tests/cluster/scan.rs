//! `SCAN` through all masters of a cluster: a key that is there all the time is seen, or the client is told to begin
//! again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{StopAtEnd, start};
use crate::support::{Client, DEADLINE, RedisCluster, RedisServer, Respite, slot_of, wait_until};

const MOVED: &str = "ERR the slots have moved: begin SCAN again at 0";

/// One step: the next cursor and the keys.
fn step(
    client: &mut Client,
    cursor: &str,
    options: &[&str],
) -> Result<(String, Vec<String>), String> {
    let reply = client.call(&[&["SCAN", cursor][..], options].concat());
    if reply.is_error() {
        return Err(reply.error().to_owned());
    }
    let [next, keys] = reply.items() else {
        panic!("{reply:?}");
    };
    let keys = keys.strings().iter().map(|&key| key.to_owned()).collect();
    Ok((next.as_str().to_owned(), keys))
}

/// A whole scan; `between` is called after each step with its number.
fn scan(
    client: &mut Client,
    options: &[&str],
    mut between: impl FnMut(usize),
) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    let mut cursor = "0".to_owned();
    for n in 0.. {
        let (next, keys) = step(client, &cursor, options)?;
        found.extend(keys);
        if next == "0" {
            break;
        }
        assert!(
            next.parse::<u64>().is_ok_and(|next| next < 1 << 53),
            "{next}"
        );
        cursor = next;
        between(n);
    }
    Ok(found)
}

fn fill(respite: &Respite, keys: usize) -> BTreeSet<String> {
    let mut client = respite.connect();
    let keys: BTreeSet<String> = (0..keys).map(|n| format!("key:{n}")).collect();
    let sets: Vec<[&str; 3]> = keys.iter().map(|key| ["SET", key, "1"]).collect();
    let sets: Vec<&[&str]> = sets.iter().map(|set| &set[..]).collect();
    client
        .pipeline(&sets)
        .iter()
        .for_each(|reply| reply.assert_ok());
    keys
}

/// The servers in the order in which they are scanned.
fn order(cluster: &RedisCluster) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cluster.servers.len()).collect();
    order.sort_by_key(|server| cluster.id(*server));
    order
}

#[test]
fn every_key_is_seen_once() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let keys = fill(&respite, 500);
    for resp3 in [false, true] {
        let mut client = respite.connect();
        if resp3 {
            client.hello3();
        }
        for options in [
            &[][..],
            &["COUNT", "1"],
            &["COUNT", "100"],
            &["COUNT", "10000"],
        ] {
            assert_eq!(scan(&mut client, options, |_| {}), Ok(keys.clone()));
        }
        let matched = scan(&mut client, &["MATCH", "key:1?"], |_| {}).expect("keys");
        assert_eq!(matched.len(), 10);
        assert_eq!(
            scan(&mut client, &["TYPE", "hash"], |_| {}),
            Ok(BTreeSet::new())
        );
        assert_eq!(
            scan(&mut client, &["TYPE", "string"], |_| {}),
            Ok(keys.clone())
        );
        for (cursor, options, error) in [
            ("x", &[][..], "ERR invalid cursor"),
            ("0", &["COUNT"], "ERR syntax error"),
            ("0", &["COUNT", "0"], "ERR syntax error"),
            ("0", &["COUNT", "x"], "ERR value is not an integer"),
            ("12345", &[], MOVED),
        ] {
            let said = step(&mut client, cursor, options).expect_err("an error");
            assert!(said.starts_with(error), "{cursor} {options:?}: {said}");
        }
    }
    // An empty one is over at once.
    respite.call(&["FLUSHALL"]).assert_ok();
    assert_eq!(
        step(&mut respite.connect(), "0", &[]),
        Ok(("0".to_owned(), Vec::new()))
    );
}

#[test]
fn a_scan_goes_on_over_another_respite() {
    let cluster = RedisCluster::start(3, 0);
    let respites = [start(&cluster), start(&cluster)];
    let keys = fill(&respites[0], 300);
    let mut clients = [respites[0].connect(), respites[1].connect()];
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    for n in 0.. {
        let (next, keys) = step(&mut clients[n % 2], &cursor, &[]).expect("keys");
        found.extend(keys);
        cursor = next;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found, keys);
}

#[test]
fn a_slot_that_goes_to_a_master_scanned_before_is_not_missed() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let keys = fill(&respite, 300);
    let mut client = respite.connect();
    let order = order(&cluster);
    let mut any = cluster.servers[0].connect();
    // A key of the last master.
    let of_last = |key: &&String| cluster.owner(slot_of(&mut any, key)) == order[2];
    let key = keys.iter().find(of_last).expect("a key").clone();
    let slot = slot_of(&mut cluster.servers[0].connect(), &key);
    let options = ["COUNT", "30"];
    // Steps until the first master has been scanned: its keys have been seen.
    let first_is_done = |found: &BTreeSet<String>| {
        let own = cluster.servers[order[0]].call(&["KEYS", "*"]);
        own.strings().iter().all(|key| found.contains(*key))
    };
    for there_and_back in [false, true] {
        let mut found = BTreeSet::new();
        let mut cursor = "0".to_owned();
        let mut moved = false;
        let outcome = loop {
            match step(&mut client, &cursor, &options) {
                Ok((next, keys)) => {
                    found.extend(keys);
                    if next == "0" {
                        break Ok(());
                    }
                    cursor = next;
                }
                Err(error) => break Err(error),
            }
            if !moved && first_is_done(&found) {
                moved = true;
                cluster.move_slot(slot, order[0], || {});
            }
        };
        assert!(moved, "the first master has to be done before the last");
        assert_eq!(outcome, Err(MOVED.to_owned()));
        if there_and_back {
            continue;
        }
        assert_eq!(scan(&mut client, &options, |_| {}), Ok(keys.clone()));
        // Back to the last, for the next round.
        cluster.move_slot(slot, order[2], || {});
    }
}

#[test]
fn a_slot_that_comes_back_is_not_missed() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let keys = fill(&respite, 300);
    let order = order(&cluster);
    let mut any = cluster.servers[0].connect();
    let of_first = |key: &&String| cluster.owner(slot_of(&mut any, key)) == order[0];
    let key = keys.iter().find(of_first).expect("a key").clone();
    let slot = slot_of(&mut any, &key);
    // It is away while the first master is scanned.
    let mut client = respite.connect();
    let (mut cursor, mut found) = step(&mut client, "0", &["COUNT", "1"]).expect("keys");
    cluster.move_slot(slot, order[2], || {});
    for _ in 0..200 {
        let Ok((next, keys)) = step(&mut client, &cursor, &["COUNT", "1"]) else {
            return;
        };
        found.extend(keys);
        if next == "0" {
            break;
        }
        cursor = next;
        let own = cluster.servers[order[0]].call(&["DBSIZE"]).int();
        if found.len() as i64 >= own && cluster.owner(slot) == order[2] {
            cluster.move_slot(slot, order[0], || {});
        }
    }
    let found: BTreeSet<String> = found.into_iter().collect();
    assert_eq!(found, keys);
}

#[test]
fn a_slot_that_is_still_moving_at_the_end_is_told_of() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    fill(&respite, 50);
    let keys: Vec<String> = (0..10).map(|n| format!("{{foo}}:{n}")).collect();
    for key in &keys {
        respite.call(&["SET", key, "1"]).assert_ok();
    }
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    let to = (cluster.owner(slot) + 1) % 3;
    let mut client = respite.connect();
    let mut outcomes = Vec::new();
    cluster.move_slot(slot, to, || {
        outcomes.push(scan(&mut client, &["COUNT", "1000"], |_| {}));
    });
    // When the last key has gone it may go either way, and then all are there.
    for outcome in outcomes {
        match outcome {
            Ok(found) => assert!(keys.iter().all(|key| found.contains(key))),
            Err(error) => assert_eq!(error, MOVED),
        }
    }
    assert_eq!(
        scan(&mut client, &[], |_| {}).map(|found| found.len()),
        Ok(60)
    );
}

/// Waits until all nodes say the same of all: one that has not heard yet of another's epoch would take a slot with
/// an older one, and lose it again to what was said before.
fn until_all_agree(cluster: &RedisCluster) {
    let told = |server: &RedisServer| {
        let reply = server.call(&["CLUSTER", "NODES"]);
        let lines = reply.as_str().lines().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            format!("{} {} {:?}", words[0], words[6], &words[8..])
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines
    };
    wait_until("all nodes agree", DEADLINE, || {
        let all: Vec<_> = cluster.servers.iter().map(told).collect();
        all.iter().all(|one| *one == all[0])
    });
}

#[test]
fn stable_keys_are_seen_while_slots_move_back_and_forth() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let keys = fill(&respite, 400);
    let stop = AtomicBool::new(false);
    let (mut whole, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let end = StopAtEnd(&stop);
        let mover = scope.spawn(|| {
            let mut any = cluster.servers[0].connect();
            let slots: Vec<u16> = keys
                .iter()
                .take(12)
                .map(|key| slot_of(&mut any, key))
                .collect();
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let slot = slots[n % slots.len()];
                let to = (cluster.owner(slot) + 1 + n % 2) % 3;
                cluster.move_slot(slot, to, || {});
                until_all_agree(&cluster);
                if n % 4 == 3 {
                    // Some scans are to be whole.
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
        });
        let mut client = respite.connect();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(6);
        while std::time::Instant::now() < until {
            match scan(&mut client, &["COUNT", "50"], |_| {}) {
                Ok(found) => {
                    let missed: Vec<_> = keys.difference(&found).collect();
                    assert!(missed.is_empty(), "missed {missed:?}");
                    whole += 1;
                }
                Err(error) => {
                    assert_eq!(error, MOVED);
                    refused += 1;
                }
            }
        }
        drop(end);
        mover.join().expect("slots move");
    });
    assert!(refused > 0, "{whole} scans were whole, none was refused");
}
