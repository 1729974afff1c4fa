//! `SHARD.*`: shapes, filters, errors.

use super::{ONE_POLL, add, add_fake, field, headers, listed, start};
use crate::support::{Client, FakeServer, RedisServer, Reply, Says};

#[test]
fn list_tells_what_is_tracked() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, ONE_POLL);
    let fake = FakeServer::start(FakeServer::info(
        "role:slave\r\ninstantaneous_ops_per_sec:70\r\n",
    ));
    let addr = fake.addr();
    let add = [
        "SHARD.ADD",
        "b",
        &addr,
        "LABELS",
        "2",
        "dc",
        "x",
        "tier",
        "1",
    ];
    client.call(&add).assert_ok();
    super::wait_state(&mut client, "b", "live");
    client.call(&["SHARD.ADD", "a", "127.0.0.1:1"]).assert_ok();
    for hello in [false, true] {
        if hello {
            client.hello3();
        }
        let shard = listed(&mut client, "b").expect("b");
        let names: Vec<_> = shard
            .pairs()
            .iter()
            .map(|(name, _)| name.as_str().to_owned())
            .collect();
        let expected = "id addr role state age_ms interval_ms ops_per_sec source labels";
        assert_eq!(names.join(" "), expected);
        shard.field("addr").assert_str(&addr);
        shard.field("role").assert_str("replica");
        shard.field("source").assert_str("added");
        assert!(shard.field("age_ms").int() >= 0);
        assert_eq!(shard.field("interval_ms").int(), 3_600_000);
        assert_eq!(shard.field("ops_per_sec").int(), 70);
        assert_eq!(shard.field("labels").field("dc").as_str(), "x");
        let unpolled = listed(&mut client, "a").expect("a");
        unpolled.field("state").assert_str("pending");
        for name in ["role", "age_ms", "ops_per_sec"] {
            assert!(unpolled.field(name).is_null(), "{name}");
        }
        let backing = listed(&mut client, &redis.addr()).expect("the backing");
        backing.field("role").assert_str("master");
        backing.field("source").assert_str("backing");
    }
    let mut ids = |command: &[&str]| -> Vec<String> {
        let list = client.call(command);
        let ids = list
            .items()
            .iter()
            .map(|shard| shard.field("id").as_str().to_owned());
        ids.collect()
    };
    let backing = redis.addr();
    assert_eq!(ids(&["SHARD.LIST"]), [&backing, "a", "b"], "sorted");
    assert_eq!(ids(&["SHARD.LIST", "MATCH", "[ab]"]), ["a", "b"]);
    assert_eq!(ids(&["shard.list", "state", "PENDING"]), ["a"]);
    assert_eq!(
        ids(&["SHARD.LIST", "MATCH", "[ab]", "STATE", "live"]),
        ["b"]
    );
    client.call(&["SHARD.DEL", "b"]);
    let gone = client.call(&["SHARD.LIST", "STATE", "gone"]);
    gone.items()[0].field("id").assert_str("b");
    for wrong in [
        &["SHARD.LIST", "STATE", "up"][..],
        &["SHARD.LIST", "STATE"],
        &["SHARD.LIST", "X"],
    ] {
        client.call(wrong).assert_error("ERR ");
    }
}

#[test]
fn info_of_a_shard_and_its_errors() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, ONE_POLL);
    let _fake = add_fake(
        &mut client,
        "fake",
        "\r\n# Clients\r\nconnected_clients:7\r\n",
    );
    let whole = client.call(&["SHARD.INFO", "fake"]);
    assert_eq!(headers(whole.as_str()), ["Server", "Clients", "Respite"]);
    assert_eq!(field(whole.as_str(), "connected_clients"), "7");
    let some = client.call(&[
        "SHARD.INFO",
        "fake",
        "MAXAGE",
        "3600000",
        "SECTION",
        "clients",
        "x",
    ]);
    some.assert_str("# Clients\r\nconnected_clients:7\r\n");
    client
        .call(&["SHARD.INFO", "fake", "MAXAGE", "0"])
        .assert_error("STALE shard 'fake' answered ");
    for (command, error) in [
        (&["SHARD.INFO", "nosuch"][..], "NOSHARD no shard 'nosuch'"),
        (&["SHARD.REFRESH", "nosuch"], "NOSHARD no shard 'nosuch'"),
        (&["SHARD.USE", "\u{e9}"], "NOSHARD no shard '\u{e9}'"),
        (
            &["SHARD.INFO"],
            "ERR wrong number of arguments for 'shard.info' command",
        ),
        (
            &["SHARD.INFO", "fake", "MAXAGE", "x"],
            "ERR MAXAGE must be a whole number",
        ),
        (&["SHARD.INFO", "fake", "SECTION"], "ERR syntax error"),
        (&["SHARD.INFO", "fake", "clients"], "ERR syntax error"),
    ] {
        client.call(command).assert_error(error);
    }
    client.hello3();
    let raw = client.call_raw(&["SHARD.INFO", "fake", "SECTION", "clients"]);
    assert!(raw.starts_with(b"=36\r\ntxt:# Clients"), "{raw:?}");
    let help = client.call(&["SHARD.HELP"]);
    assert_eq!(help.items().len(), 2 * 9 + 1);
}

/// Adds the shards `a` and `b`, polled once.
#[track_caller]
fn add_two(client: &mut Client) -> [FakeServer; 2] {
    let master = "role:master\r\nused_memory:1\r\nused_memory_peak:2\r\n";
    let replica = "role:slave\r\nused_memory:3\r\n";
    [
        add_fake(client, "a", master),
        add_fake(client, "b", replica),
    ]
}

#[test]
fn fields_of_many_shards() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, ONE_POLL);
    let _fakes = add_two(&mut client);
    let hung = FakeServer::start(Says::Nothing);
    add(&mut client, "hung", &hung.addr());
    let ids = |reply: &Reply| -> Vec<String> {
        let ids = reply
            .items()
            .iter()
            .map(|shard| shard.field("id").as_str().to_owned());
        ids.collect()
    };
    // All that were polled, every field.
    let all = client.call(&["SHARD.FIELDS"]);
    assert_eq!(ids(&all), [&redis.addr(), "a", "b"]);
    let pairs = all.items()[1].pairs();
    let names: Vec<_> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.join(" "), "id age_ms state error fields");
    assert_eq!(
        all.items()[1].field("fields").strings().join(" "),
        "redis_version 7.0.15 redis_mode standalone role master used_memory 1 used_memory_peak 2"
    );
    // In the order asked, some fields.
    let ask = [
        "SHARD.FIELDS",
        "match",
        "2",
        "used_*k",
        "role",
        "IDS",
        "3",
        "b",
        "a",
        "b",
    ];
    let some = client.call(&ask);
    assert_eq!(ids(&some), ["b", "a", "b"]);
    assert_eq!(some.items()[0].field("fields").strings(), ["role", "slave"]);
    assert_eq!(
        some.items()[1].field("fields").strings(),
        ["role", "master", "used_memory_peak", "2"]
    );
    assert!(some.items()[0].field("error").is_null());
}

#[test]
fn one_shard_that_fails_fails_all_unless_told_otherwise() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, ONE_POLL);
    let _fakes = add_two(&mut client);
    let hung = FakeServer::start(Says::Nothing);
    add(&mut client, "hung", &hung.addr());
    for (command, error) in [
        (
            &["SHARD.FIELDS", "IDS", "2", "a", "nosuch"][..],
            "NOSHARD no shard 'nosuch'",
        ),
        (
            &["SHARD.FIELDS", "IDS", "2", "a", "hung"],
            "NOTREADY shard 'hung' ",
        ),
        (
            &["SHARD.FIELDS", "MAXAGE", "0", "IDS", "1", "a"],
            "STALE shard 'a' ",
        ),
        (&["SHARD.FIELDS", "IDS", "3", "a"], "ERR syntax error"),
        (
            &["SHARD.FIELDS", "IDS", "-1"],
            "ERR IDS must be a whole number",
        ),
        (&["SHARD.FIELDS", "a"], "ERR syntax error"),
    ] {
        client.call(command).assert_error(error);
    }
    client.hello3();
    let partial = client.call(&[
        "SHARD.FIELDS",
        "PARTIAL",
        "IDS",
        "3",
        "nosuch",
        "a",
        "hung",
        "MATCH",
        "1",
        "role",
    ]);
    let error = |at: usize| partial.items()[at].field("error").clone();
    error(0).assert_str("NOSHARD no shard 'nosuch'");
    assert!(error(1).is_null());
    assert!(error(2).as_str().starts_with("NOTREADY "), "{partial:?}");
    assert!(partial.items()[0].field("state").is_null());
    assert_eq!(partial.items()[0].field("fields"), &Reply::Map(Vec::new()));
    assert_eq!(
        partial.items()[1].field("fields").field("role").as_str(),
        "master"
    );
}
