//! How calls end without a worker's doing: deadlines, callers that go, `BUS.CANCEL`, and results that are kept.

use super::{Fetched, World, fetch, reply, wait_for_worker};
use crate::support::{DEADLINE, wait_until};

#[test]
fn a_caller_that_goes_cancels_its_call() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut worker = world.connect_worker();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let mut caller = world.connect();
    caller.send(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    drop(caller);
    wait_until("the worker is told", DEADLINE, || {
        let beat = worker.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
        beat.field("cancelled").strings() == [call.id.as_str()]
    });
    assert_eq!(reply(&mut worker, &call, "late"), 0);

    // One that is queued disappears.
    let mut caller = world.connect();
    caller.send(&["BUS.CALL", "b", "m"]);
    let pending = || {
        world.connect().call(&["BUS.STATS", "b", "m"]).items()[0]
            .field("pending")
            .int()
    };
    wait_until("the call is queued", DEADLINE, || pending() == 1);
    drop(caller);
    wait_until("the call is gone", DEADLINE, || pending() == 0);
    assert!(
        worker
            .call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "20"])
            .is_null()
    );
    wait_until(
        "one is kept, which the worker may ask about",
        DEADLINE,
        || world.calls_kept().len() == 2,
    );
}

#[test]
fn a_deadline_ends_the_wait_and_the_call() {
    let world = World::of(1);
    world.register("m", &[]);
    let mut worker = world.connect();
    worker.call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "1"]);
    let mut caller = world.connect();
    let reply = caller.call(&["BUS.CALL", "b", "m", "TIMEOUT", "30"]);
    assert_eq!(reply.error(), "DEADLINE the call was not answered in time");
    assert!(
        worker
            .call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "20"])
            .is_null()
    );
    wait_until("no call is kept", DEADLINE, || {
        world.calls_kept().is_empty()
    });
    let stats = caller.call(&["BUS.STATS", "b", "m"]);
    stats.items()[0].field("errors").assert_int(1);
}

#[test]
fn a_caller_gets_its_result_however_short_results_are_kept() {
    let world = World::of(2);
    world.register("m", &["RESULTTTL", "0.001"]);
    world.serve(&["m"], |_| "done".to_owned());
    wait_for_worker(&world, "served");
    for _ in 0..20 {
        let reply = world.connect().call(&["BUS.CALL", "b", "m"]);
        reply.assert_str("done");
    }
}

#[test]
fn who_asks_for_the_result_of_a_call_that_is_given_up_is_told() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut other = world.connect_worker();
    other.call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "1"]);
    let mut caller = world.connect();
    caller.send(&["BUS.CALL", "b", "m"]);
    let listed = || world.redis.call(&["ZRANGE", &World::key("t"), "0", "-1"]);
    wait_until("the call is queued", DEADLINE, || {
        !listed().items().is_empty()
    });
    other.send(&["BUS.RESULT", "b", listed().strings()[0], "TIMEOUT", "0"]);
    let waiting = || world.redis.call(&["HLEN", &World::key("n")]).int();
    wait_until("its result is waited for", DEADLINE, || waiting() == 1);
    drop(caller);
    other.read_reply().assert_error("NOCALL ");
    assert_eq!(waiting(), 0);
}

#[test]
fn cancel_ends_a_call_wherever_it_is() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut client = world.connect();
    let id = client.call(&["BUS.CAST", "b", "m"]);
    client.call(&["BUS.CANCEL", "b", id.as_str()]).assert_int(1);
    client.call(&["BUS.CANCEL", "b", id.as_str()]).assert_int(0);
    assert_eq!(
        client.call(&["BUS.RESULT", "b", id.as_str()]).error(),
        "CANCELLED the call was cancelled"
    );
    assert!(
        client
            .call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "20"])
            .is_null()
    );

    let mut worker = world.connect_worker();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let caller = world.calling(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    client.call(&["BUS.CANCEL", "b", &call.id]).assert_int(1);
    caller.join().expect("no panic").assert_error("CANCELLED");
    let beat = worker.call(&["BUS.BEAT", "b", "w"]);
    assert_eq!(beat.field("cancelled").strings(), [call.id.as_str()]);
}

#[test]
fn a_result_is_waited_for_and_kept() {
    let world = World::of(2);
    world.register("m", &["RESULTTTL", "1.5"]);
    let mut client = world.connect();
    let id = client.call(&["BUS.CAST", "b", "m"]).as_str().to_owned();
    assert!(
        client
            .call(&["BUS.RESULT", "b", &id, "TIMEOUT", "20"])
            .is_null()
    );
    let waiting = world.calling(&["BUS.RESULT", "b", &id, "TIMEOUT", "0"]);
    let mut worker = world.connect_worker();
    let call = fetch(&mut worker, "w", "m");
    assert_eq!(reply(&mut worker, &call, "done"), 1);
    waiting.join().expect("no panic").assert_str("done");
    client.call(&["BUS.RESULT", "b", &id]).assert_str("done");
    worker.call(&["BUS.RESULT", "b", &id]).assert_str("done");
    wait_until("the result has expired", DEADLINE, || {
        client.call(&["BUS.RESULT", "b", &id]).is_error()
    });
    client
        .call(&["BUS.RESULT", "b", &id])
        .assert_error("NOCALL");
    wait_until("no call is kept", DEADLINE, || {
        world.calls_kept().is_empty()
    });
}

#[test]
fn a_method_that_goes_takes_its_calls_along() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut worker = world.connect_worker();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let in_flight = world.calling(&["BUS.CALL", "b", "m"]);
    worker.read_reply();
    let queued = world.calling(&["BUS.CALL", "b", "m"]);
    let mut client = world.connect_worker();
    wait_until("the call is queued", DEADLINE, || {
        client.call(&["BUS.STATS", "b", "m"]).items()[0]
            .field("pending")
            .int()
            == 1
    });
    client.call(&["BUS.UNREGISTER", "b", "m"]).assert_int(1);
    let gone = "NOMETHOD the method was unregistered";
    let reply = in_flight.join().expect("no panic");
    assert_eq!(reply.error(), gone);
    // One that waited at its Respite and had to begin anew finds that there is no method.
    let reply = queued.join().expect("no panic");
    assert!(
        [gone, "NOMETHOD no method 'm'"].contains(&reply.error()),
        "{reply:?}"
    );
    client
        .call(&["BUS.CALL", "b", "m"])
        .assert_error("NOMETHOD");
}

#[test]
fn everything_but_registrations_expires() {
    let world = World::of(1);
    world.register(
        "m",
        &[
            "PARAMS",
            "1",
            "a",
            "CACHE",
            "{a}",
            "IDEMPOTENT",
            "MAXDELIVERIES",
            "1",
        ],
    );
    let mut client = world.connect();
    for number in 0..4 {
        client.call(&["BUS.CAST", "b", "m", "ARGS", &number.to_string()]);
    }
    let call = fetch(&mut client, "w", "m");
    reply(&mut client, &call, "cached");
    let call = fetch(&mut client, "w", "m");
    client
        .call(&["BUS.FAIL", "b", &call.id, &call.token, "C", "m", "RETRY"])
        .assert_int(1);
    fetch(&mut client, "w", "m");
    client.call(&["BUS.STATS", "b"]);
    let keys = world.keys();
    let kinds = [
        "c:m", "d:m", "e:m", "f:m", "g", "h:m", "i", "m", "p", "q:m", "s", "t", "w",
    ];
    for kind in kinds {
        let key = format!("respite:b:{{b}}:{kind}");
        // Whatever is not here at the moment is looked at in another test.
        if !keys.contains(&key) {
            assert!(["i", "s"].contains(&kind), "no {kind} in {keys:?}");
        }
    }
    for key in keys {
        let ttl = world.redis.call(&["PTTL", &key]).int();
        let registration = key.ends_with("}:m") || key.ends_with("}:g");
        assert_eq!(ttl == -1, registration, "{key}: {ttl}");
    }
}

#[test]
fn twenty_thousand_calls_leave_nothing_behind() {
    let world = World::of(2);
    world.register("m", &[]);
    for _ in 0..4 {
        world.serve(&["m"], |_| "done".to_owned());
    }
    wait_for_worker(&world, "served");
    let mut client = world.connect();
    client.call(&["BUS.CALL", "b", "m"]).assert_str("done");
    let many = |client: &mut crate::support::Client, count: usize| {
        let command = crate::support::encode(&["BUS.CALL", "b", "m", "PAYLOAD", "x"]);
        let packet = command.repeat(count);
        for reply in client.exchange(&[&packet], count).expect("replies") {
            assert_eq!(reply, b"$4\r\ndone\r\n");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| many(&mut world.connect(), 2500));
        }
    });
    wait_until("nothing is kept", DEADLINE, || {
        world.calls_kept().is_empty()
    });
    let entries = |key: &str, command: &str| world.redis.call(&[command, key]).int();
    assert_eq!(entries("respite:b:{b}:t", "ZCARD"), 0);
    assert_eq!(entries("respite:b:{b}:q:m", "XLEN"), 0);
    assert!(world.keys().len() < 12, "{:?}", world.keys());
}
