//! What is bounded: sizes, lists at the backing, and what waiting costs it.

use super::{Fetched, World, fetch, reply, wait_for_worker};
use crate::support::{DEADLINE, wait_until};

const MIB: usize = 1024 * 1024;

#[test]
fn what_is_too_large_is_refused_and_a_fetch_brings_no_more_than_fits() {
    // So much takes its time on a busy machine.
    let mut world = World::with(1, "[timeouts]\nreply = \"60s\"");
    // A debug build may take longer for one of these than the monitor waits for its `PING`.
    world.respites[0].allow_log("backing not usable");
    world.register("m", &[]);
    world.register("bound", &["PARAMS", "1", "a"]);
    let mut client = world.connect();
    let large = vec![b'x'; 64 * MIB + 1];
    let cast = [&b"BUS.CAST"[..], b"b", b"m", b"PAYLOAD", &large];
    let refused = client.call(&cast);
    let text = "ERR the arguments and the payload of a call must be at most 67108864 bytes";
    assert_eq!(refused.error(), text);
    // A parameter goes to the worker twice, by place and by name.
    let bound = [
        &b"BUS.CAST"[..],
        b"b",
        b"bound",
        b"ARGS",
        &large[..33 * MIB],
    ];
    assert_eq!(client.call(&bound).error(), text);

    let payload = &large[..40 * MIB];
    let cast = [&b"BUS.CAST"[..], b"b", b"m", b"PAYLOAD", payload];
    for _ in 0..4 {
        assert!(!client.call(&cast).is_error());
    }
    let calls = Fetched::all(&client.call(&["BUS.FETCH", "b", "w", "m", "COUNT", "4"]));
    assert_eq!(calls.len(), 1, "the first is enough for one reply");
    assert_eq!(calls[0].reply.field("payload").as_bytes().len(), 40 * MIB);
    // Those who come together get one each, in their turn.
    let mut workers = [world.connect(), world.connect(), world.connect()];
    for worker in &mut workers {
        worker.send(&["BUS.FETCH", "b", "w", "m"]);
    }
    for worker in &mut workers {
        let call = Fetched::all(&worker.read_reply()).remove(0);
        assert_eq!(reply(worker, &call, "done"), 1);
    }
    let [id, token] = [&calls[0].id, &calls[0].token].map(|text| text.as_bytes());
    let answer = client.call(&[&b"BUS.REPLY"[..], b"b", id, token, &large]);
    assert_eq!(
        answer.error(),
        "ERR a result must be at most 67108864 bytes"
    );
    assert_eq!(reply(&mut client, &calls[0], "smaller"), 1);
}

#[test]
fn cached_results_are_bounded_and_those_that_have_expired_are_removed() {
    let world = World::with(1, "[bus]\nworker_ttl = \"300ms\"");
    world.register("m", &["PARAMS", "1", "a", "CACHE", "{a}"]);
    // As many as there may be; half of them have expired.
    let fill = "for i = 1, 100000 do \
                redis.call('HSET', KEYS[1], 'k' .. i, 'v') \
                redis.call('ZADD', KEYS[2], i % 2 == 0 and i or 9e15 + i, 'k' .. i) end";
    let [results, expiries] = ["c:m", "e:m"].map(World::key);
    world.redis.call(&["EVAL", fill, "2", &results, &expiries]);
    let mut worker = world.connect();
    worker.call(&["BUS.CAST", "b", "m", "ARGS", "1"]);
    let call = fetch(&mut worker, "w", "m");
    assert_eq!(reply(&mut worker, &call, "done"), 1);
    let count = |command: &str, key: &str| world.redis.call(&[command, key]).int();
    assert!(count("HLEN", &results) <= 100_000);
    wait_until("what has expired is removed", DEADLINE, || {
        worker.call(&["BUS.STATS", "b"]);
        count("ZCARD", &expiries) == 50_001 && count("HLEN", &results) == 50_001
    });
}

#[test]
fn the_oldest_of_too_many_dead_calls_go() {
    let world = World::of(1);
    world.register("m", &["IDEMPOTENT", "MAXDELIVERIES", "1"]);
    let fill = "for i = 1, 1000 do redis.call('ZADD', KEYS[1], i, 'old' .. i .. '.1-1.m') end \
                redis.call('HSET', KEYS[2], 'a', 'its body')";
    let [dead, oldest] = ["d:m", "k:old1"].map(World::key);
    world.redis.call(&["EVAL", fill, "2", &dead, &oldest]);
    let mut client = world.connect();
    client.call(&["BUS.CAST", "b", "m"]);
    let call = fetch(&mut client, "w", "m");
    let fail = ["BUS.FAIL", "b", &call.id, &call.token, "C", "m", "RETRY"];
    client.call(&fail).assert_int(1);
    world.redis.call(&["ZCARD", &dead]).assert_int(1000);
    world.redis.call(&["EXISTS", &oldest]).assert_int(0);
    let newest = client.call(&["BUS.DEAD", "b", "m", "COUNT", "1"]);
    assert_eq!(newest.items()[0].field("id").as_str(), call.id);
}

#[test]
fn waiting_workers_cost_the_backing_nothing_each() {
    let world = World::of(2);
    world.register("m", &[]);
    let mut workers: Vec<_> = (0..40).map(|_| world.connect_worker()).collect();
    for (number, worker) in workers.iter_mut().enumerate() {
        let name = format!("w{number}");
        worker.send(&["BUS.FETCH", "b", &name, "m", "TIMEOUT", "0"]);
        wait_for_worker(&world, &name);
    }
    let calls = |command: &str| {
        let stats = world.redis.call(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let mut lines = stats.as_str().lines();
        let line = lines.find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |line| {
            line.split(',')
                .next()
                .expect("a count")
                .parse()
                .expect("a count")
        })
    };
    let (scripts, looks): (u64, u64) = (calls("evalsha"), calls("xlen"));
    wait_until("the upkeep has come by a few times", DEADLINE, || {
        calls("evalsha") >= scripts + 4
    });
    let looked = calls("xlen") - looks;
    assert!(looked < 20, "the queue was looked at {looked} times");
    // And they are woken all the same when no hint tells of a call.
    world.redis.call(&["DEL", &World::key("i")]);
    let mut caller = world.connect();
    caller.send(&["BUS.CALL", "b", "m"]);
    wait_until("the call is held", DEADLINE, || {
        world.stat("m", "in_flight").int() == 1
    });
}
