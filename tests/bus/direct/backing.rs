//! What becomes of direct calls while the backing is slow, or away.

use std::time::Duration;

use super::super::{Fetched, World, reply, wait_for_worker};
use super::{kept, wait_until_alone, wait_until_kept};
use crate::support::{Client, DEADLINE, Direction, Relay, Respite, wait_until};

/// A Respite behind a relay, with a worker that waits.
pub(super) fn behind_a_relay(world: &World) -> (Relay, Respite, Client) {
    let relay = Relay::to(world.redis.port());
    let respite = Respite::builder()
        .upstream(&relay.url())
        .allow_log("backing not usable")
        .start();
    let mut worker = respite.connect();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(world, "w");
    wait_until_alone(world);
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
        worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
        wait_until_alone(&world);
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
