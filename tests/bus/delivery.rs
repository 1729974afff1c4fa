//! Who gets a call, how often, and what becomes of it when its worker is gone.

use std::time::Duration;

use super::{Fetched, World, fetch, reply, wait_for_worker};
use crate::support::{DEADLINE, Reply, wait_until};

#[test]
fn a_worker_on_another_respite_gets_the_call() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut worker = world.connect_worker();
    // A pattern, before and after the method is there, and a worker that waits when the call comes.
    worker.send(&["BUS.FETCH", "b", "w", "late*", "m*", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    for method in ["m", "later"] {
        world.register(method, &[]);
        let caller = world.calling(&["BUS.CALL", "b", method, "PAYLOAD", "p"]);
        let call = Fetched::all(&worker.read_reply()).remove(0);
        assert_eq!(call.reply.field("method").as_str(), method);
        assert_eq!(reply(&mut worker, &call, "done"), 1);
        caller.join().expect("no panic").assert_str("done");
        worker.send(&["BUS.FETCH", "b", "w", "late*", "m*", "TIMEOUT", "0"]);
    }
    wait_until("no call is kept", DEADLINE, || {
        world.calls_kept().is_empty()
    });
}

#[test]
fn earlier_patterns_come_first_and_count_is_a_bound() {
    let world = World::of(1);
    let mut client = world.connect();
    for method in ["a", "b1", "b2"] {
        world.register(method, &[]);
        for _ in 0..2 {
            client.call(&["BUS.CAST", "b", method]);
        }
    }
    let reply = client.call(&["BUS.FETCH", "b", "w", "b*", "*", "COUNT", "5"]);
    let methods: Vec<String> = Fetched::all(&reply)
        .iter()
        .map(|call| call.reply.field("method").as_str().to_owned())
        .collect();
    assert_eq!(methods, ["b1", "b1", "b2", "b2", "a"]);
    assert_eq!(
        Fetched::all(&client.call(&["BUS.FETCH", "b", "w", "*", "COUNT", "5"])).len(),
        1
    );
}

#[test]
fn a_connection_that_closes_loses_its_calls_at_once() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut worker = world.connect_worker();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let caller = world.calling(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    drop(worker);
    let lost = caller.join().expect("no panic");
    assert_eq!(lost.error(), "WORKERLOST the worker w was lost");
    assert_eq!(reply(&mut world.connect(), &call, "late"), 0);
    let nothing = world
        .connect()
        .call(&["BUS.FETCH", "b", "v", "m", "TIMEOUT", "20"]);
    assert!(nothing.is_null(), "never delivered twice: {nothing:?}");
}

#[test]
fn a_call_is_lost_when_its_visibility_has_passed() {
    let world = World::of(1);
    world.register("m", &["VISIBILITY", "300"]);
    let mut worker = world.connect();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let caller = world.calling(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    // Extended four times it lives for longer than its visibility.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(100));
        let beat = worker.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
        assert!(beat.field("lost").items().is_empty(), "{beat:?}");
    }
    caller.join().expect("no panic").assert_error("WORKERLOST");
    let beat = worker.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
    assert_eq!(beat.field("lost").strings(), [call.id.as_str()]);
    assert_eq!(reply(&mut worker, &call, "late"), 0);
}

#[test]
fn an_idempotent_call_is_delivered_again_and_then_given_up() {
    let world = World::of(2);
    world.register(
        "m",
        &["IDEMPOTENT", "MAXDELIVERIES", "3", "PARAMS", "1", "a"],
    );
    let mut first = world.connect_worker();
    first.send(&["BUS.FETCH", "b", "w0", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w0");
    let caller = world.calling(&["BUS.CALL", "b", "m", "PAYLOAD", "p", "ARGS", "1"]);
    let mut call = Fetched::all(&first.read_reply()).remove(0);
    let id = call.id.clone();
    drop(first);
    for attempt in 2..=3 {
        let mut worker = world.connect_worker();
        let again = fetch(&mut worker, &format!("w{attempt}"), "m");
        assert_eq!(again.id, id);
        assert_ne!(again.token, call.token);
        again.reply.field("attempt").assert_int(attempt);
        assert_eq!(reply(&mut worker, &call, "the old token"), 0);
        call = again;
    }
    let poison = caller.join().expect("no panic");
    let want = "POISON given up after 3 deliveries: WORKERLOST the worker w3 was lost";
    assert_eq!(poison.error(), want);

    let mut client = world.connect();
    let dead = client.call(&["BUS.DEAD", "b", "m"]);
    let row = &dead.items()[0];
    let fields: Vec<&str> = row
        .pairs()
        .into_iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        fields.join(" "),
        "id args kwargs payload code message attempts"
    );
    assert_eq!(row.field("id").as_str(), id);
    assert_eq!(row.field("args").strings(), ["1"]);
    assert_eq!(row.field("kwargs").strings(), ["a", "1"]);
    row.field("payload").assert_str("p");
    row.field("code").assert_str("WORKERLOST");
    row.field("attempts").assert_int(3);
    assert_eq!(client.call(&["BUS.RESULT", "b", &id]).error(), want);

    client.call(&["BUS.REVIVE", "b", &id]).assert_int(1);
    client.call(&["BUS.REVIVE", "b", &id]).assert_int(0);
    assert!(client.call(&["BUS.DEAD", "b", "m"]).items().is_empty());
    let revived = fetch(&mut client, "w", "m");
    revived.reply.field("attempt").assert_int(1);
    assert_eq!(reply(&mut client, &revived, "at last"), 1);
    client.call(&["BUS.RESULT", "b", &id]).assert_str("at last");
}

#[test]
fn a_failure_is_the_callers_or_is_tried_again() {
    let world = World::of(1);
    world.register("once", &[]);
    world.register("again", &["IDEMPOTENT", "MAXDELIVERIES", "2"]);
    let mut worker = world.connect();
    let fail = |worker: &mut crate::support::Client, call: &Fetched, retry: &[&str]| {
        let command = [
            "BUS.FAIL",
            "b",
            &call.id,
            &call.token,
            "EXIT3",
            "no\r\nluck",
        ];
        worker.call(&[&command[..], retry].concat()).assert_int(1);
    };
    for (method, retry) in [("once", &[][..]), ("once", &["RETRY"]), ("again", &[])] {
        let id = worker.call(&["BUS.CAST", "b", method]);
        let call = fetch(&mut worker, "w", method);
        fail(&mut worker, &call, retry);
        let result = worker.call(&["BUS.RESULT", "b", id.as_str()]);
        assert_eq!(result.error(), "BUSFAIL EXIT3 no  luck");
        let stats = worker.call(&["BUS.STATS", "b", method]);
        let last = stats.items()[0].field("last_error");
        assert!(last.as_str().starts_with("BUSFAIL EXIT3"), "{last:?}");
    }
    let id = worker.call(&["BUS.CAST", "b", "again"]);
    for _ in 0..2 {
        let call = fetch(&mut worker, "w", "again");
        fail(&mut worker, &call, &["retry"]);
    }
    let poison = worker.call(&["BUS.RESULT", "b", id.as_str()]);
    poison.assert_error("POISON given up after 2 deliveries: EXIT3 no");
}

#[test]
fn the_valid_token_is_needed_and_the_first_reply_wins() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut client = world.connect();
    client.call(&["BUS.CAST", "b", "m"]);
    client.call(&["BUS.CAST", "b", "m"]);
    let (one, two) = (fetch(&mut client, "w", "m"), fetch(&mut client, "w", "m"));
    for token in ["", "x", &two.token] {
        client
            .call(&["BUS.REPLY", "b", &one.id, token, "no"])
            .assert_int(0);
    }
    // Over another Respite than it was fetched from.
    let mut other = world.connect_worker();
    assert_eq!(reply(&mut other, &one, "yes"), 1);
    assert_eq!(reply(&mut client, &one, "no"), 0);
    client.call(&["BUS.RESULT", "b", &one.id]).assert_str("yes");
    other.call(&["BUS.RESULT", "b", &one.id]).assert_str("yes");
    // The connection that fetched it may go then.
    drop(client);
    let mut client = world.connect();
    client.call(&["BUS.RESULT", "b", &one.id]).assert_str("yes");
    client
        .call(&["BUS.RESULT", "b", &two.id])
        .assert_error("WORKERLOST");
}

#[test]
fn no_worker_receives_a_call_past_its_deadline() {
    let world = World::of(1);
    world.register("m", &[]);
    let mut client = world.connect();
    let id = client.call(&["BUS.CAST", "b", "m", "TIMEOUT", "50"]);
    std::thread::sleep(Duration::from_millis(60));
    let nothing = client.call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "20"]);
    assert!(nothing.is_null(), "{nothing:?}");
    client
        .call(&["BUS.RESULT", "b", id.as_str()])
        .assert_error("DEADLINE");
    // One in flight ends too, and its worker is told.
    let id = client.call(&["BUS.CAST", "b", "m", "TIMEOUT", "300"]);
    let call = fetch(&mut client, "w", "m");
    client
        .call(&["BUS.RESULT", "b", id.as_str()])
        .assert_error("DEADLINE");
    let beat = client.call(&["BUS.BEAT", "b", "w"]);
    assert_eq!(beat.field("cancelled").strings(), [call.id.as_str()]);
    assert_eq!(reply(&mut client, &call, "late"), 0);
}

#[test]
fn a_fetch_that_is_given_up_takes_no_call_with_it() {
    let world = World::of(1);
    world.register("m", &[]);
    let mut client = world.connect();
    for round in 0..30 {
        // The worker goes while the call is on its way to it.
        let mut worker = world.connect();
        worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
        if round == 0 {
            wait_for_worker(&world, "w");
        }
        let id = client.call(&["BUS.CAST", "b", "m"]);
        drop(worker);
        // It was seen by the worker's connection, or it is still there; never neither.
        let mut other = world.connect();
        let next = other.call(&["BUS.FETCH", "b", "v", "m", "TIMEOUT", "100"]);
        match Fetched::all(&next).first() {
            Some(call) => assert_eq!(reply(&mut other, call, "done"), 1),
            None => client
                .call(&["BUS.RESULT", "b", id.as_str()])
                .assert_error("WORKERLOST"),
        }
    }
}

#[test]
fn a_worker_is_alive_for_its_time() {
    let world = World::with(2, "[bus]\nworker_ttl = \"400ms\"");
    world.register("m", &["VISIBILITY", "60000"]);
    let mut client = world.connect();
    let mut worker = world.connect_worker();
    // Heard of a moment ago: the call waits for it.
    worker.call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "1"]);
    client
        .call(&["BUS.CALL", "b", "m", "TIMEOUT", "50"])
        .assert_error("DEADLINE");
    wait_until("the worker is not alive any more", DEADLINE, || {
        let reply = client.call(&["BUS.CALL", "b", "m", "TIMEOUT", "50"]);
        reply.error().starts_with("NOWORKER")
    });
    assert!(client.call(&["BUS.WORKERS", "b"]).items().is_empty());
    // Alive as long as it waits, and as long as it holds a call.
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(900));
        assert_eq!(client.call(&["BUS.WORKERS", "b"]).items().len(), 1);
        client.call(&["BUS.CAST", "b", "m"]);
    }
    assert_eq!(Fetched::all(&worker.read_reply()).len(), 1);
    worker.call(&["BUS.BEAT", "b", "w"]);
    // Longer than a Respite remembers a bus that nothing happens on.
    std::thread::sleep(Duration::from_millis(1600));
    let workers = client.call(&["BUS.WORKERS", "b"]);
    assert!(
        matches!(&workers, Reply::Array(rows) if rows.len() == 1),
        "{workers:?}"
    );
}
