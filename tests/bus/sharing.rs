//! Equal calls: cached, executed once while under way, and what keeps them apart.

use super::{Fetched, World, fetch, reply, wait_for_worker};
use crate::support::{DEADLINE, wait_until};

#[test]
fn equal_calls_in_flight_are_executed_once() {
    let world = World::of(2);
    world.register("m", &["PARAMS", "2", "a", "b=2", "CACHE", "{a}/{b}"]);
    let mut worker = world.connect_worker();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let forms = [
        &["ARGS", "1"][..],
        &["ARGS", "1", "2"],
        &["KWARGS", "b", "2", "a", "1"],
    ];
    let mut callers = Vec::new();
    for number in 0..30 {
        let command = [&["BUS.CALL", "b", "m"], forms[number % 3]].concat();
        let mut client = world.respites[number % 2].connect();
        client.send(&command);
        callers.push(client);
    }
    let call = Fetched::all(&worker.read_reply()).remove(0);
    let id = world.connect().call(&["BUS.CAST", "b", "m", "ARGS", "1"]);
    assert_eq!(id.as_str(), call.id, "a cast joins too");
    wait_until("all have joined", DEADLINE, || {
        let stats = world.connect().call(&["BUS.STATS", "b", "m"]);
        let other = world.connect_worker().call(&["BUS.STATS", "b", "m"]);
        stats.items()[0]
            .field("calls")
            .int()
            .max(other.items()[0].field("calls").int())
            == 31
    });
    // The first to wait goes; the others still want the result.
    callers.remove(0);
    assert_eq!(reply(&mut worker, &call, "once"), 1);
    for mut caller in callers {
        caller.read_reply().assert_str("once");
    }
    assert!(
        worker
            .call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "20"])
            .is_null()
    );
    world
        .connect()
        .call(&["BUS.RESULT", "b", &call.id])
        .assert_str("once");
    // From the cache, on either Respite.
    for client in [&mut world.connect(), &mut world.connect_worker()] {
        client
            .call(&["BUS.CALL", "b", "m", "ARGS", "1"])
            .assert_str("once");
    }
    let id = worker.call(&["BUS.CAST", "b", "m", "ARGS", "1"]);
    worker
        .call(&["BUS.RESULT", "b", id.as_str()])
        .assert_str("once");
}

#[test]
fn those_who_joined_share_the_failure_but_not_the_deadline() {
    let world = World::of(2);
    world.register("m", &["CACHE", "all"]);
    let mut worker = world.connect_worker();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let mut hasty = world.connect();
    hasty.send(&["BUS.CALL", "b", "m", "TIMEOUT", "400"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    let mut patient = world.connect_worker();
    patient.send(&["BUS.CALL", "b", "m"]);
    hasty.read_reply().assert_error("DEADLINE");
    let command = ["BUS.FAIL", "b", &call.id, &call.token, "C", "not today"];
    worker.call(&command).assert_int(1);
    assert_eq!(patient.read_reply().error(), "BUSFAIL C not today");
    // Failures are not cached.
    let mut other = world.connect();
    other.send(&["BUS.CALL", "b", "m"]);
    let call = fetch(&mut worker, "w", "m");
    assert_eq!(reply(&mut worker, &call, "today"), 1);
    other.read_reply().assert_str("today");
}

#[test]
fn a_call_does_not_wait_with_a_cast_that_nobody_serves() {
    let world = World::of(1);
    world.register("m", &["CACHE", "all"]);
    let mut client = world.connect();
    let id = client.call(&["BUS.CAST", "b", "m"]);
    let refused = client.call(&["BUS.CALL", "b", "m"]);
    assert_eq!(refused.error(), "NOWORKER no worker serves 'm'");
    let call = fetch(&mut client, "w", "m");
    assert_eq!(call.id, id.as_str());
    assert_eq!(reply(&mut client, &call, "done"), 1);
    client.call(&["BUS.CALL", "b", "m"]).assert_str("done");
}

#[test]
fn a_worker_is_told_the_deadline_of_the_most_patient() {
    let world = World::of(1);
    world.register("m", &["CACHE", "all"]);
    let mut worker = world.connect();
    worker.call(&["BUS.CAST", "b", "m", "TIMEOUT", "20000"]);
    worker.call(&["BUS.CAST", "b", "m", "TIMEOUT", "90000"]);
    let call = fetch(&mut worker, "w", "m");
    assert!(call.reply.field("deadline_ms").int() > 20_000);
}

#[test]
fn nocache_and_refresh_stand_apart() {
    let world = World::of(1);
    world.register("m", &["PARAMS", "1", "a", "CACHE", "{a}"]);
    let count = std::sync::atomic::AtomicU32::new(0);
    world.serve(&["m"], move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        number.to_string()
    });
    wait_for_worker(&world, "served");
    let mut client = world.connect();
    let mut call = |options: &[&str]| {
        let command = [&["BUS.CALL", "b", "m"], options, &["ARGS", "1"]].concat();
        client.call(&command).as_str().to_owned()
    };
    assert_eq!(call(&["NOCACHE"]), "0");
    assert_eq!(call(&[]), "1", "NOCACHE wrote nothing");
    assert_eq!(call(&["NOCACHE"]), "2", "nor does it read");
    assert_eq!(call(&[]), "1");
    assert_eq!(call(&["REFRESH"]), "3");
    assert_eq!(call(&[]), "3");
    world
        .connect()
        .call(&["BUS.UNCACHE", "b", "m", "ALL"])
        .assert_int(1);
    assert_eq!(call(&[]), "4");
    // Other options, a new generation: nothing is left of the old results.
    world.register(
        "m",
        &["PARAMS", "1", "a", "CACHE", "{a}", "CACHETTL", "0.3"],
    );
    assert_eq!(call(&[]), "5");
    assert_eq!(call(&[]), "5");
    wait_until("the result expires", DEADLINE, || call(&[]) == "6");
}

#[test]
fn what_was_begun_before_a_clearing_is_not_cached() {
    let world = World::of(1);
    let mut worker = world.connect();
    for (method, clear) in [
        ("cleared", &["BUS.UNCACHE", "b", "cleared", "ALL"][..]),
        ("one", &["BUS.UNCACHE", "b", "one", "ARGS"]),
        (
            "other",
            &["BUS.REGISTER", "b", "other", "CACHE", "all", "IDEMPOTENT"],
        ),
    ] {
        world.register(method, &["CACHE", "all"]);
        let id = worker.call(&["BUS.CAST", "b", method]);
        let call = fetch(&mut worker, "w", method);
        assert!(!worker.call(clear).is_error());
        assert_eq!(reply(&mut worker, &call, "old"), 1);
        worker
            .call(&["BUS.RESULT", "b", id.as_str()])
            .assert_str("old");
        worker.call(&["BUS.CAST", "b", method]);
        let call = fetch(&mut worker, "w", method);
        assert_eq!(reply(&mut worker, &call, "new"), 1);
        worker.call(&["BUS.CALL", "b", method]).assert_str("new");
    }
}

#[test]
fn values_with_separators_are_different_calls() {
    let world = World::of(1);
    world.register("m", &["PARAMS", "2", "a", "b", "CACHE", "{a}/{b}"]);
    world.serve(&["m"], |call| call.args().join("+"));
    wait_for_worker(&world, "served");
    let mut client = world.connect();
    for _ in 0..2 {
        client
            .call(&["BUS.CALL", "b", "m", "ARGS", "a/b", "c"])
            .assert_str("a/b+c");
        client
            .call(&["BUS.CALL", "b", "m", "ARGS", "a", "b/c"])
            .assert_str("a+b/c");
    }
    let stats = client.call(&["BUS.STATS", "b", "m"]);
    stats.items()[0].field("cache_hits").assert_int(2);
}
