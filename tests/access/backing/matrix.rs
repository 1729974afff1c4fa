//! Many users and many commands: said as by a redis-server with the same users.

use super::{ALL, admin, backing, builder, set_user};
use crate::support::{Client, RedisServer, encode, escape};

/// A name, and rules; before 7.0 not those with `since` 7.
const USERS: [(&str, &[&str], u32); 18] = [
    ("everything", &["on", ">pw", "~*", "&*", "+@all"], 6),
    (
        "reader",
        &["on", ">pw", "~*", "&*", "-@all", "+@read", "+ping"],
        6,
    ),
    ("app", &["on", ">pw", "~app:*", "&app:*", "+@all"], 6),
    (
        "split",
        &["on", ">pw", "%R~ro:*", "%W~wo:*", "~app:*", "&*", "+@all"],
        7,
    ),
    (
        "harmless",
        &["on", ">pw", "~*", "&*", "+@all", "-@dangerous"],
        6,
    ),
    ("two", &["on", ">pw", "~app:*", "-@all", "+get", "+set"], 6),
    (
        "subs",
        &[
            "on",
            ">pw",
            "~*",
            "&*",
            "+@all",
            "-config",
            "+config|get",
            "-client|list",
        ],
        7,
    ),
    ("open", &["on", "nopass", "~app:*", "&*", "+@all"], 6),
    (
        "selects",
        &[
            "on",
            ">pw",
            "~app:*",
            "-@all",
            "+get",
            "+mget",
            "(+set ~wo:*)",
            "(+@read %R~ro:*)",
        ],
        7,
    ),
    (
        "news",
        &["on", ">pw", "~*", "resetchannels", "&news:*", "+@all"],
        6,
    ),
    ("nothing", &["on", ">pw"], 6),
    ("off", &["off", ">pw", "~*", "&*", "+@all"], 6),
    (
        "lacking",
        &[
            "on", ">pw", "~*", "&*", "+@all", "-get", "-hgetall", "-ping", "-select", "-eval",
        ],
        6,
    ),
    (
        "own",
        &["on", ">pw", "~*", "-@all", "+@connection", "+info"],
        6,
    ),
    ("twice", &["on", ">other", ">pw", "~b:*", "&*", "+@all"], 6),
    // Who may begin a transaction and not end it, in one way or in both.
    (
        "begins",
        &["on", ">pw", "~app:*", "-@all", "+get", "+set", "+multi"],
        6,
    ),
    (
        "executes",
        &["on", ">pw", "~*", "+@all", "-discard", "-flushdb"],
        6,
    ),
    (
        "writer",
        &["on", ">pw", "~app:*", "~wo:*", "-@all", "+@write"],
        6,
    ),
];

const LINES: [&str; 92] = [
    "PING",
    "PING hello",
    "ECHO hello",
    "SELECT 1",
    "SELECT 0",
    "CLIENT ID",
    "CLIENT GETNAME",
    "CLIENT SETNAME me",
    "CLIENT INFO",
    "CLIENT LIST",
    "COMMAND COUNT",
    "COMMAND INFO get",
    "INFO server",
    "ACL WHOAMI",
    "ACL LOG 0",
    "GET app:1",
    "GET app:1",
    "GET b:1",
    "GET b:1",
    "GET ro:1",
    "GET wo:1",
    "STRLEN wo:1",
    "EXISTS b:1",
    "MGET app:1 app:2",
    "MGET app:1 b:1",
    "MGET ro:1 app:1",
    "EXISTS app:1 b:1",
    "HGETALL app:h",
    "HGET b:h f",
    "GETRANGE app:1 0 1",
    "SET app:1 2",
    "SET app:1 2 GET",
    "SET b:1 2",
    "SET ro:1 x",
    "SET wo:1 x",
    "SET wo:1 x GET",
    "APPEND wo:1 x",
    "GET app:1",
    "GET wo:1",
    "INCR app:n",
    "DEL app:gone",
    "LPUSH app:l a b",
    "LRANGE app:l 0 -1",
    "LRANGE b:l 0 -1",
    "SADD app:s a",
    "SMEMBERS app:s",
    "ZADD b:z 1 a",
    "ZRANGE b:z 0 -1",
    "EXPIRE app:1 1000",
    "TTL app:1",
    "TYPE ro:1",
    "COPY app:1 app:9",
    "RENAME app:9 b:9",
    "KEYS none*",
    "SCAN 0 MATCH none* COUNT 1000",
    "OBJECT ENCODING app:1",
    "OBJECT ENCODING b:1",
    "SORT app:l ALPHA",
    "CONFIG GET maxmemory",
    "CONFIG SET maxmemory 0",
    "SLOWLOG LEN",
    "TIME",
    "EVAL return(1) 0",
    "EVAL return(redis.call('get',KEYS[1])) 1 app:1",
    "EVAL return(redis.call('get',KEYS[1])) 1 b:1",
    "PUBLISH news:1 x",
    "PUBLISH app:1 x",
    "PUBSUB CHANNELS none*",
    "WATCH app:1",
    "WATCH b:1",
    "UNWATCH",
    "MULTI",
    "GET app:1",
    "SET app:1 3",
    "EXEC",
    "MULTI",
    "GET app:1",
    "GET b:1",
    "EXEC",
    "MULTI",
    "CLIENT ID",
    "DISCARD",
    "BLPOP app:l 1",
    "BLPOP b:l 1",
    "WAIT 0 0",
    "NO.SUCH.COMMAND",
    "GET",
    "SWAPDB 1 2",
    "FLUSHDB",
    "HELLO",
    "AUTH everything wrong",
    "ACL WHOAMI",
];
/// What is told there differs for good reason: only that it is told counts.
const VARIES: [&str; 9] = [
    "SLOWLOG LEN",
    "CLIENT ID",
    "CLIENT INFO",
    "CLIENT LIST",
    "COMMAND COUNT",
    "COMMAND INFO get",
    "INFO server",
    "TIME",
    "HELLO",
];

fn prepare(admin: &mut Client) {
    for line in [
        "FLUSHALL",
        "SET app:1 one",
        "SET b:1 one",
        "SET ro:1 one",
        "SET wo:1 one",
        "HSET app:h f v",
        "HSET b:h f v",
        "RPUSH app:l a b c",
        "RPUSH b:l a b c",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let reply = admin.call(&words);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
}

/// What a client is told to each line.
fn told(client: &mut Client, lines: &[&str], one_packet: bool) -> Vec<String> {
    let words = |line: &&str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let commands: Vec<Vec<String>> = lines.iter().map(words).collect();
    let mut replies = Vec::new();
    if one_packet {
        let packet: Vec<u8> = commands
            .iter()
            .flat_map(|command| encode(command))
            .collect();
        client.send_raw(&packet);
        replies.extend(lines.iter().map(|line| match client.try_read_reply_raw() {
            Ok(reply) => reply,
            Err(error) => panic!("{line} in {}: {error}", lines[0]),
        }));
    } else {
        replies.extend(commands.iter().map(|command| client.call_raw(command)));
    }
    let shown = lines.iter().zip(replies).map(|(line, reply)| {
        let error = reply.first() == Some(&b'-');
        match VARIES.contains(line) && !error {
            true => "told".to_owned(),
            false => escape(&reply),
        }
    });
    shown.collect()
}

#[test]
fn each_user_is_told_what_the_backing_would_tell() {
    let major = RedisServer::version().0;
    let (ours, url) = backing(ALL);
    let (reference, _) = backing(ALL);
    let users = || USERS.iter().filter(|(_, _, since)| major >= *since);
    for server in [&ours, &reference] {
        users().for_each(|(name, rules, _)| set_user(&mut admin(server), name, rules));
    }
    let respite = builder(&url).allow_log("logins fail").start();
    let mut differences = Vec::new();
    for (name, _, _) in users() {
        for resp3 in [false, true] {
            for one_packet in [false, true] {
                // Whoever is let in nowhere may be closed with so many replies outstanding.
                if one_packet && (name == &"off" || RedisServer::swallows_failed_logins()) {
                    continue;
                }
                let mut through = respite.connect();
                through.call(&["AUTH", "everything", "pw"]).assert_ok();
                prepare(&mut through);
                prepare(&mut admin(&reference));
                let login = match resp3 {
                    true => format!("HELLO 3 AUTH {name} pw"),
                    false => format!("AUTH {name} pw"),
                };
                let lines: Vec<&str> = [&[login.as_str()], &LINES[..]].concat();
                let varies = |reply: String| match reply.starts_with(['%', '*']) && resp3 {
                    true => "told".to_owned(),
                    false => reply,
                };
                let mut sides = [respite.connect(), reference.connect()].map(|mut client| {
                    let mut told = told(&mut client, &lines, one_packet);
                    told[0] = varies(told[0].clone());
                    told
                });
                let [ours, theirs] = &mut sides;
                for ((line, ours), theirs) in lines.iter().zip(ours).zip(theirs) {
                    // Nobody who is let in nowhere learns what there is.
                    let strange = name == &"off" && line.starts_with("NO.SUCH")
                        // A Valkey asks who it is before it counts the arguments.
                        || RedisServer::is_valkey() && name == &"off" && *line == "GET"
                        // In a transaction that he may not end, there is no login.
                        || matches!(*name, "begins" | "executes") && line.starts_with("AUTH ev");
                    if ours != theirs && !strange {
                        let mode = (resp3, one_packet);
                        differences.push(format!("{name} {mode:?} {line}: {ours} for {theirs}"));
                    }
                }
            }
        }
    }
    let told = differences.join("\n");
    assert!(differences.is_empty(), "{told}");
}

#[test]
fn a_stranger_is_told_what_the_backing_would_tell() {
    let lines = [
        "PING",
        "GET a",
        "SET a 1",
        "GET a",
        "ACL WHOAMI",
        "CLIENT ID",
        "HELLO 3",
        "HELLO",
        "MULTI",
        "GET a",
        "EXEC",
        "AUTH pw",
        "AUTH default pw",
        "AUTH a b c",
        "AUTH",
        "AUTH nobody pw",
        "RESET",
        "GET a",
        "SELECT 0",
        "QUIT",
    ];
    for rules in [
        &["reset", "off"][..],
        &["reset", "on", "nopass", "~*", "&*", "+@all"],
        &["reset", "on", "nopass", "~b", "+@all", "-set"],
        &["reset", "on", ">pw", "~a", "+@all"],
        &["reset", "on"],
    ] {
        let (ours, url) = backing(ALL);
        let (reference, _) = backing(ALL);
        for server in [&ours, &reference] {
            set_user(&mut admin(server), "default", rules);
        }
        let respite = builder(&url).start();
        let mut sides = [respite.connect(), reference.connect()].map(|mut client| {
            told(&mut client, &lines, false)
                .into_iter()
                .map(|reply| {
                    if reply.starts_with(['%', ':']) {
                        "told".to_owned()
                    } else {
                        reply
                    }
                })
                .collect::<Vec<_>>()
        });
        let [ours, theirs] = &mut sides;
        for ((line, ours), theirs) in lines.iter().zip(ours).zip(theirs) {
            // Before 7.0 it is not for strangers.
            if RedisServer::version() < (7, 0, 0) && *line == "RESET" {
                break;
            }
            assert_eq!(ours, theirs, "{rules:?} {line}");
        }
    }
}
