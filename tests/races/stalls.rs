//! Fill links that owe an answer for too long, and reads that must not overtake each other meanwhile.

use std::time::{Duration, Instant};

use super::{Pair, Stage, wait_stat};
use crate::support::Client;

const TENSE: &str = "[cache]\nstaleness_max = \"500ms\"";
const HIDDEN: [&str; 3] = ["EVAL", "return redis.call('SET', 'k', 'new')", "0"];

/// The worker has answered somebody who came later, twice: what this client has sent is handled as far as it can be.
fn is_handled(others: &mut [Client]) {
    for _ in 0..2 {
        for other in &mut *others {
            other.call(&["CACHE.STATS"]);
        }
    }
}

/// The reply is not held for as long as the link is: nothing that it brought is served when it speaks again before
/// the push has come.
#[test]
fn a_script_does_not_wait_for_a_silent_link() {
    let mut stage = Stage::with(TENSE);
    stage.client.send(&["GET", "k"]);
    stage.fill.fetch("k").bring("old");
    stage.client.read_reply().assert_str("old");
    stage.fill.hold_pings();
    // signs of life that were asked for before the script was executed
    let pings = [(); 4].map(|()| stage.fill.expect(&["PING"]));
    let mut writer = stage.respite.connect();
    writer.send(&HIDDEN);
    stage.backing.expect_anywhere(&HIDDEN).1.ok();
    writer.read_reply().assert_ok();
    assert!(stage.fill.is_open(), "the link was given up");
    stage.backing.holds(0, "k", Some("new"));
    for ping in pings {
        ping.pong();
    }
    for _ in 0..50 {
        stage.client.call(&["GET", "k"]).assert_str("new");
    }
    // one that comes now does not wait at all, or as long
    writer.send(&HIDDEN);
    stage.backing.expect_anywhere(&HIDDEN).1.ok();
    writer.read_reply().assert_ok();
    stage.fill.push_invalidate("k");
    stage.fill.answer_pings();
    stage.assert_reads("k", "new");
}

/// Who waits for a fetch on it asks in another way, and what comes of it later is nobody's.
#[test]
fn a_read_does_not_wait_for_a_silent_link() {
    let mut stage = Stage::with(TENSE);
    let mut joined = stage.respite.connect();
    stage.client.send(&["GET", "k"]);
    let hanging = stage.fill.fetch("k");
    joined.send(&["GET", "k"]);
    stage.wait_stat("coalesced", 1);
    for _ in 0..2 {
        stage.link.expect(&["GET", "k"]).value("new");
    }
    stage.client.read_reply().assert_str("new");
    joined.read_reply().assert_str("new");
    assert!(stage.fill.is_open(), "the link was given up");
    hanging.bring("old");
    stage.assert_reads("k", "newer");
}

/// A value that comes slowly comes; a script does not wait for the end of it.
#[test]
fn a_value_that_takes_its_time_is_no_hang() {
    const DELTA: Duration = Duration::from_secs(1);
    let mut stage = Stage::with("[cache]\nstaleness_max = \"1s\"");
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    fetch.pttl.int(-1);
    let mut writer = stage.respite.connect();
    writer.send(&HIDDEN);
    stage.backing.expect_anywhere(&HIDDEN).1.ok();
    stage.fill.write("$1000\r\n");
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < 3 * DELTA {
        stage.fill.write("x");
        sent += 1;
        std::thread::sleep(Duration::from_millis(20)); // so slow is the network
    }
    writer.read_reply().assert_ok();
    let rest = format!("{}\r\n", "x".repeat(1000 - sent));
    fetch.get.raw(&rest);
    stage.client.read_reply().assert_str(&"x".repeat(1000));
    assert!(stage.fill.is_open(), "the link was given up");
    stage.assert_reads("k", "new");
}

/// A client's fetch was voided and is still under way; another link has brought the key meanwhile. When the fetch
/// fails and is made again it shows something newer, so the client's next read must not have been answered before.
#[test]
fn a_read_does_not_pass_the_clients_own_fetch() {
    let mut pair = Pair::start();
    let mut others = [pair.respite.connect(), pair.respite.connect()];
    let [client, other] = &mut pair.clients;
    client.send(&["GET", "k"]);
    let _unanswered = pair.fills[0].fetch("k");
    pair.fills[0].push_invalidate("k");
    wait_stat(&pair.respite, "invalidations", 1);
    other.send(&["GET", "k"]);
    pair.fills[1].fetch("k").bring("v1");
    other.read_reply().assert_str("v1");
    client.send(&["GET", "k"]);
    is_handled(&mut others);
    pair.backing.holds(0, "k", Some("v2"));
    pair.fills[0].cut();
    client.read_reply().assert_str("v2");
    client.read_reply().assert_str("v2");
}

/// As long as its fetch can be joined, a client's next read of the key shares it; other keys wait for nothing.
#[test]
fn a_read_shares_the_clients_own_fetch() {
    let mut stage = Stage::start();
    stage.backing.holds(0, "other", Some("value"));
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    stage.client.send(&["GET", "k"]);
    stage.wait_stat("coalesced", 1);
    fetch.bring("value");
    stage.client.read_reply().assert_str("value");
    stage.client.read_reply().assert_str("value");
}

/// The same for a read that does not ask the cache at all.
#[test]
fn an_inline_read_does_not_pass_the_clients_own_fetch() {
    let mut stage = Stage::start();
    let mut others = [stage.respite.connect()];
    stage.client.send(&["GET", "k"]);
    let _unanswered = stage.fill.fetch("k");
    stage.client.send_raw(b"GET k\r\n");
    is_handled(&mut others);
    // made again, it comes before the other
    stage.fill.cut();
    for value in ["v1", "v2"] {
        stage.link.expect(&["GET", "k"]).value(value);
    }
    for value in ["v1", "v2"] {
        stage.client.read_reply().assert_str(value);
    }
}
