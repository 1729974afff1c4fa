//! Keys that end by the clock: Redis says so only when somebody touches them.

use std::time::{Duration, Instant};

use super::Stage;
use crate::support::{DEADLINE, wait_until};

#[test]
fn an_entry_ends_with_its_keys_life_and_no_push() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    // it was asked for before this
    let asked = Instant::now();
    let life = Duration::from_millis(400);
    fetch.pttl.int(400);
    fetch.get.value("old");
    stage.client.read_reply().assert_str("old");
    stage.backing.holds(0, "k", None);
    wait_until("its life is over", DEADLINE, || asked.elapsed() >= life);
    assert!(stage.client.call(&["GET", "k"]).is_null());
}

#[test]
fn the_deadline_is_that_of_the_key() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    fetch.pttl.int(100_000);
    fetch.get.value("value");
    stage.client.read_reply().assert_str("value");
    let left = stage.client.call(&["CACHE.INSPECT", "k"]);
    let left = left.field("ttl_ms").int();
    assert!((50_000..100_000).contains(&left), "{left}");
}

/// When the value comes its life is over already: whoever waits asks again.
#[test]
fn a_value_that_expires_on_its_way_is_asked_for_again() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    let asked = Instant::now();
    wait_until("its life is over", DEADLINE, || {
        asked.elapsed() >= Duration::from_millis(5)
    });
    fetch.pttl.int(5);
    fetch.get.value("old");
    stage.link.expect(&["GET", "k"]).nil();
    assert!(stage.client.read_reply().is_null());
    stage.assert_reads("k", "new");
}

/// A shorter life is a change like any other: through this Respite it is covered before its push comes.
#[test]
fn a_life_that_is_shortened_is_seen_before_its_push() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.client.send(&["PEXPIRE", "k", "1"]);
    stage.link.expect(&["PEXPIRE", "k", "1"]).int(1);
    assert_eq!(stage.client.read_reply().int(), 1);
    stage.backing.holds(0, "k", None);
    assert!(stage.client.call(&["GET", "k"]).is_null());
}
