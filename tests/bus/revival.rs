//! Calls that are delivered again, or put back from the dead list: how they are counted, and how they end.

use super::{Fetched, World, fetch, reply};
use crate::support::{Client, DEADLINE, wait_until};

/// Casts a call and has it die.
fn dead(client: &mut Client) -> String {
    let id = client.call(&["BUS.CAST", "b", "m"]).as_str().to_owned();
    let call = fetch(client, "w", "m");
    retry(client, &call);
    client
        .call(&["BUS.RESULT", "b", &id])
        .assert_error("POISON ");
    id
}

fn retry(client: &mut Client, call: &Fetched) {
    let fail = ["BUS.FAIL", "b", &call.id, &call.token, "C", "m", "RETRY"];
    client.call(&fail).assert_int(1);
}

#[test]
fn calls_are_counted_wherever_they_wait() {
    let world = World::of(1);
    world.register("m", &["IDEMPOTENT", "MAXDELIVERIES", "2"]);
    let mut client = world.connect();
    let counted = |pending: i64, in_flight: i64| {
        let row = ["pending", "in_flight"].map(|field| world.stat("m", field).int());
        assert_eq!(row, [pending, in_flight]);
    };
    client.call(&["BUS.CAST", "b", "m"]);
    let first = fetch(&mut client, "w", "m");
    client.call(&["BUS.CAST", "b", "m"]);
    counted(1, 1);
    // Put back, it waits; cancelled then, it does not any more.
    retry(&mut client, &first);
    counted(2, 0);
    client.call(&["BUS.CANCEL", "b", &first.id]).assert_int(1);
    counted(1, 0);
    let second = fetch(&mut client, "w", "m");
    counted(0, 1);
    // How long it was queued is counted once.
    retry(&mut client, &second);
    let second = fetch(&mut client, "w", "m");
    let row = ["queue_p50_ms", "queue_p99_ms"].map(|field| world.stat("m", field));
    assert_ne!(row[0].as_str(), "0");
    retry(&mut client, &second);
    counted(0, 0);
    client.call(&["BUS.REVIVE", "b", &second.id]).assert_int(1);
    counted(1, 0);
    let revived = fetch(&mut client, "w", "m");
    counted(0, 1);
    assert_eq!(reply(&mut client, &revived, "done"), 1);
    counted(0, 0);
}

#[test]
fn a_revived_call_ends_like_any_other() {
    let world = World::of(1);
    let options = ["IDEMPOTENT", "MAXDELIVERIES", "1", "RESULTTTL", "0.3"];
    world.register("m", &options);
    let mut client = world.connect();
    let id = dead(&mut client);
    client.call(&["BUS.REVIVE", "b", &id]).assert_int(1);
    let call = fetch(&mut client, "w", "m");
    assert_eq!(reply(&mut client, &call, "done"), 1);
    client.call(&["BUS.RESULT", "b", &id]).assert_str("done");
    wait_until("the result has expired", DEADLINE, || {
        client
            .call(&["BUS.RESULT", "b", &id, "TIMEOUT", "10"])
            .is_error()
    });
    client.call(&["BUS.CANCEL", "b", &id]).assert_int(0);

    let id = dead(&mut client);
    client.call(&["BUS.REVIVE", "b", &id]).assert_int(1);
    client.call(&["BUS.UNREGISTER", "b", "m"]).assert_int(1);
    client
        .call(&["BUS.RESULT", "b", &id, "TIMEOUT", "10"])
        .assert_error("NOMETHOD ");
}

#[test]
fn a_dead_call_is_forgotten_when_its_time_is_over() {
    let world = World::of(1);
    world.register("m", &["IDEMPOTENT", "MAXDELIVERIES", "1"]);
    let mut client = world.connect();
    let id = dead(&mut client);
    let errors = world.stat("m", "errors").int();
    // A day passes.
    world
        .redis
        .call(&["ZADD", &World::key("t"), "1", &id])
        .assert_int(0);
    wait_until("it is forgotten", DEADLINE, || {
        client.call(&["BUS.DEAD", "b", "m"]).items().is_empty()
    });
    assert!(world.calls_kept().is_empty());
    client
        .call(&["BUS.RESULT", "b", &id])
        .assert_error("NOCALL");
    assert_eq!(world.stat("m", "errors").int(), errors);
}
