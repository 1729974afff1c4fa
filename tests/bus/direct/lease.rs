//! The lease on the registry: calls need not ask, and a changed method is seen at once all the same.

use std::time::Duration;

use super::super::{Fetched, World, reply};
use super::backing::behind_a_relay;
use super::{executed, waiting};
use crate::support::{Client, DEADLINE, Direction, wait_until};

/// How many Respites have to be asked before the registry changes.
fn leased(world: &World) -> i64 {
    world.redis.call(&["ZCARD", &World::key("x")]).int()
}

/// Has a call of one argument carried out; what its worker gets.
#[track_caller]
fn carry_out(caller: &mut Client, worker: &mut Client) -> Fetched {
    caller.send(&["BUS.CALL", "b", "m", "ARGS", "1"]);
    let call = Fetched::all(&worker.read_reply()).remove(0);
    assert_eq!(reply(worker, &call, "done"), 1);
    caller.read_reply().assert_str("done");
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    call
}

#[test]
fn calls_ask_nothing_while_it_is_held() {
    let world = World::of(1);
    world.register("m", &[]);
    let (mut worker, mut caller) = (waiting(&world, "w", "m"), world.connect());
    wait_until("calls ask nothing", DEADLINE, || {
        let before = executed(&world, "hget");
        for _ in 0..20 {
            carry_out(&mut caller, &mut worker);
        }
        executed(&world, "hget") < before + 10
    });
    assert_eq!(leased(&world), 1);
    let lives = world.redis.call(&["PTTL", &World::key("x")]).int();
    assert!(lives > 0, "{lives}");
}

#[test]
fn another_registration_is_seen_at_once() {
    let world = World::of(2);
    world.register("m", &["PARAMS", "1", "a"]);
    let mut worker = waiting(&world, "w", "m");
    let (mut caller, mut other) = (world.connect(), world.connect_worker());
    for parameter in ["b", "c", "d"] {
        wait_until("it is leased", DEADLINE, || {
            carry_out(&mut caller, &mut worker);
            leased(&world) == 1
        });
        other.call(&["BUS.REGISTER", "b", "m", "PARAMS", "1", parameter]);
        let call = carry_out(&mut caller, &mut worker);
        assert_eq!(call.reply.field("kwargs").strings(), [parameter, "1"]);
    }
    other.call(&["BUS.UNREGISTER", "b", "m"]).assert_int(1);
    let gone = caller.call(&["BUS.CALL", "b", "m"]);
    assert_eq!(gone.error(), "NOMETHOD no method 'm'");
}

#[test]
fn a_registration_is_not_answered_before_all_let_go() {
    let world = World::of(1);
    world.register("m", &["PARAMS", "1", "a"]);
    let (relay, respite, mut worker) = behind_a_relay(&world);
    let (mut caller, mut other) = (respite.connect(), world.connect());
    let name = b"SETNAME\r\n$11\r\nrespite-bus\r\n";
    for (parameter, is_told) in [("b", true), ("c", false)] {
        wait_until("it is leased", DEADLINE, || {
            carry_out(&mut caller, &mut worker);
            leased(&world) == 1
        });
        let hints = relay.find(|first| first.windows(name.len()).any(|part| part == name));
        hints.pause(Direction::Down);
        other.send(&["BUS.REGISTER", "b", "m", "PARAMS", "1", parameter]);
        if is_told {
            hints.wait_held(Direction::Down);
            assert!(
                other.silent_for(Duration::from_millis(50)),
                "it is not told"
            );
            hints.resume(Direction::Down);
        }
        // If it is never told, its lease ends.
        other.read_reply().field("generation");
        let call = carry_out(&mut caller, &mut worker);
        assert_eq!(call.reply.field("kwargs").strings(), [parameter, "1"]);
        hints.resume(Direction::Down);
    }
}

/// Whoever may publish hears the questions of Respites and can say that they are answered.
#[test]
fn a_forged_answer_ends_no_wait() {
    let world = World::of(1);
    world.register("m", &["PARAMS", "1", "a"]);
    let (relay, respite, mut worker) = behind_a_relay(&world);
    let (mut caller, mut other) = (respite.connect(), world.connect());
    let mut forger = world.redis.connect();
    forger.hello3();
    forger.call(&["PSUBSCRIBE", "respite:b:*"]);
    let name = b"SETNAME\r\n$11\r\nrespite-bus\r\n";
    wait_until("it is leased", DEADLINE, || {
        carry_out(&mut caller, &mut worker);
        leased(&world) == 1
    });
    let hints = relay.find(|first| first.windows(name.len()).any(|part| part == name));
    hints.pause(Direction::Down);
    other.send(&["BUS.REGISTER", "b", "m", "PARAMS", "1", "b"]);
    let question = loop {
        let heard = forger.read_reply();
        let text = heard.items()[3].as_str().to_owned();
        if text.starts_with("g\n") {
            break text;
        }
    };
    let words: Vec<&str> = question.split('\n').collect();
    let [_, bus, id, asking] = words[..] else {
        panic!("{question:?}");
    };
    let channel = format!("respite:b:{asking}");
    for bus in [bus, "of-the-forger"] {
        // With a bus of his own he can make the key as well.
        let key = format!("respite:b:{{of-the-forger}}:h:{asking}:{id}");
        world
            .redis
            .call(&["SET", &key, "1", "PX", "5000"])
            .assert_ok();
        let answer = format!("a\n{bus}\n{id}");
        let heard = world.redis.call(&["PUBLISH", &channel, &answer]);
        assert!(heard.int() > 1, "the forger is not the only one");
    }
    assert!(
        other.silent_for(Duration::from_millis(50)),
        "nobody has let go"
    );
    hints.resume(Direction::Down);
    other.read_reply().field("generation");
    let call = carry_out(&mut caller, &mut worker);
    assert_eq!(call.reply.field("kwargs").strings(), ["b", "1"]);
}
