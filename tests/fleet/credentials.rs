//! Logins of shards that were found: sent only where they are meant for.

use std::fs;

use super::{ONE_POLL, listed, start, wait_state};
use crate::support::{Client, DEADLINE, FakeServer, RedisServer, Respite, Says, wait_until};

/// A login that is meant for these addresses.
fn meant_for(addresses: &[&str]) -> String {
    format!("[credentials.main]\npassword = \"hush\"\nfor = {addresses:?}\n")
}

/// What is wrong with a watcher.
fn problem(client: &mut Client, name: &str) -> String {
    let watchers = client.call(&["SHARD.WATCHERS"]);
    let mut watchers = watchers.items().iter();
    let watcher = watchers.find(|watcher| watcher.field("name").as_str() == name);
    match watcher.map(|watcher| watcher.field("error")) {
        Some(error) if !error.is_null() => error.as_str().to_owned(),
        _ => String::new(),
    }
}

/// A shard as whoever may write to the backing can put it there.
fn forge(redis: &RedisServer, id: &str, description: &str) {
    let revision = format!("{:x}", fastrand::u64(..));
    redis.call(&["HSET", "respite:f:shards", id, description, "", &revision]);
}

#[test]
fn a_login_is_not_sent_where_it_is_not_meant_for() {
    let redis = RedisServer::start();
    let thief = FakeServer::start(FakeServer::info("run_id:thief\r\n"));
    let config = format!("[fleet]\ninterval_max = \"1s\"\n{}", meant_for(&[]));
    let (mut respite, mut client) = start(&redis, &config);
    respite.allow_log("is not meant for");
    let add = |client: &mut Client, id: &str, addr: &str| {
        client.call(&["SHARD.ADD", id, addr, "CREDENTIAL", "main"])
    };
    add(&mut client, "a", &thief.addr()).assert_error("ERR [credentials.main] is not meant for");
    assert!(listed(&mut client, "a").is_none());
    // The backing is no better a witness than a client.
    let text = format!("addr={}&credential=main", thief.addr().replace(':', "%3A"));
    forge(&redis, "b", &text);
    wait_until("the forged shard is refused", DEADLINE, || {
        problem(&mut client, "added").contains("[credentials.main] is not meant for")
    });
    // Nor is a log line his to write.
    forge(&redis, "b", "addr=h%3A1&credential=x%0AERROR%20forged");
    wait_until("it is told in one line", DEADLINE, || {
        problem(&mut client, "added").contains("there is no [credentials.x\\nERROR forged]")
    });
    respite.allow_log("there is no [credentials.x\\nERROR forged]");
    assert!(listed(&mut client, "b").is_none());
    assert_eq!(thief.count("AUTH"), 0);
    assert_eq!(thief.accepted(), 0);

    // Without a login it is tracked; with one that is meant for it, too.
    super::add(&mut client, "c", &thief.addr());
    wait_state(&mut client, "c", "live");
    assert_eq!(thief.count("AUTH"), 0);
    respite.rewrite_config(&meant_for(&[&thief.addr()]));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    add(&mut client, "d", &thief.addr()).assert_ok();
    wait_state(&mut client, "d", "live");
    assert_eq!(thief.count("AUTH"), 1);
}

#[test]
fn where_a_name_leads_counts() {
    let redis = RedisServer::start();
    let thief = FakeServer::start(FakeServer::info("run_id:thief\r\n"));
    let port = thief.addr().rsplit_once(':').expect("a port").1.to_owned();
    // The network is not this host's, and the port is right.
    let elsewhere = meant_for(&[&format!("10.0.0.0/8:{port}"), "*.example:*"]);
    let config = format!("[fleet]\ngrace = 1\n{elsewhere}");
    let (mut respite, mut client) = start(&redis, &config);
    respite.allow_log("the credential is not meant for");
    let addr = format!("localhost:{port}");
    let add = ["SHARD.ADD", "named", &addr, "CREDENTIAL", "main"];
    client.call(&add).assert_ok();
    wait_state(&mut client, "named", "down");
    let why = client.call(&["SHARD.INFO", "named"]);
    assert!(why.error().contains("is not meant for"), "{why:?}");
    assert_eq!(thief.count("AUTH"), 0);
    let here = meant_for(&[&format!("127.0.0.0/8:{port}")]);
    respite.reload(&format!("[fleet]\ngrace = 1\n{here}"));
    wait_state(&mut client, "named", "live");
    assert!(thief.count("AUTH") > 0);
}

#[test]
fn a_file_is_no_configuration() {
    let redis = RedisServer::start();
    let thief = FakeServer::start(FakeServer::info("run_id:thief\r\n"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("targets.json");
    let text = format!(
        "[{{\"targets\": [\"{}\"], \"labels\": {{\"id\": \"t\", \"credential\": \"main\"}}}}]",
        thief.addr()
    );
    fs::write(&file, text).expect("written");
    let config = |addresses: &[&str]| {
        let paths = format!("[fleet.file]\npaths = ['{}']\n", file.display());
        format!("{paths}{}", meant_for(addresses))
    };
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&["127.0.0.1:1"]))
        .allow_log("is not meant for")
        .start();
    let mut client = respite.connect();
    wait_until("the file is refused its login", DEADLINE, || {
        problem(&mut client, "file").contains("is not meant for")
    });
    assert_eq!(thief.count("AUTH"), 0);
    respite.reload(&config(&[&thief.addr()]));
    wait_state(&mut client, "t", "live");
}

#[test]
fn the_backing_names_no_more_shards_than_are_taken() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, "[fleet]\nmax_added = 2\ninterval_max = \"1s\"");
    for (id, addr) in [
        ("a", "127.0.0.1:1"),
        ("b", "127.0.0.1:1"),
        ("a", "127.0.0.1:2"),
    ] {
        super::add(&mut client, id, addr);
    }
    client
        .call(&["SHARD.ADD", "c", "127.0.0.1:1"])
        .assert_error("ERR no more than 2 shards can be added: see fleet.max_added");
    assert_eq!(client.call(&["SHARD.DEL", "b"]).int(), 1);
    super::add(&mut client, "c", "127.0.0.1:1");
    // Put there by somebody else, all of them are too many: the last set stays.
    forge(&redis, "d", "addr=127.0.0.1%3A1");
    wait_until("that is told", DEADLINE, || {
        problem(&mut client, "added").contains("has 3 shards, and fleet.max_added is 2")
    });
    assert!(listed(&mut client, "c").is_some() && listed(&mut client, "d").is_none());
    // What nobody adds like this is left out.
    redis.call(&["HDEL", "respite:f:shards", "c", "d"]);
    let long = format!("addr=127.0.0.1%3A1&label.x={}", "x".repeat(200_000));
    forge(&redis, "e", &long);
    super::add(&mut client, "a", "127.0.0.1:3");
    assert!(listed(&mut client, "e").is_none());
    assert!(problem(&mut client, "added").is_empty());
}

#[test]
fn info_of_what_was_found_is_bounded() {
    let redis = RedisServer::start();
    let large = format!("x:{}\r\n", "x".repeat(2 << 20));
    let fake = FakeServer::start(FakeServer::info(&large));
    let config = format!(
        "{ONE_POLL}\n[[fleet.static]]\nid = \"named\"\naddr = \"{}\"",
        fake.addr()
    );
    let (_respite, mut client) = start(&redis, &config);
    wait_state(&mut client, "named", "live");
    super::add(&mut client, "found", &fake.addr());
    wait_until("it was polled", DEADLINE, || {
        let info = client.call(&["SHARD.INFO", "found"]);
        info.error().contains("longer than 1048576 bytes")
    });
    fake.say(Says::Nothing);
}
