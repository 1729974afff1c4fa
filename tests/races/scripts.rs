//! Commands that change keys which they do not name: their replies wait for a fence.

use std::time::Duration;

use super::{Pair, Stage, warm};
use crate::support::{Client, DEADLINE, Wire, wait_until};

const HIDDEN: [&str; 3] = ["EVAL", "return redis.call('SET', 'k', 'new')", "0"];
/// How long is looked for a reply that must not come; it would have come before somebody else's.
const MOMENT: Duration = Duration::from_millis(20);

/// Asserts that a reply is kept back: its worker has answered somebody else since.
#[track_caller]
fn assert_held(writer: &mut Client, other: &mut Client) {
    other.call(&["CACHE.STATS"]);
    assert!(writer.silent_for(MOMENT), "the reply was not kept back");
}

#[test]
fn a_scripts_reply_waits_for_the_pushes_that_it_caused() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.fill.hold_pings();
    let mut writer = stage.respite.connect();
    writer.send(&HIDDEN);
    stage.backing.expect_anywhere(&HIDDEN).1.ok();
    let ping = stage.fill.expect(&["PING"]);
    assert_held(&mut writer, &mut stage.client);
    stage.fill.push_invalidate("k");
    ping.pong();
    writer.read_reply().assert_ok();
    stage.assert_reads("k", "new");
}

#[test]
fn a_scripts_reply_waits_for_every_workers_link() {
    let mut pair = Pair::start();
    let [writer, other] = &mut pair.clients;
    warm(writer, &pair.fills[0], "k0", "old");
    warm(other, &pair.fills[1], "k1", "old");
    pair.fills.iter().for_each(Wire::hold_pings);
    writer.send(&HIDDEN);
    pair.backing.expect_anywhere(&HIDDEN).1.ok();
    let pings = pair.fills.each_ref().map(|fill| fill.expect(&["PING"]));
    for (n, ping) in pings.into_iter().enumerate() {
        assert_held(writer, other);
        pair.fills[n].push_invalidate(&format!("k{n}"));
        ping.pong();
    }
    writer.read_reply().assert_ok();
    for key in ["k0", "k1"] {
        pair.backing.holds(0, key, Some("new"));
        pair.assert_reads(key, "new");
    }
}

/// Somebody else's read in the meantime may show either; what is fetched then is right.
#[test]
fn a_fetch_under_way_at_the_fence_has_landed_when_the_reply_goes_out() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    stage.fill.hold_pings();
    let mut writer = stage.respite.connect();
    writer.send(&HIDDEN);
    stage.backing.expect_anywhere(&HIDDEN).1.ok();
    let ping = stage.fill.expect(&["PING"]);
    fetch.bring("old");
    stage.fill.push_invalidate("k");
    ping.pong();
    stage.client.read_reply().assert_str("old");
    writer.read_reply().assert_ok();
    stage.assert_reads("k", "new");
}

/// A link that is lost has nothing left that could be stale.
#[test]
fn a_fence_ends_with_its_link() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.fill.hold_pings();
    let mut writer = stage.respite.connect();
    writer.send(&HIDDEN);
    stage.backing.expect_anywhere(&HIDDEN).1.ok();
    let _unanswered = stage.fill.expect(&["PING"]);
    stage.fill.cut();
    writer.read_reply().assert_ok();
    stage.assert_reads("k", "new");
}

#[test]
fn a_script_in_a_transaction_is_fenced_at_exec() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.fill.hold_pings();
    let mut writer = stage.respite.connect();
    writer.send(&["MULTI"]);
    let pinned = stage.backing.pinned();
    pinned.expect(&["MULTI"]).ok();
    writer.read_reply().assert_ok();
    writer.send(&HIDDEN);
    pinned.expect(&HIDDEN).raw("+QUEUED\r\n");
    writer.read_reply().assert_str("QUEUED");
    writer.send(&["EXEC"]);
    pinned.expect(&["EXEC"]).raw("*1\r\n+OK\r\n");
    let ping = stage.fill.expect(&["PING"]);
    assert_held(&mut writer, &mut stage.client);
    stage.fill.push_invalidate("k");
    ping.pong();
    assert_eq!(writer.read_reply().strings(), ["OK"]);
    stage.assert_reads("k", "new");
}

/// A blocking pop changes its list whenever somebody pushes; the client may wait for long, and reads of others must
/// not stop meanwhile.
#[test]
fn a_blocking_command_is_fenced_at_its_end() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    let mut blocked = stage.respite.connect();
    let command = ["BLMOVE", "from", "k", "LEFT", "LEFT", "0"];
    blocked.send(&command);
    let popped = stage.backing.pinned().expect(&command);
    stage.client.call(&["GET", "k"]).assert_str("old");
    stage.fill.hold_pings();
    popped.value("element");
    let ping = stage.fill.expect(&["PING"]);
    assert_held(&mut blocked, &mut stage.client);
    stage.fill.push_invalidate("k");
    ping.pong();
    blocked.read_reply().assert_str("element");
    stage.assert_reads("k", "new");
}

/// Nobody waits for the client's reads either: behind its held reply they ask the backing.
#[test]
fn a_read_behind_a_held_reply_is_not_served_from_memory() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.fill.hold_pings();
    stage.client.send(&HIDDEN);
    stage.backing.expect_anywhere(&HIDDEN).1.ok();
    let ping = stage.fill.expect(&["PING"]);
    stage.backing.holds(0, "k", Some("new"));
    stage.client.send(&["GET", "k"]);
    let mut admin = stage.respite.connect();
    wait_until("the read is handled", DEADLINE, || {
        let list = admin.call(&["CLIENT", "LIST"]);
        list.as_str().contains("cmd=get")
    });
    stage.fill.push_invalidate("k");
    ping.pong();
    stage.client.read_reply().assert_ok();
    stage.client.read_reply().assert_str("new");
    stage.assert_reads("k", "new");
}
