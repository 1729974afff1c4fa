//! What the cache gives out goes by rules that are known and new.

use super::{ALL, admin, backing, builder, log_in, set_user};
use crate::support::{Client, DEADLINE, RedisServer, Respite, wait_until};

/// A field of `CACHE.STATS`.
fn stat(respite: &mut Client, name: &str) -> i64 {
    respite.call(&["CACHE.STATS"]).field(name).int()
}

/// Reads until the cache answers.
#[track_caller]
fn wait_for_hits(client: &mut Client, boss: &mut Client, read: &[&str]) {
    let before = stat(boss, "hits");
    wait_until("the cache answers", DEADLINE, || {
        assert!(!client.call(read).is_error());
        stat(boss, "hits") > before
    });
}

fn boss(redis: &RedisServer, respite: &Respite) -> Client {
    set_user(
        &mut admin(redis),
        "boss",
        &["on", ">pw", "~*", "&*", "+@all"],
    );
    log_in(respite, "boss", "pw")
}

#[test]
fn a_cached_value_is_given_to_whom_may_read_it_and_nobody_else() {
    let (redis, url) = backing(ALL);
    let respite = builder(&url).start();
    let mut boss = boss(&redis, &respite);
    let old = RedisServer::version() < (7, 0, 0);
    for (name, rules) in [
        ("keyed", &["~a:*", "+@all"][..]),
        ("reader", &["~*", "-@all", "+@read"]),
        ("writer", &["~*", "-@all", "+@write"]),
        ("hashes", &["~*", "-@all", "+hgetall", "+mget"]),
    ] {
        set_user(&mut admin(&redis), name, &[&["on", ">pw"], rules].concat());
    }
    if !old {
        for (name, rules) in [
            ("split", &["%W~b:*", "%R~a:*", "+@all"][..]),
            ("selects", &["-@all", "(+get ~a:*)", "(+@all %R~h)"]),
        ] {
            set_user(&mut admin(&redis), name, &[&["on", ">pw"], rules].concat());
        }
    }
    for (key, value) in [("a:1", "va"), ("b:1", "vb")] {
        boss.call(&["SET", key, value]).assert_ok();
        wait_for_hits(
            &mut log_in(&respite, "boss", "pw"),
            &mut boss,
            &["GET", key],
        );
    }
    boss.call(&["HSET", "h", "f", "v"]);
    wait_for_hits(
        &mut log_in(&respite, "boss", "pw"),
        &mut boss,
        &["HGETALL", "h"],
    );
    let all = [
        ("keyed", "GET a:1", true),
        ("keyed", "GET b:1", false),
        ("keyed", "MGET a:1 b:1", false),
        ("keyed", "MGET a:1 a:1", true),
        ("keyed", "EXISTS a:1 b:1", false),
        ("keyed", "HGETALL h", false),
        ("reader", "GET b:1", true),
        ("reader", "HGETALL h", true),
        ("writer", "GET b:1", false),
        ("hashes", "HGETALL h", true),
        ("hashes", "GET a:1", false),
        ("hashes", "MGET a:1 b:1", true),
        ("split", "GET a:1", true),
        ("split", "GET b:1", false),
        ("split", "STRLEN b:1", true),
        ("split", "MGET a:1 b:1", false),
        ("selects", "GET a:1", true),
        ("selects", "GET b:1", false),
        ("selects", "STRLEN a:1", false),
        ("selects", "HGETALL h", true),
    ];
    for (name, line, may) in all {
        if old && matches!(name, "split" | "selects") {
            continue;
        }
        let mut client = log_in(&respite, name, "pw");
        let words: Vec<&str> = line.split(' ').collect();
        // The first by the backing, the others by the cache, also in one packet.
        for _ in 0..20 {
            let said = client.call(&words);
            assert_eq!(!said.is_error(), may, "{name} {line}: {said:?}");
        }
        let packet: Vec<&[&str]> = (0..20).map(|_| &words[..]).collect();
        for said in client.pipeline(&packet) {
            assert_eq!(!said.is_error(), may, "{name} {line}: {said:?}");
        }
        if may && !line.starts_with("STRLEN") {
            wait_for_hits(&mut client, &mut boss, &words);
        }
    }
}

#[test]
fn who_may_get_gets_nothing_else_from_the_cache() {
    let (redis, url) = backing(ALL);
    let respite = builder(&url).start();
    let mut boss = boss(&redis, &respite);
    let mut root = admin(&redis);
    for (name, rules) in [
        ("get", &["~*", "-@all", "+get"][..]),
        ("hget", &["~*", "-@all", "+hget"]),
        ("all", &["~*", "+@all", "-hget", "-strlen"]),
    ] {
        set_user(&mut root, name, &[&["on", ">pw"], rules].concat());
    }
    boss.call(&["SET", "k", "v"]).assert_ok();
    boss.call(&["HSET", "h", "f", "v"]);
    let all = [&["HGET", "h", "f"][..], &["STRLEN", "k"], &["GET", "k"]];
    for read in all {
        wait_for_hits(&mut log_in(&respite, "boss", "pw"), &mut boss, read);
    }
    // In one packet behind plain reads, which say of the next one that the cache may answer it.
    let packet = [all, all, all].concat();
    for (name, own) in [("get", "GET"), ("hget", "HGET"), ("all", "GET")] {
        let mut client = log_in(&respite, name, "pw");
        wait_for_hits(
            &mut client,
            &mut boss,
            all.iter().find(|read| read[0] == own).expect("its own"),
        );
        let before = stat(&mut boss, "hits");
        for (read, said) in packet.iter().zip(client.pipeline(&packet)) {
            match read[0] == own {
                true => said.assert_str("v"),
                false => said.assert_error("NOPERM"),
            }
        }
        assert_eq!(stat(&mut boss, "hits") - before, 3, "{name}");
    }
}

#[test]
fn what_is_refused_empties_no_cache() {
    let (redis, url) = backing(ALL);
    let respite = builder(&url).start();
    let mut boss = boss(&redis, &respite);
    set_user(
        &mut admin(&redis),
        "few",
        &["on", ">pw", "~*", "-@all", "+get", "+multi"],
    );
    boss.call(&["SET", "k", "v"]).assert_ok();
    wait_for_hits(
        &mut log_in(&respite, "boss", "pw"),
        &mut boss,
        &["GET", "k"],
    );
    let mut few = log_in(&respite, "few", "pw");
    let before = (stat(&mut boss, "flushes"), stat(&mut boss, "misses"));
    for line in [
        &["FLUSHALL"][..],
        &["FLUSHDB"],
        &["SWAPDB", "0", "1"],
        &["CONFIG", "SET", "maxmemory", "0"],
        &["REPLICAOF", "NO", "ONE"],
        &["ACL", "SETUSER", "few", "+@all"],
    ] {
        few.call(line).assert_error("NOPERM");
        boss.call(&["GET", "k"]).assert_str("v");
    }
    assert!(few.call(&["DEBUG", "RELOAD"]).is_error());
    few.call(&["NO.SUCH"]).assert_error("ERR unknown command");
    let log = admin(&redis).call(&["ACL", "LOG"]);
    let logged = |name: &str| {
        let mut entries = log.items().iter();
        entries.any(|entry| entry.field("object").as_str() == name)
    };
    assert!(logged("flushall") && logged("swapdb"), "{log:?}");
    let replies = few.pipeline(&[&["MULTI"][..], &["FLUSHALL"], &["EXEC"]]);
    replies[1].assert_error("NOPERM");
    assert!(replies[2].is_error(), "{:?}", replies[2]);
    boss.call(&["GET", "k"]).assert_str("v");
    let after = (stat(&mut boss, "flushes"), stat(&mut boss, "misses"));
    assert_eq!(before, after);
    // What was given to him counts at once.
    set_user(&mut admin(&redis), "few", &["+flushall"]);
    few.call(&["FLUSHALL"]).assert_ok();
    assert!(boss.call(&["GET", "k"]).is_null());
}

#[test]
fn without_leave_to_ask_for_rules_the_backing_judges_and_the_cache_is_passed_by() {
    let redis = RedisServer::start();
    let mut root = redis.connect();
    set_user(
        &mut root,
        "respite",
        &["on", ">own", "~*", "&*", "+@all", "-acl"],
    );
    set_user(&mut root, "ann", &["on", ">pw", "~a:*", "&*", "+@all"]);
    let url = redis.url().replace("redis://", "redis://respite:own@");
    let mut respite = builder(&url).start();
    let mut ann = log_in(&respite, "ann", "pw");
    ann.call(&["SET", "a:1", "v"]).assert_ok();
    for _ in 0..10 {
        ann.call(&["GET", "a:1"]).assert_str("v");
        ann.call(&["GET", "b:1"]).assert_error("NOPERM");
    }
    // Where the backing can answer, it does; what only Respite can is refused.
    ann.call(&["PING"]).assert_str("PONG");
    ann.call(&["ECHO", "x"]).assert_str("x");
    ann.call(&["SELECT", "0"]).assert_ok();
    ann.call(&["CACHE.STATS"]).assert_error("NOPERM");
    ann.call(&["CLIENT", "LIST"]).assert_error("NOPERM");
    let replies = ann.pipeline(&[&["MULTI"][..], &["GET", "a:1"], &["EXEC"]]);
    replies[2].items()[0].assert_str("v");
    respite.expect_log("cannot be read");
    let mut metrics = |name: &str| {
        let info = root.call(&["INFO", "commandstats"]);
        info.as_str().contains(name)
    };
    assert!(metrics("cmdstat_get"));
    // Who is deleted is found out by the next command.
    root.call(&["ACL", "DELUSER", "ann"]).assert_int(1);
    respite.allow_log("link lost");
    ann.set_timeout(DEADLINE);
    ann.send(&["SET", "a:1", "w"]);
    while ann.try_read_reply_raw().is_ok() {}
    root.call(&["GET", "a:1"]).assert_str("v");
}

#[test]
fn a_user_may_exchange_databases_although_respite_may_not() {
    let (redis, url) = backing(&["~*", "&*", "+@all", "-info", "-swapdb"]);
    let mut respite = builder(&url).start();
    let mut root = admin(&redis);
    set_user(&mut root, "boss", &["on", ">pw", "~*", "&*", "+@all"]);
    root.call(&["SET", "k", "zero"]).assert_ok();
    root.call(&["SELECT", "1"]).assert_ok();
    root.call(&["SET", "k", "one"]).assert_ok();
    let (mut one, mut other) = (
        log_in(&respite, "boss", "pw"),
        log_in(&respite, "boss", "pw"),
    );
    wait_for_hits(&mut one, &mut other, &["GET", "k"]);
    let swap = "return redis.call('SWAPDB', 0, 1)";
    assert!(!other.call(&["EVAL", swap, "0"]).is_error());
    for client in [&mut one, &mut other] {
        client.call(&["GET", "k"]).assert_str("one");
    }
    respite.expect_log("whether scripts exchange databases cannot be told");
}

#[test]
fn what_respites_own_login_may_not_read_its_users_may() {
    let redis = RedisServer::start();
    let mut root = redis.connect();
    set_user(
        &mut root,
        "respite",
        &["on", ">own", "~respite:*", "&*", "+@all"],
    );
    set_user(&mut root, "ann", &["on", ">pw", "~a:*", "&*", "+@all"]);
    let url = redis.url().replace("redis://", "redis://respite:own@");
    let respite = builder(&url).start();
    let mut ann = log_in(&respite, "ann", "pw");
    ann.call(&["MSET", "a:1", "1", "a:2", "2"]).assert_ok();
    for _ in 0..50 {
        ann.call(&["GET", "a:1"]).assert_str("1");
        assert_eq!(ann.call(&["MGET", "a:1", "a:2"]).strings(), ["1", "2"]);
        ann.call(&["GET", "b"]).assert_error("NOPERM");
    }
}
