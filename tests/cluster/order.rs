//! One client's commands take effect in its order, whoever has their slot.

use std::time::{Duration, Instant};

use crate::support::{Client, DEADLINE, RedisCluster, RedisServer, Respite, slot_of, wait_until};

/// What overtakes takes far less.
const LONG: Duration = Duration::from_millis(400);

/// Mutant `redirects_overtaken`: commands wait at the old owner, and the map says already who is the new one.
#[test]
fn what_follows_waits_for_what_is_sent_on() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .workers(1)
        .start();
    let slot = slot_of(&mut cluster.servers[0].connect(), "{t}k");
    let from = cluster.owner(slot);
    let to = (from + 1) % 3;
    let (old, new) = (&cluster.servers[from], &cluster.servers[to]);
    let mut client = respite.connect();
    client.call(&["GET", "{t}k"]);
    old.call(&["CLIENT", "PAUSE", "60000", "WRITE"]).assert_ok();
    for number in ["1", "2"] {
        client.send(&["SET", "{t}k", number]);
    }
    while old.info("clients", "blocked_clients") == "0" {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The slot has no keys yet. Whoever asks hears of its new owner, and Respite asks: a node is silent.
    let (number, id) = (slot.to_string(), cluster.id(to));
    let set = ["CLUSTER", "SETSLOT", &number, "NODE", &id];
    new.call(&set).assert_ok();
    // A paused Valkey would let it wait.
    if !RedisServer::is_valkey() {
        old.call(&set).assert_ok();
    }
    new.call(&["CLUSTER", "BUMPEPOCH"]);
    wait_until("the old owner knows", DEADLINE, || {
        !cluster.has_slot(from, slot)
    });
    wait_until("the map is new", DEADLINE, || {
        let mut other: Client = respite.connect();
        other.set_timeout(Duration::from_millis(200));
        other.try_send_raw(b"SET {t}other 1\r\n").is_ok()
            && other
                .try_read_reply_raw()
                .is_ok_and(|reply| reply == b"+OK\r\n")
    });
    client.send(&["SET", "{t}k", "3"]);
    let end = Instant::now() + LONG;
    while new.call(&["EXISTS", "{t}k"]).int() == 0 && Instant::now() < end {}
    old.call(&["CLIENT", "UNPAUSE"]).assert_ok();
    for _ in 0..3 {
        client.read_reply().assert_ok();
    }
    client.call(&["GET", "{t}k"]).assert_str("3");
}

/// A slot that is half moved: its node has one key of a command and not the other, and turns it away (`TRYAGAIN`). What
/// the client sent behind it on the key that is there would be taken.
#[test]
fn what_follows_waits_for_commands_with_several_keys() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder().upstream(&cluster.url()).start();
    let (x, y, other) = ("{t}x", "{t}y", "{o}z");
    let script = "redis.call('SET', KEYS[1], '1') redis.call('SET', KEYS[2], '1') return 1";
    let cases: [(&[&[&str]], &str); 5] = [
        (&[&["MSET", x, "1", y, "1"], &["APPEND", x, "a"]], "1a"),
        (
            &[&["MSET", other, "1", x, "1", y, "1"], &["APPEND", x, "a"]],
            "1a",
        ),
        (&[&["DEL", other, x, y], &["INCR", x]], "1"),
        (&[&["EVAL", script, "2", x, y], &["APPEND", x, "a"]], "1a"),
        (
            &[
                &["MULTI"],
                &["MSET", x, "1", y, "1"],
                &["EXEC"],
                &["APPEND", x, "a"],
            ],
            "1a",
        ),
    ];
    let slot = slot_of(&mut cluster.servers[0].connect(), x);
    let number = slot.to_string();
    for (commands, expected) in cases {
        let from = cluster.owner(slot);
        let to = (from + 1) % 3;
        let (old, new) = (&cluster.servers[from], &cluster.servers[to]);
        let mut client = respite.connect();
        for key in [x, y] {
            let set = client.call(&["SET", key, "0"]);
            set.assert_ok();
        }
        let set = |server: &RedisServer, how: &[&str]| {
            let command = [&["CLUSTER", "SETSLOT", &number], how].concat();
            server.call(&command).assert_ok();
        };
        let migrate = |key: &str| {
            let port = new.port().to_string();
            old.call(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"])
        };
        set(new, &["IMPORTING", &cluster.id(from)]);
        set(old, &["MIGRATING", &cluster.id(to)]);
        migrate(y).assert_ok();
        // Before version 7.0 `errorstats` do not count it.
        let turned_away = || -> u64 {
            let stats = old.call(&["INFO", "commandstats"]);
            let counts = stats.as_str().split("rejected_calls=").skip(1);
            let number = |text: &str| {
                text.split(',')
                    .next()
                    .and_then(|text| text.parse::<u64>().ok())
            };
            counts.filter_map(number).sum::<u64>()
        };
        let before = turned_away();
        for command in commands {
            client.send(command);
        }
        wait_until("the node turns it away", DEADLINE, || {
            turned_away() != before
        });
        // What overtakes does so now.
        std::thread::sleep(Duration::from_millis(100));
        migrate(x);
        for server in [new, old] {
            set(server, &["NODE", &cluster.id(to)]);
        }
        new.call(&["CLUSTER", "BUMPEPOCH"]);
        for command in commands {
            let reply = client.read_reply();
            assert!(!reply.is_error(), "{command:?}: {reply:?}");
        }
        let value = client.call(&["GET", x]);
        assert_eq!(value.as_str(), expected, "{commands:?}");
        cluster.wait_until_agreed();
    }
}

/// `RESET` ends the watch and begins version 2 of the protocol, which has links of its own. What is on the way of version 3
/// comes first.
#[test]
fn a_reset_waits_for_what_was_sent_before() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder().upstream(&cluster.url()).start();
    let slot = slot_of(&mut cluster.servers[0].connect(), "{t}k");
    let node = &cluster.servers[cluster.owner(slot)];
    let mut client = respite.connect();
    client.hello3();
    client.call(&["WATCH", "{t}watched"]).assert_ok();
    node.call(&["CLIENT", "PAUSE", "60000", "WRITE"])
        .assert_ok();
    client.send(&["APPEND", "{t}k", "1"]);
    wait_until("the node holds it", DEADLINE, || {
        node.info("clients", "blocked_clients") != "0"
    });
    client.send(&["RESET"]);
    client.send(&["STRLEN", "{t}k"]);
    let end = Instant::now() + LONG;
    let has_come = || {
        node.call(&["INFO", "commandstats"])
            .as_str()
            .contains("strlen")
    };
    while !has_come() && Instant::now() < end {}
    node.call(&["CLIENT", "UNPAUSE"]).assert_ok();
    client.read_reply().assert_int(1);
    assert_eq!(client.read_reply().as_str(), "RESET");
    client.read_reply().assert_int(1);
}
