//! `SHARD.ADD`: kept in the backing, for this Respite and others.

use super::{ONE_POLL, add, field, listed, start, wait_state};
use crate::support::{DEADLINE, FakeServer, RedisServer, Respite, wait_until};

/// Polled often, so that others are heard of soon.
const OFTEN: &str = "[fleet]\ninterval_max = \"1s\"";

#[test]
fn it_outlives_a_restart_and_reaches_others() {
    let redis = RedisServer::start();
    let fake = FakeServer::start(FakeServer::info("run_id:one\r\n"));
    let (first, mut client) = start(&redis, OFTEN);
    let (_second, mut other) = start(&redis, OFTEN);
    let add = ["SHARD.ADD", "fake", &fake.addr(), "LABELS", "1", "dc", "x"];
    client.call(&add).assert_ok();
    assert!(listed(&mut client, "fake").is_some(), "it is there at once");
    wait_state(&mut other, "fake", "live");
    first.stop();

    let (_third, mut client) = start(&redis, OFTEN);
    wait_state(&mut client, "fake", "live");
    let shard = listed(&mut client, "fake").expect("there");
    assert_eq!(shard.field("labels").field("dc").as_str(), "x");

    // Changed, it is somewhere else, for everybody.
    let moved = FakeServer::start(FakeServer::info("run_id:two\r\n"));
    super::add(&mut client, "fake", &moved.addr());
    for client in [&mut client, &mut other] {
        wait_until("the new address is polled", DEADLINE, || {
            let info = client.call(&["INFO", "fake", "everything"]);
            field(info.as_str(), "run_id") == "two"
        });
    }
    assert_eq!(client.call(&["SHARD.DEL", "fake"]).int(), 1);
    assert_eq!(client.call(&["SHARD.DEL", "fake"]).int(), 0);
    wait_state(&mut client, "fake", "gone");
    wait_state(&mut other, "fake", "gone");
    // What it said last can be read a while longer.
    let info = other.call(&["INFO", "fake"]);
    assert_eq!(field(info.as_str(), "shard_state"), "gone");
    client
        .call(&["SHARD.REFRESH", "fake"])
        .assert_error("NOSHARD");
    // A backing that was emptied names none.
    super::add(&mut client, "fake", &fake.addr());
    wait_state(&mut other, "fake", "live");
    client.call(&["FLUSHALL"]).assert_ok();
    wait_state(&mut client, "fake", "gone");
    wait_state(&mut other, "fake", "gone");
}

#[test]
fn what_cannot_be_tracked_is_refused() {
    let redis = RedisServer::start();
    let config = format!("{ONE_POLL}\n[credentials.main]\npassword = \"hush\"");
    let (_respite, mut client) = start(&redis, &config);
    let backing = redis.addr();
    let long = "x".repeat(256);
    for (arguments, error) in [
        (
            &["a"][..],
            "ERR wrong number of arguments for 'shard.add' command",
        ),
        (&["", "h:1"], "ERR id must be 1 to"),
        (&[&long, "h:1"], "ERR a shard id has 1 to 255 bytes"),
        (
            &["Server", "h:1"],
            "ERR a shard id may not be NONE or the name of a section",
        ),
        (&["none", "h:1"], "ERR a shard id may not be NONE"),
        (&["a\nb", "h:1"], "ERR id must be"),
        (&["a", "h:port"], "ERR addr: "),
        (&["a", "redis://:hush@h"], "ERR addr: must have no login"),
        (
            &["a", "h:1", "CREDENTIAL", "nosuch"],
            "ERR there is no [credentials.nosuch]",
        ),
        (&["a", "h:1", "USER", "u"], "ERR USER needs CREDENTIAL"),
        (&["a", "h:1", "LABELS", "2", "k", "v"], "ERR syntax error"),
        (
            &["a", "h:1", "LABELS", "65"],
            "ERR LABELS must be at most 64",
        ),
        (&["a", "h:1", "PASSWORD", "x"], "ERR syntax error"),
        (&[&backing, "h:1"], "ERR shard '"),
    ] {
        let mut command = vec!["SHARD.ADD"];
        command.extend(arguments);
        let reply = client.call(&command);
        reply.assert_error(error);
        assert!(!reply.error().contains("hush"));
    }
    assert_eq!(client.call(&["SHARD.LIST"]).items().len(), 1);
    assert_eq!(client.call(&["EXISTS", "respite:f:shards"]).int(), 0);
}

#[test]
fn watchers_report() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, ONE_POLL);
    add(&mut client, "a", "127.0.0.1:1");
    client.hello3();
    let watchers = client.call(&["SHARD.WATCHERS"]);
    let shown: Vec<_> = watchers
        .items()
        .iter()
        .map(|watcher| {
            assert!(watcher.field("last_ok_ms").int() >= 0);
            assert!(watcher.field("error").is_null(), "{watcher:?}");
            let text = |name| watcher.field(name).as_str().to_owned();
            (text("name"), text("kind"), watcher.field("targets").int())
        })
        .collect();
    let expected = |name: &str| (name.to_owned(), name.to_owned(), 1);
    assert_eq!(shown, [expected("backing"), expected("added")]);
}

#[test]
fn a_lost_backing_keeps_what_was_added() {
    let mut redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(OFTEN)
        .allow_log("backing not usable")
        .allow_log("link lost")
        .start();
    let mut client = respite.connect();
    let fake = FakeServer::start(FakeServer::info("run_id:one\r\n"));
    add(&mut client, "fake", &fake.addr());
    wait_state(&mut client, "fake", "live");
    redis.kill();
    wait_until("the watcher has noticed", DEADLINE, || {
        let watchers = client.call(&["SHARD.WATCHERS"]);
        let added = &watchers.items()[1];
        added.field("targets").int() == 1 && !added.field("error").is_null()
    });
    wait_state(&mut client, "fake", "live");
    // INFO of the lost backing is there, growing older.
    wait_state(&mut client, &redis.addr(), "down");
    let info = client.call(&["INFO", &redis.addr()]);
    assert_eq!(field(info.as_str(), "shard_state"), "down");
    redis.restart();
    wait_until("the watcher is well", DEADLINE, || {
        let watchers = client.call(&["SHARD.WATCHERS"]);
        watchers.items()[1].field("error").is_null()
    });
    // The server came back without its data.
    wait_state(&mut client, "fake", "gone");
}
