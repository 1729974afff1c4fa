//! Keys that may only be read or written, and channels: judged as by a redis-server with the same users.

use super::{Pair, ROOT, User, config, same_replies};
use crate::support::{RedisServer, Respite};

/// Has keys of each kind.
const SPLIT: User = User {
    name: "split",
    password: "pw",
    commands: &["@all"],
    keys: &[
        "{k}app:*",
        "%R~{k}ro:*",
        "%W~{k}wo:*",
        "%R~{k}mix",
        "%w~{k}mix",
        "%R~*:tail",
    ],
    channels: &["news:*", "exact", "[ab]x"],
};
/// Reads everything.
const READER: User = User {
    name: "reader",
    password: "pw",
    commands: &["@all"],
    keys: &["%R~*", "{k}app:*"],
    channels: &[],
};

/// Every command with every kind of key: `K` is replaced.
const ONE_KEY: [&str; 52] = [
    "GET K",
    "STRLEN K",
    "EXISTS K",
    "TYPE K",
    "TOUCH K",
    "TTL K",
    "DUMP K",
    "OBJECT ENCODING K",
    "MEMORY USAGE K",
    "SET K 1",
    "SET K 1 EX 100",
    "SET K 1 GET",
    "SET K 1 NX GET",
    "SETEX K 10 1",
    "SETNX K 1",
    "GETSET K 1",
    "GETDEL K",
    "SET K 1",
    "GETEX K",
    "APPEND K 1",
    "INCR K",
    "DECRBY K 2",
    "SETRANGE K 0 1",
    "GETRANGE K 0 1",
    "SETBIT K 1 1",
    "GETBIT K 1",
    "BITCOUNT K",
    "BITFIELD K GET u8 0",
    "BITFIELD K SET u8 0 1",
    "BITFIELD K OVERFLOW FAIL GET u8 0",
    "BITFIELD_RO K GET u8 0",
    "EXPIRE K 100",
    "PERSIST K",
    "DEL K",
    "LPUSH K a b c",
    "LLEN K",
    "LRANGE K 0 -1",
    "LPOP K",
    "LINDEX K 0",
    "LREM K 0 a",
    "LTRIM K 0 1",
    "UNLINK K",
    "HSET K f v",
    "HGET K f",
    "HEXISTS K f",
    "HDEL K f",
    "DEL K",
    "WATCH K",
    "UNWATCH",
    "PFADD K a",
    "PFCOUNT K",
    "DEL K",
];
const KEYS: [&str; 7] = [
    "{k}app:1",
    "{k}ro:1",
    "{k}wo:1",
    "{k}mix",
    "{k}other",
    "{k}wo:tail",
    "{k}other:tail",
];
/// With two keys: `A` and `B`.
const TWO_KEYS: [&str; 14] = [
    "COPY A B REPLACE",
    "RENAME A B",
    "SET A 1",
    "MGET A B",
    "MSET A 1 B 2",
    "DEL A B",
    "RPUSH A x y",
    "LMOVE A B LEFT RIGHT",
    "RPOPLPUSH A B",
    "SORT A STORE B",
    "SORT A BY nosort",
    "SUNIONSTORE B A",
    "PFMERGE B A",
    "DEL A B",
];

fn lines_for(commands: &[&str], first: &str, second: &str) -> Vec<String> {
    let word = |word: &str| match word {
        "K" | "A" => first.to_owned(),
        "B" => second.to_owned(),
        word => word.to_owned(),
    };
    let line = |line: &&str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    commands.iter().map(line).collect()
}

/// Whether the reference knows these permissions.
fn has_permissions() -> bool {
    RedisServer::version() >= (7, 0, 0)
}

#[test]
fn a_key_is_read_or_written_as_the_permission_says() {
    if !has_permissions() {
        return;
    }
    let pair = Pair::with(&[SPLIT, READER, ROOT]);
    for user in [SPLIT, READER] {
        let login = format!("AUTH {} {}", user.name, user.password);
        for first in KEYS {
            for (commands, seconds) in [(&ONE_KEY[..], &[""][..]), (&TWO_KEYS[..], &KEYS[..])] {
                for second in seconds {
                    // Each begins with the same data.
                    let mut root = pair.connect();
                    same_replies(
                        &mut root,
                        false,
                        &["AUTH root toor", "FLUSHALL", "SET {k}ro:1 12"],
                    );
                    let lines = lines_for(commands, first, second);
                    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                    let lines = [&[&*login][..], &lines].concat();
                    let mut clients = pair.connect();
                    same_replies(&mut clients, false, &lines);
                }
            }
        }
    }
}

/// What is in the cache is given to whoever may read it, and nothing but whether it is there to others.
#[test]
fn a_cached_value_is_for_whoever_may_read() {
    let redis = RedisServer::start();
    let users = config(&[SPLIT, READER, ROOT]);
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&users)
        .start();
    redis.call(&["SET", "{k}wo:1", "hush"]).assert_ok();
    redis.call(&["SET", "{k}ro:1", "told"]).assert_ok();
    let login = |name| {
        let mut client = respite.connect();
        client.call(&["AUTH", name, "pw"]).assert_ok();
        client
    };
    let mut reader = login("reader");
    for _ in 0..3 {
        reader.call(&["GET", "{k}wo:1"]).assert_str("hush");
        reader.call(&["STRLEN", "{k}wo:1"]).assert_int(4);
        reader.call(&["MGET", "{k}wo:1", "{k}ro:1"]).items();
    }
    let mut split = login("split");
    for _ in 0..3 {
        for refused in [
            &["GET", "{k}wo:1"][..],
            &["GETRANGE", "{k}wo:1", "0", "-1"],
            &["MGET", "{k}ro:1", "{k}wo:1"],
            &["GETEX", "{k}wo:1"],
            &["SET", "{k}wo:1", "x", "GET"],
            &["COPY", "{k}wo:1", "{k}app:x"],
            &["SORT", "{k}app:l", "BY", "{k}wo:*"],
            &["EVAL", "return redis.call('get', KEYS[1])", "1", "{k}wo:1"],
            &["BITFIELD", "{k}wo:1", "GET", "u8", "0"],
            &["DUMP", "{k}wo:1"],
            &["RENAME", "{k}wo:1", "{k}app:x"],
            &["APPEND", "{k}ro:1", "x"],
            &["DEL", "{k}ro:1"],
            &["EXPIRE", "{k}ro:1", "0"],
        ] {
            split.call(refused).assert_error("NOPERM ");
        }
        split.call(&["STRLEN", "{k}wo:1"]).assert_int(4);
        split.call(&["GET", "{k}ro:1"]).assert_str("told");
    }
    // What names keys, names those that may be read.
    let hot = split.call(&["CACHE.HOTKEYS"]);
    let hot = format!("{hot:?}");
    assert!(hot.contains("{k}ro:1") && !hot.contains("{k}wo:1"), "{hot}");
    redis.call(&["GET", "{k}wo:1"]).assert_str("hush");
}

#[test]
fn channels_are_those_of_the_rules() {
    if !has_permissions() {
        return;
    }
    let pair = Pair::with(&[SPLIT, READER, ROOT]);
    let sequences: [&[&str]; 6] = [
        &[
            "PUBLISH news:1 m",
            "PUBLISH other m",
            "PUBLISH exact m",
            "PUBLISH ax m",
            "PUBLISH [ab]x m",
            "PUBLISH",
            "PUBLISH other",
            "SPUBLISH news:1 m",
            "SPUBLISH other m",
            "PUBSUB CHANNELS",
            "PUBSUB NUMSUB other",
        ],
        &["SUBSCRIBE other", "SUBSCRIBE news:1", "UNSUBSCRIBE", "PING"],
        &[
            "SUBSCRIBE news:1",
            "SUBSCRIBE other",
            "UNSUBSCRIBE other",
            "SUBSCRIBE news:1 other",
            "UNSUBSCRIBE",
        ],
        // Patterns are judged literally.
        &[
            "PSUBSCRIBE *",
            "PSUBSCRIBE news:1",
            "PSUBSCRIBE news:1*",
            "PSUBSCRIBE news:*",
            "PSUBSCRIBE exact",
            "PUNSUBSCRIBE *",
            "PUNSUBSCRIBE",
        ],
        &[
            "SSUBSCRIBE other",
            "SSUBSCRIBE news:1",
            "SUNSUBSCRIBE other",
            "SUNSUBSCRIBE",
        ],
        &[
            "SUBSCRIBE __keyspace@0__:x",
            "SUBSCRIBE __redis__:invalidate",
            "PSUBSCRIBE __key*",
            "PUBLISH __keyevent@0__:set x",
        ],
    ];
    for user in [SPLIT, READER] {
        let login = format!("AUTH {} {}", user.name, user.password);
        for sequence in sequences {
            for hello in ["HELLO 2", "HELLO 3"] {
                let mut clients = pair.connect();
                same_replies(&mut clients, false, &[&login]);
                for client in &mut clients {
                    client.call(&hello.split(' ').collect::<Vec<_>>());
                }
                // The channels of one request have a reply each.
                let mut lines: Vec<&str> = sequence.to_vec();
                if RedisServer::version() >= (7, 2, 0) {
                    // In which order newer servers end several patterns is chance.
                    lines.retain(|line| *line != "PUNSUBSCRIBE");
                }
                same_replies(&mut clients, false, &lines);
            }
        }
    }
    // In a transaction, a refused one spoils it.
    let lines = [
        "AUTH split pw",
        "MULTI",
        "PUBLISH news:1 m",
        "PUBLISH other m",
        "EXEC",
        "MULTI",
        "PUBLISH news:1 m",
        "EXEC",
    ];
    same_replies(&mut pair.connect(), true, &lines);
    same_replies(&mut pair.connect(), false, &lines);
    let lines = [
        "AUTH root toor",
        "MULTI",
        "AUTH split pw",
        "PUBLISH news:1 m",
        "PUBLISH other m",
        "EXEC",
    ];
    same_replies(&mut pair.connect(), false, &lines);
}

/// Whatever is about channels and is not known to name them is refused.
#[test]
fn publishing_under_another_name_is_refused() {
    let redis = RedisServer::builder()
        .args(["--rename-command", "PUBLISH", "tell"])
        .start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&[SPLIT, ROOT]))
        .start();
    let mut split = respite.connect();
    split.call(&["AUTH", "split", "pw"]).assert_ok();
    for name in ["tell", "TELL", "publish", "no.such"] {
        split.call(&[name, "other", "m"]).assert_error("NOPERM ");
    }
    let mut root = respite.connect();
    root.call(&["AUTH", "root", "toor"]).assert_ok();
    root.call(&["TELL", "other", "m"]).assert_int(0);
}

/// As in Redis, which closes whoever is subscribed to what he may not be any more.
#[test]
fn taking_a_channel_away_closes_who_is_subscribed() {
    let redis = RedisServer::start();
    let users = |channels| config(&[User { channels, ..SPLIT }, ROOT]);
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&users(&["a*", "b*"]))
        .start();
    let mut subscriber = respite.connect();
    subscriber.call(&["AUTH", "split", "pw"]).assert_ok();
    subscriber.call(&["SUBSCRIBE", "b1"]).items();
    let mut admin = respite.connect();
    admin.call(&["AUTH", "root", "toor"]).assert_ok();
    respite.rewrite_config(&users(&["a*", "b*", "c*"]));
    admin.call(&["RESPITE.RELOAD"]).assert_ok();
    redis.call(&["PUBLISH", "b1", "still"]).assert_int(1);
    subscriber.read_reply().items()[2].assert_str("still");
    respite.rewrite_config(&users(&["a*"]));
    admin.call(&["RESPITE.RELOAD"]).assert_ok();
    assert!(subscriber.closed());
}

/// A bus and a group of discovery are keys: telling needs reading, the rest reading and writing.
#[test]
fn families_take_permissions_as_well() {
    const TENANT: User = User {
        name: "tenant",
        password: "pw",
        commands: &["@all"],
        keys: &[
            "%R~respite:d:{seen}",
            "%W~respite:d:{fed}",
            "respite:d:{own}",
            "%R~respite:b:{seen}",
        ],
        channels: &["*"],
    };
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&[TENANT, ROOT]))
        .start();
    let mut root = respite.connect();
    root.call(&["AUTH", "root", "toor"]).assert_ok();
    for group in ["seen", "fed", "own"] {
        root.call(&["DISCOVERY.JOIN", "web", "n", "GROUP", group, "TTL", "60"])
            .items();
    }
    root.call(&["BUS.REGISTER", "seen", "m"]).items();
    let mut tenant = respite.connect();
    tenant.call(&["AUTH", "tenant", "pw"]).assert_ok();
    let is_refused = |reply: &crate::support::Reply| format!("{reply:?}").contains("NOPERM");
    for (words, allowed) in [
        (&["DISCOVERY.SERVICES", "GROUP", "seen"][..], true),
        (&["DISCOVERY.SERVICES", "GROUP", "fed"], false),
        (&["DISCOVERY.SERVICES", "GROUP", "own"], true),
        (&["DISCOVERY.DEREGISTER", "web", "GROUP", "seen"], false),
        (&["DISCOVERY.DEREGISTER", "web", "GROUP", "fed"], false),
        (&["DISCOVERY.DROPGROUP", "seen"], false),
        (&["DISCOVERY.DEREGISTER", "web", "GROUP", "own"], true),
        (&["BUS.METHODS", "seen"], true),
        (&["BUS.CAST", "seen", "m"], false),
        (&["BUS.CLEANUP", "seen"], false),
    ] {
        let reply = tenant.call(words);
        assert_eq!(!is_refused(&reply), allowed, "{words:?}: {reply:?}");
    }
}

#[test]
fn a_permission_that_is_none_is_refused() {
    let redis = RedisServer::start();
    let users = config(&[User {
        keys: &["%X~a"],
        ..SPLIT
    }]);
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&[SPLIT, ROOT]))
        .start();
    respite.rewrite_config(&users);
    let mut root = respite.connect();
    root.call(&["AUTH", "root", "toor"]).assert_ok();
    let refused = root.call(&["RESPITE.RELOAD"]);
    refused.assert_error("ERR the old configuration stays: [access] user 'split': a pattern");
    root.call(&["PING"]).assert_str("PONG");
}
