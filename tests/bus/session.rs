//! A day in the life of two small services, step by step: a generator of random things and some mathematics.

use std::sync::atomic::{AtomicU32, Ordering};

use super::World;
use crate::support::{Client, Reply};

/// The services in pure RESP; the clients' tests run the ones of `examples/bus`.
fn serve(world: &World) {
    world.register("uuid", &[]);
    world.register("password", &["PARAMS", "1", "length=12"]);
    world.register("sum", &["PARAMS", "2", "a", "b", "CACHE", "{a}/{b}"]);
    world.register("now", &["PARAMS", "1", "seed", "CACHE", "{seed}"]);
    let count = AtomicU32::new(0);
    world.serve(&["*"], move |call| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        match call.reply.field("method").as_str() {
            "uuid" => format!("uuid-{number}"),
            "password" => "x".repeat(call.args()[0].parse().expect("a length")),
            "sum" => {
                let numbers = call
                    .args()
                    .into_iter()
                    .map(|arg| arg.parse::<i64>().expect("a number"));
                numbers.sum::<i64>().to_string()
            }
            _ => format!("now-{number}"),
        }
    });
    super::wait_for_worker(world, "served");
}

fn call(client: &mut Client, words: &[&str]) -> String {
    let reply = client.call(&[&["BUS.CALL", "b"], words].concat());
    reply.as_str().to_owned()
}

fn cache_hits(client: &mut Client, method: &str) -> i64 {
    client.call(&["BUS.STATS", "b", method]).items()[0]
        .field("cache_hits")
        .int()
}

fn session(world: &World) {
    let before = world.keys();
    serve(world);
    let mut client = world.connect();
    assert_ne!(call(&mut client, &["uuid"]), call(&mut client, &["uuid"]));
    assert_eq!(call(&mut client, &["password"]).len(), 12);
    assert_eq!(call(&mut client, &["password", "ARGS", "20"]).len(), 20);
    assert_eq!(
        call(&mut client, &["password", "KWARGS", "length", "20"]).len(),
        20
    );

    assert_eq!(call(&mut client, &["sum", "ARGS", "1", "2"]), "3");
    assert_eq!(cache_hits(&mut client, "sum"), 0);
    assert_eq!(
        call(&mut client, &["sum", "KWARGS", "b", "2", "a", "1"]),
        "3"
    );
    assert_eq!(cache_hits(&mut client, "sum"), 1);

    let first = call(&mut client, &["now", "ARGS", "1"]);
    assert_eq!(call(&mut client, &["now", "ARGS", "1"]), first);
    let second = call(&mut client, &["now", "ARGS", "2"]);
    assert_ne!(second, first);
    client
        .call(&["BUS.UNCACHE", "b", "now", "ARGS", "1"])
        .assert_int(1);
    assert_ne!(call(&mut client, &["now", "ARGS", "1"]), first);
    assert_eq!(
        call(&mut client, &["now", "ARGS", "2"]),
        second,
        "only one was cleared"
    );

    let keys = world.keys().len();
    let removed = client.call(&["BUS.CLEANUP", "b"]).int();
    assert_eq!(
        usize::try_from(removed).expect("a count"),
        keys - before.len(),
        "{:?}",
        world.keys()
    );
    assert_eq!(world.keys(), before);
    let gone = client.call(&["BUS.CALL", "b", "uuid"]);
    assert_eq!(gone.error(), "NOMETHOD no method 'uuid'");
}

#[test]
fn the_session_over_one_respite() {
    session(&World::of(1));
}

#[test]
fn the_session_over_two() {
    session(&World::of(2));
}

#[test]
fn another_bus_and_other_keys_stay() {
    let world = World::of(1);
    let mut client = world.connect();
    client.call(&["SET", "mine", "1"]).assert_ok();
    client.call(&["BUS.REGISTER", "other", "m"]);
    let before = world.keys();
    world.register("m", &["PARAMS", "1", "a", "CACHE", "{a}"]);
    for number in 0..50 {
        let id = client.call(&["BUS.CAST", "b", "m", "ARGS", &number.to_string()]);
        assert!(matches!(id, Reply::Bulk(_)), "{id:?}");
    }
    let removed = world.keys().len() - before.len();
    let reply = client.call(&["BUS.CLEANUP", "b"]).int();
    assert_eq!(usize::try_from(reply).expect("a count"), removed);
    assert_eq!(world.keys(), before);
}
