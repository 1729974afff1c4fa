//! Keys of Respite's own that somebody else has filled: whoever asks gets an error, nobody else notices.

use super::{MIB, highest, resident};
use crate::support::{Client, DEADLINE, RedisServer, Reply, Respite, wait_until};

/// More than that nothing of what is here may cost.
const MOST: usize = 128 * MIB;

/// Runs a script at the backing; keys and arguments are in it.
fn flood(redis: &RedisServer, script: &str) {
    let mut client = redis.connect();
    client.set_timeout(super::PATIENCE);
    let reply = client.call(&["EVAL", script, "0"]);
    assert!(!reply.is_error(), "{reply:?}");
}

fn call(client: &mut Client, command: &str) -> Reply {
    client.call(&command.split(' ').collect::<Vec<_>>())
}

/// Each of these, asked for by four at a time, is refused as too large.
#[track_caller]
fn refused(respite: &Respite, commands: &[&str]) {
    for command in commands {
        let mut clients: Vec<Client> = (0..4).map(|_| respite.connect()).collect();
        for client in &mut clients {
            client.send(&command.split(' ').collect::<Vec<_>>());
        }
        for client in &mut clients {
            client.set_timeout(super::PATIENCE);
            let mut reply = client.read_reply();
            // The backing has much to look through, and the machine may be busy.
            while format!("{reply:?}").contains("TRYAGAIN") {
                reply = call(client, command);
            }
            let text = format!("{reply:?}");
            assert!(
                reply.is_error() && text.contains("ERR too large: "),
                "{command}: {text:.200}"
            );
        }
    }
    assert!(highest(respite) < MOST, "{} bytes", highest(respite));
}

/// In front of a backing that is busy for a while: the floods themselves take long.
fn patient(redis: &RedisServer, config: &str) -> Respite {
    Respite::builder()
        .upstream(&redis.url())
        .config(&format!(
            "{config}\n[timeouts]\nreply = \"120s\"\nconnect = \"120s\""
        ))
        .start()
}

/// A group with a node, and Respite in front of it.
fn with_a_node(redis: &RedisServer) -> (Respite, Client) {
    let respite = patient(redis, "");
    let mut client = respite.connect();
    let reply = call(&mut client, "DISCOVERY.JOIN web n1 GROUP good");
    assert!(!reply.is_error(), "{reply:?}");
    (respite, client)
}

#[track_caller]
fn all_is_well(client: &mut Client) {
    let reply = call(client, "DISCOVERY.NODES web GROUP good");
    assert_eq!(reply.field("nodes").items().len(), 1, "{reply:?}");
    let reply = call(client, "DISCOVERY.RESOLVE web GROUP good");
    assert_eq!(reply.field("node").as_str(), "n1");
}

#[test]
fn a_group_with_too_many_entries() {
    let redis = RedisServer::start();
    let (mut respite, mut client) = with_a_node(&redis);
    flood(
        &redis,
        "for n = 1, 60000 do \
         redis.call('ZADD', 'respite:d:{bad}:names', 0, 'web\\1' .. n .. string.rep('x', 500)) \
         redis.call('HSET', 'respite:d:{bad}:nodes', 'web\\1' .. n .. string.rep('x', 500), 'l 0 0 passing x') end \
         for n = 1, 20000 do \
         redis.call('HSET', 'respite:d:{wide}:services', n .. string.rep('x', 2000), 'x') end \
         for n = 1, 150000 do redis.call('ZADD', 'respite:d::groups', n, n .. string.rep('x', 200)) end",
    );
    refused(
        &respite,
        &[
            "DISCOVERY.NODES web GROUP bad",
            "DISCOVERY.SERVICES GROUP bad",
            "DISCOVERY.DEREGISTER web GROUP bad",
            "DISCOVERY.SERVICES GROUP wide",
            "DISCOVERY.GROUPS",
        ],
    );
    for key in [
        "respite:d:{bad}:names has 60000 entries",
        "respite:d:{wide}:services has 20000 entries",
        "respite:d::groups has 15",
    ] {
        respite.expect_log(key);
        let told = respite.log().iter().filter(|l| l.contains(key)).count();
        assert_eq!(told, 1, "{key} was told {told} times");
    }
    all_is_well(&mut client);
    // What is too much can be removed.
    call(&mut client, "DISCOVERY.DROPGROUP bad").int();
    assert_eq!(call(&mut client, "DISCOVERY.DROPGROUP wide").int(), 20000);
    let reply = call(&mut client, "DISCOVERY.NODES web GROUP bad");
    assert_eq!(reply.field("nodes").items().len(), 0, "{reply:?}");
}

#[test]
fn a_group_with_huge_values() {
    let redis = RedisServer::start();
    let (mut respite, mut client) = with_a_node(&redis);
    call(&mut client, "DISCOVERY.REGISTER web url GROUP bad");
    flood(
        &redis,
        "local huge = string.rep(string.rep('x', 1000), 5000) \
         for n = 1, 15 do redis.call('ZADD', 'respite:d:{bad}:names', 0, 'web\\1' .. n) \
         redis.call('HSET', 'respite:d:{bad}:nodes', 'web\\1' .. n, 'l 0 0 passing ' .. huge) end \
         redis.call('HSET', 'respite:d:{bad}:services', 'web', string.rep(huge, 20)) \
         redis.call('HSET', 'respite:d:{odd}:meta', 'epoch', string.rep(huge, 20), 'rev', 1) \
         redis.call('HSET', 'respite:d::presence', 'outages', string.rep(string.rep('1:2 ', 1000), 35000))",
    );
    refused(
        &respite,
        &[
            "DISCOVERY.NODES web GROUP bad",
            "DISCOVERY.GET web GROUP bad",
            "DISCOVERY.RESOLVE web GROUP bad",
        ],
    );
    for key in ["of respite:d:{bad}:nodes", "of respite:d:{bad}:services"] {
        respite.expect_log(key);
    }
    call(&mut client, "DISCOVERY.NODES web GROUP odd")
        .assert_error("ERR the keys respite:d: of the backing are damaged: an epoch");
    all_is_well(&mut client);
    assert!(highest(&respite) < MOST, "{} bytes", highest(&respite));
}

#[test]
fn an_event_that_is_too_large_does_not_end_any_watch() {
    let redis = RedisServer::start();
    let (respite, mut client) = with_a_node(&redis);
    call(&mut client, "DISCOVERY.JOIN web n1 GROUP bad");
    for round in 0..2 {
        let mut watching: Vec<(&str, Client)> = Vec::new();
        for group in ["bad", "good"] {
            let nodes = call(
                &mut client,
                &format!("DISCOVERY.WATCH web INDEX 0 GROUP {group} TIMEOUT 1"),
            );
            let index = nodes.field("index").as_str().to_owned();
            let mut watcher = respite.connect();
            let watch = format!("DISCOVERY.WATCH web INDEX {index} GROUP {group} TIMEOUT 0");
            watcher.send(&watch.split(' ').collect::<Vec<_>>());
            watching.push((group, watcher));
        }
        // In the last revision, so that there is room for the next one.
        flood(
            &redis,
            "local key = 'respite:d:{bad}:events' \
             local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1][1] \
             redis.call('XADD', key, string.match(last, '%d+') .. '-99', 's', string.rep(string.rep('x', 1000), 140000))",
        );
        for (group, watcher) in &mut watching {
            call(
                &mut client,
                &format!("DISCOVERY.JOIN web r{round} GROUP {group}"),
            );
            let reply = watcher.read_reply();
            assert_eq!(reply.field("changed").int(), 1, "{group}: {reply:?}");
        }
    }
    assert!(highest(&respite) < MOST, "{} bytes", highest(&respite));
}

#[test]
fn a_bus_with_too_much_in_it() {
    let redis = RedisServer::start();
    let mut respite = patient(&redis, "");
    let mut client = respite.connect();
    for bus in ["good", "bad", "many"] {
        call(&mut client, &format!("BUS.REGISTER {bus} m"));
    }
    flood(
        &redis,
        "local huge = string.rep(string.rep('x', 1000), 15000) local b = 'respite:b:{bad}:' \
         redis.call('HSET', b .. 'm', 'huge', huge, huge, 'x') \
         redis.call('HSET', b .. 'g', '', huge) \
         for n = 1, 10 do redis.call('ZADD', b .. 'w', 9e15, 'w' .. n) \
         redis.call('HSET', b .. 'p', 'w' .. n, huge) end \
         redis.call('ZADD', b .. 'w', 9e15, huge) \
         redis.call('HSET', b .. 'h:m', 'last', huge) \
         for n = 3, 5 do redis.call('ZADD', b .. 'd:m', n, 'c' .. n .. '.1-1.m') \
         redis.call('HSET', b .. 'k:c' .. n, 'a', string.rep(huge, n), 'n', '1', 'fc', 'C', 'fm', 'M') end \
         redis.call('SET', b .. 'r:r1', 'd' .. string.rep(huge, 5)) \
         for n = 1, 1500 do redis.call('HSET', 'respite:b:{many}:m', n, string.rep('x', 50000)) end",
    );
    refused(&respite, &["BUS.METHODS many", "BUS.STATS many"]);
    respite.expect_log("respite:b:{many}:m has 1501 entries");
    // What cannot be a Respite's is left out of the rest.
    let methods = call(&mut client, "BUS.METHODS bad");
    assert_eq!(methods.items().len(), 1, "{methods:.300?}");
    assert_eq!(call(&mut client, "BUS.WORKERS bad").items().len(), 10);
    assert_eq!(call(&mut client, "BUS.STATS bad").items().len(), 1);
    call(&mut client, "BUS.RESULT bad r1.1-1.m")
        .assert_error("ERR the outcome has more bytes than one can have");
    // Newest first: of 75 MB none, of 60 MB one, and then there is no more room.
    let dead = call(&mut client, "BUS.DEAD bad m");
    let ids: Vec<&str> = dead
        .items()
        .iter()
        .map(|d| d.field("id").as_str())
        .collect();
    assert_eq!(ids, ["c4.1-1.m"]);
    call(&mut client, "BUS.CAST good m PAYLOAD p").as_str();
    let fetched = call(&mut client, "BUS.FETCH good w m");
    assert_eq!(fetched.items()[0].field("payload").as_str(), "p");
    assert!(highest(&respite) < 5 * MOST, "{} bytes", highest(&respite));
}

#[test]
fn a_hint_that_is_too_large() {
    let redis = RedisServer::start();
    let respite = patient(&redis, "");
    let mut client = respite.connect();
    call(&mut client, "BUS.REGISTER b m");
    let mut channel = String::new();
    wait_until("it listens", DEADLINE, || {
        let channels = redis.call(&["PUBSUB", "CHANNELS", "respite:b:*"]);
        let first = channels.strings().first().map(|name| (*name).to_owned());
        channel = first.unwrap_or_default();
        !channel.is_empty()
    });
    let mut worker = respite.connect();
    worker.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    let before = resident(&respite);
    // The backing itself disconnects a subscriber for whom 32 MB wait.
    flood(
        &redis,
        &format!(
            "redis.call('PUBLISH', '{channel}', string.rep(string.rep('q\\nb\\n1\\nm', 1000), 4000))"
        ),
    );
    // Queued by somebody else: without hints it is found all the same.
    let other = patient(&redis, "");
    let cast = other.call(&["BUS.CAST", "b", "m", "PAYLOAD", "p"]);
    assert!(!cast.is_error(), "{cast:?}");
    assert_eq!(worker.read_reply().items().len(), 1);
    let more = highest(&respite).saturating_sub(before);
    assert!(more < 16 * MIB, "{more} bytes");
}

#[test]
fn a_hash_of_shards_with_too_much_in_it() {
    let redis = RedisServer::start();
    let config = "[fleet]\nmax_added = 100000\ninterval_max = \"1s\"";
    let mut respite = patient(&redis, config);
    let mut client = respite.connect();
    flood(
        &redis,
        "local text = 'addr=127.0.0.1:1&label.a=' .. string.rep(string.rep('x', 1000), 90) \
         for n = 1, 1500 do redis.call('HSET', 'respite:f:shards', n, text) end \
         redis.call('HSET', 'respite:f:shards', '', 'changed')",
    );
    respite.expect_log("of respite:f:shards has more than 67108864 bytes");
    respite.allow_log("added");
    assert!(call(&mut client, "SHARD.LIST").items().len() < 10);
    assert!(highest(&respite) < MOST, "{} bytes", highest(&respite));
}
