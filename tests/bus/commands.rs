//! The commands: their shapes in both protocol versions, their errors, and what describes them.

use super::{World, fetch, reply};
use crate::support::Reply;

#[test]
fn a_fetched_call_has_its_shape_in_both_versions() {
    let world = World::of(1);
    world.register("m", &["PARAMS", "2", "a", "b=2"]);
    world.register("raw", &[]);
    let mut client = world.connect();
    for (proto, map, kwargs) in [(2, "*16", "*4"), (3, "%8", "%2")] {
        let mut worker = world.connect();
        if proto == 3 {
            worker.hello3();
        }
        client.call(&["BUS.CAST", "b", "m", "PAYLOAD", "p\r\n", "ARGS", "1"]);
        let raw = worker.call_raw(&["BUS.FETCH", "b", "w", "m"]);
        let call = &Reply::parse(&raw).items()[0].clone();
        let text = |name: &str| call.field(name).as_str().to_owned();
        let deadline = call.field("deadline_ms").int();
        assert!((1..=3_600_000).contains(&deadline), "{deadline}");
        let (id, token) = (text("id"), text("token"));
        let bulk = |word: &str| format!("${}\r\n{word}\r\n", word.len());
        let want = [
            format!("*1\r\n{map}\r\n"),
            bulk("id") + &bulk(&id),
            bulk("token") + &bulk(&token),
            bulk("method") + &bulk("m"),
            bulk("args") + "*2\r\n" + &bulk("1") + &bulk("2"),
            bulk("kwargs") + kwargs + "\r\n" + &bulk("a") + &bulk("1") + &bulk("b") + &bulk("2"),
            bulk("payload") + &bulk("p\r\n"),
            bulk("deadline_ms") + &format!(":{deadline}\r\n"),
            bulk("attempt") + ":1\r\n",
        ];
        assert_eq!(String::from_utf8(raw).expect("text"), want.concat());
        let nothing = worker.call_raw(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "1"]);
        assert_eq!(
            nothing,
            if proto == 3 {
                &b"_\r\n"[..]
            } else {
                b"*-1\r\n"
            }
        );
        let beat = worker.call_raw(&["BUS.BEAT", "b", "w", "EXTEND", "2", &id, "nobody"]);
        let want = [
            if proto == 3 { "%2\r\n" } else { "*4\r\n" },
            "$4\r\nlost\r\n*1\r\n$6\r\nnobody\r\n$9\r\ncancelled\r\n*0\r\n",
        ];
        assert_eq!(String::from_utf8(beat).expect("text"), want.concat());
        worker
            .call(&["BUS.REPLY", "b", &id, &token, "done"])
            .assert_int(1);
        worker
            .call(&["BUS.REPLY", "b", &id, &token, "again"])
            .assert_int(0);
        client.call(&["BUS.RESULT", "b", &id]).assert_str("done");
    }
    // Without PARAMS what was sent stays as it is.
    client.call(&["BUS.CAST", "b", "raw", "KWARGS", "x", "1", "x", "2"]);
    let call = fetch(&mut client, "w", "raw");
    assert!(call.args().is_empty());
    assert_eq!(call.reply.field("kwargs").strings(), ["x", "1", "x", "2"]);
    client.call(&["BUS.CAST", "b", "raw"]);
    let call = fetch(&mut client, "w", "raw");
    assert!(call.args().is_empty() && call.reply.field("kwargs").items().is_empty());
}

#[test]
fn methods_and_workers_are_listed() {
    let world = World::of(2);
    let mut client = world.connect();
    client.hello3();
    let registered = client.call(&[
        "BUS.REGISTER",
        "b",
        "sum",
        "PARAMS",
        "2",
        "a",
        "b=2",
        "CACHE",
        "{a}/{b}",
        "CACHETTL",
        "60",
        "RESULTTTL",
        "0.5",
        "IDEMPOTENT",
        "VISIBILITY",
        "100",
        "MAXDELIVERIES",
        "3",
        "MAXPENDING",
        "7",
        "DESCRIPTION",
        "adds",
    ]);
    assert_eq!(registered.field("method").as_str(), "sum");
    registered.field("generation").assert_int(1);
    world.register("raw", &[]);
    let again = client.call(&["BUS.REGISTER", "b", "raw"]);
    again.field("generation").assert_int(1);
    let other = client.call(&["BUS.REGISTER", "b", "raw", "IDEMPOTENT"]);
    other.field("generation").assert_int(2);

    let mut worker = world.connect_worker();
    worker.send(&["BUS.FETCH", "b", "w", "s*", "x", "TIMEOUT", "0"]);
    super::wait_for_worker(&world, "w");
    let methods = client.call(&["BUS.METHODS", "b"]);
    let names: Vec<&str> = methods
        .items()
        .iter()
        .map(|row| row.field("method").as_str())
        .collect();
    assert_eq!(names, ["raw", "sum"]);
    let sum = client.call(&["BUS.METHODS", "b", "MATCH", "s?m"]);
    let row = &sum.items()[0];
    let fields: Vec<&str> = row
        .pairs()
        .into_iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let want = "method generation params cache cachettl resultttl idempotent visibility_ms maxdeliveries maxpending \
                description workers pending";
    assert_eq!(fields.join(" "), want);
    assert_eq!(row.field("params").strings(), ["a", "b=2"]);
    assert_eq!(row.field("cache").as_str(), "{a}/{b}");
    row.field("cachettl").assert_int(60);
    assert_eq!(*row.field("resultttl"), Reply::Double("0.5".into()));
    assert_eq!(*row.field("idempotent"), Reply::Bool(true));
    row.field("workers").assert_int(1);
    row.field("pending").assert_int(0);
    let raw = &methods.items()[0];
    assert!(raw.field("params").is_null() && raw.field("cache").is_null());
    raw.field("workers").assert_int(0);
    raw.field("generation").assert_int(2);

    let workers = client.call(&["BUS.WORKERS", "b"]);
    let row = &workers.items()[0];
    let fields: Vec<&str> = row
        .pairs()
        .into_iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(fields.join(" "), "worker patterns last_seen_ms in_flight");
    assert_eq!(row.field("patterns").strings(), ["s*", "x"]);
    row.field("in_flight").assert_int(0);
    client.call(&["BUS.CAST", "b", "sum", "ARGS", "1"]);
    worker.read_reply();
    let workers = client.call(&["BUS.WORKERS", "b"]);
    workers.items()[0].field("in_flight").assert_int(1);
    let stats = client.call(&["BUS.STATS", "b", "sum"]);
    stats.items()[0].field("in_flight").assert_int(1);
    stats.items()[0].field("pending").assert_int(0);
    client.call(&["BUS.UNREGISTER", "b", "sum"]).assert_int(1);
    client.call(&["BUS.UNREGISTER", "b", "sum"]).assert_int(0);
    assert_eq!(client.call(&["BUS.METHODS", "b"]).items().len(), 1);
}

#[test]
fn counters_are_shared_by_all_respites() {
    let world = World::of(2);
    world.register("m", &[]);
    world.serve(&["m"], |_| "done".to_owned());
    super::wait_for_worker(&world, "served");
    let mut client = world.connect();
    for _ in 0..10 {
        client.call(&["BUS.CALL", "b", "m"]).assert_str("done");
    }
    client
        .call(&["BUS.CALL", "b", "m", "ARGS"])
        .assert_str("done");
    // The other Respite, where the worker is, writes its share within a second.
    crate::support::wait_until("work was counted", crate::support::DEADLINE, || {
        let stats = client.call(&["BUS.STATS", "b"]);
        let row = &stats.items()[0];
        row.field("calls").assert_int(11);
        row.field("errors").assert_int(0);
        assert!(row.field("last_error").is_null());
        row.field("work_p50_ms").as_str() != "0"
    });
    let stats = client.call(&["BUS.STATS", "b", "m"]);
    let fields: Vec<&str> = stats.items()[0]
        .pairs()
        .into_iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let want = "method calls errors pending in_flight cache_hits queue_p50_ms queue_p99_ms work_p50_ms work_p99_ms \
                last_error";
    assert_eq!(fields.join(" "), want);
}

#[test]
fn what_cannot_work_is_refused_at_once() {
    let world = World::of(1);
    world.register("m", &["PARAMS", "1", "a", "MAXPENDING", "1"]);
    let mut client = world.connect();
    let long = "x".repeat(256);
    for (command, error) in [
        (&["BUS.CALL", "b", "nope"][..], "NOMETHOD no method 'nope'"),
        (&["BUS.CAST", "b", "nope"], "NOMETHOD no method 'nope'"),
        (
            &["BUS.CALL", "b", "m", "ARGS", "1"],
            "NOWORKER no worker serves 'm'",
        ),
        (&["BUS.CALL", "b", "m"], "BADARGS 'a' is missing"),
        (
            &["BUS.CAST", "b", "m", "ARGS", "1", "2"],
            "BADARGS at most 1 arguments, got 2",
        ),
        (
            &["BUS.CAST", "b", "m", "KWARGS", "z", "2"],
            "BADARGS no parameter 'z'",
        ),
        (
            &["BUS.RESULT", "b", "nobody"],
            "NOCALL no such call, or it has expired",
        ),
        (
            &["BUS.UNCACHE", "b", "nope", "ALL"],
            "NOMETHOD no method 'nope'",
        ),
        (
            &["BUS.CALL", "b", "m", "TIMEOUT", "0"],
            "ERR TIMEOUT must be a whole number from 1 to 604800000",
        ),
        (&["BUS.CALL", "b", "m", "1"], "ERR syntax error"),
        (&["BUS.UNCACHE", "b", "m", "SOME"], "ERR syntax error"),
        (
            &["BUS.CALL", "b"],
            "ERR wrong number of arguments for 'bus.call' command",
        ),
        (
            &["BUS.REPLY", "b", "i", "t"],
            "ERR wrong number of arguments for 'bus.reply' command",
        ),
        (
            &["BUS.METHODS", "a\nb"],
            "ERR the name of a bus must be 1 to 255 bytes of UTF-8 without control characters",
        ),
        (
            &["BUS.WORKERS", ""],
            "ERR the name of a bus must be 1 to 255 bytes of UTF-8 without control characters",
        ),
        (
            &["BUS.REGISTER", "b", &long],
            "ERR the name of a method must be 1 to 255 bytes of UTF-8 without control characters",
        ),
        (
            &["BUS.REGISTER", "b", "x", "PARAMS", "1", "a", "CACHE", "{b}"],
            "ERR the cache template names 'b', which is no parameter",
        ),
    ] {
        assert_eq!(client.call(command).error(), error, "{command:?}");
    }
    for (command, number) in [
        (&["BUS.CANCEL", "b", "nobody"][..], 0),
        (&["BUS.REVIVE", "b", "nobody"], 0),
        (&["BUS.REPLY", "b", "nobody", "t", "p"], 0),
        (&["BUS.FAIL", "b", "nobody", "t", "CODE", "m"], 0),
        (&["BUS.UNREGISTER", "b", "nope"], 0),
        (&["BUS.CLEANUP", "nothing"], 0),
    ] {
        client.call(command).assert_int(number);
    }
    assert!(client.call(&["BUS.DEAD", "b", "m"]).items().is_empty());
    assert!(client.call(&["BUS.STATS", "b", "nope"]).items().is_empty());
    // A cast needs no worker, but room.
    let id = client.call(&["BUS.CAST", "b", "m", "ARGS", "1"]);
    let busy = client.call(&["BUS.CAST", "b", "m", "ARGS", "1"]);
    assert_eq!(busy.error(), "BUSY 'm' has 1 calls pending");
    // One in flight counts as well.
    let call = fetch(&mut client, "w", "m");
    assert_eq!(call.id, id.as_str());
    assert!(
        client
            .call(&["BUS.CAST", "b", "m", "ARGS", "1"])
            .error()
            .starts_with("BUSY ")
    );
    assert_eq!(reply(&mut client, &call, "p"), 1);
    assert!(!client.call(&["BUS.CAST", "b", "m", "ARGS", "1"]).is_error());
}

#[test]
fn the_commands_describe_themselves() {
    let world = World::of(1);
    let mut client = world.connect();
    let help = client.call(&["BUS.HELP"]);
    let lines = help.strings();
    assert!(
        lines.contains(&"BUS.REPLY bus id token payload"),
        "{lines:?}"
    );
    let names = [
        "REGISTER",
        "UNREGISTER",
        "FETCH",
        "REPLY",
        "FAIL",
        "BEAT",
        "CALL",
        "CAST",
        "RESULT",
        "CANCEL",
        "METHODS",
        "WORKERS",
        "STATS",
        "UNCACHE",
        "DEAD",
        "REVIVE",
        "CLEANUP",
    ];
    assert_eq!(lines.len(), names.len() * 2 + 3);
    for name in names {
        let command = format!("BUS.{name}");
        assert!(
            lines.iter().any(|line| line.starts_with(&command)),
            "{command} is not in HELP"
        );
        let docs = client.call(&["COMMAND", "DOCS", &command]);
        let docs = docs.field(&command.to_lowercase()).clone();
        assert_eq!(docs.field("group").as_str(), "bus");
        assert!(!docs.field("arguments").items().is_empty(), "{command}");
    }
}
