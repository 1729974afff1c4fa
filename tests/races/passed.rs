//! `GET`s that pass the cache by, behind a write of their client, against what is here and what is on its way: what they
//! show is not followed by anything older, and what is the same stays.

use super::{Pair, Stage, warm};
use crate::support::{Client, Wire, encode};

/// A write and a read of another key in one packet: the read is not answered before the write is executed.
fn behind_a_write(client: &mut Client, key: &str) {
    let packet = [encode(&["SET", "mine", "1"]), encode(&["GET", key])];
    client.send_raw(&packet.concat());
}

/// Has the backing answer both.
fn answer(link: &Wire, key: &str, reply: &str) {
    link.expect(&["SET", "mine", "1"]).ok();
    link.expect(&["GET", key]).raw(reply);
}

#[test]
fn what_shows_the_same_takes_nothing_away() {
    let mut stage = Stage::start();
    stage.warm("k", "same");
    behind_a_write(&mut stage.client, "k");
    // Meanwhile others are served.
    let mut other = stage.respite.connect();
    other.call(&["GET", "k"]).assert_str("same");
    answer(&stage.link, "k", "$4\r\nsame\r\n");
    stage.client.read_reply().assert_ok();
    stage.client.read_reply().assert_str("same");
    // Asked of nobody.
    stage.client.call(&["GET", "k"]).assert_str("same");
}

#[test]
fn what_shows_another_value_is_not_followed_by_the_older_one() {
    for shown in [
        "$3\r\nnew\r\n",
        "$-1\r\n",
        "-WRONGTYPE it is a list now\r\n",
    ] {
        let mut stage = Stage::start();
        stage.warm("k", "old");
        behind_a_write(&mut stage.client, "k");
        answer(&stage.link, "k", shown);
        stage.client.read_reply().assert_ok();
        stage.client.read_reply();
        stage.assert_reads("k", "newer");
    }
}

/// The client sees the first bytes of a large reply before the rest has come.
#[test]
fn what_comes_in_pieces_counts_from_the_first_one_on() {
    let mut stage = Stage::start();
    stage.warm("k", "old");
    behind_a_write(&mut stage.client, "k");
    let mut others = stage.respite.connect();
    stage.link.expect(&["SET", "mine", "1"]).ok();
    let get = stage.link.expect(&["GET", "k"]);
    let begun = format!("$200000\r\n{}", "new ".repeat(40_000));
    stage.link.write(&begun);
    stage.client.read_reply().assert_ok();
    stage.client.wait_for_bytes(12);
    others.send(&["GET", "k"]);
    stage.fill.fetch("k").bring("newer");
    others.read_reply().assert_str("newer");
    drop(get);
}

#[test]
fn a_missing_key_is_the_same_in_both_versions_of_the_protocol() {
    let mut stage = Stage::start();
    stage.client.send(&["GET", "k"]);
    stage.fill.fetch("k").bring_nil();
    assert!(stage.client.read_reply().is_null());
    behind_a_write(&mut stage.client, "k");
    answer(&stage.link, "k", "$-1\r\n");
    stage.client.read_reply().assert_ok();
    assert!(stage.client.read_reply().is_null());
    assert!(stage.client.call(&["GET", "k"]).is_null());
}

#[test]
fn a_fetch_that_brings_what_was_shown_is_kept() {
    let mut stage = Stage::start();
    let mut other = stage.respite.connect();
    other.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    behind_a_write(&mut stage.client, "k");
    answer(&stage.link, "k", "$4\r\nsame\r\n");
    stage.client.read_reply().assert_ok();
    stage.client.read_reply().assert_str("same");
    fetch.bring("same");
    other.read_reply().assert_str("same");
    stage.client.call(&["GET", "k"]).assert_str("same");
}

/// It may have been made before what was shown; who came meanwhile asks again.
#[test]
fn a_fetch_that_brings_another_value_than_was_shown_is_not() {
    let mut stage = Stage::start();
    let mut other = stage.respite.connect();
    other.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    behind_a_write(&mut stage.client, "k");
    answer(&stage.link, "k", "$3\r\nnew\r\n");
    stage.client.read_reply().assert_ok();
    stage.client.read_reply().assert_str("new");
    let mut third = stage.respite.connect();
    third.send(&["GET", "k"]);
    stage.wait_stat("coalesced", 1);
    fetch.bring("old");
    for _ in 0..2 {
        stage.link.expect(&["GET", "k"]).value("new");
    }
    other.read_reply().assert_str("new");
    third.read_reply().assert_str("new");
    stage.assert_reads("k", "newer");
}

/// Which of two values that were shown is newer nobody knows.
#[test]
fn a_fetch_that_brings_one_of_two_shown_values_is_not_kept() {
    let mut stage = Stage::start();
    let mut waits = stage.respite.connect();
    waits.send(&["GET", "k"]);
    let fetch = stage.fill.fetch("k");
    for shown in ["new", "old"] {
        behind_a_write(&mut stage.client, "k");
        answer(&stage.link, "k", &format!("$3\r\n{shown}\r\n"));
        stage.client.read_reply().assert_ok();
        stage.client.read_reply().assert_str(shown);
    }
    fetch.bring("old");
    stage.link.expect(&["GET", "k"]).value("new");
    waits.read_reply().assert_str("new");
    stage.assert_reads("k", "newer");
}

/// What another worker's link has brought is compared as well.
#[test]
fn an_entry_of_another_worker_does_not_outlive_what_is_shown() {
    let mut pair = Pair::start();
    let [first, second] = &mut pair.clients;
    warm(first, &pair.fills[0], "k", "old");
    behind_a_write(second, "k");
    let (link, set) = pair.backing.expect_anywhere(&["SET", "mine", "1"]);
    set.ok();
    link.expect(&["GET", "k"]).value("new");
    second.read_reply().assert_ok();
    second.read_reply().assert_str("new");
    pair.backing.holds(0, "k", Some("newer"));
    pair.assert_reads("k", "newer");
}

/// A key on which reads are always under way comes into the cache all the same.
#[test]
fn reads_under_way_keep_no_fetch_back() {
    let mut stage = Stage::start();
    behind_a_write(&mut stage.client, "k");
    stage.link.expect(&["SET", "mine", "1"]).ok();
    let get = stage.link.expect(&["GET", "k"]);
    let mut other = stage.respite.connect();
    other.send(&["GET", "k"]);
    stage.fill.fetch("k").bring("v");
    other.read_reply().assert_str("v");
    other.call(&["GET", "k"]).assert_str("v");
    get.value("v");
    stage.client.read_reply().assert_ok();
    stage.client.read_reply().assert_str("v");
    other.call(&["GET", "k"]).assert_str("v");
}

/// The keys of reads that wait are kept up to a bound; what is beyond it is taken away as by any other read.
#[test]
fn long_keys_are_not_kept_to_be_compared() {
    let mut stage = Stage::start();
    let keys = ["a", "b"].map(|name| name.repeat(40_000));
    for key in &keys {
        stage.warm(key, "v");
    }
    let mget = ["MGET", &keys[0], &keys[1]];
    let packet = [encode(&["SET", "mine", "1"]), encode(&mget)];
    stage.client.send_raw(&packet.concat());
    stage.link.expect(&["SET", "mine", "1"]).ok();
    let values = "$1\r\nv\r\n".repeat(2);
    stage.link.expect(&mget).raw(&format!("*2\r\n{values}"));
    stage.client.read_reply().assert_ok();
    assert_eq!(stage.client.read_reply().strings(), ["v", "v"]);
    for key in &keys {
        stage.client.send(&["GET", key]);
        stage.fill.fetch(key).bring("v");
        stage.client.read_reply().assert_str("v");
    }
}
