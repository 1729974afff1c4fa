//! Watching: who is woken, by what, and what is left when nobody waits.

use std::time::Duration;

use super::{A_WHILE, Pair, index, join, run, send, single};
use crate::support::{Client, RedisServer, wait_until};

/// Begins to watch and makes sure that the watch waits.
#[track_caller]
fn watching(client: &mut Client, rest: &str) {
    send(client, &format!("DISCOVERY.WATCH {rest}"));
    assert!(
        client.silent_for(A_WHILE),
        "the watch of {rest} came back at once"
    );
}

/// The names of the nodes with which a watch came back.
#[track_caller]
fn woken(client: &mut Client) -> Vec<String> {
    let reply = client.read_reply();
    assert_eq!(reply.field("changed").int(), 1, "{reply:?}");
    let nodes = reply.field("nodes").items().iter();
    nodes
        .map(|node| node.field("node").as_str().to_owned())
        .collect()
}

#[test]
fn every_change_wakes_whoever_watches_through_any_respite() {
    let pair = Pair::start();
    let (mut one, mut two) = (pair.first.connect(), pair.second.connect());
    let mut watchers = [pair.first.connect(), pair.second.connect()];
    run(&mut one, "DISCOVERY.REGISTER web u");
    let mut lease = String::new();
    for (change, left) in [
        ("DISCOVERY.REGISTER web other", &[][..]),
        ("DISCOVERY.JOIN web n1 TTL 60", &["n1"][..]),
        ("DISCOVERY.JOIN web n1 TTL 60 TAGS 1 t", &["n1"][..]),
        (
            "DISCOVERY.HEARTBEAT web n1 LEASE # STATE warning",
            &["n1"][..],
        ),
        ("DISCOVERY.LEAVE web n1", &[][..]),
        ("DISCOVERY.JOIN web n2 TTL 1", &["n2"][..]),
        ("lapse", &[][..]),
        ("DISCOVERY.JOIN web n3", &["n3"][..]),
        ("DISCOVERY.DEREGISTER web", &[][..]),
        ("DISCOVERY.JOIN web n4", &["n4"][..]),
        ("DISCOVERY.DROPGROUP default", &[][..]),
    ] {
        let at = index(&mut two, "web");
        for watcher in &mut watchers {
            send(watcher, &format!("DISCOVERY.WATCH web INDEX {at}"));
        }
        if change != "lapse" {
            let reply = run(&mut one, &change.replace('#', &lease));
            assert!(!reply.is_error(), "{change}: {reply:?}");
            if change.contains("JOIN") {
                lease = reply.field("lease").as_str().to_owned();
            }
        }
        for watcher in &mut watchers {
            assert_eq!(woken(watcher), left, "{change}");
        }
    }
}

#[test]
fn a_watch_that_comes_late_is_answered_at_once() {
    let (_redis, respite, mut client) = single();
    let mut watcher = respite.connect();
    join(&mut client, "web n1");
    let at = index(&mut client, "web");
    join(&mut client, "web n2");
    send(&mut watcher, &format!("DISCOVERY.WATCH web INDEX {at}"));
    assert_eq!(woken(&mut watcher), ["n1", "n2"]);
    // Index 0 is before everything.
    send(&mut watcher, "DISCOVERY.WATCH web INDEX 0");
    assert_eq!(woken(&mut watcher), ["n1", "n2"]);
}

#[test]
fn at_the_timeout_nothing_has_changed() {
    let (_redis, respite, mut client) = single();
    join(&mut client, "web n1");
    let at = index(&mut client, "web");
    let reply = run(
        &mut client,
        &format!("DISCOVERY.WATCH web INDEX {at} TIMEOUT 50"),
    );
    assert_eq!(reply.field("changed").int(), 0);
    assert_eq!(reply.field("index").as_str(), at);
    assert_eq!(reply.field("nodes").items().len(), 1);
    // A group that is not there waits like any other.
    let reply = run(
        &mut client,
        "DISCOVERY.WATCH web INDEX 0 GROUP none TIMEOUT 50",
    );
    assert_eq!(reply.field("index").as_str(), "0");
    let mut watcher = respite.connect();
    watching(&mut watcher, "web INDEX 0 GROUP none");
    join(&mut client, "web n1 GROUP none");
    assert_eq!(woken(&mut watcher), ["n1"]);
}

#[test]
fn a_service_is_watched_alone_or_all_together() {
    let (_redis, respite, mut client) = single();
    let (mut web, mut all) = (respite.connect(), respite.connect());
    join(&mut client, "web n1");
    join(&mut client, "api n1");
    let at = index(&mut client, "web");
    watching(&mut web, &format!("web INDEX {at}"));
    watching(&mut all, &format!("* INDEX {at}"));
    join(&mut client, "api n2");
    join(&mut client, "web n2 GROUP other");
    let reply = all.read_reply();
    let nodes = reply.field("nodes").items();
    let names: Vec<_> = nodes
        .iter()
        .map(|node| (node.field("service").as_str(), node.field("node").as_str()))
        .collect();
    assert_eq!(names, [("api", "n1"), ("api", "n2"), ("web", "n1")]);
    assert!(web.silent_for(A_WHILE));
    join(&mut client, "web n2");
    assert_eq!(woken(&mut web), ["n1", "n2"]);
}

#[test]
fn an_index_of_another_life_is_a_reset() {
    let (redis, respite, mut client) = single();
    join(&mut client, "web n1");
    let at = index(&mut client, "web");
    let mut watcher = respite.connect();
    watching(&mut watcher, &format!("web INDEX {at}"));
    redis.call(&["FLUSHALL"]).assert_ok();
    watcher.read_reply().assert_error("INDEXRESET");
    let again = format!("DISCOVERY.WATCH web INDEX {at}");
    run(&mut client, &again).assert_error("INDEXRESET");
    join(&mut client, "web n1");
    run(&mut client, &again).assert_error("INDEXRESET");
    let now = index(&mut client, "web");
    let later = format!("{}9", now);
    run(&mut client, &format!("DISCOVERY.WATCH web INDEX {later}")).assert_error("INDEXRESET");
}

#[test]
fn a_client_that_goes_leaves_nothing_waiting() {
    let (redis, respite, mut client) = single();
    let readers = || {
        let list = redis.call(&["CLIENT", "LIST"]);
        list.as_str().matches("name=respite-discovery").count()
    };
    assert_eq!(readers(), 0);
    let mut watcher = respite.connect();
    watching(&mut watcher, "web INDEX 0");
    assert_eq!(readers(), 1);
    drop(watcher);
    // The reader stays a while for those who come back.
    wait_until("nothing is read any more", Duration::from_secs(15), || {
        readers() == 0
    });
    let mut watcher = respite.connect();
    watching(&mut watcher, "web INDEX 0");
    join(&mut client, "web n1");
    assert_eq!(woken(&mut watcher), ["n1"]);
}

fn calls(redis: &RedisServer, command: &str) -> u64 {
    let stats = redis.call(&["INFO", "commandstats"]);
    let prefix = format!("cmdstat_{command}:calls=");
    let line = stats
        .as_str()
        .lines()
        .find_map(|line| line.strip_prefix(&prefix));
    let count = line.and_then(|line| line.split(',').next());
    count.map_or(0, |count| count.parse().expect("a number"))
}

#[test]
fn many_watchers_cost_the_backing_one_read() {
    const WATCHERS: usize = 100;
    let (redis, respite, mut client) = single();
    join(&mut client, "web n1");
    let at = index(&mut client, "web");
    let mut watchers: Vec<Client> = (0..WATCHERS).map(|_| respite.connect()).collect();
    for watcher in &mut watchers {
        send(watcher, &format!("DISCOVERY.WATCH web INDEX {at}"));
    }
    assert!(watchers[WATCHERS - 1].silent_for(A_WHILE));
    let before = (calls(&redis, "xread"), calls(&redis, "evalsha"));
    join(&mut client, "web n2");
    for watcher in &mut watchers {
        assert_eq!(woken(watcher), ["n1", "n2"]);
    }
    let reads = calls(&redis, "xread") - before.0;
    assert!(reads <= 3, "{reads} reads of the stream");
    // The scripts of the join, of the topic and of the upkeep.
    let scripts = calls(&redis, "evalsha") - before.1;
    assert!(scripts < WATCHERS as u64 / 2, "{scripts} scripts");
}

#[test]
fn a_watch_survives_the_loss_of_its_reader() {
    let (redis, respite, mut client) = single();
    join(&mut client, "web n1");
    let at = index(&mut client, "web");
    let mut watcher = respite.connect();
    watching(&mut watcher, &format!("web INDEX {at}"));
    let list = redis.call(&["CLIENT", "LIST"]);
    let reader = list
        .as_str()
        .lines()
        .find(|line| line.contains("name=respite-discovery"));
    let id = reader.and_then(|line| line.split(' ').next()?.strip_prefix("id="));
    let killed = redis.call(&["CLIENT", "KILL", "ID", id.expect("a reader")]);
    assert_eq!(killed.int(), 1);
    join(&mut client, "web n2");
    assert_eq!(woken(&mut watcher), ["n1", "n2"]);
}
