//! Writes in a transaction happen at `EXEC`, on a connection of the client's own.

use super::Stage;
use crate::support::{Client, Wire};

/// Begins a transaction that sets `k`.
fn begin(stage: &Stage) -> (Client, Wire) {
    let mut writer = stage.respite.connect();
    writer.send(&["MULTI"]);
    let pinned = stage.backing.pinned();
    pinned.expect(&["MULTI"]).ok();
    writer.read_reply().assert_ok();
    writer.send(&["SET", "k", "new"]);
    pinned.expect(&["SET", "k", "new"]).raw("+QUEUED\r\n");
    writer.read_reply().assert_str("QUEUED");
    (writer, pinned)
}

#[test]
fn a_transaction_is_seen_once_exec_is_answered() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    let (mut writer, pinned) = begin(&stage);
    // nothing has happened yet
    stage.client.call(&["GET", "k"]).assert_str("old");
    writer.send(&["EXEC"]);
    let exec = pinned.expect(&["EXEC"]);
    // now it may have
    stage.client.send(&["GET", "k"]);
    let get = stage.link.expect(&["GET", "k"]);
    exec.raw("*1\r\n+OK\r\n");
    assert_eq!(writer.read_reply().strings(), ["OK"]);
    get.value("new");
    stage.client.read_reply().assert_str("new");
    stage.backing.holds(0, "k", Some("new"));
    writer.call(&["GET", "k"]).assert_str("new");
    stage.assert_reads("k", "new");
}

#[test]
fn a_fetch_that_began_before_exec_is_neither_kept_nor_joined() {
    let mut stage = Stage::start();
    let (mut writer, pinned) = begin(&stage);
    stage.client.send(&["GET", "k"]);
    let before = stage.fill.fetch("k");
    writer.send(&["EXEC"]);
    pinned.expect(&["EXEC"]).raw("*1\r\n+OK\r\n");
    assert_eq!(writer.read_reply().strings(), ["OK"]);
    writer.send(&["GET", "k"]);
    let after = stage.fill.fetch("k");
    before.bring("old");
    after.bring("new");
    stage.client.read_reply().assert_str("old");
    writer.read_reply().assert_str("new");
    stage.assert_reads("k", "new");
}

/// Nobody can tell whether it was executed.
#[test]
fn a_transaction_that_is_lost_may_have_happened() {
    let mut stage = Stage::start();
    stage.respite.allow_log("lost");
    stage.warm("k", "old");
    let (mut writer, pinned) = begin(&stage);
    writer.send(&["EXEC"]);
    let _unanswered = pinned.expect(&["EXEC"]);
    pinned.cut();
    writer.read_reply().assert_error("UPSTREAM");
    stage.assert_reads("k", "new");
}

/// `SELECT` in a transaction: its writes are in another database than the session's.
#[test]
fn a_transaction_covers_the_database_that_it_selects() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    let mut writer = stage.respite.connect();
    writer.call(&["SELECT", "1"]).assert_ok();
    queue_in(&mut stage, &mut writer, &["0"]);
    stage.assert_reads("k", "new");
}

/// However many those are.
#[test]
fn a_transaction_covers_all_the_databases_that_it_selects() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    let databases: Vec<String> = (1..30).chain([0]).map(|db| db.to_string()).collect();
    let databases: Vec<&str> = databases.iter().map(String::as_str).collect();
    let mut writer = stage.respite.connect();
    writer.call(&["SELECT", "1"]).assert_ok();
    queue_in(&mut stage, &mut writer, &databases);
    stage.assert_reads("k", "new");
}

/// Sets `k` in a transaction that has selected these databases, each confirmed before the next.
fn queue_in(stage: &mut Stage, writer: &mut Client, databases: &[&str]) {
    writer.send(&["MULTI"]);
    let pinned = stage.backing.pinned();
    pinned.expect(&["MULTI"]).ok();
    writer.read_reply().assert_ok();
    pinned.hold_selects();
    let selects = databases.iter().map(|db| vec!["SELECT", *db]);
    for command in selects.chain([vec!["SET", "k", "new"]]) {
        writer.send(&command);
        pinned.expect(&command).raw("+QUEUED\r\n");
        writer.read_reply().assert_str("QUEUED");
    }
    writer.send(&["EXEC"]);
    let replies = "+OK\r\n".repeat(databases.len() + 1);
    let all = format!("*{}\r\n{replies}", databases.len() + 1);
    pinned.expect(&["EXEC"]).raw(&all);
    assert_eq!(writer.read_reply().items().len(), databases.len() + 1);
}

/// A client that watches and reads on its own connection sees what the backing says.
#[test]
fn reads_between_watch_and_exec_ask_the_backing() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    let mut watcher = stage.respite.connect();
    watcher.send(&["WATCH", "k"]);
    let pinned = stage.backing.pinned();
    pinned.expect(&["WATCH", "k"]).ok();
    watcher.read_reply().assert_ok();
    watcher.send(&["GET", "k"]);
    pinned.expect(&["GET", "k"]).value("new");
    watcher.read_reply().assert_str("new");
    // and what it has seen, nobody goes back behind
    stage.assert_reads("k", "new");
}
