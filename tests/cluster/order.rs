//! One client's commands take effect in its order, whoever has their slot.

use std::time::{Duration, Instant};

use crate::support::{Client, DEADLINE, RedisCluster, Respite, slot_of, wait_until};

/// What overtakes takes far less.
const LONG: Duration = Duration::from_millis(400);

/// Mutant `redirects_overtaken`: commands wait at the old owner, and the map says already who is the new one.
#[test]
fn what_follows_waits_for_what_is_sent_on() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .workers(1)
        .start();
    let slot = slot_of(&mut cluster.servers[0].connect(), "{t}k");
    let from = cluster.owner(slot);
    let to = (from + 1) % 3;
    let (old, new) = (&cluster.servers[from], &cluster.servers[to]);
    let mut client = respite.connect();
    client.call(&["GET", "{t}k"]);
    old.call(&["CLIENT", "PAUSE", "60000", "WRITE"]).assert_ok();
    for number in ["1", "2"] {
        client.send(&["SET", "{t}k", number]);
    }
    while old.info("clients", "blocked_clients") == "0" {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The slot has no keys yet. Whoever asks hears of its new owner, and Respite asks: a node is silent.
    let (number, id) = (slot.to_string(), cluster.id(to));
    for server in [new, old] {
        let set = ["CLUSTER", "SETSLOT", &number, "NODE", &id];
        server.call(&set).assert_ok();
    }
    new.call(&["CLUSTER", "BUMPEPOCH"]);
    wait_until("the map is new", DEADLINE, || {
        let mut other: Client = respite.connect();
        other.set_timeout(Duration::from_millis(200));
        other.try_send_raw(b"SET {t}other 1\r\n").is_ok()
            && other
                .try_read_reply_raw()
                .is_ok_and(|reply| reply == b"+OK\r\n")
    });
    client.send(&["SET", "{t}k", "3"]);
    let end = Instant::now() + LONG;
    while new.call(&["EXISTS", "{t}k"]).int() == 0 && Instant::now() < end {}
    old.call(&["CLIENT", "UNPAUSE"]).assert_ok();
    for _ in 0..3 {
        client.read_reply().assert_ok();
    }
    client.call(&["GET", "{t}k"]).assert_str("3");
}
