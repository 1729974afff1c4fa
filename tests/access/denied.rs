//! The log of refusals: what `ACL LOG` of a redis-server with the same users says.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{Pair, ROOT, User, config};
use crate::support::{Client, RedisServer, Reply, Respite, fetch};

const LIMITED: User = User {
    name: "limited",
    password: "pw",
    commands: &["@all", "-del", "-client|list"],
    keys: &["app:*", "%R~ro:*"],
    channels: &["news:*"],
};

/// The entries as `count reason context object username`, the newest first.
fn entries(log: &Reply) -> Vec<String> {
    let entry = |entry: &Reply| {
        let fields = entry.items();
        let field = |name: &str| {
            let at = fields.chunks(2).find(|pair| pair[0].as_str() == name);
            let value = &at.expect("a field")[1];
            match name {
                "count" => value.int().to_string(),
                _ => value.as_str().to_owned(),
            }
        };
        ["count", "reason", "context", "object", "username"]
            .map(field)
            .join(" ")
    };
    log.items().iter().map(entry).collect()
}

fn run(client: &mut Client, lines: &[&str]) {
    for line in lines {
        client.call(&line.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn refusals_are_logged_as_redis_logs_them() {
    if RedisServer::lacks((7, 0), "keys that may only be read") {
        return;
    }
    let pair = Pair::with(&[LIMITED, ROOT]);
    let mut clients = pair.connect();
    for client in &mut clients {
        run(
            client,
            &[
                "GET a",
                "AUTH limited wrong",
                "AUTH nobody x",
                "HELLO 3 AUTH limited no",
                "AUTH limited pw",
                "DEL app:1",
                "del app:2",
                "GET other",
                "GET other",
                "SET ro:1 x",
                "MGET app:1 bad app:2 worse",
                "CLIENT LIST",
                "PUBLISH other m",
                "PSUBSCRIBE news:1",
                "SET app:1",
                "GET other",
                "MULTI",
                "GET other",
                "EXEC",
                "LMOVE app:1 x LEFT LEFT",
            ],
        );
    }
    let mut roots = pair.connect();
    let logs = roots.each_mut().map(|root| {
        root.call(&["AUTH", "root", "toor"]).assert_ok();
        root.call(&["GET", "app:1"]);
        root
    });
    let [ours, theirs] = logs;
    let ours_all = entries(&ours.call(&["RESPITE.DENIED", "100"]));
    let theirs_all = entries(&theirs.call(&["ACL", "LOG", "100"]));
    assert_eq!(ours_all, theirs_all);
    assert!(
        ours_all
            .iter()
            .any(|line| line == "3 key toplevel other limited"),
        "{ours_all:?}"
    );
    assert!(
        ours_all
            .iter()
            .any(|line| line == "1 key toplevel bad limited"),
        "{ours_all:?}"
    );
    let commands = |log: &Reply| -> Vec<String> {
        let of = |entry: &Reply| {
            let text = format!("{entry:?}");
            let cmd = text.split(" cmd=").nth(1).expect("cmd");
            cmd.split(' ').next().unwrap_or_default().to_owned()
        };
        log.items().iter().map(of).collect()
    };
    let ours_said = commands(&ours.call(&["RESPITE.DENIED", "100"]));
    assert_eq!(ours_said, commands(&theirs.call(&["ACL", "LOG", "100"])));
    // Ten, unless a number is given.
    assert_eq!(ours.call(&["RESPITE.DENIED"]).items().len(), 10);
    assert_eq!(ours.call(&["RESPITE.DENIED", "2"]).items().len(), 2);
    assert_eq!(ours.call(&["RESPITE.DENIED", "-1"]).items().len(), 0);
    for wrong in [&["x"][..], &["1", "2"], &["RESET", "1"]] {
        ours.call(&[&["RESPITE.DENIED"], wrong].concat())
            .assert_error("ERR ");
    }
    // From where, and when.
    let reply = ours.call(&["RESPITE.DENIED", "1"]);
    let fields = reply.items()[0].items();
    let text = format!("{fields:?}");
    for part in [
        "client-info",
        "addr=127.0.0.1:",
        "user=limited",
        "age-seconds",
        "entry-id",
        "timestamp-created",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    ours.call(&["RESPITE.DENIED", "reset"]).assert_ok();
    assert_eq!(ours.call(&["RESPITE.DENIED"]).items().len(), 0);
}

#[test]
fn the_log_is_for_administrators_and_shows_no_keys_of_others() {
    const TENANT: User = User {
        name: "tenant",
        password: "pw",
        commands: &["@all"],
        keys: &["mine:*"],
        channels: &["*"],
    };
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&[LIMITED, TENANT, ROOT]))
        .start();
    let login = |name: &str, password: &str| {
        let mut client = respite.connect();
        client.call(&["AUTH", name, password]).assert_ok();
        client
    };
    let mut limited = login("limited", "pw");
    run(&mut limited, &["GET hush:1", "DEL app:1"]);
    let mut tenant = login("tenant", "pw");
    let seen = entries(&tenant.call(&["RESPITE.DENIED"]));
    assert_eq!(
        seen,
        ["1 command toplevel del limited", "1 key toplevel  limited"]
    );
    const PLAIN: User = User {
        commands: &["+@all", "-@admin"],
        name: "plain",
        ..TENANT
    };
    let mut root = login("root", "toor");
    respite.rewrite_config(&config(&[LIMITED, TENANT, PLAIN, ROOT]));
    root.call(&["RESPITE.RELOAD"]).assert_ok();
    let mut plain = login("plain", "pw");
    plain.call(&["RESPITE.DENIED"]).assert_error("NOPERM ");
    plain
        .call(&["RESPITE.DENIED", "RESET"])
        .assert_error("NOPERM ");
    // What was noted before a reload is kept.
    let seen = entries(&root.call(&["RESPITE.DENIED"]));
    assert_eq!(seen[0], "2 command toplevel respite.denied plain");
    assert_eq!(
        seen.last().map(String::as_str),
        Some("1 key toplevel hush:1 limited")
    );
}

#[test]
fn refusals_are_counted_over_http_too() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&[LIMITED, ROOT]))
        .http()
        .start();
    let mut limited = respite.connect();
    limited.call(&["AUTH", "limited", "pw"]).assert_ok();
    run(
        &mut limited,
        &["GET x", "GET y", "DEL app:1", "PUBLISH x y"],
    );
    let login = format!("Basic {}", BASE64_STANDARD.encode("root:toor"));
    let headers = [("Authorization", &*login)];
    let metrics = fetch(respite.http_port(), "GET", "/metrics", &headers);
    let metrics = metrics.text();
    for line in [
        "respite_access_denied_total{reason=\"key\"} 2",
        "respite_access_denied_total{reason=\"command\"} 1",
        "respite_access_denied_total{reason=\"channel\"} 1",
        "respite_access_denied_total{reason=\"auth\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

/// Whoever is refused all the time makes the log no longer.
#[test]
fn a_flood_of_refusals_is_bounded() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config(&[LIMITED, ROOT]))
        .start();
    let mut limited = respite.connect();
    limited.call(&["AUTH", "limited", "pw"]).assert_ok();
    let long = "x".repeat(10_000);
    for at in 0..300 {
        let key = format!("{at}{long}");
        limited.call(&["GET", &key]).assert_error("NOPERM ");
    }
    let mut root = respite.connect();
    root.call(&["AUTH", "root", "toor"]).assert_ok();
    let log = root.call(&["RESPITE.DENIED", "100000"]);
    assert_eq!(log.items().len(), 128);
    let newest = entries(&log).swap_remove(0);
    assert!(
        newest.starts_with("1 key toplevel 299x") && newest.len() < 400,
        "{newest}"
    );
}
