//! How direct calls end.

use std::time::Duration;

use super::super::{Fetched, World, reply};
use super::{executed, kept, wait_until_kept, waiting};
use crate::support::{DEADLINE, wait_until};

#[test]
fn a_call_that_a_worker_here_has_at_once_leaves_nothing_in_the_backing() {
    let world = World::of(1);
    world.register("m", &["PARAMS", "2", "a", "b=2"]);
    let (mut worker, mut caller) = (waiting(&world, "w", "m"), world.connect());
    let before = world.keys();
    for round in 0..50 {
        let payload = round.to_string();
        caller.send(&["BUS.CALL", "b", "m", "PAYLOAD", &payload, "ARGS", "1"]);
        let call = Fetched::all(&worker.read_reply()).remove(0);
        assert_eq!(call.args(), ["1", "2"]);
        call.reply.field("payload").assert_str(&payload);
        call.reply.field("attempt").assert_int(1);
        let left = call.reply.field("deadline_ms").int();
        assert!((1..=30_000).contains(&left), "{left}");
        if round == 49 {
            // Whoever asks sees it.
            world.stat("m", "in_flight").assert_int(1);
        }
        assert_eq!(reply(&mut worker, &call, &payload), 1);
        caller.read_reply().assert_str(&payload);
        assert_eq!(reply(&mut worker, &call, "again"), 0);
        worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    }
    assert_eq!(executed(&world, "xadd"), 0);
    wait_until("no call is kept", DEADLINE, || {
        world.calls_kept().is_empty()
    });
    let is_new = |key: &String| !before.contains(key) && !key.ends_with("}:h:m");
    let new: Vec<String> = world.keys().into_iter().filter(is_new).collect();
    let is_said = |key: &String| key.ends_with("}:l") || key.ends_with("}:x");
    assert!(new.iter().all(is_said), "{new:?}");
    for (field, count) in [
        ("calls", 50),
        ("errors", 0),
        ("pending", 0),
        ("in_flight", 0),
    ] {
        world.stat("m", field).assert_int(count);
    }
}

#[test]
fn a_failure_reaches_the_caller() {
    let world = World::of(1);
    world.register("m", &[]);
    let (mut worker, mut caller) = (waiting(&world, "w", "m"), world.connect());
    caller.send(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    let fail = [
        "BUS.FAIL",
        "b",
        &call.id,
        &call.token,
        "E1",
        "no\r\nluck",
        "RETRY",
    ];
    worker.call(&fail).assert_int(1);
    assert_eq!(caller.read_reply().error(), "BUSFAIL E1 no  luck");
    world
        .stat("m", "last_error")
        .assert_str("BUSFAIL E1 no\r\nluck");
    world.stat("m", "errors").assert_int(1);
    assert_eq!(executed(&world, "xadd"), 0);
}

#[test]
fn a_worker_may_answer_over_another_respite() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut caller = world.connect();
    let mut elsewhere = world.connect_worker();
    for (wait, extend) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut worker = waiting(&world, "w", "m");
        caller.send(&["BUS.CALL", "b", "m"]);
        let call = Fetched::all(&worker.read_reply()).remove(0);
        if wait {
            wait_until_kept(&world);
        }
        if extend {
            let beat = elsewhere.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
            for list in ["lost", "cancelled"] {
                assert!(beat.field(list).items().is_empty(), "{beat:?}");
            }
        }
        let wrong = ["BUS.REPLY", "b", &call.id, "wrong", "no"];
        elsewhere.call(&wrong).assert_int(0);
        assert_eq!(reply(&mut elsewhere, &call, "done"), 1);
        assert_eq!(reply(&mut worker, &call, "late"), 0);
        caller.read_reply().assert_str("done");
        wait_until("no call is kept", DEADLINE, || {
            world.calls_kept().is_empty()
        });
        assert_eq!(kept(&world), 0);
    }
}

#[test]
fn a_call_is_cancelled_from_anywhere() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut caller = world.connect();
    for wait in [false, true] {
        for mut from in [world.connect(), world.connect_worker()] {
            let mut worker = waiting(&world, "w", "m");
            caller.send(&["BUS.CALL", "b", "m"]);
            let call = Fetched::all(&worker.read_reply()).remove(0);
            if wait {
                wait_until_kept(&world);
            }
            from.call(&["BUS.RESULT", "b", &call.id, "TIMEOUT", "1"]);
            from.call(&["BUS.CANCEL", "b", &call.id]).assert_int(1);
            caller.read_reply().assert_error("CANCELLED ");
            let beat = worker.call(&["BUS.BEAT", "b", "w"]);
            assert_eq!(beat.field("cancelled").strings(), [call.id.as_str()]);
            assert_eq!(reply(&mut worker, &call, "late"), 0);
            from.call(&["BUS.CANCEL", "b", &call.id]).assert_int(0);
        }
    }
    let left = world.keys().into_iter().filter(|key| key.contains("}:k:"));
    assert_eq!(left.count(), 0, "only what became of them is kept");
}

#[test]
fn a_worker_is_told_when_the_caller_has_gone() {
    let world = World::of(1);
    world.register("m", &["VISIBILITY", "600000"]);
    for wait in [false, true] {
        let mut worker = waiting(&world, "w", "m");
        let mut caller = world.connect();
        caller.send(&["BUS.CALL", "b", "m", "TIMEOUT", "600000"]);
        let call = Fetched::all(&worker.read_reply()).remove(0);
        if wait {
            wait_until_kept(&world);
        }
        drop(caller);
        wait_until("the worker is told", DEADLINE, || {
            let beat = worker.call(&["BUS.BEAT", "b", "w"]);
            assert!(beat.field("lost").items().is_empty(), "{beat:?}");
            beat.field("cancelled").strings() == [call.id.as_str()]
        });
        assert_eq!(reply(&mut worker, &call, "late"), 0);
    }
    wait_until("nothing is in flight", DEADLINE, || {
        world.stat("m", "in_flight").int() == 0
    });
    world.stat("m", "calls").assert_int(2);
    wait_until("both are counted", DEADLINE, || {
        world.stat("m", "errors").int() == 2
    });
}

#[test]
fn a_worker_that_goes_loses_its_call_at_once() {
    let world = World::of(1);
    world.register("m", &["VISIBILITY", "600000"]);
    let mut caller = world.connect();
    for wait in [false, true] {
        let mut worker = waiting(&world, "w", "m");
        caller.send(&["BUS.CALL", "b", "m"]);
        let call = Fetched::all(&worker.read_reply()).remove(0);
        if wait {
            wait_until_kept(&world);
        }
        drop(worker);
        let lost = caller.read_reply();
        assert_eq!(lost.error(), "WORKERLOST the worker w was lost");
        assert_eq!(reply(&mut world.connect(), &call, "late"), 0);
    }
    let nothing = caller.call(&["BUS.FETCH", "b", "v", "m", "TIMEOUT", "20"]);
    assert!(nothing.is_null(), "never delivered twice: {nothing:?}");
    world.stat("m", "errors").assert_int(2);
}

#[test]
fn a_silent_worker_loses_its_call_when_its_visibility_has_passed() {
    let world = World::of(1);
    world.register("m", &["VISIBILITY", "4000"]);
    let (mut worker, mut caller) = (waiting(&world, "w", "m"), world.connect());
    caller.send(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1500));
        let beat = worker.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
        assert!(beat.field("lost").items().is_empty(), "{beat:?}");
    }
    caller.read_reply().assert_error("WORKERLOST ");
    assert_eq!(reply(&mut worker, &call, "late"), 0);
}

#[test]
fn the_call_of_a_respite_that_died_is_too_late() {
    // Once more if it took so long that the backing was told.
    while !died_before_it_was_kept() {}
}

fn died_before_it_was_kept() -> bool {
    let mut world = World::of(2);
    world.register("m", &[]);
    let mut worker = waiting(&world, "w", "m");
    let mut caller = world.connect();
    caller.send(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    world.respites.remove(0).kill();
    if kept(&world) > 0 {
        return false;
    }
    let mut other = world.connect();
    assert_eq!(reply(&mut other, &call, "late"), 0);
    let beat = other.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
    assert_eq!(beat.field("lost").strings(), [call.id.as_str()]);
    other
        .call(&["BUS.RESULT", "b", &call.id])
        .assert_error("NOCALL ");
    true
}

#[test]
fn a_worker_that_beats_at_once_still_loses_its_call_when_it_goes() {
    let world = World::of(1);
    world.register("m", &["VISIBILITY", "600000"]);
    let (mut worker, mut caller) = (waiting(&world, "w", "m"), world.connect());
    caller.send(&["BUS.CALL", "b", "m", "TIMEOUT", "600000"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    let beat = worker.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
    assert!(beat.field("lost").items().is_empty(), "{beat:?}");
    drop(worker);
    caller.read_reply().assert_error("WORKERLOST ");
}

#[test]
fn a_deadline_is_counted_as_one() {
    let world = World::of(1);
    world.register("m", &[]);
    let (mut worker, mut caller) = (waiting(&world, "w", "m"), world.connect());
    caller
        .call(&["BUS.CALL", "b", "m", "TIMEOUT", "30"])
        .assert_error("DEADLINE ");
    let call = Fetched::all(&worker.read_reply()).remove(0);
    assert_eq!(reply(&mut worker, &call, "late"), 0);
    let last = world.stat("m", "last_error");
    assert!(last.as_str().starts_with("DEADLINE "), "{last:?}");
    world.stat("m", "errors").assert_int(1);
}
