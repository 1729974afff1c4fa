//! What goes on without any command: counters, waits that a slow or lost backing would prolong, hints that never come.

use std::time::Instant;

use super::{Fetched, World, fetch, reply, wait_for_worker};
use crate::support::{DEADLINE, Relay, Respite, wait_until};

#[test]
fn a_respite_that_only_casts_writes_its_counters() {
    let world = World::of(2);
    let mut other = world.connect_worker();
    other.call(&["BUS.REGISTER", "b", "m"]);
    let mut client = world.connect();
    for _ in 0..3 {
        client.call(&["BUS.CAST", "b", "m"]);
    }
    wait_until("the calls are counted", DEADLINE, || {
        let stats = other.call(&["BUS.STATS", "b", "m"]);
        stats.items()[0].field("calls").int() == 3
    });
}

#[test]
fn no_command_outlasts_its_timeout_when_the_backing_hangs() {
    let mut world = World::with(1, "[timeouts]\nreply = \"5m\"\nconnect = \"5m\"");
    world.register("m", &[]);
    let [mut caller, mut asker, mut worker] = [(); 3].map(|()| world.connect());
    worker.call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "1"]);
    let id = caller.call(&["BUS.CAST", "b", "m"]).as_str().to_owned();
    caller
        .call(&["BUS.CALL", "b", "m", "TIMEOUT", "20"])
        .assert_error("DEADLINE ");
    world.respites[0].allow_log("backing not usable");
    world.redis.freeze();
    caller.send(&["BUS.CALL", "b", "m", "TIMEOUT", "20"]);
    asker.send(&["BUS.RESULT", "b", &id, "TIMEOUT", "20"]);
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "20"]);
    caller.read_reply().assert_error("DEADLINE ");
    assert!(asker.read_reply().is_null());
    assert!(worker.read_reply().is_null());
    world.redis.thaw();
    // What the fetch would have brought is still there. The call that was given up may come first.
    let mut call = fetch(&mut asker, "v", "m");
    if call.id != id {
        call = fetch(&mut asker, "v", "m");
    }
    assert_eq!(call.id, id);
    assert_eq!(reply(&mut asker, &call, "done"), 1);
    wait_until("nothing else is left", DEADLINE, || {
        ["pending", "in_flight"].map(|field| world.stat("m", field).int()) == [0, 0]
    });
}

#[test]
fn a_loss_that_could_not_be_told_is_told_later() {
    let world = World::of(1);
    world.register("m", &["VISIBILITY", "600000"]);
    let relay = Relay::to(world.redis.port());
    let respite = Respite::builder()
        .upstream(&relay.url())
        .config("[timeouts]\nconnect = \"100ms\"")
        .allow_log("backing not usable")
        .start();
    let mut worker = respite.connect();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_for_worker(&world, "w");
    let caller = world.calling(&["BUS.CALL", "b", "m"]);
    assert_eq!(Fetched::all(&worker.read_reply()).len(), 1);
    relay.refuse();
    relay.cut_all();
    drop(worker);
    let mut client = respite.connect();
    for _ in 0..3 {
        client.call(&["BUS.WORKERS", "b"]).assert_error("UPSTREAM ");
    }
    relay.accept();
    caller.join().expect("no panic").assert_error("WORKERLOST ");
}

#[test]
fn nobody_waits_for_hints_that_never_come() {
    let redis = crate::support::RedisServer::start();
    let user = [
        "ACL",
        "SETUSER",
        "deaf",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-subscribe",
    ];
    redis.call(&user).assert_ok();
    let url = redis.url().replace("://", "://deaf:secret@");
    let respite = Respite::builder()
        .upstream(&url)
        .allow_log("no hints for the bus")
        .start();
    let mut client = respite.connect();
    let start = Instant::now();
    for _ in 0..20 {
        client
            .call(&["BUS.RESULT", "b", "nobody"])
            .assert_error("NOCALL");
    }
    assert!(start.elapsed() < DEADLINE, "each waited");
    client.call(&["BUS.REGISTER", "b", "m"]);
    let mut worker = respite.connect();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    wait_until("the worker waits", DEADLINE, || {
        !client.call(&["BUS.WORKERS", "b"]).items().is_empty()
    });
    client.send(&["BUS.CALL", "b", "m"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    assert_eq!(reply(&mut worker, &call, "done"), 1);
    client.read_reply().assert_str("done");
}

#[test]
fn a_worker_with_two_waits_serves_both() {
    let world = World::of(1);
    let (mut one, mut two) = (world.connect(), world.connect());
    for (client, method) in [(&mut one, "a"), (&mut two, "b")] {
        world.register(method, &[]);
        client.send(&["BUS.FETCH", "b", "w", method, "TIMEOUT", "0"]);
    }
    let mut client = world.connect();
    wait_until("both are known", DEADLINE, || {
        let workers = client.call(&["BUS.WORKERS", "b"]);
        workers
            .items()
            .iter()
            .any(|row| row.field("patterns").items().len() == 2)
    });
    for (worker, method) in [(&mut one, "a"), (&mut two, "b")] {
        client.send(&["BUS.CALL", "b", method]);
        let call = Fetched::all(&worker.read_reply()).remove(0);
        assert_eq!(reply(worker, &call, method), 1);
        client.read_reply().assert_str(method);
    }
}
