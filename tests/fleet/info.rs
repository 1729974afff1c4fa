//! `INFO`: as Redis gives it, from memory.

use super::{ONE_POLL, add, add_fake, field, headers, start, wait_state};
use crate::support::{Client, DEADLINE, Direction, RedisServer, Relay, Respite, wait_until};

/// The section headers and the names of the fields, in order; values differ from moment to moment.
fn form(text: &str) -> Vec<&str> {
    text.split("\r\n")
        .map(|line| line.split(':').next().unwrap_or(line))
        .collect()
}

#[test]
fn it_has_the_form_that_redis_gives_it() {
    let redis = RedisServer::start();
    redis.call(&["SET", "a", "1"]).assert_ok();
    redis.call(&["NOSUCH"]);
    let (_respite, mut client) = start(&redis, ONE_POLL);
    let mut direct = redis.connect();
    for hello in [false, true] {
        if hello {
            client.hello3();
            direct.hello3();
        }
        for sections in [
            "",
            "default",
            "all",
            "everything",
            "ALL Everything",
            "server",
            "Server CLIENTS",
            "clients server",
            "keyspace nosuch keyspace",
            "nosuch",
            "commandstats",
            "default latencystats",
            "modules",
            "module_list",
            "errorstats cluster",
            // Valkey's.
            "tls",
            "scriptingengines cluster_info",
            "debug",
        ] {
            if sections.contains(' ') && RedisServer::lacks((7, 0), "INFO of several sections") {
                continue;
            }
            if sections == "module_list" && RedisServer::lacks((7, 0), "INFO module_list") {
                continue;
            }
            let mut command = vec!["INFO"];
            command.extend(sections.split_whitespace());
            let (ours, theirs) = (client.call_raw(&command), direct.call_raw(&command));
            assert_eq!(ours[0], theirs[0], "the type of INFO {sections}");
            let ours = crate::support::Reply::parse(&ours);
            let theirs = crate::support::Reply::parse(&theirs);
            let (ours, theirs) = (ours.as_str(), theirs.as_str());
            let own = ours.find("# Respite\r\n");
            let general = sections.is_empty()
                || ["default", "all", "everything"]
                    .iter()
                    .any(|name| sections.to_lowercase().contains(name));
            assert_eq!(own.is_some(), general, "INFO {sections}");
            let ours = own.map_or(ours, |at| ours[..at].strip_suffix("\r\n").expect("a gap"));
            // What was called between the poll and now has statistics only now.
            let counted =
                |name: &&str| !name.starts_with("cmdstat_") && !name.starts_with("latency_");
            let ours: Vec<_> = form(ours).into_iter().filter(counted).collect();
            let theirs: Vec<_> = form(theirs).into_iter().filter(counted).collect();
            assert_eq!(ours, theirs, "INFO {sections}");
        }
    }
}

#[test]
fn a_section_is_about_respite() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, ONE_POLL);
    let reply = client.call(&["INFO", "ResPite"]);
    let text = reply.as_str();
    assert_eq!(headers(text), ["Respite"]);
    assert_eq!(field(text, "respite_version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(field(text, "shard"), redis.addr());
    assert_eq!(field(text, "shard_state"), "live");
    for name in [
        "connected_clients",
        "uptime_in_seconds",
        "info_age_ms",
        "cache_hits",
        "cache_misses",
    ] {
        assert!(field(text, name).parse::<u64>().is_ok(), "{name} in {text}");
    }
    let both = client.call(&["INFO", "keyspace", "respite"]);
    assert_eq!(headers(both.as_str()), ["Keyspace", "Respite"]);
    let clients = field(both.as_str(), "connected_clients");
    assert!(clients.parse::<u64>().is_ok(), "{clients}");
    // A client that reads INFO as one flat map must find the server's own numbers in it.
    let whole = client.call(&["INFO"]);
    for name in ["connected_clients", "uptime_in_seconds", "process_id"] {
        let lines = whole.as_str().lines();
        let count = lines
            .filter(|line| line.split(':').next() == Some(name))
            .count();
        assert_eq!(count, 1, "{name} in {whole:?}");
    }
    // An empty reply is as in Redis, without the section.
    client.call(&["INFO", "nosuch"]).assert_str("");
}

#[test]
fn a_shard_is_named_or_bound() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, ONE_POLL);
    let other = RedisServer::start();
    add(&mut client, "other", &other.addr());
    wait_state(&mut client, "other", "live");
    let run_id = other.info("server", "run_id");
    let own_id = redis.info("server", "run_id");

    let server = client.call(&["INFO", "other", "server", "REPLICATION"]);
    assert_eq!(headers(server.as_str()), ["Server", "Replication"]);
    assert_eq!(field(server.as_str(), "run_id"), run_id);
    let whole = client.call(&["INFO", "other"]);
    assert_eq!(field(whole.as_str(), "shard"), "other");
    let all = client.call(&["INFO", "other", "all"]);
    assert!(headers(all.as_str()).contains(&"Commandstats"), "{all:?}");

    // A client that only knows INFO, on a connection that was bound before.
    client.call(&["SHARD.USE", "other"]).assert_ok();
    assert_eq!(field(client.call(&["INFO"]).as_str(), "run_id"), run_id);
    let server = client.call(&["INFO", "server"]);
    assert_eq!(headers(server.as_str()), ["Server"]);
    assert_eq!(field(server.as_str(), "run_id"), run_id);
    let named = client.call(&["INFO", &redis.addr()]);
    assert_eq!(field(named.as_str(), "run_id"), own_id);
    for free in [&["SHARD.USE", "none"][..], &["RESET"]] {
        client.call(&["SHARD.USE", "other"]).assert_ok();
        client.call(free);
        assert_eq!(field(client.call(&["INFO"]).as_str(), "run_id"), own_id);
    }
    client
        .call(&["SHARD.USE", "nosuch"])
        .assert_error("NOSHARD no shard 'nosuch'");
    assert_eq!(field(client.call(&["INFO"]).as_str(), "run_id"), own_id);
}

#[test]
fn live_asks_the_backing() {
    let redis = RedisServer::start();
    let config = format!("{ONE_POLL}\ninfo = \"live\"");
    let (respite, mut client) = start(&redis, &config);
    client.call(&["SET", "a", "1"]).assert_ok();
    let text = client.call(&["INFO", "Keyspace", "respite"]);
    assert_eq!(headers(text.as_str()), ["Keyspace", "Respite"]);
    let keys = field(text.as_str(), "db0");
    assert!(keys.starts_with("keys=1,expires=0,avg_ttl=0"), "{keys}");
    assert_eq!(field(text.as_str(), "info_age_ms"), "0");
    // A shard that is named comes from memory.
    let text = client.call(&["INFO", &redis.addr(), "keyspace"]);
    text.assert_str("# Keyspace\r\n");
    respite.reload(ONE_POLL);
    crate::support::wait_until("the mode has changed", crate::support::DEADLINE, || {
        client.call(&["INFO", "keyspace"]).as_str() == "# Keyspace\r\n"
    });
}

#[test]
fn it_works_before_the_first_poll() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let is_poller = |bytes: &[u8]| bytes.windows(14).any(|name| name == b"respite-poller");
    relay.when(is_poller, |poller| poller.pause(Direction::Up));
    let respite = Respite::builder()
        .upstream(&relay.url())
        .config("[fleet]\ntimeout = \"1h\"")
        .start();
    let mut client = respite.connect();
    let text = client.call(&["INFO"]);
    assert_eq!(
        field(text.as_str(), "run_id"),
        redis.info("server", "run_id")
    );
    assert_eq!(field(text.as_str(), "shard_state"), "pending");
    let text = client.call(&["INFO", "respite"]);
    assert_eq!(field(text.as_str(), "info_age_ms"), "-1");
    let id = field(text.as_str(), "shard").to_owned();
    for command in [
        &["INFO", &id][..],
        &["SHARD.INFO", &id],
        &["SHARD.FIELDS", "IDS", "1", &id],
    ] {
        client
            .call(command)
            .assert_error(&format!("NOTREADY shard '{id}' has not answered yet"));
    }
}

#[test]
fn in_a_transaction_it_is_the_backings() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, ONE_POLL);
    let replies = client.pipeline(&[
        &["MULTI"],
        &["SET", "a", "1"],
        &["INFO", "keyspace"],
        &["EXEC"],
        &["INFO", "keyspace"],
    ]);
    let inside = &replies[3].items()[1];
    let text = inside.as_str();
    assert!(
        text.starts_with("# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0"),
        "{text}"
    );
    replies[4].assert_str("# Keyspace\r\n");
}

#[test]
fn clients_cause_no_info_on_a_shard() {
    let redis = RedisServer::start();
    let (_respite, mut client) = start(&redis, ONE_POLL);
    let fake = add_fake(&mut client, "fake", "role:master\r\n");
    for _ in 0..200 {
        for command in [
            &["INFO", "fake"][..],
            &["INFO", "fake", "everything"],
            &["SHARD.INFO", "fake", "MAXAGE", "1"],
            &["SHARD.FIELDS"],
            &["SHARD.LIST"],
            &["SHARD.USE", "fake"],
            &["INFO"],
            // It was polled once within interval_min, an hour.
            &["SHARD.REFRESH", "fake"],
        ] {
            client.call(command);
        }
    }
    assert_eq!(fake.count("INFO"), 1);
}

#[test]
fn info_of_a_dead_backing_is_an_error_soon() {
    let mut redis = RedisServer::start();
    let config =
        "[fleet]\ntimeout = \"200ms\"\ninterval_max = \"500ms\"\n[timeouts]\nconnect = \"200ms\"";
    let (mut respite, mut client) = start(&redis, config);
    respite.allow_log("backing not usable");
    respite.allow_log("link lost");
    let role = client.call(&["INFO", "replication"]);
    assert_eq!(field(role.as_str(), "role"), "master");
    redis.kill();
    // For the time of two polls it is told from memory, then no more.
    wait_until("nobody says that it is a master", DEADLINE, || {
        let mut client = respite.connect();
        client.send(&["INFO", "replication"]);
        match client.try_read_reply_raw() {
            Ok(reply) => reply.starts_with(b"-UPSTREAM "),
            Err(_) => true,
        }
    });
    // What it said last can be read all the same, for what it is.
    let info = client.call(&["INFO", &redis.addr()]);
    assert_eq!(field(info.as_str(), "role"), "master");
    assert!(
        client
            .call(&["INFO", "respite"])
            .as_str()
            .contains("shard_state:")
    );
}

#[test]
fn info_is_never_older_than_a_command_that_changes_it() {
    let redis = RedisServer::start();
    // Nothing is polled by itself.
    let (respite, mut client) = start(&redis, ONE_POLL);
    let mut other = respite.connect();
    let told = |client: &mut Client, section: &str, name: &str| {
        let info = client.call(&["INFO", section]);
        field(info.as_str(), name).to_owned()
    };
    for bytes in ["100000001", "100000002"] {
        client
            .call(&["CONFIG", "SET", "maxmemory", bytes])
            .assert_ok();
        assert_eq!(told(&mut client, "memory", "maxmemory"), bytes);
    }
    // In one packet, and seen by another client.
    let replies = client.pipeline(&[
        &["SET", "a", "1"][..],
        &["CONFIG", "SET", "maxmemory", "100000003"],
        &["INFO", "memory"],
        &["GET", "a"],
    ]);
    assert_eq!(field(replies[2].as_str(), "maxmemory"), "100000003");
    replies[3].assert_str("1");
    client
        .call(&["CONFIG", "SET", "maxmemory", "100000004"])
        .assert_ok();
    assert_eq!(told(&mut other, "memory", "maxmemory"), "100000004");
    // In a transaction, and by a client with a connection of its own.
    client.call(&["MULTI"]).assert_ok();
    client
        .call(&["CONFIG", "SET", "maxmemory", "100000005"])
        .assert_str("QUEUED");
    client.call(&["EXEC"]).items()[0].assert_ok();
    assert_eq!(told(&mut other, "memory", "maxmemory"), "100000005");
    client.call(&["WATCH", "a"]).assert_ok();
    client
        .call(&["CONFIG", "SET", "maxmemory", "0"])
        .assert_ok();
    assert_eq!(told(&mut client, "memory", "maxmemory"), "0");
    client.call(&["UNWATCH"]).assert_ok();
    // What people poll for.
    client
        .call(&["CONFIG", "SET", "rdb-key-save-delay", "300000"])
        .assert_ok();
    for n in 0..50 {
        client.call(&["SET", &format!("k{n}"), "x"]).assert_ok();
    }
    assert!(!client.call(&["BGSAVE"]).is_error());
    assert_eq!(
        told(&mut client, "persistence", "rdb_bgsave_in_progress"),
        "1"
    );
    client
        .call(&["CONFIG", "SET", "rdb-key-save-delay", "0"])
        .assert_ok();
    client.call(&["FLUSHALL"]).assert_ok();
    assert!(!client.call(&["INFO", "keyspace"]).as_str().contains("db0:"));
    client.call(&["REPLICAOF", "127.0.0.1", "1"]).assert_ok();
    assert_eq!(told(&mut other, "replication", "role"), "slave");
    client.call(&["REPLICAOF", "NO", "ONE"]).assert_ok();
    assert_eq!(told(&mut other, "replication", "role"), "master");
    // And nothing else causes a poll.
    let asked = redis.info("commandstats", "cmdstat_info");
    for _ in 0..20 {
        told(&mut client, "memory", "maxmemory");
        client.call(&["CONFIG", "GET", "maxmemory"]).items();
    }
    let after = redis.info("commandstats", "cmdstat_info");
    let calls = |text: &str| {
        let calls = text
            .strip_prefix("calls=")
            .and_then(|text| text.split(',').next());
        calls
            .and_then(|calls| calls.parse::<u64>().ok())
            .expect("a number")
    };
    assert_eq!(calls(&after) - calls(&asked), 1, "that is the test's own");
}
