//! Services and groups.

use super::{Pair, join, nodes, run, single};
use crate::support::Reply;

fn names(reply: &Reply) -> Vec<&str> {
    reply.strings()
}

#[test]
fn what_one_respite_registers_the_other_shows() {
    let pair = Pair::start();
    let (mut one, mut two) = (pair.first.connect(), pair.second.connect());
    let line = "DISCOVERY.REGISTER api http://api GROUP g TYPE http AUTH basic u:secret \
                BACKEND b DESCRIPTION d META 2 a 1 b 2";
    let registered = run(&mut one, line);
    assert_eq!(registered.field("created").int(), 1);
    assert_eq!(registered.field("group").as_str(), "g");
    let known = run(&mut two, "DISCOVERY.GET api GROUP g");
    for (field, value) in [
        ("service", "api"),
        ("group", "g"),
        ("endpoint", "http://api"),
        ("type", "http"),
        ("backend", "b"),
        ("description", "d"),
    ] {
        assert_eq!(known.field(field).as_str(), value);
    }
    assert_eq!(known.field("meta").field("b").as_str(), "2");
    assert_eq!(known.field("index"), registered.field("index"));
    // Other groups know nothing of it.
    assert!(run(&mut two, "DISCOVERY.GET api").is_null());
    // Again the same: nothing has changed. Something else: it has.
    let again = run(&mut two, line);
    assert_eq!(again.field("created").int(), 0);
    assert_eq!(again.field("index"), registered.field("index"));
    let other = run(&mut two, "DISCOVERY.REGISTER api http://other GROUP g");
    assert_eq!(other.field("created").int(), 0);
    assert_ne!(other.field("index"), registered.field("index"));
    let known = run(&mut one, "DISCOVERY.GET api GROUP g");
    assert_eq!(known.field("endpoint").as_str(), "http://other");
    assert!(known.field("auth").is_null());
}

#[test]
fn credentials_are_shown_to_who_asks_for_them() {
    let (_redis, _respite, mut client) = single();
    run(&mut client, "DISCOVERY.REGISTER api u AUTH basic u:secret");
    let raw = client.call_raw(&["DISCOVERY.GET", "api"]);
    assert!(!raw.windows(6).any(|window| window == b"secret"));
    let auth = |line: &str, client: &mut _| run(client, line).field("auth").clone();
    let redacted = auth("DISCOVERY.GET api", &mut client);
    assert_eq!(redacted.field("type").as_str(), "basic");
    assert_eq!(redacted.field("credentials").as_str(), "***");
    let shown = auth("DISCOVERY.GET api WITHSECRETS", &mut client);
    assert_eq!(shown.field("credentials").as_str(), "u:secret");
}

#[test]
fn services_and_groups_are_listed_while_there_is_something_in_them() {
    let pair = Pair::start();
    let (mut one, mut two) = (pair.first.connect(), pair.second.connect());
    run(&mut one, "DISCOVERY.REGISTER web u");
    join(&mut one, "api n1");
    join(&mut two, "web n1");
    join(&mut two, "web-2 n1");
    join(&mut two, "only n1 GROUP {b}:%");
    run(&mut one, "DISCOVERY.REGISTER only u GROUP a");
    assert_eq!(
        names(&run(&mut two, "DISCOVERY.SERVICES")),
        ["api", "web", "web-2"]
    );
    assert_eq!(
        names(&run(&mut one, "DISCOVERY.SERVICES GROUP {b}:%")),
        ["only"]
    );
    let groups = run(&mut one, "DISCOVERY.GROUPS");
    assert_eq!(names(&groups), ["a", "default", "{b}:%"]);
    // The last node of a service that is not registered takes the service with it.
    assert_eq!(run(&mut one, "DISCOVERY.LEAVE api n1").int(), 1);
    assert_eq!(
        names(&run(&mut two, "DISCOVERY.SERVICES")),
        ["web", "web-2"]
    );
    // Deregistering removes the nodes, too.
    assert_eq!(run(&mut one, "DISCOVERY.DEREGISTER web").int(), 1);
    assert_eq!(run(&mut one, "DISCOVERY.DEREGISTER web").int(), 0);
    assert!(nodes(&mut two, "web").is_empty());
    assert_eq!(names(&run(&mut two, "DISCOVERY.SERVICES")), ["web-2"]);
    join(&mut one, "web-3 n1");
    assert_eq!(run(&mut two, "DISCOVERY.DROPGROUP default").int(), 2);
    assert_eq!(run(&mut two, "DISCOVERY.DROPGROUP default").int(), 0);
    assert_eq!(names(&run(&mut one, "DISCOVERY.GROUPS")), ["a", "{b}:%"]);
    // A group that comes back is listed again.
    join(&mut two, "web n1");
    assert_eq!(
        names(&run(&mut one, "DISCOVERY.GROUPS")),
        ["a", "default", "{b}:%"]
    );
    // Only what has to stay is there: nothing of the group but its index, and that expires.
    run(&mut one, "DISCOVERY.DROPGROUP default");
    for part in [
        "services", "changed", "nodes", "names", "leases", "kept", "cursors",
    ] {
        let key = format!("respite:d:{{default}}:{part}");
        assert_eq!(pair.redis.call(&["EXISTS", &key]).int(), 0, "{key}");
    }
    for part in ["meta", "events"] {
        let key = format!("respite:d:{{default}}:{part}");
        assert!(pair.redis.call(&["PTTL", &key]).int() > 0, "{key}");
    }
}

#[test]
fn names_and_sizes_have_bounds() {
    let (_redis, _respite, mut client) = single();
    let long = "x".repeat(256);
    for name in [&b""[..], b"a\tb", b"\x7f", b"\xff\xfe", long.as_bytes()] {
        for command in [
            vec![&b"DISCOVERY.JOIN"[..], name, b"n"],
            vec![b"DISCOVERY.JOIN", b"s", name],
            vec![b"DISCOVERY.NODES", name],
            vec![b"DISCOVERY.NODES", b"s", b"GROUP", name],
            vec![b"DISCOVERY.WATCH", name, b"INDEX", b"0"],
            vec![b"DISCOVERY.DROPGROUP", name],
        ] {
            client.call(&command).assert_error("ERR invalid");
        }
    }
    let name = "ü".repeat(127);
    join(&mut client, &format!("{name} {name} GROUP {name}"));
    assert_eq!(nodes(&mut client, &format!("{name} GROUP {name}")), [name]);
    let big = "x".repeat(4097);
    let refused = run(&mut client, &format!("DISCOVERY.REGISTER s {big}"));
    refused.assert_error("ERR endpoint is longer than 4096 bytes");
    let value = "x".repeat(4096);
    let facts: String = (0..20).map(|n| format!(" f{n} {value}")).collect();
    let refused = run(&mut client, &format!("DISCOVERY.JOIN s n FACTS 20{facts}"));
    refused.assert_error("ERR all fields together are longer");
    run(&mut client, "DISCOVERY.JOIN s n TAGS 65").assert_error("ERR TAGS must be");
}

#[test]
fn neither_keys_nor_scan_is_ever_used() {
    let (redis, _respite, mut client) = single();
    for n in 0..20 {
        join(&mut client, &format!("s{n} n TTL 5 GROUP g{n}"));
    }
    run(&mut client, "DISCOVERY.GROUPS");
    run(&mut client, "DISCOVERY.SERVICES GROUP g1");
    run(&mut client, "DISCOVERY.WATCH * INDEX 0 GROUP g1");
    let stats = redis.call(&["INFO", "commandstats"]);
    for command in ["keys", "scan", "hscan", "sscan", "zscan"] {
        let line = format!("cmdstat_{command}:");
        assert!(!stats.as_str().contains(&line), "{command}");
    }
    // What the family needs is loaded once, and again after it was lost.
    redis.call(&["SCRIPT", "FLUSH"]).assert_ok();
    join(&mut client, "s1 n TTL 5 GROUP g1");
}
