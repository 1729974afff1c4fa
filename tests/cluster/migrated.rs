//! Slots that move as a whole, with all their keys at once (Valkey 9).

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::start;
use crate::support::{DEADLINE, RedisCluster, RedisServer, Respite, slot_of, wait_until};

const KEYS: usize = 8;
const MOVES: usize = 4;

/// What has been acknowledged of each key, which counts up.
type Counted = [AtomicI64; KEYS];

fn key(index: usize) -> String {
    format!("{{t}}{index}")
}

/// Ends the clients, also when the test fails meanwhile.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts all keys up until told to stop: nothing is lost, nothing is counted twice.
fn write(respite: &Respite, counted: &Counted, stop: &AtomicBool) {
    let mut client = respite.connect();
    while !stop.load(Ordering::Relaxed) {
        for (index, counted) in counted.iter().enumerate() {
            let number = counted.load(Ordering::Relaxed) + 1;
            client.call(&["INCR", &key(index)]).assert_int(number);
            counted.store(number, Ordering::Release);
        }
    }
}

/// Reads all keys until told to stop: never what was before the last acknowledged write.
fn read(respite: &Respite, counted: &Counted, stop: &AtomicBool) {
    let mut client = respite.connect();
    while !stop.load(Ordering::Relaxed) {
        for (index, counted) in counted.iter().enumerate() {
            let least = counted.load(Ordering::Acquire);
            let reply = client.call(&["GET", &key(index)]);
            let shown = reply.as_str().parse::<i64>().expect("a number");
            assert!(shown >= least, "{index}: {shown} after {least}");
        }
    }
}

#[test]
fn a_slot_that_moves_at_once_is_followed() {
    if !RedisServer::is_valkey() {
        eprintln!("skipped: this Redis moves slots key by key");
        return;
    }
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let slot = slot_of(&mut cluster.servers[0].connect(), &key(0));
    let counted: Counted = std::array::from_fn(|_| AtomicI64::new(0));
    for index in 0..KEYS {
        respite.call(&["SET", &key(index), "0"]).assert_ok();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopping = StopAtEnd(&stop);
        let writer = scope.spawn(|| write(&respite, &counted, &stop));
        let readers = [(); 2].map(|()| scope.spawn(|| read(&respite, &counted, &stop)));
        for _ in 0..MOVES {
            let from = cluster.owner(slot);
            let (to, number) = ((from + 1) % 3, slot.to_string());
            let id = cluster.id(to);
            let begun = counted[0].load(Ordering::Relaxed);
            wait_until("something is counted here", DEADLINE, || {
                counted[0].load(Ordering::Relaxed) > begun + 10 || writer.is_finished()
            });
            cluster.servers[from]
                .call(&[
                    "CLUSTER",
                    "MIGRATESLOTS",
                    "SLOTSRANGE",
                    &number,
                    &number,
                    "NODE",
                    &id,
                ])
                .assert_ok();
            wait_until("the slot is there", DEADLINE, || cluster.has_slot(to, slot));
        }
        let begun = counted[0].load(Ordering::Relaxed);
        wait_until("it goes on", DEADLINE, || {
            counted[0].load(Ordering::Relaxed) > begun + 10 || writer.is_finished()
        });
        drop(stopping);
        writer.join().expect("each is counted once");
        for reader in readers {
            reader.join().expect("nothing old is shown");
        }
    });
    let hits = respite.call(&["CACHE.STATS"]).field("hits").int();
    assert!(hits > 0, "something came from memory");
}
