//! Writes whose push is still on its way, and fetches that began before them.

use super::{CALM, Stage};
use crate::support::{DEADLINE, wait_until};

#[test]
fn a_write_is_seen_before_its_push_has_come() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.client.send(&["SET", "k", "new"]);
    stage.link.expect(&["SET", "k", "new"]).ok();
    stage.client.read_reply().assert_ok();
    stage.assert_reads("k", "new");
    // it only costs a fetch when it comes at last
    stage.fill.push_invalidate("k");
    stage.assert_reads("k", "new");
}

/// The client is another one, and so is the key's name in the command.
#[test]
fn every_key_that_a_command_names_is_covered() {
    let mut stage = Stage::start();
    for key in ["a", "b"] {
        stage.warm(key, "old");
    }
    let mut writer = stage.respite.connect();
    writer.send(&["RENAME", "a", "b"]);
    stage.link.expect(&["RENAME", "a", "b"]).ok();
    writer.read_reply().assert_ok();
    stage.backing.holds(0, "a", None);
    assert!(stage.client.call(&["GET", "a"]).is_null());
    stage.assert_reads("b", "old of a");
}

/// Between the sending of a write and its reply nobody knows whether it has been done.
#[test]
fn nothing_is_served_or_fetched_while_a_write_is_under_way() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    let mut writer = stage.respite.connect();
    writer.send(&["SET", "k", "new"]);
    let set = stage.link.expect(&["SET", "k", "new"]);
    stage.client.send(&["GET", "k"]);
    let get = stage.link.expect(&["GET", "k"]);
    set.ok();
    get.value("new");
    writer.read_reply().assert_ok();
    stage.client.read_reply().assert_str("new");
    stage.assert_reads("k", "new");
}

/// The fetch was executed before the write, and its reply comes after that of the write.
#[test]
fn a_fetch_that_began_before_a_write_is_neither_kept_nor_joined() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let before = stage.fill.fetch("k");
    let mut writer = stage.respite.connect();
    writer.send(&["SET", "k", "new"]);
    stage.link.expect(&["SET", "k", "new"]).ok();
    writer.read_reply().assert_ok();
    // a late joiner would get the value from before its own write
    writer.send(&["GET", "k"]);
    let after = stage.fill.fetch("k");
    before.bring("old");
    after.bring("new");
    stage.client.read_reply().assert_str("old");
    writer.read_reply().assert_str("new");
    stage.assert_reads("k", "new");
}

/// The reply of the fetch comes while the write is under way.
#[test]
fn a_fetch_that_ends_during_a_write_is_not_kept() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    let mut writer = stage.respite.connect();
    writer.send(&["SET", "k", "new"]);
    let set = stage.link.expect(&["SET", "k", "new"]);
    fetch.bring("old");
    stage.client.read_reply().assert_str("old");
    set.ok();
    writer.read_reply().assert_ok();
    stage.assert_reads("k", "new");
}

/// A client's own reads follow its unanswered write over the same connection.
#[test]
fn a_read_in_the_pipeline_follows_its_own_write() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.warm("other", "old");
    stage.backing.holds(0, "other", Some("new"));
    for command in [&["SET", "k", "new"][..], &["GET", "k"], &["GET", "other"]] {
        stage.client.send(command);
    }
    stage.link.expect(&["SET", "k", "new"]).ok();
    stage.link.expect(&["GET", "k"]).value("new");
    stage.client.read_reply().assert_ok();
    stage.client.read_reply().assert_str("new");
    stage.client.read_reply();
    stage.assert_reads("k", "new");
}

/// A read past the cache shows what a push on its way would have told: no later read goes back.
#[test]
fn a_read_past_the_cache_is_not_followed_by_an_older_one() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.client.send(&["DUMP", "k"]);
    stage.link.expect(&["DUMP", "k"]).value("new");
    stage.client.read_reply().assert_str("new");
    stage.assert_reads("k", "new");
}

/// The same, with the older value still on its way into the cache.
#[test]
fn a_fetch_that_began_before_a_read_past_the_cache_is_not_kept() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    let mut other = stage.respite.connect();
    other.send(&["DUMP", "k"]);
    stage.link.expect(&["DUMP", "k"]).int(3);
    assert_eq!(other.read_reply().int(), 3);
    fetch.bring("before");
    stage.client.read_reply().assert_str("before");
    stage.assert_reads("k", "new");
}

/// Nobody can tell whether a write was done whose connection broke: it counts as done.
#[test]
fn a_write_that_is_lost_may_have_happened() {
    let mut stage = Stage::start();
    stage.respite.allow_log("link lost");
    stage.warm("k", "old");
    let mut writer = stage.respite.connect();
    writer.send(&["SET", "k", "new"]);
    let _unanswered = stage.link.expect(&["SET", "k", "new"]);
    stage.link.cut();
    writer.read_reply().assert_error("UPSTREAM");
    stage.assert_reads("k", "new");
}

/// As above, with a connection that stays and says nothing, and a fetch from before the write.
#[test]
fn a_write_that_times_out_may_have_happened() {
    let config = [CALM, "[timeouts]\nreply = \"100ms\""].join("\n");
    let mut stage = Stage::with(&config);
    stage.respite.allow_log("link lost");
    stage.warm("k", "old");
    stage.client.send(&["GET", "j"]);
    let fetch = stage.fill.fetch("j");
    let mut writer = stage.respite.connect();
    writer.send(&["MSET", "k", "new", "j", "new"]);
    let _unanswered = stage.link.expect(&["MSET", "k", "new", "j", "new"]);
    writer.read_reply().assert_error("UPSTREAM");
    fetch.bring("old");
    stage.client.read_reply().assert_str("old");
    for key in ["k", "j"] {
        stage.assert_reads(key, "new");
    }
}

/// Its own client is gone, but the write is still under way.
#[test]
fn a_write_outlives_its_client() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    let mut writer = stage.respite.connect();
    writer.send(&["SET", "k", "new"]);
    let set = stage.link.expect(&["SET", "k", "new"]);
    let clients = |stage: &mut Stage| {
        let list = stage.client.call(&["CLIENT", "LIST"]);
        list.as_str().lines().count()
    };
    writer.reset();
    wait_until("the writer is gone", DEADLINE, || clients(&mut stage) == 1);
    stage.client.send(&["GET", "k"]);
    let get = stage.link.expect(&["GET", "k"]);
    set.ok();
    get.value("new");
    stage.client.read_reply().assert_str("new");
    stage.assert_reads("k", "new");
}
