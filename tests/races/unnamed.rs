//! Commands that show or change keys which their arguments do not name, and clients that see little of it.

use std::time::Duration;

use super::Stage;
use crate::support::encode;

const HIDDEN: [&str; 3] = ["EVAL", "return redis.call('SET', 'k', 'new')", "0"];
/// How long is looked for a reply that must not come.
const MOMENT: Duration = Duration::from_millis(20);

/// What such a read shows may be newer than what is cached: its client must not see the older value next.
#[test]
fn reads_that_do_not_name_their_keys_wait_for_the_pushes() {
    for command in [
        &["EVAL_RO", "return redis.call('GET', 'k')", "0"][..],
        &["EVALSHA_RO", "c0ffee", "0"],
        &["FCALL_RO", "f", "0"],
        &["SORT_RO", "list", "BY", "nosort", "GET", "k*"],
        &["SORT", "list", "GET", "k*"],
        &["SORT", "list", "BY", "k*"],
        &["KEYS", "*"],
        &["SCAN", "0"],
        &["RANDOMKEY"],
        &["DBSIZE"],
    ] {
        let mut stage = Stage::start();
        stage.warm("k", "old");
        stage.fill.hold_pings();
        let mut reader = stage.respite.connect();
        reader.send(command);
        stage.backing.expect_anywhere(command).1.value("new");
        let ping = stage.fill.expect(&["PING"]);
        stage.client.call(&["CACHE.STATS"]);
        assert!(reader.silent_for(MOMENT), "{command:?} was not kept back");
        stage.fill.push_invalidate("k");
        ping.pong();
        reader.read_reply().assert_str("new");
        stage.assert_reads("k", "new");
    }
}

/// A `SORT` that reads its own key only has nothing to wait for.
#[test]
fn a_plain_sort_is_not_kept_back() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    stage.fill.hold_pings();
    for command in [&["SORT", "list"][..], &["SORT_RO", "list", "GET", "#"]] {
        stage.client.send(command);
        stage.backing.expect_anywhere(command).1.value("1");
        stage.client.read_reply().assert_str("1");
    }
}

/// The fence is there for the client's next read, whether it wants to see the reply or not.
#[test]
fn a_script_whose_reply_nobody_wants_is_fenced() {
    for silence in ["SKIP", "OFF"] {
        let mut stage = Stage::start();
        stage.warm("k", "old");
        stage.fill.hold_pings();
        let mut writer = stage.respite.connect();
        let reply = ["CLIENT", "REPLY", silence];
        writer.send_raw(&[encode(&reply), encode(&HIDDEN)].concat());
        let script = stage.backing.expect_anywhere(&HIDDEN).1;
        if silence == "OFF" {
            writer.send(&["CLIENT", "REPLY", "ON"]);
        }
        script.ok();
        let ping = stage.fill.expect(&["PING"]);
        writer.send(&["GET", "k"]);
        stage.backing.expect_anywhere(&["GET", "k"]).1.value("new");
        assert!(writer.silent_for(MOMENT), "shown before the fence");
        stage.fill.push_invalidate("k");
        ping.pong();
        if silence == "OFF" {
            writer.read_reply().assert_ok();
        }
        writer.read_reply().assert_str("new");
    }
}

/// Nil says that a watched key has changed.
#[test]
fn watched_keys_are_covered_at_an_exec_that_aborts() {
    let mut stage = Stage::start();
    let mut writer = stage.respite.connect();
    writer.send(&["WATCH", "k"]);
    let pinned = stage.backing.pinned();
    pinned.expect(&["WATCH", "k"]).ok();
    writer.read_reply().assert_ok();
    stage.warm("k", "old");
    writer.send_raw(&[encode(&["MULTI"]), encode(&["EXEC"])].concat());
    pinned.expect(&["MULTI"]).ok();
    pinned.expect(&["EXEC"]).raw("*-1\r\n");
    writer.read_reply().assert_ok();
    assert!(writer.read_reply().is_null());
    stage.assert_reads("k", "new");
}
