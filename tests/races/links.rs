//! Fill links that break, hang and come back.

use std::time::{Duration, Instant};

use super::{Pair, Stage, wait_stat, warm};
use crate::support::{DEADLINE, wait_until};

/// A bound of staleness that a test can wait for.
const DELTA: Duration = Duration::from_millis(500);
const TENSE: &str = "[cache]\nstaleness_max = \"500ms\"";

#[test]
fn a_fetch_whose_link_breaks_is_made_the_ordinary_way() {
    let mut stage = Stage::start();
    let mut joined = stage.respite.connect();
    stage.client.send(&["GET", "k"]);
    let _unanswered = stage.fill.fetch("k");
    joined.send(&["GET", "k"]);
    stage.wait_stat("coalesced", 1);
    stage.fill.cut();
    for _ in 0..2 {
        stage.link.expect(&["GET", "k"]).value("old");
    }
    stage.client.read_reply().assert_str("old");
    joined.read_reply().assert_str("old");
    stage.assert_reads("k", "new");
}

/// The life of the value was answered, and half of the value.
#[test]
fn half_a_reply_is_not_kept() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    fetch.pttl.int(-1);
    fetch.get.raw("$3\r\nol");
    stage.fill.cut();
    stage.link.expect(&["GET", "k"]).value("old");
    stage.client.read_reply().assert_str("old");
    stage.assert_reads("k", "new");
}

/// What the lost link brought is tracked by nobody, however good the new one is.
#[test]
fn entries_end_with_their_connection() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.fill.cut();
    stage.fill = stage.backing.fill_link_after(&stage.fill);
    stage.warm("other", "value");
    stage.assert_reads("k", "new");
}

/// The key was changed while no link was there, so there is no push that could tell.
#[test]
fn nothing_is_served_while_the_link_is_away() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.backing.holds(0, "k", Some("new"));
    stage.fill.cut();
    wait_until("the loss is noticed", DEADLINE, || {
        stage.client.call(&["CACHE.INSPECT", "k"]).is_null()
    });
    stage.assert_reads("k", "new");
}

/// A link that is there and says nothing: δ after the last sign of life nothing is served, long before the link is
/// given up, and reads are answered all the same.
#[test]
fn a_silent_link_serves_nothing_after_delta() {
    let mut stage = Stage::with(TENSE);
    stage.client.send(&["GET", "k"]);
    stage.fill.fetch("k").bring("old");
    stage.client.read_reply().assert_str("old");
    stage.fill.hold_pings();
    let ping = stage.fill.expect(&["PING"]);
    // whatever is answered was sent before this
    let silent = Instant::now();
    stage.backing.holds(0, "k", Some("new"));
    wait_until("delta has passed", DEADLINE, || silent.elapsed() > DELTA);
    stage.assert_reads("k", "new");
    assert!(stage.fill.is_open(), "nothing was shown");
    // and once it speaks again, its pushes come first
    stage.fill.push_invalidate("k");
    ping.pong();
    stage.fill.answer_pings();
    stage.backing.holds(0, "other", Some("value"));
    wait_until("the link is used again", DEADLINE, || {
        stage.client.call(&["GET", "other"]).assert_str("value");
        !stage.client.call(&["CACHE.INSPECT", "other"]).is_null()
    });
    stage.assert_reads("k", "new");
}

/// It may bring what was current too long ago for a read that comes now.
#[test]
fn a_fetch_that_hangs_is_not_joined_after_delta() {
    let mut stage = Stage::with(TENSE);
    stage.client.send(&["GET", "k"]);
    let hanging = stage.fill.fetch("k");
    // it was asked for before this
    let begun = Instant::now();
    wait_until("delta has passed", DEADLINE, || begun.elapsed() > DELTA);
    let mut late = stage.respite.connect();
    late.send(&["GET", "k"]);
    // who waited for it asks again as well: the link is silent
    for _ in 0..2 {
        stage.link.expect(&["GET", "k"]).value("new");
    }
    late.read_reply().assert_str("new");
    stage.client.read_reply().assert_str("new");
    hanging.bring("old");
    stage.assert_reads("k", "newer");
}

/// Each worker has a link of its own. A late push on one says nothing of what the other has fetched since, and the
/// push on that other one is the one that counts.
#[test]
fn an_entry_belongs_to_the_link_that_brought_it() {
    let mut pair = Pair::start();
    let [first, second] = &mut pair.clients;
    warm(first, &pair.fills[0], "k", "old");
    second.send(&["SET", "k", "new"]);
    pair.backing.expect_anywhere(&["SET", "k", "new"]).1.ok();
    second.read_reply().assert_ok();
    warm(second, &pair.fills[1], "k", "new");
    pair.fills[0].push_invalidate("k");
    wait_stat(&pair.respite, "invalidations", 1);
    pair.assert_reads("k", "new");
    pair.backing.holds(0, "k", Some("newer"));
    pair.fills[1].push_invalidate("k");
    wait_stat(&pair.respite, "invalidations", 2);
    pair.assert_reads("k", "newer");
}

/// What one worker's lost link brought, the other worker's good link does not vouch for.
#[test]
fn an_entry_ends_with_the_link_that_brought_it() {
    let mut pair = Pair::start();
    let [first, second] = &mut pair.clients;
    warm(first, &pair.fills[0], "k", "old");
    second.call(&["GET", "k"]).assert_str("old");
    pair.fills[0].cut();
    pair.backing.fill_link_after(&pair.fills[0]);
    warm(second, &pair.fills[1], "other", "value");
    pair.backing.holds(0, "k", Some("new"));
    pair.assert_reads("k", "new");
}

/// A fetch of one worker serves clients of all; when its link breaks, each asks in its own way.
#[test]
fn a_fetch_of_another_worker_that_breaks_is_made_the_ordinary_way() {
    let mut pair = Pair::start();
    let [first, second] = &mut pair.clients;
    first.send(&["GET", "k"]);
    let _unanswered = pair.fills[0].fetch("k");
    second.send(&["GET", "k"]);
    wait_stat(&pair.respite, "coalesced", 1);
    pair.fills[0].cut();
    for _ in 0..2 {
        pair.backing.expect_anywhere(&["GET", "k"]).1.value("old");
    }
    first.read_reply().assert_str("old");
    second.read_reply().assert_str("old");
    pair.backing.holds(0, "k", Some("new"));
    pair.assert_reads("k", "new");
}
