//! What `CACHE.*` and the keys of `[cache]` do, seen by a client.

mod capacity;
mod fields;
mod idle;
mod large;
mod many;
mod mixed;
mod read_table;
mod reads;
mod tracking;

use crate::support::{Client, DEADLINE, Direction, RedisServer, Relay, Reply, Respite, wait_until};

fn start(config: &str) -> (RedisServer, Respite, Client) {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .workers(2)
        .config(config)
        .start();
    let client = respite.connect();
    (redis, respite, client)
}

fn stat(client: &mut Client, field: &str) -> i64 {
    client.call(&["CACHE.STATS"]).field(field).int()
}

/// Reads a key until the cache answers for it.
#[track_caller]
fn warm(client: &mut Client, key: &str) {
    wait_until("the key is cached", DEADLINE, || {
        client.call(&["GET", key]);
        !client.call(&["CACHE.INSPECT", key]).is_null()
    });
}

/// How many `GET`s the backing has executed.
fn gets(redis: &RedisServer) -> String {
    redis.info("commandstats", "cmdstat_get")
}

/// How many commands of this name the backing has executed.
fn count(redis: &RedisServer, command: &str) -> u64 {
    let stats = redis.call(&["INFO", "commandstats"]);
    let begins = format!("cmdstat_{command}:");
    let mut lines = stats.as_str().lines();
    lines
        .find_map(|line| line.strip_prefix(&begins))
        .map_or(0, calls)
}

/// The number in a line of `commandstats`.
fn calls(stats: &str) -> u64 {
    let calls = stats
        .split(',')
        .next()
        .and_then(|part| part.strip_prefix("calls="));
    calls.and_then(|calls| calls.parse().ok()).expect("calls")
}

#[test]
fn a_second_get_does_not_reach_the_backing() {
    let (redis, _respite, mut client) = start("");
    client.call(&["SET", "k", "value"]).assert_ok();
    warm(&mut client, "k");
    let (before, hits) = (gets(&redis), stat(&mut client, "hits"));
    for _ in 0..10 {
        client.call(&["GET", "k"]).assert_str("value");
    }
    assert_eq!(gets(&redis), before);
    assert_eq!(stat(&mut client, "hits"), hits + 10);
    let info = client.call(&["INFO", "respite"]);
    assert!(
        info.as_str()
            .contains(&format!("cache_hits:{}\r\n", hits + 10))
    );
    let entry = client.call(&["CACHE.INSPECT", "k"]);
    assert_eq!(entry.field("bytes").int(), 5);
    assert_eq!(entry.field("ttl_ms").int(), -1);
    let hot = client.call(&["CACHE.HOTKEYS", "COUNT", "1"]);
    assert_eq!(hot.items()[0].field("key").as_str(), "k");
    // Whoever writes: the next read sees it.
    client.call(&["SET", "k", "new"]).assert_ok();
    client.call(&["GET", "k"]).assert_str("new");
    redis.call(&["SET", "k", "direct"]);
    wait_until("a direct write is seen", DEADLINE, || {
        client.call(&["GET", "k"]).as_str() == "direct"
    });
}

#[test]
fn a_missing_key_is_cached_in_both_versions() {
    let (redis, respite, mut client) = start("");
    warm(&mut client, "none");
    let before = gets(&redis);
    assert_eq!(client.call_raw(&["GET", "none"]), b"$-1\r\n");
    let mut resp3 = respite.connect();
    resp3.hello3();
    assert_eq!(resp3.call_raw(&["GET", "none"]), b"_\r\n");
    assert_eq!(gets(&redis), before);
}

#[test]
fn flush_drops_what_matches() {
    let (_redis, _respite, mut client) = start("");
    for key in ["a:1", "a:2", "b:1"] {
        warm(&mut client, key);
    }
    assert_eq!(client.call(&["CACHE.FLUSH", "MATCH", "a:*"]).int(), 2);
    assert_eq!(stat(&mut client, "entries"), 1);
    assert_eq!(client.call(&["CACHE.FLUSH"]).int(), 1);
    client
        .call(&["CACHE.FLUSH", "MATCH"])
        .assert_error("ERR syntax error");
}

#[test]
fn patterns_sizes_and_modes_are_obeyed() {
    let config = "[cache]\ninclude = [\"c:*\"]\nexclude = [\"c:x*\"]\nmax_value_bytes = 100";
    let (_redis, _respite, mut client) = start(config);
    client
        .call(&["SET", "c:large", &"x".repeat(200)])
        .assert_ok();
    warm(&mut client, "c:yes");
    for key in ["other", "c:x1", "c:large"] {
        for _ in 0..5 {
            client.call(&["GET", key]);
        }
        assert!(client.call(&["CACHE.INSPECT", key]).is_null(), "{key}");
    }
    let (_redis, _respite, mut client) = start("[cache]\nmode = \"off\"");
    client.call(&["GET", "k"]);
    assert_eq!(client.call(&["CACHE.STATS"]).field("state").as_str(), "off");
    assert_eq!(stat(&mut client, "misses"), 0);
}

#[test]
fn a_cached_value_is_not_for_everybody() {
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let user = |name: &str, keys: &str| {
        format!(
            "[[access.users]]\nname = \"{name}\"\npassword_sha256 = \"{hash}\"\nkeys = [\"{keys}\"]\n"
        )
    };
    let config = [user("all", "*"), user("some", "mine:*")].concat();
    let (_redis, respite, mut all) = start(&config);
    all.call(&["AUTH", "all", "password"]).assert_ok();
    warm(&mut all, "secret");
    let mut some = respite.connect();
    some.call(&["AUTH", "some", "password"]).assert_ok();
    let refused = some.call(&["GET", "secret"]);
    assert!(refused.error().starts_with("NOPERM "), "{refused:?}");
}

#[test]
fn misses_of_one_key_are_one_fetch() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder()
        .upstream(&relay.url())
        .workers(2)
        .config("[cache]\nstaleness_max = \"9s\"")
        .start();
    redis.call(&["SET", "k", "value"]);
    let mut clients: Vec<Client> = (0..20).map(|_| respite.connect()).collect();
    clients.iter_mut().for_each(|client| warm(client, "other"));
    wait_until("both workers have a link that tracks", DEADLINE, || {
        let list = redis.call(&["CLIENT", "LIST"]);
        let tracks = |line: &&str| line.contains("name=respite-fill ") && line.contains("flags=t ");
        list.as_str().lines().filter(tracks).count() == 2
    });
    let before = gets(&redis);
    let fills = |bytes: &[u8]| bytes.windows(12).any(|part| part == b"respite-fill");
    let links: Vec<_> = relay
        .connections()
        .into_iter()
        .filter(|connection| fills(&connection.first_bytes()))
        .collect();
    links.iter().for_each(|link| link.pause(Direction::Down));
    clients
        .iter_mut()
        .for_each(|client| client.send(&["GET", "k"]));
    let mut admin = respite.connect();
    wait_until("everybody waits", DEADLINE, || {
        stat(&mut admin, "coalesced") >= 19
    });
    links.iter().for_each(|link| link.resume(Direction::Down));
    for client in &mut clients {
        client.read_reply().assert_str("value");
    }
    assert_eq!(calls(&gets(&redis)), calls(&before) + 1);
    assert!(matches!(
        admin.call(&["CACHE.INSPECT", "k"]),
        Reply::Array(_) | Reply::Map(_)
    ));
}
