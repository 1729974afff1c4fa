//! The nodes of services, `[fleet.discovery]`.

use super::watchers::{error, port, source, watcher};
use super::{listed, start, wait_state};
use crate::support::{Client, DEADLINE, RedisServer, Respite, wait_until};

fn following(services: &[&str]) -> String {
    format!("[fleet.discovery]\nservices = {services:?}")
}

/// Joins a server as a node, `web n1`, with more options.
#[track_caller]
fn join(client: &mut Client, node: &str, server: &RedisServer, more: &str) {
    let port = server.port();
    let line = format!("DISCOVERY.JOIN {node} ADDR 127.0.0.1 {port} {more}");
    let words: Vec<&str> = line.split_whitespace().collect();
    client.call(&words).field("lease");
}

#[test]
fn nodes_of_a_service_come_and_go() {
    let backing = RedisServer::start();
    let (a, b) = (RedisServer::start(), RedisServer::start());
    let (_first, mut one) = start(&backing, &following(&["web"]));
    let (_second, mut two) = start(&backing, &following(&["web"]));
    join(&mut one, "web n1", &a, "TTL 600 TAGS 2 blue eu");
    join(&mut two, "web n2", &b, "TTL 600");
    join(&mut two, "other n3", &b, "TTL 600");
    for client in [&mut one, &mut two] {
        wait_state(client, "web/n1", "live");
        wait_state(client, "web/n2", "live");
        assert_eq!(port(client, "web/n1"), a.port().to_string());
        assert_eq!(port(client, "web/n2"), b.port().to_string());
        assert_eq!(source(client, "web/n1"), "discovery:web");
        let shard = listed(client, "web/n1").expect("listed");
        shard.field("addr").assert_str(&a.addr());
        let labels = shard.field("labels");
        for (name, value) in [
            ("service", "web"),
            ("group", "default"),
            ("node", "n1"),
            ("tags", "blue,eu"),
        ] {
            labels.field(name).assert_str(value);
        }
        let report = watcher(client, "discovery:web");
        report.field("kind").assert_str("discovery");
        assert_eq!(report.field("targets").int(), 2);
        assert!(report.field("error").is_null(), "{report:?}");
        assert!(listed(client, "other/n3").is_none());
    }
    // One leaves, one lapses and is kept as critical.
    let leave = ["DISCOVERY.LEAVE", "web", "n1"];
    assert_eq!(one.call(&leave).int(), 1);
    join(&mut one, "web n2", &b, "TTL 0.05 DEREGISTERAFTER 600");
    for client in [&mut one, &mut two] {
        wait_state(client, "web/n1", "gone");
        wait_state(client, "web/n2", "gone");
    }
    // One comes back, on another server.
    join(&mut two, "web n1", &b, "TTL 600");
    for client in [&mut one, &mut two] {
        wait_until("it is polled where it is now", DEADLINE, || {
            port(client, "web/n1") == b.port().to_string()
        });
        wait_state(client, "web/n1", "live");
        wait_state(client, "web/n2", "gone");
    }
}

#[test]
fn a_node_without_a_port_is_left_out_and_reported() {
    let backing = RedisServer::start();
    let a = RedisServer::start();
    let (mut respite, mut client) = start(&backing, &following(&["web"]));
    join(&mut client, "web n1", &a, "");
    let no_port = ["DISCOVERY.JOIN", "web", "n0"];
    client.call(&no_port).field("lease");
    respite.expect_log("watcher discovery:web: n0: has no port");
    wait_state(&mut client, "web/n1", "live");
    assert_eq!(error(&mut client, "discovery:web"), "n0: has no port");
    assert!(listed(&mut client, "web/n0").is_none());
    client.call(&["DISCOVERY.LEAVE", "web", "n0"]);
    wait_until("nothing is wrong", DEADLINE, || {
        error(&mut client, "discovery:web").is_empty()
    });
    wait_state(&mut client, "web/n1", "live");
}

#[test]
fn a_reload_changes_the_services() {
    let backing = RedisServer::start();
    let a = RedisServer::start();
    let (respite, mut client) = start(&backing, &following(&["web", "default/db"]));
    join(&mut client, "web n1", &a, "");
    join(&mut client, "db n1", &a, "");
    join(&mut client, "web n1", &a, "GROUP shop");
    wait_state(&mut client, "web/n1", "live");
    wait_state(&mut client, "db/n1", "live");
    assert!(listed(&mut client, "shop/web/n1").is_none());
    respite.rewrite_config(&following(&["db", "shop/web"]));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    wait_state(&mut client, "shop/web/n1", "live");
    wait_state(&mut client, "web/n1", "gone");
    wait_state(&mut client, "db/n1", "live");
    let shard = listed(&mut client, "shop/web/n1").expect("listed");
    shard.field("source").assert_str("discovery:shop/web");
    shard.field("labels").field("group").assert_str("shop");
    let watchers = client.call(&["SHARD.WATCHERS"]);
    let names = watchers.items().iter().map(|w| w.field("name").as_str());
    let expected = ["backing", "discovery:db", "discovery:shop/web", "added"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

#[test]
fn a_lost_backing_keeps_the_nodes() {
    let mut backing = RedisServer::start();
    let a = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&backing.url())
        .config(&following(&["web"]))
        .allow_log("backing not usable")
        .allow_log("link lost")
        .start();
    let mut client = respite.connect();
    join(&mut client, "web n1", &a, "TTL 600");
    wait_state(&mut client, "web/n1", "live");
    backing.kill();
    wait_until("the watcher has noticed", DEADLINE, || {
        !error(&mut client, "discovery:web").is_empty()
    });
    let report = watcher(&mut client, "discovery:web");
    assert_eq!(report.field("targets").int(), 1);
    wait_state(&mut client, "web/n1", "live");
    backing.restart();
    wait_until("the watcher is well", DEADLINE, || {
        error(&mut client, "discovery:web").is_empty()
    });
    // The server came back without its data; a node that joins again is back, too.
    wait_state(&mut client, "web/n1", "gone");
    wait_until("it can join again", DEADLINE, || {
        let port = a.port().to_string();
        let command = ["DISCOVERY.JOIN", "web", "n1", "ADDR", "127.0.0.1", &port];
        !client.call(&command).is_error()
    });
    wait_state(&mut client, "web/n1", "live");
}
