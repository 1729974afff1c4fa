//! Nodes and their leases.

use super::{A_WHILE, Pair, join, nodes, run, single};
use crate::support::{DEADLINE, wait_until};

#[test]
fn a_node_is_what_it_says_it_is() {
    let pair = Pair::start();
    let (mut one, mut two) = (pair.first.connect(), pair.second.connect());
    join(
        &mut one,
        "web n1 ADDR 10.0.0.1 80 TTL 30 TAGS 2 a b FACTS 2 os linux cpu_count 4",
    );
    join(&mut one, "web n2 ADDR ::1 81 TAGS 1 b");
    join(&mut one, "web n3");
    let all = run(&mut two, "DISCOVERY.NODES web");
    let [n1, n2, n3] = all.field("nodes").items() else {
        panic!("{all:?}");
    };
    assert_eq!(n1.field("addr").as_str(), "10.0.0.1:80");
    assert_eq!(n1.field("state").as_str(), "passing");
    assert_eq!(n1.field("tags").strings(), ["a", "b"]);
    assert_eq!(n1.field("facts").field("cpu_count").as_str(), "4");
    let left = n1.field("ttl_ms").int();
    assert!((1..=30_000).contains(&left), "{left}");
    assert_eq!(n2.field("addr").as_str(), "[::1]:81");
    assert!(n2.field("ttl_ms").is_null());
    // Without an address it is the client's host.
    assert_eq!(n3.field("addr").as_str(), "127.0.0.1");
    assert_eq!(nodes(&mut two, "web TAG b"), ["n1", "n2"]);
    assert_eq!(nodes(&mut two, "web TAG b STATE warning"), [""; 0]);
}

#[test]
fn a_lease_fences() {
    let pair = Pair::start();
    let (mut old, mut new) = (pair.first.connect(), pair.second.connect());
    let first = join(&mut old, "web n1 TTL 30");
    run(&mut new, "DISCOVERY.JOIN web n1 NX").assert_error("EXISTS");
    let second = join(&mut new, "web n1 TTL 20");
    assert_ne!(first, second);
    // The predecessor can neither renew nor remove its successor.
    run(
        &mut old,
        &format!("DISCOVERY.HEARTBEAT web n1 LEASE {first}"),
    )
    .assert_error("LEASEMISMATCH");
    run(&mut old, &format!("DISCOVERY.LEAVE web n1 LEASE {first}")).assert_error("LEASEMISMATCH");
    let beat = run(
        &mut old,
        &format!("DISCOVERY.HEARTBEAT web n1 LEASE {second}"),
    );
    assert_eq!(beat.field("ttl_ms").int(), 20_000);
    assert_eq!(nodes(&mut old, "web"), ["n1"]);
    assert_eq!(
        run(&mut new, &format!("DISCOVERY.LEAVE web n1 LEASE {second}")).int(),
        1
    );
    assert_eq!(
        run(&mut new, &format!("DISCOVERY.LEAVE web n1 LEASE {second}")).int(),
        0
    );
    run(
        &mut new,
        &format!("DISCOVERY.HEARTBEAT web n1 LEASE {second}"),
    )
    .assert_error("NOLEASE");
    // Without a lease anybody may remove a node.
    join(&mut old, "web n1");
    assert_eq!(run(&mut new, "DISCOVERY.LEAVE web n1").int(), 1);
}

#[test]
fn joining_again_keeps_the_state_and_changes_what_is_said() {
    let (_redis, _respite, mut client) = single();
    let lease = join(&mut client, "web n1 TTL 30 TAGS 1 a");
    let draining = format!("DISCOVERY.HEARTBEAT web n1 LEASE {lease} STATE draining");
    run(&mut client, &draining);
    let before = super::index(&mut client, "web");
    // The same again is no change; the heartbeat of a node neither.
    let again = run(&mut client, "DISCOVERY.JOIN web n1 TTL 30 TAGS 1 a");
    assert_eq!(again.field("created").int(), 0);
    assert_eq!(again.field("index").as_str(), before);
    let changed = run(&mut client, "DISCOVERY.JOIN web n1 TTL 30 TAGS 1 b");
    assert_ne!(changed.field("index").as_str(), before);
    let all = run(&mut client, "DISCOVERY.NODES web");
    let node = &all.field("nodes").items()[0];
    assert_eq!(node.field("state").as_str(), "draining");
    assert_eq!(node.field("tags").strings(), ["b"]);
}

#[test]
fn a_node_that_is_not_heard_of_lapses() {
    let (_redis, respite, mut client) = single();
    let lease = join(&mut client, "web n1 TTL 0.2");
    join(&mut client, "web stays");
    wait_until("the node has lapsed", DEADLINE, || {
        nodes(&mut client, "web") == ["stays"]
    });
    assert_eq!(nodes(&mut client, "web ALL"), ["stays"]);
    run(
        &mut client,
        &format!("DISCOVERY.HEARTBEAT web n1 LEASE {lease}"),
    )
    .assert_error("NOLEASE");
    // A successor is a new node.
    let joined = run(&mut client, "DISCOVERY.JOIN web n1 TTL 30 NX");
    assert_eq!(joined.field("created").int(), 1);
    drop(respite);
}

#[test]
fn a_lapsed_node_is_kept_as_critical_for_as_long_as_it_wanted() {
    let pair = Pair::start();
    let (mut one, mut two) = (pair.first.connect(), pair.second.connect());
    let lease = join(&mut one, "web n1 TTL 0.1 DEREGISTERAFTER 1.5");
    join(&mut one, "web other");
    wait_until("the node has lapsed", DEADLINE, || {
        nodes(&mut two, "web") == ["other"]
    });
    assert_eq!(nodes(&mut two, "web ALL"), ["n1", "other"]);
    assert_eq!(nodes(&mut one, "web STATE critical"), ["n1"]);
    let all = run(&mut one, "DISCOVERY.NODES web ALL");
    let kept = &all.field("nodes").items()[0];
    assert_eq!(kept.field("state").as_str(), "critical");
    assert_eq!(kept.field("ttl_ms").int(), 0);
    run(
        &mut two,
        &format!("DISCOVERY.HEARTBEAT web n1 LEASE {lease}"),
    )
    .assert_error("NOLEASE");
    for _ in 0..3 {
        let resolved = run(&mut one, "DISCOVERY.RESOLVE web");
        assert_eq!(resolved.field("node").as_str(), "other");
    }
    wait_until("the node is forgotten", DEADLINE, || {
        nodes(&mut two, "web ALL") == ["other"]
    });
    // One that is kept can be removed, and joined again.
    join(&mut one, "web n1 TTL 0.001 DEREGISTERAFTER 60");
    wait_until("the node has lapsed", DEADLINE, || {
        nodes(&mut two, "web") == ["other"]
    });
    let back = run(&mut one, "DISCOVERY.JOIN web n1 NX");
    assert_eq!(back.field("created").int(), 1);
    assert_eq!(nodes(&mut two, "web"), ["n1", "other"]);
}

#[test]
fn resolving_goes_round_whichever_respite_is_asked() {
    let pair = Pair::start();
    let (mut one, mut two) = (pair.first.connect(), pair.second.connect());
    let mut leases = Vec::new();
    for n in 0..4 {
        leases.push(join(&mut one, &format!("web n{n} TTL 60")));
    }
    let warn = format!(
        "DISCOVERY.HEARTBEAT web n2 LEASE {} STATE warning",
        leases[2]
    );
    run(&mut one, &warn);
    let mut seen = Vec::new();
    for _ in 0..3 {
        for client in [&mut one, &mut two] {
            let resolved = run(client, "DISCOVERY.RESOLVE web");
            seen.push(resolved.field("node").as_str().to_owned());
        }
    }
    assert_eq!(seen, ["n0", "n1", "n3", "n0", "n1", "n3"]);
    for n in [0, 1, 3] {
        run(&mut one, &format!("DISCOVERY.LEAVE web n{n}"));
    }
    assert!(run(&mut two, "DISCOVERY.RESOLVE web").is_null());
}

#[test]
fn a_heartbeat_keeps_a_node_past_its_first_ttl() {
    let (_redis, _respite, mut client) = single();
    let lease = join(&mut client, "web n1 TTL 2");
    let began = std::time::Instant::now();
    let beat = format!("DISCOVERY.HEARTBEAT web n1 LEASE {lease}");
    while began.elapsed() < std::time::Duration::from_secs(2) + A_WHILE {
        assert_eq!(run(&mut client, &beat).field("ttl_ms").int(), 2000);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(nodes(&mut client, "web"), ["n1"]);
}

/// More than one call sweeps away.
#[test]
fn none_of_many_that_lapse_together_is_shown() {
    let (_redis, _respite, mut client) = single();
    join(&mut client, "web stays");
    let words: Vec<String> = (0..500).map(|n| format!("n{n:03}")).collect();
    let joins: Vec<[&str; 5]> = words
        .iter()
        .map(|node| ["DISCOVERY.JOIN", "web", node.as_str(), "TTL", "1"])
        .collect();
    let joins: Vec<&[&str]> = joins.iter().map(<[&str; 5]>::as_slice).collect();
    assert!(
        client
            .pipeline(&joins)
            .iter()
            .all(|reply| !reply.is_error())
    );
    join(&mut client, "other n1 TTL 0.001");
    std::thread::sleep(std::time::Duration::from_millis(1010));
    assert_eq!(run(&mut client, "DISCOVERY.SERVICES").strings(), ["web"]);
    assert_eq!(nodes(&mut client, "web"), ["stays"]);
    assert_eq!(
        run(&mut client, "DISCOVERY.RESOLVE web")
            .field("node")
            .as_str(),
        "stays"
    );
}
