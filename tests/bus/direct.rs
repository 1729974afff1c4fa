//! Calls whose caller and worker are on one Respite: handed over there, and in the backing as soon as somebody asks.

use std::time::Duration;

use super::{Fetched, World, fetch, reply, wait_for_worker};
use crate::support::{Client, DEADLINE, Direction, Relay, Respite, wait_until};

/// A worker that waits at the first Respite.
fn waiting(world: &World, worker: &str, pattern: &str) -> Client {
    let mut client = world.connect();
    client.send(&["BUS.FETCH", "b", worker, pattern, "TIMEOUT", "0"]);
    wait_for_worker(world, worker);
    client
}

/// How often the backing has carried out a command.
fn executed(world: &World, command: &str) -> usize {
    let info = world.redis.call(&["INFO", "commandstats"]);
    let name = format!("cmdstat_{command}:calls=");
    let line = info
        .as_str()
        .lines()
        .find_map(|line| line.strip_prefix(&name));
    let count = line.and_then(|line| line.split(',').next());
    count.map_or(0, |count| count.parse().expect("a number"))
}

/// Waits until the first Respite knows that no other one has workers.
fn wait_until_alone(world: &World) {
    let before = executed(world, "zcount");
    wait_until("the others are counted twice", DEADLINE, || {
        executed(world, "zcount") > before + 1
    });
}

/// How many calls the backing holds as delivered.
fn kept(world: &World) -> i64 {
    world.redis.call(&["HLEN", &World::key("o")]).int()
}

fn wait_until_kept(world: &World) {
    wait_until("the call is in the backing", DEADLINE, || kept(world) == 1);
}

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
        assert_eq!(reply(&mut worker, &call, &payload), 1);
        caller.read_reply().assert_str(&payload);
        assert_eq!(reply(&mut worker, &call, "again"), 0);
        worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    }
    // A machine that stands still for a moment may have had some of them kept.
    let queued = executed(&world, "xadd");
    assert!(queued < 25, "{queued} of 50 calls went through the backing");
    wait_until("no call is kept", DEADLINE, || {
        world.calls_kept().is_empty()
    });
    let is_new = |key: &String| !before.contains(key) && !key.ends_with("}:h:m");
    let new: Vec<String> = world.keys().into_iter().filter(is_new).collect();
    assert!(new.iter().all(|key| key.ends_with("}:l")), "{new:?}");
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
    world.stat("m", "errors").assert_int(2);
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
    world.register("m", &["VISIBILITY", "1000"]);
    let (mut worker, mut caller) = (waiting(&world, "w", "m"), world.connect());
    caller.send(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(500));
        let beat = worker.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
        assert!(beat.field("lost").items().is_empty(), "{beat:?}");
    }
    caller.read_reply().assert_error("WORKERLOST ");
    assert_eq!(reply(&mut worker, &call, "late"), 0);
}

#[test]
fn the_call_of_a_respite_that_died_is_too_late() {
    let mut world = World::of(2);
    world.register("m", &[]);
    let mut worker = waiting(&world, "w", "m");
    let mut caller = world.connect();
    caller.send(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    world.respites.remove(0).kill();
    let mut other = world.connect();
    assert_eq!(reply(&mut other, &call, "late"), 0);
    let beat = other.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
    assert_eq!(beat.field("lost").strings(), [call.id.as_str()]);
    other
        .call(&["BUS.RESULT", "b", &call.id])
        .assert_error("NOCALL ");
}

#[test]
fn calls_that_wait_here_are_counted_everywhere_and_end_with_their_method() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut worker = waiting(&world, "w", "m");
    wait_until_alone(&world);
    let callers: Vec<_> = (0..4)
        .map(|_| world.calling(&["BUS.CALL", "b", "m"]))
        .collect();
    let call = Fetched::all(&worker.read_reply()).remove(0);
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
        let ended = caller.join().expect("no panic");
        assert_eq!(ended.error(), "NOMETHOD the method was unregistered");
    }
    assert_eq!(reply(&mut worker, &call, "late"), 0);
}

#[test]
fn what_waits_here_ends_when_its_method_goes_over_another_respite() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut worker = waiting(&world, "w", "m");
    wait_until_alone(&world);
    let callers: Vec<_> = (0..2)
        .map(|_| world.calling(&["BUS.CALL", "b", "m"]))
        .collect();
    let call = Fetched::all(&worker.read_reply()).remove(0);
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
    world.register("m", &[]);
    let mut worker = waiting(&world, "w", "m");
    wait_until_alone(&world);
    let callers: Vec<_> = (0..3)
        .map(|_| world.calling(&["BUS.CALL", "b", "m"]))
        .collect();
    let call = Fetched::all(&worker.read_reply()).remove(0);
    wait_until("two wait", DEADLINE, || {
        world.stat("m", "pending").int() == 2
    });
    let removed = world.connect().call(&["BUS.CLEANUP", "b"]).int();
    assert!(removed > 0);
    for caller in callers {
        caller.join().expect("no panic").assert_error("NOCALL ");
    }
    assert_eq!(reply(&mut worker, &call, "late"), 0);
    let is_call =
        |key: &String| !key.ends_with("}:w") && !key.ends_with("}:p") && !key.ends_with("}:i");
    let left: Vec<String> = world.keys().into_iter().filter(is_call).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn another_registration_is_seen_at_once() {
    let world = World::of(2);
    world.register("m", &["PARAMS", "1", "a"]);
    let mut worker = waiting(&world, "w", "m");
    let (mut caller, mut other) = (world.connect(), world.connect_worker());
    for parameter in ["b", "c", "d"] {
        other.call(&["BUS.REGISTER", "b", "m", "PARAMS", "1", parameter]);
        caller.send(&["BUS.CALL", "b", "m", "ARGS", "1"]);
        let call = Fetched::all(&worker.read_reply()).remove(0);
        assert_eq!(call.reply.field("kwargs").strings(), [parameter, "1"]);
        assert_eq!(reply(&mut worker, &call, "done"), 1);
        caller.read_reply().assert_str("done");
        worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    }
    other.call(&["BUS.UNREGISTER", "b", "m"]).assert_int(1);
    let gone = caller.call(&["BUS.CALL", "b", "m"]);
    assert_eq!(gone.error(), "NOMETHOD no method 'm'");
}

#[test]
fn what_waits_here_and_what_waits_in_the_backing_take_turns() {
    let world = World::of(1);
    world.register("m", &[]);
    let mut worker = waiting(&world, "w", "m");
    wait_until_alone(&world);
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
    wait_until_alone(&world);
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
}

/// A Respite behind a relay, with a worker that waits.
fn behind_a_relay(world: &World) -> (Relay, Respite, Client) {
    let relay = Relay::to(world.redis.port());
    let respite = Respite::builder()
        .upstream(&relay.url())
        .allow_log("backing not usable")
        .start();
    let mut worker = respite.connect();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(world, "w");
    (relay, respite, worker)
}

#[test]
fn no_worker_gets_a_call_whose_time_passed_while_the_backing_was_asked() {
    let world = World::of(1);
    world.register("m", &[]);
    let (relay, respite, mut worker) = behind_a_relay(&world);
    let mut caller = respite.connect();
    relay.pause(Direction::Down);
    caller.send(&["BUS.CALL", "b", "m", "TIMEOUT", "30"]);
    assert!(caller.silent_for(Duration::from_millis(60)));
    relay.resume(Direction::Down);
    caller.read_reply().assert_error("DEADLINE ");
    caller.send(&["BUS.CALL", "b", "m", "PAYLOAD", "next"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    call.reply.field("payload").assert_str("next");
    assert_eq!(reply(&mut worker, &call, "done"), 1);
    caller.read_reply().assert_str("done");
}

/// Holds the backing's answer to what it is told of the next call.
fn hold_what_says_that_it_is_kept(relay: &Relay) {
    for connection in relay.connections() {
        connection.hold_before(Direction::Down, b"$1\r\nK\r\n");
    }
}

#[test]
fn a_reply_while_the_backing_is_told_is_accepted_once() {
    let world = World::of(1);
    world.register("m", &[]);
    let (relay, respite, mut worker) = behind_a_relay(&world);
    // What the backing was told arrives, its answer comes late or never.
    for cut in [false, true] {
        let mut caller = respite.connect();
        hold_what_says_that_it_is_kept(&relay);
        caller.send(&["BUS.CALL", "b", "m"]);
        let call = Fetched::all(&worker.read_reply()).remove(0);
        wait_until_kept(&world);
        worker.send(&["BUS.REPLY", "b", &call.id, &call.token, "done"]);
        assert!(
            worker.silent_for(Duration::from_millis(30)),
            "the backing has to say it"
        );
        if cut {
            relay.cut_all();
        }
        relay.resume(Direction::Down);
        worker.read_reply().assert_int(1);
        caller.read_reply().assert_str("done");
        assert_eq!(reply(&mut worker, &call, "again"), 0);
        wait_until("no call is kept", DEADLINE, || {
            world.calls_kept().is_empty() && kept(&world) == 0
        });
        wait_until("the worker waits again", DEADLINE, || {
            !respite.call(&["BUS.BEAT", "b", "w"]).is_error()
        });
        worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    }
    world.stat("m", "errors").assert_int(0);
}

#[test]
fn a_caller_that_goes_while_the_backing_is_told_gives_its_call_up() {
    let world = World::of(1);
    world.register("m", &["VISIBILITY", "600000"]);
    let (relay, respite, mut worker) = behind_a_relay(&world);
    let mut caller = respite.connect();
    hold_what_says_that_it_is_kept(&relay);
    caller.send(&["BUS.CALL", "b", "m", "TIMEOUT", "600000"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    wait_until_kept(&world);
    drop(caller);
    wait_until("the caller is gone", DEADLINE, || {
        respite.call(&["CLIENT", "LIST"]).as_str().lines().count() == 2
    });
    relay.resume(Direction::Down);
    wait_until("the worker is told", DEADLINE, || {
        let beat = worker.call(&["BUS.BEAT", "b", "w"]);
        beat.field("cancelled").strings() == [call.id.as_str()]
    });
    assert_eq!(reply(&mut worker, &call, "late"), 0);
    assert_eq!(kept(&world), 0);
    wait_until("it is counted once", DEADLINE, || {
        world.stat("m", "errors").int() == 1
    });
}

#[test]
fn what_waits_here_and_what_a_fetch_gets_of_it_is_bounded() {
    // So much takes its time on a busy machine.
    let world = World::with(1, "[timeouts]\nreply = \"60s\"");
    world.register("m", &[]);
    let mut worker = waiting(&world, "w", "m");
    wait_until_alone(&world);
    let first = world.calling(&["BUS.CALL", "b", "m"]);
    let held = Fetched::all(&worker.read_reply()).remove(0);
    let payload = "x".repeat(33 << 20);
    let mut callers = Vec::new();
    for number in 1..=3 {
        callers.push(world.calling(&["BUS.CALL", "b", "m", "PAYLOAD", &payload]));
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
