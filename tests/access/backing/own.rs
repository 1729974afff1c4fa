//! Connections are one user's alone, and what Respite has besides Redis' data obeys the user's rules.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{ALL, admin, backing, builder, builder_with, log_in, set_user};
use crate::support::{RedisServer, Reply, Respite, fetch};

/// Two users of different keys, on one worker: whatever can be shared is.
fn two_users() -> (RedisServer, Respite) {
    let (redis, url) = backing(ALL);
    for (name, keys, channels) in [("ann", "~a:*", "&a:*"), ("bob", "~b:*", "&b:*")] {
        set_user(
            &mut admin(&redis),
            name,
            &["on", ">pw", keys, channels, "+@all"],
        );
    }
    let respite = builder(&url).workers(1).start();
    (redis, respite)
}

#[test]
fn a_connection_of_one_user_is_never_given_to_another() {
    let (_redis, respite) = two_users();
    for round in 0..10 {
        for (name, own, other) in [("ann", "a:1", "b:1"), ("bob", "b:1", "a:1")] {
            let mut client = log_in(&respite, name, "pw");
            if round % 2 == 1 {
                client.call(&["HELLO", "3"]);
            }
            // Each leaves connections in the pool that fit the next but for the user.
            client.call(&["WATCH", own]).assert_ok();
            let replies = client.pipeline(&[
                &["MULTI"][..],
                &["SET", own, "1"],
                &["ACL", "WHOAMI"],
                &["EXEC"],
            ]);
            replies[3].items()[1].assert_str(name);
            client.call(&["WATCH", other]).assert_error("NOPERM");
            client.call(&["BLPOP", other, "1"]).assert_error("NOPERM");
            let list = own.replace('1', "list");
            client.call(&["RPUSH", &list, "x"]).assert_int(1);
            assert_eq!(client.call(&["BLPOP", &list, "1"]).items().len(), 2);
            client
                .call(&["EVAL", "return redis.call('get', KEYS[1])", "1", other])
                .assert_error("NOPERM");
            client.call(&["SELECT", "1"]).assert_ok();
            client.call(&["ACL", "WHOAMI"]).assert_str(name);
            client.call(&["GET", other]).assert_error("NOPERM");
            client.call(&["SELECT", "0"]).assert_ok();
            client
                .call(&["SUBSCRIBE", &other.replace('1', "news")])
                .assert_error("NOPERM");
            client.call(&["GET", other]).assert_error("NOPERM");
            client.call(&["GET", own]).assert_str("1");
        }
    }
}

#[test]
fn both_at_once_stay_apart() {
    let (_redis, respite) = two_users();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let respite = &respite;
            scope.spawn(move || {
                let (name, own, other) = match n % 2 {
                    0 => ("ann", format!("a:{n}"), "b:0"),
                    _ => ("bob", format!("b:{n}"), "a:0"),
                };
                let mut client = log_in(respite, name, "pw");
                for value in 0..200 {
                    let value = value.to_string();
                    let replies = client.pipeline(&[
                        &["SET", &own, &value][..],
                        &["GET", &own],
                        &["GET", other],
                        &["MULTI"],
                        &["INCR", &own],
                        &["ACL", "WHOAMI"],
                        &["EXEC"],
                        &["MGET", &own, other],
                    ]);
                    replies[0].assert_ok();
                    replies[1].assert_str(&value);
                    replies[2].assert_error("NOPERM");
                    replies[6].items()[1].assert_str(name);
                    replies[7].assert_error("NOPERM");
                }
            });
        }
    });
}

#[test]
fn respites_own_commands_obey_the_users_rules() {
    let (redis, url) = backing(ALL);
    for (name, rules) in [
        (
            "tenant",
            &["~respite:d:{app}", "~respite:b:{app}", "+@all", "-@admin"][..],
        ),
        ("reader", &["%R~*", "-@all", "+@read", "+@connection"]),
        ("boss", &["~*", "&*", "+@all"]),
        ("none", &["~*", "-@all", "+get"]),
    ] {
        if rules[0].starts_with('%') && RedisServer::version() < (7, 0, 0) {
            continue;
        }
        set_user(&mut admin(&redis), name, &[&["on", ">pw"], rules].concat());
    }
    let respite = builder(&url).start();
    let mut tenant = log_in(&respite, "tenant", "pw");
    tenant.call(&["BUS.REGISTER", "app", "m"]);
    tenant
        .call(&["BUS.REGISTER", "other", "m"])
        .assert_error("NOPERM");
    tenant
        .call(&["BUS.METHODS", "other"])
        .assert_error("NOPERM");
    let joined = [
        "DISCOVERY.JOIN",
        "s",
        "n",
        "ADDR",
        "h",
        "1",
        "TTL",
        "60",
        "GROUP",
    ];
    assert!(!tenant.call(&[&joined[..], &["app"]].concat()).is_error());
    tenant
        .call(&[&joined[..], &["other"]].concat())
        .assert_error("NOPERM");
    tenant.call(&["CACHE.FLUSH"]).assert_error("NOPERM");
    tenant.call(&["RESPITE.RELOAD"]).assert_error("NOPERM");
    let mut boss = log_in(&respite, "boss", "pw");
    assert!(!boss.call(&["CACHE.FLUSH"]).is_error());
    assert_eq!(tenant.call(&["DISCOVERY.GROUPS"]).strings(), ["app"]);
    assert!(!boss.call(&[&joined[..], &["other"]].concat()).is_error());
    assert_eq!(boss.call(&["DISCOVERY.GROUPS"]).strings(), ["app", "other"]);
    assert_eq!(tenant.call(&["DISCOVERY.GROUPS"]).strings(), ["app"]);
    let mut none = log_in(&respite, "none", "pw");
    for line in [
        "CACHE.STATS",
        "DISCOVERY.GROUPS",
        "SHARD.LIST",
        "RESPITE.DOCTOR",
        "MONITOR",
        "INFO",
    ] {
        none.call(&[line]).assert_error("NOPERM");
    }
    let denied = boss.call(&["RESPITE.DENIED", "100"]);
    let of_none = |entry: &&Reply| entry.field("username").as_str() == "none";
    assert_eq!(
        denied.items().iter().filter(of_none).count(),
        6,
        "{denied:?}"
    );
}

#[test]
fn the_deny_list_counts_for_everybody() {
    let (redis, url) = backing(ALL);
    set_user(
        &mut admin(&redis),
        "ann",
        &["on", ">pw", "~*", "&*", "+@all"],
    );
    let respite = builder_with(&url, "deny = [\"keys\", \"get\", \"cache.flush\"]\n").start();
    let mut ann = log_in(&respite, "ann", "pw");
    ann.call(&["SET", "k", "v"]).assert_ok();
    for line in [&["KEYS", "*"][..], &["GET", "k"], &["CACHE.FLUSH"]] {
        ann.call(line).assert_error("NOPERM");
    }
    let replies = ann.pipeline(&[&["MULTI"][..], &["GET", "k"], &["EXEC"]]);
    replies[1].assert_error("NOPERM");
    replies[2].assert_error("EXECABORT");
}

#[test]
fn a_deny_list_that_is_new_counts_at_once() {
    let (redis, url) = backing(ALL);
    for (name, keys) in [("ann", "~*"), ("bob", "~k*")] {
        set_user(&mut admin(&redis), name, &["on", ">pw", keys, "+@all"]);
    }
    let respite = builder(&url).start();
    let mut clients = ["ann", "bob"].map(|name| log_in(&respite, name, "pw"));
    clients[0].call(&["SET", "k", "v"]).assert_ok();
    let packet: [&[&str]; 50] = [&["GET", "k"]; 50];
    for client in &mut clients {
        let replies = client.pipeline(&packet);
        replies.iter().for_each(|reply| reply.assert_str("v"));
    }
    respite.rewrite_config("[access]\nusers_of = \"backing\"\ndeny = [\"get\"]\n");
    clients[0].call(&["RESPITE.RELOAD"]).assert_ok();
    for client in &mut clients {
        let replies = client.pipeline(&packet);
        { replies.iter() }.for_each(|reply| reply.assert_error("NOPERM"));
    }
}

#[test]
fn http_pages_take_the_token_and_no_login_of_these_users() {
    let (redis, url) = backing(ALL);
    set_user(
        &mut admin(&redis),
        "ann",
        &["on", ">pw", "~*", "&*", "+@all"],
    );
    let config = "[http]\ntoken = \"secret\"\n";
    let respite = builder_with(&url, config).http().start();
    log_in(&respite, "ann", "pw")
        .call(&["SET", "k", "v"])
        .assert_ok();
    let ask = |path: &str, login: &str| {
        let headers = [("Authorization", login)];
        let response = fetch(respite.http_port(), "GET", path, &headers);
        (response.status, response.text().to_owned())
    };
    let basic = format!("Basic {}", BASE64_STANDARD.encode("ann:pw"));
    for path in ["/stats", "/keys/k", "/api/overview"] {
        let (status, text) = ask(path, &basic);
        assert_eq!(status, 401, "{path}");
        assert!(text.contains("users_of"), "{path}: {text}");
    }
    assert_eq!(ask("/stats", "Bearer secret").0, 200);
    let (status, text) = ask("/keys/k", "Bearer secret");
    assert!(status == 200 && text.contains("\"v\""), "{text}");
    assert_eq!(ask("/health", &basic).0, 200);
}
