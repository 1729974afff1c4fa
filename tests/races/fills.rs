//! A fetch against the push that tells of a change to its key.

use super::Stage;

#[test]
fn tracking_is_asked_for_in_its_default_mode() {
    let stage = Stage::start();
    let setup = stage.fill.setup();
    assert_eq!(setup[0][..2], ["HELLO", "3"]);
    let wanted = [
        ["CLIENT", "TRACKING", "ON"],
        ["config", "get", "tracking-table-max-keys"],
    ];
    assert_eq!(setup[1..], wanted);
}

#[test]
fn a_push_before_the_reply_voids_the_fetch() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    stage.fill.push_invalidate("k");
    fetch.bring("old");
    stage.client.read_reply().assert_str("old");
    stage.assert_reads("k", "new");
}

#[test]
fn a_push_between_the_life_and_the_value_voids_the_fetch() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    fetch.pttl.int(-1);
    stage.fill.push_invalidate("k");
    fetch.get.value("old");
    stage.client.read_reply().assert_str("old");
    stage.assert_reads("k", "new");
}

#[test]
fn a_push_right_behind_the_reply_takes_the_entry_away() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    stage.fill.cork();
    fetch.bring("old");
    stage.fill.push_invalidate("k");
    stage.fill.uncork();
    stage.client.read_reply().assert_str("old");
    stage.assert_reads("k", "new");
}

#[test]
fn a_push_takes_a_kept_entry_away() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.warm("other", "stays");
    stage.fill.push_invalidate("k");
    stage.wait_stat("invalidations", 1);
    stage.assert_reads("k", "new");
    stage.client.call(&["GET", "other"]).assert_str("stays");
}

/// Who waits when the push comes gets what was asked for before it; who comes later must not.
#[test]
fn nobody_joins_a_fetch_that_a_push_has_voided() {
    let mut stage = Stage::start();
    let mut joined = stage.respite.connect();
    stage.client.send(&["GET", "k"]);
    let before = stage.fill.fetch("k");
    joined.send(&["GET", "k"]);
    stage.wait_stat("coalesced", 1);
    stage.fill.push_invalidate("k");
    stage.wait_stat("invalidations", 1);
    let mut late = stage.respite.connect();
    late.send(&["GET", "k"]);
    let after = stage.fill.fetch("k");
    before.bring("old");
    after.bring("new");
    stage.client.read_reply().assert_str("old");
    joined.read_reply().assert_str("old");
    late.read_reply().assert_str("new");
    stage.assert_reads("k", "new");
}

/// A missing key is kept like a value: its creation is pushed as well.
#[test]
fn a_push_voids_the_fetch_of_a_missing_key() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    fetch.pttl.int(-2);
    stage.fill.push_invalidate("k");
    fetch.get.nil();
    assert!(stage.client.read_reply().is_null());
    stage.assert_reads("k", "new");
}
