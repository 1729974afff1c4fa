//! Commands that change every key, through this Respite and past it.

use super::Stage;

#[test]
fn a_push_of_null_empties_the_cache() {
    let mut stage = Stage::start();
    for key in ["a", "b"] {
        stage.warm(key, "old");
    }
    stage.client.send(&["GET", "c"]);
    let fetch = stage.fill.fetch("c");
    stage.fill.push_flush();
    fetch.bring("old");
    stage.client.read_reply().assert_str("old");
    for key in ["a", "b", "c"] {
        stage.assert_reads(key, "new");
    }
}

/// Redis pushes nothing for `SWAPDB`: nobody but Respite can know.
#[test]
fn swapdb_empties_the_cache_without_a_push() {
    covers_every_key(&["SWAPDB", "0", "1"]);
}

#[test]
fn flushall_is_seen_before_its_push_has_come() {
    covers_every_key(&["FLUSHALL"]);
}

#[test]
fn flushdb_is_seen_before_its_push_has_come() {
    covers_every_key(&["FLUSHDB"]);
}

fn covers_every_key(command: &[&str]) {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.client.send(&["GET", "j"]);
    let before = stage.fill.fetch("j");
    let mut writer = stage.respite.connect();
    writer.send(command);
    let flush = stage.link.expect(command);
    // under way: nobody knows which it is
    let mut reader = stage.respite.connect();
    reader.send(&["GET", "k"]);
    let get = stage.link.expect(&["GET", "k"]);
    before.bring("old");
    stage.client.read_reply().assert_str("old");
    flush.ok();
    get.value("new");
    writer.read_reply().assert_ok();
    reader.read_reply().assert_str("new");
    for key in ["k", "j"] {
        stage.assert_reads(key, "new");
    }
}

/// The reply of the fetch comes after that of the command.
#[test]
fn a_fetch_that_began_before_a_flush_is_neither_kept_nor_joined() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let before = stage.fill.fetch("k");
    let mut writer = stage.respite.connect();
    writer.send(&["SWAPDB", "0", "1"]);
    stage.link.expect(&["SWAPDB", "0", "1"]).ok();
    writer.read_reply().assert_ok();
    writer.send(&["GET", "k"]);
    let after = stage.fill.fetch("k");
    before.bring("old");
    after.bring("new");
    stage.client.read_reply().assert_str("old");
    writer.read_reply().assert_str("new");
    stage.assert_reads("k", "new");
}

/// The keys of a transaction are collected; a flush in it is every key.
#[test]
fn a_flush_in_a_transaction_covers_every_key() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    let mut writer = stage.respite.connect();
    writer.send(&["MULTI"]);
    let pinned = stage.backing.pinned();
    pinned.expect(&["MULTI"]).ok();
    writer.read_reply().assert_ok();
    writer.send(&["SWAPDB", "0", "1"]);
    pinned.expect(&["SWAPDB", "0", "1"]).raw("+QUEUED\r\n");
    writer.read_reply().assert_str("QUEUED");
    writer.send(&["EXEC"]);
    pinned.expect(&["EXEC"]).raw("*1\r\n+OK\r\n");
    assert_eq!(writer.read_reply().strings(), ["OK"]);
    stage.assert_reads("k", "new");
}

#[test]
fn a_lost_flush_may_have_happened() {
    let mut stage = Stage::start();
    stage.respite.allow_log("link lost");
    stage.warm("k", "old");
    let mut writer = stage.respite.connect();
    writer.send(&["SWAPDB", "0", "1"]);
    let _unanswered = stage.link.expect(&["SWAPDB", "0", "1"]);
    stage.link.cut();
    writer.read_reply().assert_error("UPSTREAM");
    stage.assert_reads("k", "new");
}
