//! Whatever comes first: all who are told what became of a call are told the same.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::{Fetched, World, reply, wait_for_worker};
use crate::support::Random;

#[test]
fn a_reply_and_a_deadline_never_disagree() {
    agree(&World::of(2));
}

#[test]
fn nor_do_they_when_the_call_is_handed_over_here() {
    agree(&World::of(1));
}

fn agree(world: &World) {
    world.register("m", &[]);
    let mut random = Random::from_env();
    let (works, timeouts): (Vec<u64>, Vec<usize>) = (0..120)
        .map(|_| (random.below(20) as u64, random.between(1, 20)))
        .unzip();
    let in_time = Mutex::new(HashMap::new());
    let mut caller = world.connect();
    std::thread::scope(|scope| {
        let mut worker = world.connect_worker();
        worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
        wait_for_worker(world, "w");
        let in_time = &in_time;
        scope.spawn(move || {
            loop {
                let call = Fetched::all(&worker.read_reply()).remove(0);
                let payload = call.reply.field("payload").as_str().to_owned();
                if payload == "end" {
                    reply(&mut worker, &call, "end");
                    return;
                }
                let number: usize = payload.parse().expect("a number");
                std::thread::sleep(Duration::from_millis(works[number]));
                let taken = reply(&mut worker, &call, &payload);
                in_time.lock().expect("no panic").insert(number, taken);
                worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
            }
        });
        let mut told = Vec::new();
        for (number, timeout) in timeouts.iter().enumerate() {
            let (number, timeout) = (number.to_string(), timeout.to_string());
            told.push(caller.call(&[
                "BUS.CALL", "b", "m", "TIMEOUT", &timeout, "PAYLOAD", &number,
            ]));
        }
        caller
            .call(&["BUS.CALL", "b", "m", "PAYLOAD", "end"])
            .assert_str("end");
        let in_time = in_time.lock().expect("no panic");
        for (number, told) in told.iter().enumerate() {
            if told.is_error() {
                told.assert_error("DEADLINE ");
                assert_ne!(
                    in_time.get(&number),
                    Some(&1),
                    "call {number} was answered in time"
                );
            } else {
                told.assert_str(&number.to_string());
                assert_eq!(in_time.get(&number), Some(&1), "call {number}");
            }
        }
    });
}

#[test]
fn a_call_is_cancelled_or_answered_but_not_both() {
    let world = World::of(2);
    world.register("m", &[]);
    let (mut client, mut worker) = (world.connect(), world.connect_worker());
    for round in 0..60 {
        let id = client.call(&["BUS.CAST", "b", "m"]).as_str().to_owned();
        let (cancelled, answered) = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let calls = worker.call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "1"]);
                let calls = Fetched::all(&calls);
                let answer = calls.first().map(|call| reply(&mut worker, call, "done"));
                answer.unwrap_or(0)
            });
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            let cancelled = client.call(&["BUS.CANCEL", "b", &id]).int();
            (cancelled, worker.join().expect("no panic"))
        });
        let result = client.call(&["BUS.RESULT", "b", &id, "TIMEOUT", "1"]);
        match (cancelled, answered) {
            (1, 0) => result.assert_error("CANCELLED "),
            (0, 1) => result.assert_str("done"),
            other => panic!("cancelled and answered: {other:?}, {result:?}"),
        }
    }
}

#[test]
fn an_id_that_somebody_made_up_is_no_call() {
    let world = World::of(1);
    world.register("m", &["IDEMPOTENT", "MAXDELIVERIES", "1"]);
    let mut client = world.connect();
    let id = client.call(&["BUS.CAST", "b", "m"]).as_str().to_owned();
    let rest = id.split_once('.').expect("a number in front").1;
    let forged = format!("0-0.{rest}");
    client.call(&["BUS.CANCEL", "b", &forged]).assert_int(0);
    client
        .call(&["BUS.RESULT", "b", &forged])
        .assert_error("NOCALL");
    let call = super::fetch(&mut client, "w", "m");
    assert_eq!(call.id, id);
    let fail = ["BUS.FAIL", "b", &id, &call.token, "C", "m", "RETRY"];
    client.call(&fail).assert_int(1);
    // Nor is a dead one of another method.
    world.register("other", &[]);
    let forged = format!("{}other", id.strip_suffix('m').expect("its method"));
    client.call(&["BUS.REVIVE", "b", &forged]).assert_int(0);
    client.call(&["BUS.REVIVE", "b", &id]).assert_int(1);
}

#[test]
fn scripts_that_the_backing_forgot_and_keys_in_the_way() {
    let world = World::of(1);
    world.register("m", &[]);
    let mut client = world.connect();
    for _ in 0..3 {
        world.redis.call(&["SCRIPT", "FLUSH"]).assert_ok();
        assert!(!client.call(&["BUS.CAST", "b", "m"]).is_error());
        let call = super::fetch(&mut client, "w", "m");
        assert_eq!(reply(&mut client, &call, "done"), 1);
    }
    for (key, command) in [
        ("q:m", &["BUS.CAST", "b", "m"][..]),
        ("o", &["BUS.REPLY", "b", "i", "t", "p"]),
        ("m", &["BUS.METHODS", "b"]),
        ("t", &["BUS.CAST", "b", "m"]),
    ] {
        let key = World::key(key);
        world.redis.call(&["DEL", &key]);
        world.redis.call(&["SET", &key, "in the way"]).assert_ok();
        let error = client.call(command);
        assert!(error.error().contains("WRONGTYPE"), "{key}: {error:?}");
        client.call(&["BUS.CLEANUP", "b"]);
        // Without the list of calls, outcomes are left to expire.
        let mut left = world.keys();
        left.retain(|left| key != World::key("t") || !left.contains("}:r:"));
        assert_eq!(left, [""; 0], "{key}");
        world.register("m", &[]);
        let id = client.call(&["BUS.CAST", "b", "m"]);
        let call = super::fetch(&mut client, "w", "m");
        assert_eq!(call.id, id.as_str());
        assert_eq!(reply(&mut client, &call, "done"), 1);
    }
}
