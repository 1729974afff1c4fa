//! Calls between Respites: sent from the caller's one to the worker's one, and in the backing as soon as that matters.

use std::time::Duration;

use super::direct::executed;
use super::{Fetched, World, reply, wait_for_worker};
use crate::support::{
    Client, Connection, DEADLINE, Direction, RedisServer, Relay, Reply, Respite, wait_until,
};

/// A caller at one Respite and a worker at another, each Respite behind a relay; calls are sent from one to the other.
struct Pair {
    caller: Client,
    worker: Client,
    world: World,
    relays: [Relay; 2],
}

impl Pair {
    fn new(options: &[&str]) -> Self {
        Self::with(options, "")
    }

    /// With these lines of configuration.
    fn with(options: &[&str], config: &str) -> Self {
        let redis = RedisServer::start();
        let relays = [(); 2].map(|()| Relay::to(redis.port()));
        let respites = relays.iter().map(|relay| {
            let builder = Respite::builder().upstream(&relay.url()).config(config);
            builder.allow_log("backing not usable").start()
        });
        let respites = respites.collect();
        let world = World { respites, redis };
        world.register("m", options);
        let (caller, mut worker) = (world.connect(), world.connect_worker());
        worker.send(&FETCH);
        wait_for_worker(&world, "w");
        let mut pair = Pair {
            caller,
            worker,
            world,
            relays,
        };
        pair.wait_until_sent();
        pair
    }

    /// Makes calls until they need no entry in the backing.
    fn wait_until_sent(&mut self) {
        wait_until("calls are sent", DEADLINE, || {
            let before = executed(&self.world, "xadd");
            self.carry_out("warm");
            executed(&self.world, "xadd") == before
        });
    }

    /// Sends a call; what its worker gets.
    fn begin(&mut self, payload: &str) -> Fetched {
        self.caller
            .send(&["BUS.CALL", "b", "m", "PAYLOAD", payload]);
        self.next()
    }

    fn next(&mut self) -> Fetched {
        Fetched::all(&self.worker.read_reply()).remove(0)
    }

    fn carry_out(&mut self, payload: &str) {
        let call = self.begin(payload);
        call.reply.field("payload").assert_str(payload);
        assert_eq!(reply(&mut self.worker, &call, payload), 1);
        self.caller.read_reply().assert_str(payload);
        self.worker.send(&FETCH);
    }

    /// The connection over which a Respite hears.
    fn hearing(&self, respite: usize) -> Connection {
        let name = b"SETNAME\r\n$11\r\nrespite-bus\r\n";
        let has_name = |first: &[u8]| first.windows(name.len()).any(|part| part == name);
        let mut all = self.relays[respite].connections();
        all.retain(|connection| connection.is_open() && has_name(&connection.first_bytes()));
        all.pop().expect("it hears")
    }

    fn wait_until_kept(&self) {
        wait_until("the call is in the backing", DEADLINE, || {
            let kept = self.world.redis.call(&["HLEN", &World::key("o")]);
            kept.int() == 1
        });
    }

    fn nothing_is_left(&self) {
        wait_until("no call is kept", DEADLINE, || {
            self.world.calls_kept().is_empty()
        });
    }

    fn cancelled(&mut self) -> Vec<String> {
        let beat = self.worker.call(&["BUS.BEAT", "b", "w"]);
        assert!(beat.field("lost").items().is_empty(), "{beat:?}");
        let ids = beat.field("cancelled").strings();
        ids.into_iter().map(str::to_owned).collect()
    }
}

const FETCH: [&str; 6] = ["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"];

#[test]
fn a_call_for_a_worker_elsewhere_leaves_nothing_in_the_backing() {
    let mut pair = Pair::new(&["PARAMS", "2", "a=0", "b=2"]);
    let before = (pair.world.keys(), executed(&pair.world, "xadd"));
    for round in 0..50 {
        let payload = round.to_string();
        let command = ["BUS.CALL", "b", "m", "PAYLOAD", &payload, "ARGS", "1"];
        pair.caller.send(&command);
        let call = pair.next();
        assert_eq!(call.args(), ["1", "2"]);
        call.reply.field("payload").assert_str(&payload);
        call.reply.field("attempt").assert_int(1);
        let left = call.reply.field("deadline_ms").int();
        assert!((1..=30_000).contains(&left), "{left}");
        let wrong = ["BUS.REPLY", "b", &call.id, "wrong", "no"];
        pair.worker.call(&wrong).assert_int(0);
        assert_eq!(reply(&mut pair.worker, &call, &payload), 1);
        pair.caller.read_reply().assert_str(&payload);
        assert_eq!(reply(&mut pair.worker, &call, "again"), 0);
        pair.worker.send(&FETCH);
    }
    assert_eq!(executed(&pair.world, "xadd"), before.1);
    pair.nothing_is_left();
    let is_new = |key: &String| !before.0.contains(key);
    let new: Vec<String> = pair.world.keys().into_iter().filter(is_new).collect();
    let is_usual = |key: &String| {
        ["}:h:m", "}:l", "}:x", "}:i"]
            .iter()
            .any(|end| key.ends_with(end))
    };
    assert!(new.iter().all(is_usual), "{new:?}");
    wait_until("all are counted", DEADLINE, || {
        pair.world.stat("m", "calls").int() >= 51
    });
    pair.world.stat("m", "errors").assert_int(0);
}

#[test]
fn failures_and_bad_arguments_reach_the_caller() {
    let mut pair = Pair::new(&["PARAMS", "1", "a=1"]);
    let call = pair.begin("x");
    let fail = ["BUS.FAIL", "b", &call.id, &call.token, "E1", "no\r\nluck"];
    pair.worker.call(&fail).assert_int(1);
    assert_eq!(pair.caller.read_reply().error(), "BUSFAIL E1 no  luck");
    let bad = pair.caller.call(&["BUS.CALL", "b", "m", "ARGS", "1", "2"]);
    bad.assert_error("BADARGS ");
}

#[test]
fn large_calls_and_outcomes_go_through_the_backing() {
    let mut pair = Pair::new(&[]);
    let large = "x".repeat(600_000);
    for (payload, result, stored) in [(&*large, "small", 1), ("small", &*large, 0)] {
        let before = executed(&pair.world, "xadd");
        let call = pair.begin(payload);
        call.reply.field("payload").assert_str(payload);
        assert_eq!(reply(&mut pair.worker, &call, result), 1);
        pair.caller.read_reply().assert_str(result);
        assert_eq!(executed(&pair.world, "xadd"), before + stored);
        pair.worker.send(&FETCH);
    }
    pair.nothing_is_left();
}

#[test]
fn a_worker_may_answer_over_any_respite() {
    let mut pair = Pair::new(&[]);
    for extend in [false, true] {
        let mut elsewhere = pair.world.connect();
        let call = pair.begin("x");
        if extend {
            let beat = elsewhere.call(&["BUS.BEAT", "b", "w", "EXTEND", "1", &call.id]);
            assert!(beat.field("lost").items().is_empty(), "{beat:?}");
        }
        assert_eq!(reply(&mut elsewhere, &call, "done"), 1);
        assert_eq!(reply(&mut pair.worker, &call, "late"), 0);
        pair.caller.read_reply().assert_str("done");
        pair.worker.send(&FETCH);
    }
    pair.nothing_is_left();
}

#[test]
fn a_worker_that_goes_loses_its_call_at_once() {
    let mut pair = Pair::new(&["VISIBILITY", "600000"]);
    for wait in [false, true] {
        let call = pair.begin("x");
        if wait {
            pair.wait_until_kept();
        }
        pair.worker = pair.world.connect_worker();
        let lost = pair.caller.read_reply();
        assert_eq!(lost.error(), "WORKERLOST the worker w was lost");
        assert_eq!(reply(&mut pair.worker, &call, "late"), 0);
        let nothing = ["BUS.FETCH", "b", "w", "m", "TIMEOUT", "20"];
        let nothing = pair.worker.call(&nothing);
        assert!(nothing.is_null(), "never delivered twice: {nothing:?}");
        pair.worker.send(&FETCH);
    }
    pair.nothing_is_left();
}

#[test]
fn a_worker_is_told_when_the_caller_has_gone_or_waits_no_more() {
    let mut pair = Pair::new(&["VISIBILITY", "600000"]);
    let ways = [(false, true), (true, true), (false, false), (true, false)];
    for (told, (wait, goes)) in (1..).zip(ways) {
        let timeout = if goes { "600000" } else { "400" };
        pair.caller
            .send(&["BUS.CALL", "b", "m", "TIMEOUT", timeout]);
        let call = pair.next();
        if wait {
            pair.wait_until_kept();
        }
        if goes {
            pair.caller = pair.world.connect();
        } else {
            pair.caller.read_reply().assert_error("DEADLINE ");
        }
        wait_until("the worker is told", DEADLINE, || {
            pair.cancelled() == [call.id.as_str()]
        });
        assert_eq!(reply(&mut pair.worker, &call, "late"), 0);
        pair.worker.send(&FETCH);
        wait_until("all are counted", DEADLINE, || {
            pair.world.stat("m", "errors").int() == told
        });
    }
    pair.carry_out("next");
}

#[test]
fn calls_that_wait_elsewhere_end_with_their_method() {
    let mut pair = Pair::new(&[]);
    let call = pair.begin("x");
    let waiting: Vec<_> = (0..3)
        .map(|_| pair.world.calling(&["BUS.CALL", "b", "m"]))
        .collect();
    for from in &pair.world.respites {
        wait_until("they are counted", DEADLINE, || {
            let stats = from.call(&["BUS.STATS", "b", "m"]);
            let row = &stats.items()[0];
            ["pending", "in_flight"].map(|field| row.field(field).int()) == [3, 1]
        });
    }
    pair.world
        .connect()
        .call(&["BUS.UNREGISTER", "b", "m"])
        .assert_int(1);
    for caller in waiting {
        caller.join().expect("no panic").assert_error("NOMETHOD ");
    }
    pair.caller.read_reply().assert_error("NOMETHOD ");
    assert_eq!(reply(&mut pair.worker, &call, "late"), 0);
}

#[test]
fn another_registration_is_seen_at_once() {
    let mut pair = Pair::new(&["PARAMS", "1", "a=0"]);
    for parameter in ["b=0", "c=0", "d=0"] {
        pair.wait_until_sent();
        let changed = ["BUS.REGISTER", "b", "m", "PARAMS", "1", parameter];
        pair.world.connect().call(&changed).field("generation");
        let call = pair.begin("x");
        assert_eq!(call.reply.field("kwargs").strings(), [&parameter[..1], "0"]);
        assert_eq!(reply(&mut pair.worker, &call, "done"), 1);
        pair.caller.read_reply().assert_str("done");
        pair.worker.send(&FETCH);
    }
}

#[test]
fn without_workers_there_the_caller_is_told_at_once() {
    let mut pair = Pair::with(&[], "[bus]\nworker_ttl = \"1s\"");
    pair.worker = pair.world.connect_worker();
    wait_until("the worker is forgotten", DEADLINE, || {
        let workers = pair.caller.call(&["BUS.WORKERS", "b"]);
        workers.items().is_empty()
    });
    // The other Respite had workers a moment ago, so it is asked.
    let before = executed(&pair.world, "publish");
    let told = pair
        .caller
        .call(&["BUS.CALL", "b", "m", "TIMEOUT", "600000"]);
    told.assert_error("NOWORKER ");
    let published = executed(&pair.world, "publish") - before;
    assert!(published >= 2, "the call and its return: {published}");
}

#[test]
fn a_call_waits_there_for_a_worker_that_left_a_moment_ago() {
    let mut pair = Pair::new(&[]);
    pair.worker = pair.world.connect_worker();
    let command = ["BUS.CALL", "b", "m", "TIMEOUT", "20000", "PAYLOAD", "x"];
    pair.caller.send(&command);
    pair.worker.send(&FETCH);
    let call = pair.next();
    call.reply.field("payload").assert_str("x");
    assert_eq!(reply(&mut pair.worker, &call, "done"), 1);
    pair.caller.read_reply().assert_str("done");
}

#[test]
fn a_respite_that_died_is_not_sent_calls() {
    let mut pair = Pair::new(&[]);
    pair.world.respites.remove(1).kill();
    pair.caller
        .send(&["BUS.CALL", "b", "m", "TIMEOUT", "20000", "PAYLOAD", "x"]);
    // Another worker has it, as the first one never got it.
    pair.worker = pair.world.connect();
    let fetch = ["BUS.FETCH", "b", "v", "m", "TIMEOUT", "8000"];
    let call = Fetched::all(&pair.worker.call(&fetch)).remove(0);
    call.reply.field("payload").assert_str("x");
    assert_eq!(reply(&mut pair.worker, &call, "done"), 1);
    pair.caller.read_reply().assert_str("done");
}

#[test]
fn a_call_in_hand_is_lost_with_its_respite() {
    let mut pair = Pair::new(&["VISIBILITY", "1500"]);
    for stored in [true, false] {
        let call = pair.begin("x");
        if stored {
            pair.wait_until_kept();
        }
        pair.world.respites.remove(1).kill();
        pair.caller.read_reply().assert_error("WORKERLOST ");
        let mut elsewhere = pair.world.connect();
        assert_eq!(reply(&mut elsewhere, &call, "late"), 0);
        if stored {
            let builder = Respite::builder().upstream(&pair.relays[1].url());
            let again = builder.allow_log("backing not usable").start();
            pair.world.respites.push(again);
            pair.worker = pair.world.connect_worker();
            pair.worker.send(&FETCH);
            wait_for_worker(&pair.world, "w");
            pair.wait_until_sent();
        }
    }
}

#[test]
fn the_outcome_of_a_call_whose_respite_died_is_not_kept_for_long() {
    let mut pair = Pair::new(&[]);
    let call = pair.begin("x");
    pair.world.respites.remove(0).kill();
    // Nobody said that the caller is gone: the reply is in time.
    assert_eq!(reply(&mut pair.worker, &call, "done"), 1);
    let key = World::key(&format!(
        "r:{}",
        call.id.split('.').next().expect("a number")
    ));
    wait_until("it is kept for whoever looks", DEADLINE, || {
        pair.world.redis.call(&["EXISTS", &key]).int() == 1
    });
    let lives = pair.world.redis.call(&["PTTL", &key]).int();
    assert!((1..=60_000).contains(&lives), "{lives}");
}

#[test]
fn a_call_that_was_lost_on_its_way_is_executed_once() {
    let mut pair = Pair::new(&[]);
    for _ in 0..3 {
        let hearing = pair.hearing(1);
        hearing.pause(Direction::Down);
        pair.caller.send(&["BUS.CALL", "b", "m", "PAYLOAD", "lost"]);
        hearing.wait_held(Direction::Down);
        hearing.cut();
        let call = pair.next();
        call.reply.field("payload").assert_str("lost");
        assert_eq!(reply(&mut pair.worker, &call, "done"), 1);
        pair.caller.read_reply().assert_str("done");
        let nothing = ["BUS.FETCH", "b", "w", "m", "TIMEOUT", "50"];
        let nothing = pair.worker.call(&nothing);
        assert!(nothing.is_null(), "{nothing:?}");
        pair.worker.send(&FETCH);
        pair.wait_until_sent();
    }
    pair.nothing_is_left();
}

#[test]
fn an_outcome_that_was_lost_on_its_way_is_told_again() {
    let mut pair = Pair::new(&[]);
    for _ in 0..3 {
        let hearing = pair.hearing(0);
        hearing.pause(Direction::Down);
        let call = pair.begin("x");
        assert_eq!(reply(&mut pair.worker, &call, "done"), 1);
        hearing.wait_held(Direction::Down);
        hearing.cut();
        pair.caller.read_reply().assert_str("done");
        pair.worker.send(&FETCH);
        pair.wait_until_sent();
    }
    pair.nothing_is_left();
}

#[test]
fn no_worker_gets_a_call_whose_time_passed_on_its_way() {
    let mut pair = Pair::new(&[]);
    let hearing = pair.hearing(1);
    hearing.pause(Direction::Down);
    pair.caller
        .send(&["BUS.CALL", "b", "m", "TIMEOUT", "200", "PAYLOAD", "late"]);
    hearing.wait_held(Direction::Down);
    pair.caller.read_reply().assert_error("DEADLINE ");
    hearing.resume(Direction::Down);
    pair.carry_out("next");
}

#[test]
fn messages_that_others_publish_are_not_believed() {
    let mut pair = Pair::new(&[]);
    let channels = pair
        .world
        .redis
        .call(&["PUBSUB", "CHANNELS", "respite:b:*"]);
    let channels: Vec<String> = channels.strings().into_iter().map(str::to_owned).collect();
    assert_eq!(channels.len(), 2);
    let mut spy = pair.world.redis.connect();
    let listen: Vec<&str> = ["SUBSCRIBE"]
        .into_iter()
        .chain(channels.iter().map(String::as_str))
        .collect();
    spy.send(&listen);
    spy.read_reply();
    spy.read_reply();
    pair.carry_out("secret-payload");
    let mut frames: Vec<(String, Vec<u8>)> = Vec::new();
    for _ in 0..2 {
        let message = spy.read_reply();
        let [_, channel, frame] = message.items() else {
            panic!("{message:?}")
        };
        let Reply::Bulk(frame) = frame else {
            panic!("{frame:?}")
        };
        let is_there = frame.windows(6).any(|part| part == b"secret");
        assert!(!is_there, "whoever listens reads nothing");
        frames.push((channel.as_str().to_owned(), frame.clone()));
    }
    // What was heard is said again, as it was, changed, and to others.
    let mut publisher = pair.world.redis.connect();
    for (channel, frame) in &frames {
        for to in &channels {
            let mut changed = frame.clone();
            *changed.last_mut().expect("not empty") ^= 1;
            for said in [frame, &changed] {
                publisher.call(&[b"PUBLISH", to.as_bytes(), said]).int();
            }
        }
        publisher
            .call(&[b"PUBLISH", channel.as_bytes(), b"s\nb\n"])
            .int();
        publisher
            .call(&[
                b"PUBLISH",
                channel.as_bytes(),
                b"s\nb\n0123456789abcdef\n1\nx",
            ])
            .int();
    }
    std::thread::sleep(Duration::from_millis(50));
    let nothing = pair.caller.call(&["BUS.STATS", "b", "m"]);
    nothing.items()[0].field("in_flight").assert_int(0);
    pair.carry_out("next");
}
