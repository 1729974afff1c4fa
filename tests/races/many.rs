//! `MGET` against pushes: the values of one reply were current together.
//!
//! A key that is there and one that is fetched may be on either side of an `MSET` of another client; the push of the one
//! comes before the reply with the other, or is still on its way when that was brought by another link.

use super::{Pair, Stage, wait_stat, warm};
use crate::support::Reply;

const BOTH: [&str; 3] = ["MGET", "a", "b"];

#[test]
fn what_is_missing_is_fetched_and_shown_with_what_is_there() {
    let mut stage = Stage::start();
    stage.warm("a", "1");
    stage.client.send(&BOTH);
    stage.fill.fetch("b").bring("2");
    assert_eq!(stage.client.read_reply().strings(), ["1", "2"]);
    // From here on nothing is asked.
    for _ in 0..2 {
        assert_eq!(stage.client.call(&BOTH).strings(), ["1", "2"]);
    }
    stage.client.call(&["GET", "b"]).assert_str("2");
    assert_eq!(stage.client.call(&["EXISTS", "a", "b", "a"]).int(), 3);
}

#[test]
fn a_push_between_the_hits_and_the_fetch_sends_the_whole() {
    let mut stage = Stage::start();
    stage.warm("a", "old");
    stage.client.send(&BOTH);
    let fetch = stage.fill.fetch("b");
    // Somebody has set both.
    stage.fill.push_invalidate("a");
    fetch.bring("new");
    stage
        .link
        .expect(&BOTH)
        .raw("*2\r\n$3\r\nnew\r\n$3\r\nnew\r\n");
    assert_eq!(stage.client.read_reply().strings(), ["new", "new"]);
    stage.assert_reads("a", "newer");
    stage.assert_reads("b", "newer");
}

#[test]
fn a_push_behind_one_of_two_fetches_sends_the_whole() {
    let mut stage = Stage::start();
    stage.client.send(&BOTH);
    let [a, b] = ["a", "b"].map(|key| stage.fill.fetch(key));
    a.bring("old");
    stage.fill.push_invalidate("a");
    b.bring("new");
    stage
        .link
        .expect(&BOTH)
        .raw("*2\r\n$3\r\nnew\r\n$3\r\nnew\r\n");
    assert_eq!(stage.client.read_reply().strings(), ["new", "new"]);
}

#[test]
fn a_write_through_respite_between_them_sends_the_whole() {
    let mut stage = Stage::start();
    stage.warm("a", "old");
    stage.client.send(&BOTH);
    let fetch = stage.fill.fetch("b");
    let mut writer = stage.respite.connect();
    writer.send(&["MSET", "a", "new", "b", "new"]);
    let write = stage.link.expect(&["MSET", "a", "new", "b", "new"]);
    fetch.bring("old");
    write.ok();
    stage
        .link
        .expect(&BOTH)
        .raw("*2\r\n$3\r\nnew\r\n$3\r\nnew\r\n");
    assert_eq!(stage.client.read_reply().strings(), ["new", "new"]);
    writer.read_reply().assert_ok();
}

/// The other worker's link has not heard yet that `a` has changed, and nothing says that it has caught up with what
/// this one's fetch shows.
#[test]
fn what_another_link_brought_is_fetched_anew() {
    let mut pair = Pair::start();
    let [first, second] = &mut pair.clients;
    warm(first, &pair.fills[0], "a", "old");
    pair.fills[0].hold_pings();
    second.send(&BOTH);
    let [a, b] = ["a", "b"].map(|key| pair.fills[1].fetch(key));
    a.bring("new");
    b.bring("new");
    assert_eq!(second.read_reply().strings(), ["new", "new"]);
    // The push comes at last.
    pair.fills[0].push_invalidate("a");
    wait_stat(&pair.respite, "invalidations", 1);
    let [first, second] = &mut pair.clients;
    for client in [first, second] {
        assert_eq!(client.call(&BOTH).strings(), ["new", "new"]);
    }
}

#[test]
fn a_fetch_whose_link_breaks_sends_the_whole() {
    let mut stage = Stage::start();
    stage.warm("a", "1");
    stage.client.send(&BOTH);
    let hanging = stage.fill.fetch("b");
    stage.fill.cut();
    stage.link.expect(&BOTH).raw("*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    assert_eq!(stage.client.read_reply().strings(), ["1", "2"]);
    drop(hanging);
}

/// Its later reads of the same keys wait for it: they might be answered with something older.
#[test]
fn a_read_does_not_pass_the_clients_own_mget() {
    let mut stage = Stage::start();
    stage.warm("a", "old");
    stage.client.send(&BOTH);
    let fetch = stage.fill.fetch("b");
    stage.client.send(&["GET", "a"]);
    stage.client.send(&["MGET", "c", "a"]);
    // A key of its own is nobody's business.
    stage.fill.push_invalidate("a");
    fetch.bring("new");
    stage
        .link
        .expect(&BOTH)
        .raw("*2\r\n$3\r\nnew\r\n$3\r\nnew\r\n");
    assert_eq!(stage.client.read_reply().strings(), ["new", "new"]);
    stage.fill.fetch("a").bring("new");
    stage.client.read_reply().assert_str("new");
    stage.fill.fetch("c").bring("3");
    assert_eq!(stage.client.read_reply().strings(), ["3", "new"]);
}

/// A fetch of one key is one fetch, whoever wants it.
#[test]
fn others_share_the_fetches_of_an_mget_and_it_theirs() {
    let mut stage = Stage::start();
    let mut other = stage.respite.connect();
    other.send(&["GET", "a"]);
    let a = stage.fill.fetch("a");
    stage.client.send(&BOTH);
    let b = stage.fill.fetch("b");
    let mut third = stage.respite.connect();
    third.send(&["GET", "b"]);
    stage.wait_stat("coalesced", 2);
    a.bring("1");
    b.bring("2");
    other.read_reply().assert_str("1");
    third.read_reply().assert_str("2");
    assert_eq!(stage.client.read_reply().strings(), ["1", "2"]);
}

/// Five keys that nobody has asked for, and one that may be there.
const COLD: [&str; 7] = ["MGET", "a", "b", "c", "d", "e", "f"];

/// The backing's reply to it.
fn of_cold(a: &str) -> String {
    format!("*6\r\n${}\r\n{a}\r\n{}", a.len(), "$-1\r\n".repeat(5))
}

fn assert_cold(reply: &Reply, a: &str) {
    let [first, others @ ..] = reply.items() else {
        panic!("{reply:?}");
    };
    first.assert_str(a);
    assert!(others.len() == 5 && others.iter().all(Reply::is_null));
}

#[test]
fn a_cold_read_is_the_backings_and_takes_nothing_away() {
    let mut stage = Stage::start();
    stage.warm("a", "1");
    stage.client.send(&COLD);
    stage.link.expect(&COLD).raw(&of_cold("1"));
    assert_cold(&stage.client.read_reply(), "1");
    // Asked of nobody.
    stage.client.call(&["GET", "a"]).assert_str("1");
    // The second time its keys are fetched.
    stage.client.send(&COLD);
    for key in &COLD[2..] {
        stage.fill.fetch(key).bring("2");
    }
    assert_eq!(
        stage.client.read_reply().strings(),
        ["1", "2", "2", "2", "2", "2"]
    );
}

#[test]
fn what_a_cold_read_shows_is_not_followed_by_anything_older() {
    for reply in [of_cold("new"), "-ERR something else\r\n".to_owned()] {
        let mut stage = Stage::start();
        stage.warm("a", "old");
        stage.client.send(&COLD);
        stage.link.expect(&COLD).raw(&reply);
        stage.client.read_reply();
        stage.assert_reads("a", "newer");
    }
}

/// The other worker's link has not heard yet that `a` has changed, which a cold read of this one has shown.
#[test]
fn what_another_link_brought_is_not_served_after_a_cold_read() {
    let mut pair = Pair::start();
    let [first, second] = &mut pair.clients;
    warm(first, &pair.fills[0], "a", "old");
    pair.fills[0].hold_pings();
    second.send(&COLD);
    pair.backing.expect_anywhere(&COLD).1.raw(&of_cold("new"));
    assert_cold(&second.read_reply(), "new");
    pair.backing.holds(0, "a", Some("new"));
    second.call(&["GET", "a"]).assert_str("new");
}

/// Nor is what it is about to bring.
#[test]
fn what_another_link_is_bringing_is_not_kept_after_a_cold_read() {
    let mut pair = Pair::start();
    let [first, second] = &mut pair.clients;
    first.send(&["GET", "a"]);
    let old = pair.fills[0].fetch("a");
    second.send(&COLD);
    pair.backing.expect_anywhere(&COLD).1.raw(&of_cold("new"));
    assert_cold(&second.read_reply(), "new");
    old.bring("old");
    pair.backing.expect_anywhere(&["GET", "a"]).1.value("new");
    first.read_reply().assert_str("new");
    pair.backing.holds(0, "a", Some("new"));
    pair.assert_reads("a", "new");
}
