//! The backing goes and comes back, hints are lost, Respites stop.

use nix::sys::signal::Signal;

use super::{Fetched, World, fetch, reply, wait_for_worker};
use crate::support::{DEADLINE, RedisServer, Respite, wait_until};

#[test]
fn a_backing_that_comes_back_empty_ends_the_waits() {
    let mut world = World::of(1);
    world.register("m", &[]);
    let mut worker = world.connect();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let caller = world.calling(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    let mut idle = world.connect();
    idle.send(&["BUS.FETCH", "b", "v", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "v");
    world.restart_backing();
    let lost = caller.join().expect("no panic");
    assert_eq!(lost.error(), "NOCALL the call is not known any more");
    wait_until("the bus is usable", DEADLINE, || {
        !world.connect().call(&["BUS.REGISTER", "b", "m"]).is_error()
    });
    assert_eq!(reply(&mut worker, &call, "late"), 0);
    // The worker that waited all the while gets the next call.
    wait_for_worker(&world, "v");
    let caller = world.calling(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&idle.read_reply()).remove(0);
    assert_eq!(reply(&mut idle, &call, "done"), 1);
    caller.join().expect("no panic").assert_str("done");
}

#[test]
fn a_lost_hint_is_made_up_for() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut worker = world.connect_worker();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    // Nobody is told of the next call.
    world.redis.call(&["DEL", "respite:b:{b}:i"]).assert_int(1);
    let caller = world.calling(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    assert_eq!(reply(&mut worker, &call, "done"), 1);
    caller.join().expect("no panic").assert_str("done");
    // And so is the loss of the connection that they come over.
    let killed = world
        .redis
        .call(&["CLIENT", "KILL", "TYPE", "pubsub"])
        .int();
    assert_eq!(killed, 2);
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    let caller = world.calling(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    assert_eq!(reply(&mut worker, &call, "done"), 1);
    caller.join().expect("no panic").assert_str("done");
}

#[test]
fn a_respite_that_stops_tells_what_is_lost() {
    let mut world = World::of(2);
    world.register("m", &["IDEMPOTENT"]);
    let mut worker = world.connect_worker();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let caller = world.calling(&["BUS.CALL", "b", "m"]);
    assert_eq!(Fetched::all(&worker.read_reply()).len(), 1);
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    let stopping = world.respites.pop().expect("two");
    stopping.signal(Signal::SIGTERM);
    assert!(worker.closed());
    stopping.ended();
    let mut other = world.connect();
    let call = fetch(&mut other, "v", "m");
    call.reply.field("attempt").assert_int(2);
    assert_eq!(reply(&mut other, &call, "done"), 1);
    caller.join().expect("no panic").assert_str("done");
}

#[test]
fn one_connection_hears_for_all_buses() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let count = || {
        redis
            .info("clients", "connected_clients")
            .parse::<usize>()
            .expect("a count")
    };
    let mut clients = Vec::new();
    let mut wait = |bus: usize| {
        let mut client = respite.connect();
        client.send(&[
            "BUS.FETCH".to_owned(),
            format!("bus{bus}"),
            "w".to_owned(),
            "*".to_owned(),
        ]);
        let mut client_too = respite.connect();
        wait_until("the worker waits", DEADLINE, || {
            !client_too
                .call(&["BUS.WORKERS".to_owned(), format!("bus{bus}")])
                .items()
                .is_empty()
        });
        clients.extend([client, client_too]);
    };
    for bus in 0..4 {
        wait(bus);
    }
    let few = count();
    for bus in 4..40 {
        wait(bus);
    }
    assert_eq!(count(), few, "waiting takes no connection to the backing");
}
