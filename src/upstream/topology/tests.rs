use super::*;

fn server(url: &str) -> Endpoint {
    url.parse().expect("a URL")
}

#[test]
fn every_slot_has_its_owner() {
    let one = Topology::unknown();
    assert_eq!((one.sole(), one.owner(16_383)), (Some(HOME), Some(HOME)));
    let three = Topology::divided(&[5460, 10_922, 16_383]);
    assert_eq!(three.sole(), None);
    for (slot, node) in [
        (0, 0),
        (5460, 0),
        (5461, 1),
        (10_922, 1),
        (10_923, 2),
        (16_383, 2),
    ] {
        assert_eq!(three.owner(slot), Some(NodeId(node)), "{slot}");
    }
    // Not covered by anybody.
    assert_eq!(Topology::divided(&[100]).owner(101), None);
}

#[test]
fn a_master_that_is_given_up_ends_its_term_and_no_other() {
    let two = Topology::divided(&[8191, 16_383]);
    let both = two.with_master(HOME, server("redis://a"));
    let both = both.with_master(NodeId(1), server("redis://b"));
    let one = both.without_master(HOME);
    let term = |topology: &Topology, id| topology.node(id).map(|node| node.term);
    assert_eq!((term(&both, HOME), term(&one, HOME)), (Some(0), Some(1)));
    assert_eq!(term(&one, NodeId(1)), Some(0));
    assert!(one.version > both.version);
    assert!(one.node(HOME).is_some_and(|node| node.master.is_none()));
    assert!(
        one.node(NodeId(1))
            .is_some_and(|node| node.master.is_some())
    );
    assert!(one.node(NodeId(2)).is_none());
}

#[test]
fn a_server_that_was_promoted_is_no_replica() {
    let before = Topology::unknown();
    let replicas = [server("redis://a"), server("redis://b")];
    let before = before.with_others(&replicas, &[]).expect("a change");
    let after = before.with_master(HOME, server("redis://a"));
    assert_eq!(after.replicas, [server("redis://b")]);
    // The sentinels may name it once more.
    assert!(after.with_others(&replicas, &[]).is_none());
}

fn shard(master: &str, slots: &[(u16, u16)]) -> Shard {
    Shard {
        master: server(master),
        slots: slots.to_vec(),
        replicas: Vec::new(),
    }
}

#[test]
fn masters_keep_their_places_and_heirs_take_them() {
    let three = [
        shard("redis://a", &[(0, 5460)]),
        shard("redis://b", &[(5461, 10_922)]),
        shard("redis://c", &[(10_923, LAST_SLOT)]),
    ];
    let first = Topology::unknown().clustered(&three).expect("a change");
    assert_eq!(first.covered(), 16_384);
    assert!(
        first
            .node(HOME)
            .is_some_and(|node| node.has(&server("redis://a")))
    );
    assert!(first.clustered(&three).is_none());
    // In another order, and b has failed over to d.
    let failed = [
        shard("redis://c", &[(10_923, LAST_SLOT)]),
        shard("redis://d", &[(5461, 10_922)]),
        shard("redis://a", &[(0, 5460)]),
    ];
    let second = first.clustered(&failed).expect("a change");
    assert!(second.same_slots(&first));
    let place = second
        .owner(6000)
        .and_then(|id| second.node(id))
        .expect("a node");
    assert!(place.has(&server("redis://d")) && place.term == 1);
    assert_eq!(first.owner(6000), Some(place.id));
    // A new one takes a few slots, and has a place of its own.
    let grown = [
        shard("redis://a", &[(100, 5460)]),
        shard("redis://c", &[(10_923, LAST_SLOT)]),
        shard("redis://d", &[(5461, 10_922)]),
        shard("redis://e", &[(0, 99)]),
    ];
    let third = second.clustered(&grown).expect("a change");
    assert_eq!(
        (third.owner(0), third.owner(100)),
        (Some(NodeId(3)), Some(HOME))
    );
    assert!(!third.same_slots(&second));
    // The first one is taken off, and somebody has its place.
    let shrunk = [
        shard("redis://c", &[(10_923, LAST_SLOT)]),
        shard("redis://e", &[(0, 99)]),
    ];
    let last = third.clustered(&shrunk).expect("a change");
    assert!(last.node(HOME).is_some());
    assert_eq!(last.owner(6000), None);
}

#[test]
fn a_slot_that_has_moved_takes_its_node_along() {
    let two = [
        shard("redis://a", &[(0, 8191)]),
        shard("redis://b", &[(8192, LAST_SLOT)]),
    ];
    let two = Topology::unknown().clustered(&two).expect("a change");
    assert!(two.with_slot(5, &server("redis://a")).is_none());
    let moved = two.with_slot(5, &server("redis://b")).expect("a change");
    assert_eq!(
        [4, 5, 6].map(|slot| moved.owner(slot)),
        [0, 1, 0].map(|n| Some(NodeId(n)))
    );
    let new = moved.with_slot(5, &server("redis://c")).expect("a change");
    assert_eq!((new.owner(5), new.nodes().len()), (Some(NodeId(2)), 3));
}

#[test]
fn no_place_is_given_twice() {
    let with = |topology: &Topology, masters: &[&str]| {
        let share = LAST_SLOT / masters.len() as u16;
        let firsts = (0..).map(|n| n * share);
        let shards: Vec<_> = masters
            .iter()
            .zip(firsts)
            .map(|(master, first)| shard(master, &[(first, first + share - 1)]))
            .collect();
        topology.clustered(&shards).expect("a change")
    };
    let two = with(&Topology::unknown(), &["redis://a", "redis://b"]);
    let one = with(&two, &["redis://a"]);
    let (_, asked) = one.with_node(&server("redis://c"));
    assert_eq!(asked, NodeId(2));
    let again = with(&one, &["redis://a", "redis://c"]);
    let ids: Vec<_> = again.nodes().iter().map(|node| node.id.0).collect();
    assert_eq!(ids, [0, 2]);
}
