//! `WATCH`: whatever happens to the slot, nothing is executed on what has changed.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::start;
use crate::support::{RedisCluster, Respite, slot_of};

/// Adds one to a key as clients do that read first, and try again when they were disturbed.
fn add(respite: &Respite, key: &str, times: usize, tries: &AtomicUsize) {
    let mut client = respite.connect();
    let mut done = 0;
    while done < times {
        client.call(&["WATCH", key]).assert_ok();
        let read = client.call(&["GET", key]);
        let number: usize = match read.is_null() {
            true => 0,
            false => read.as_str().parse().expect("a number"),
        };
        // Another node may be asked in between.
        client.call(&["INCR", "elsewhere"]);
        let next = (number + 1).to_string();
        let replies = client.pipeline(&[&["MULTI"][..], &["SET", key, &next], &["EXEC"]]);
        tries.fetch_add(1, Ordering::Relaxed);
        assert!(!replies[2].is_error(), "{replies:?}");
        done += usize::from(!replies[2].is_null());
    }
}

#[test]
fn a_counter_that_is_read_first_comes_out_exact_while_its_slot_moves() {
    const TIMES: usize = 150;
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let tries = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (respite, tries) = (&respite, &tries);
        let writers: Vec<_> = (0..3)
            .map(|_| scope.spawn(move || add(respite, "foo", TIMES, tries)))
            .collect();
        let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
        for _ in 0..4 {
            let to = (cluster.owner(slot) + 1) % 3;
            cluster.move_slot(slot, to, || {});
        }
        writers
            .into_iter()
            .for_each(|w| w.join().expect("no error"));
    });
    respite
        .call(&["GET", "foo"])
        .assert_str(&(3 * TIMES).to_string());
    assert!(
        tries.load(Ordering::Relaxed) > 3 * TIMES,
        "they disturb each other"
    );
}

#[test]
fn what_is_watched_is_in_one_slot_and_others_may_be_used() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    let mut other = respite.connect();
    let run = |client: &mut crate::support::Client| {
        client.pipeline(&[&["MULTI"][..], &["SET", "foo", "mine"], &["EXEC"]])
    };
    // Undisturbed, in one packet, with other nodes in between.
    let replies = client.pipeline(&[
        &["WATCH", "foo", "{foo}2"][..],
        &["SET", "hello", "1"],
        &["GET", "bar"],
        &["GET", "hello"],
        &["MULTI"],
        &["SET", "foo", "1"],
        &["EXEC"],
        &["GET", "foo"],
    ]);
    replies[3].assert_str("1");
    replies[6].items()[0].assert_ok();
    replies[7].assert_str("1");
    // Disturbed: by another, by itself.
    client.call(&["WATCH", "foo"]).assert_ok();
    other.call(&["SET", "foo", "2"]).assert_ok();
    assert!(run(&mut client)[2].is_null());
    client.call(&["WATCH", "foo"]).assert_ok();
    client.call(&["SET", "foo", "3"]).assert_ok();
    assert!(run(&mut client)[2].is_null());
    client.call(&["GET", "foo"]).assert_str("3");
    // Given up.
    client.call(&["WATCH", "foo"]).assert_ok();
    other.call(&["SET", "foo", "4"]).assert_ok();
    client.call(&["UNWATCH"]).assert_ok();
    assert!(!run(&mut client)[2].is_null());
    // Another slot: refused, and nothing is executed, since the client may not wait to hear of it.
    for words in [&["WATCH", "bar"][..], &["WATCH", "{foo}x", "bar"]] {
        client.call(&["WATCH", "foo"]).assert_ok();
        let error = "CROSSSLOT Keys in request don't hash to the same slot";
        client.call(words).assert_error(error);
        assert!(run(&mut client)[2].is_null());
    }
    client.call(&["WATCH", "foo"]).assert_ok();
    let replies = client.pipeline(&[&["MULTI"][..], &["SET", "bar", "1"], &["EXEC"]]);
    replies[1].assert_error("CROSSSLOT ");
    replies[2].assert_error("EXECABORT ");
    assert!(!run(&mut client)[2].is_null());
    // What is read while it watches is not older than the watch: it does not come from memory.
    for n in 0..20 {
        let value = n.to_string();
        other.call(&["GET", "foo"]);
        let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
        let mut direct = cluster.servers[cluster.owner(slot)].connect();
        direct.call(&["SET", "foo", &value]).assert_ok();
        let replies = client.pipeline(&[&["WATCH", "foo"][..], &["GET", "foo"], &["UNWATCH"]]);
        replies[1].assert_str(&value);
    }
}

#[test]
fn a_slot_that_moves_while_it_is_watched_aborts() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    let move_on = || {
        cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3, || {});
        // Else the nodes may lose whose it is when it moves again.
        cluster.wait_until_agreed();
    };
    // A key that is there, and one that is not: that one leaves no trace at the old place.
    for key in ["foo", "{foo}none"] {
        client.call(&["SET", "foo", "1"]).assert_ok();
        for commands in [
            &[&["MULTI"][..], &["SET", "foo", "2"], &["EXEC"]][..],
            &[
                &["WATCH", "{foo}3"],
                &["MULTI"],
                &["SET", "foo", "2"],
                &["EXEC"],
            ],
        ] {
            client.call(&["WATCH", key]).assert_ok();
            move_on();
            let replies = client.pipeline(commands);
            assert!(
                replies.last().expect("some").is_null(),
                "{key}: {replies:?}"
            );
        }
        // Between the commands.
        client.call(&["WATCH", key]).assert_ok();
        client.call(&["MULTI"]).assert_ok();
        client.call(&["SET", "foo", "2"]).assert_str("QUEUED");
        move_on();
        client.call(&["SET", "foo", "3"]).assert_str("QUEUED");
        assert!(client.call(&["EXEC"]).is_null(), "{key}");
        client.call(&["GET", "foo"]).assert_str("1");
        // It is over then.
        let replies = client.pipeline(&[&["MULTI"][..], &["INCR", "foo"], &["EXEC"]]);
        replies[2].items()[0].assert_int(2);
    }
}
