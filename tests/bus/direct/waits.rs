//! Direct calls that wait for a worker: who gets them, who sees them, what ends them.

use std::thread::JoinHandle;

use super::super::{Fetched, World, fetch, reply};
use super::{executed, waiting};
use crate::support::{Client, DEADLINE, Reply, wait_until};

/// A worker with a call in hand, and all its callers: the others wait.
fn busy(world: &World, callers: usize) -> (Client, Fetched, Vec<JoinHandle<Reply>>) {
    world.register("m", &[]);
    let mut worker = waiting(world, "w", "m");
    let callers = (0..callers)
        .map(|_| world.calling(&["BUS.CALL", "b", "m"]))
        .collect();
    let call = Fetched::all(&worker.read_reply()).remove(0);
    (worker, call, callers)
}

#[test]
fn calls_that_wait_here_are_counted_everywhere_and_end_with_their_method() {
    let world = World::of(2);
    let (mut worker, call, callers) = busy(&world, 4);
    for from in &world.respites {
        wait_until("they are counted", DEADLINE, || {
            let stats = from.call(&["BUS.STATS", "b", "m"]);
            let row = &stats.items()[0];
            ["calls", "pending", "in_flight"].map(|field| row.field(field).int()) == [4, 3, 1]
        });
    }
    assert_eq!(executed(&world, "xadd"), 0);
    world
        .connect()
        .call(&["BUS.UNREGISTER", "b", "m"])
        .assert_int(1);
    for caller in callers {
        caller.join().expect("no panic").assert_error("NOMETHOD ");
    }
    assert_eq!(reply(&mut worker, &call, "late"), 0);
}

#[test]
fn what_waits_here_ends_when_its_method_goes_over_another_respite() {
    let world = World::of(2);
    let (mut worker, call, callers) = busy(&world, 2);
    let mut other = world.connect_worker();
    other.call(&["BUS.UNREGISTER", "b", "m"]).assert_int(1);
    let mut ends: Vec<String> = callers
        .into_iter()
        .map(|caller| caller.join().expect("no panic").error().to_owned())
        .collect();
    ends.sort();
    assert_eq!(
        ends,
        [
            "NOMETHOD no method 'm'",
            "NOMETHOD the method was unregistered"
        ]
    );
    assert_eq!(reply(&mut worker, &call, "late"), 0);
}

#[test]
fn cleanup_leaves_nothing_of_what_is_under_way() {
    let world = World::of(1);
    let (mut worker, call, callers) = busy(&world, 3);
    wait_until("two wait", DEADLINE, || {
        world.stat("m", "pending").int() == 2
    });
    let removed = world.connect().call(&["BUS.CLEANUP", "b"]).int();
    assert!(removed > 0);
    for caller in callers {
        let ended = caller.join().expect("no panic");
        let ways = ["NOCALL ", "NOMETHOD "];
        assert!(
            ways.iter().any(|way| ended.error().starts_with(way)),
            "{ended:?}"
        );
    }
    assert_eq!(reply(&mut worker, &call, "late"), 0);
    let is_call =
        |key: &String| !key.ends_with("}:w") && !key.ends_with("}:p") && !key.ends_with("}:i");
    let left: Vec<String> = world.keys().into_iter().filter(is_call).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn what_waits_here_and_what_waits_in_the_backing_take_turns() {
    let world = World::of(1);
    world.register("m", &[]);
    let mut worker = waiting(&world, "w", "m");
    let mut callers = vec![world.calling(&["BUS.CALL", "b", "m", "PAYLOAD", "first"])];
    let mut call = Fetched::all(&worker.read_reply()).remove(0);
    // That the backing had nothing a moment ago is no reason to leave it out.
    let nothing = worker.call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "1"]);
    assert!(nothing.is_null(), "{nothing:?}");
    for _ in 0..4 {
        callers.push(world.calling(&["BUS.CALL", "b", "m", "PAYLOAD", "here"]));
        world
            .connect()
            .call(&["BUS.CAST", "b", "m", "PAYLOAD", "there"]);
    }
    wait_until("all wait", DEADLINE, || {
        world.stat("m", "pending").int() == 8
    });
    let mut order = Vec::new();
    for _ in 0..8 {
        assert_eq!(reply(&mut worker, &call, "done"), 1);
        call = fetch(&mut worker, "w", "m");
        order.push(call.reply.field("payload").as_str().to_owned());
    }
    assert_eq!(reply(&mut worker, &call, "done"), 1);
    for pair in order.chunks(2) {
        assert_ne!(pair[0], pair[1], "{order:?}");
    }
    for caller in callers {
        caller.join().expect("no panic").assert_str("done");
    }
}

#[test]
fn earlier_patterns_come_first_wherever_calls_wait() {
    let world = World::of(1);
    for method in ["a", "b", "c"] {
        world.register(method, &[]);
    }
    let mut worker = waiting(&world, "w", "*");
    let mut callers = vec![world.calling(&["BUS.CALL", "b", "c"])];
    let mut call = Fetched::all(&worker.read_reply()).remove(0);
    for method in ["c", "b", "a"] {
        callers.push(world.calling(&["BUS.CALL", "b", method]));
        world.connect().call(&["BUS.CAST", "b", method]);
    }
    wait_until("all wait", DEADLINE, || {
        ["a", "b", "c"].map(|method| world.stat(method, "pending").int()) == [2; 3]
    });
    let mut order = Vec::new();
    for _ in 0..6 {
        assert_eq!(reply(&mut worker, &call, "done"), 1);
        let calls = worker.call(&["BUS.FETCH", "b", "w", "a", "b", "c", "TIMEOUT", "8000"]);
        call = Fetched::all(&calls).remove(0);
        order.push(call.reply.field("method").as_str().to_owned());
    }
    assert_eq!(order.join(""), "aabbcc");
    assert_eq!(reply(&mut worker, &call, "done"), 1);
    for caller in callers {
        caller.join().expect("no panic").assert_str("done");
    }
}

#[test]
fn a_call_goes_to_another_respite_when_no_worker_here_is_free() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut busy = waiting(&world, "busy", "m");
    let first = world.calling(&["BUS.CALL", "b", "m"]);
    let held = Fetched::all(&busy.read_reply()).remove(0);
    let second = world.calling(&["BUS.CALL", "b", "m"]);
    let mut free = world.connect_worker();
    let call = fetch(&mut free, "free", "m");
    assert_eq!(reply(&mut free, &call, "from there"), 1);
    second.join().expect("no panic").assert_str("from there");
    assert_eq!(reply(&mut busy, &held, "from here"), 1);
    first.join().expect("no panic").assert_str("from here");
    world.stat("m", "calls").assert_int(2);
}

#[test]
fn what_waits_here_and_what_a_fetch_gets_of_it_is_bounded() {
    // So much takes its time on a busy machine.
    let world = World::with(
        1,
        "[timeouts]\nreply = \"60s\"\n[bus]\nworker_ttl = \"300s\"",
    );
    world.register("m", &["VISIBILITY", "600000"]);
    let mut worker = waiting(&world, "w", "m");
    let first = world.calling(&["BUS.CALL", "b", "m", "TIMEOUT", "600000"]);
    let held = Fetched::all(&worker.read_reply()).remove(0);
    let payload = "x".repeat(33 << 20);
    let mut callers = Vec::new();
    for number in 1..=3 {
        callers.push(world.calling(&[
            "BUS.CALL", "b", "m", "TIMEOUT", "600000", "PAYLOAD", &payload,
        ]));
        wait_until("it waits", DEADLINE, || {
            world.stat("m", "pending").int() == number
        });
    }
    assert_eq!(executed(&world, "xadd"), 1, "two are enough here");
    assert_eq!(reply(&mut worker, &held, "done"), 1);
    let fetch = ["BUS.FETCH", "b", "w", "m", "COUNT", "4"];
    for _ in 0..3 {
        let calls = Fetched::all(&worker.call(&fetch));
        assert_eq!(calls.len(), 1, "one is enough for one reply");
        assert_eq!(
            calls[0].reply.field("payload").as_bytes().len(),
            payload.len()
        );
        assert_eq!(reply(&mut worker, &calls[0], "done"), 1);
    }
    for caller in callers.into_iter().chain([first]) {
        caller.join().expect("no panic").assert_str("done");
    }
}

#[test]
fn a_turn_of_one_fetch_is_not_taken_by_another() {
    let world = World::of(1);
    for method in ["urgent", "m", "other"] {
        world.register(method, &[]);
    }
    let mut worker = waiting(&world, "w", "m");
    let mut callers = vec![world.calling(&["BUS.CALL", "b", "m", "PAYLOAD", "first"])];
    let mut call = Fetched::all(&worker.read_reply()).remove(0);
    for _ in 0..3 {
        callers.push(world.calling(&["BUS.CALL", "b", "m", "PAYLOAD", "here"]));
        for _ in 0..2 {
            world
                .connect()
                .call(&["BUS.CAST", "b", "m", "PAYLOAD", "there"]);
        }
    }
    wait_until("all wait", DEADLINE, || {
        world.stat("m", "pending").int() == 9
    });
    let mut elsewhere = world.connect();
    let mut order = Vec::new();
    for _ in 0..6 {
        assert_eq!(reply(&mut worker, &call, "done"), 1);
        let nothing = elsewhere.call(&["BUS.FETCH", "b", "x", "other", "TIMEOUT", "1"]);
        assert!(nothing.is_null(), "{nothing:?}");
        // A pattern before it, for which nothing waits, makes no difference.
        let calls = worker.call(&["BUS.FETCH", "b", "w", "urgent", "m", "TIMEOUT", "8000"]);
        call = Fetched::all(&calls).remove(0);
        order.push(call.reply.field("payload").as_str().to_owned());
    }
    for pair in order.chunks(2) {
        assert_ne!(pair[0], pair[1], "{order:?}");
    }
    assert_eq!(reply(&mut worker, &call, "done"), 1);
    for caller in callers {
        caller.join().expect("no panic").assert_str("done");
    }
}

#[test]
fn a_call_that_waited_for_a_worker_that_went_waits_for_the_next_one() {
    let world = World::with(1, "[bus]\nworker_ttl = \"1s\"");
    world.register("m", &[]);
    let mut worker = waiting(&world, "w", "m");
    let first = world.calling(&["BUS.CALL", "b", "m"]);
    Fetched::all(&worker.read_reply()).remove(0);
    let second = world.calling(&["BUS.CALL", "b", "m", "PAYLOAD", "second"]);
    wait_until("it waits", DEADLINE, || {
        world.stat("m", "pending").int() == 1
    });
    drop(worker);
    first.join().expect("no panic").assert_error("WORKERLOST ");
    wait_until("the backing has the other", DEADLINE, || {
        executed(&world, "xadd") == 1
    });
    let mut next = world.connect();
    let call = fetch(&mut next, "v", "m");
    call.reply.field("payload").assert_str("second");
    assert_eq!(reply(&mut next, &call, "done"), 1);
    second.join().expect("no panic").assert_str("done");
}
