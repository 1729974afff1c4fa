//! What is cached while slots move: it goes when it has to, and comes again.

use crate::support::{Client, DEADLINE, RedisCluster, Respite, slot_of, wait_until};

fn start(cluster: &RedisCluster, cache: &str) -> Respite {
    Respite::builder()
        .upstream(&cluster.url())
        .config(&format!("[cache]\n{cache}\n"))
        .workers(1)
        .start()
}

/// Reads a key until it comes from memory.
#[track_caller]
fn wait_for_a_hit(respite: &Respite, client: &mut Client, key: &str) {
    let hits = || respite.call(&["CACHE.STATS"]).field("hits").int();
    wait_until("a hit", DEADLINE, || {
        let before = hits();
        client.call(&["GET", key]);
        hits() > before
    });
}

/// Gives a slot to another server without its keys: it claims the slot, and the others hear of it.
fn give_away(cluster: &RedisCluster, slot: u16, to: usize) {
    let (number, id) = (slot.to_string(), cluster.id(to));
    let server = &cluster.servers[to];
    server
        .call(&["CLUSTER", "SETSLOT", &number, "NODE", &id])
        .assert_ok();
    let bumped = server.call(&["CLUSTER", "BUMPEPOCH"]);
    assert!(!bumped.is_error(), "{bumped:?}");
    cluster.wait_until_agreed();
    assert_eq!(cluster.owner(slot), to);
}

#[test]
fn values_are_kept_again_when_slots_have_moved() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster, "");
    let mut client = respite.connect();
    for key in ["foo", "bar", "hello"] {
        client.call(&["SET", key, "1"]).assert_ok();
        wait_for_a_hit(&respite, &mut client, key);
    }
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    let to = (cluster.owner(slot) + 1) % 3;
    cluster.move_slot(slot, to, || {});
    // The one that has moved, and those of nodes that were there before.
    for key in ["foo", "bar", "hello"] {
        client.call(&["GET", key]).assert_str("1");
        wait_for_a_hit(&respite, &mut client, key);
    }
}

/// Mutant `owners_kept`: a server that loses a slot with its keys does not say so before Redis 7.2.
#[test]
fn entries_of_a_slot_are_gone_before_its_new_owner_is_asked() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster, "");
    let mut client = respite.connect();
    client.call(&["SET", "{t}a", "old"]).assert_ok();
    wait_for_a_hit(&respite, &mut client, "{t}a");
    let slot = slot_of(&mut cluster.servers[0].connect(), "t");
    let to = (cluster.owner(slot) + 1) % 3;
    give_away(&cluster, slot, to);
    cluster.servers[to]
        .call(&["SET", "{t}a", "new"])
        .assert_ok();
    // Another key of the slot shows that it has another owner.
    client.call(&["SET", "{t}b", "1"]).assert_ok();
    client.call(&["GET", "{t}a"]).assert_str("new");
}

/// Mutant `nil_kept`: the key comes into being at the target of a migration, and its source tells nobody.
#[test]
fn that_a_key_is_missing_is_kept_for_a_moment_only() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster, "staleness_max = \"1s\"");
    let mut client = respite.connect();
    wait_for_a_hit(&respite, &mut client, "k");
    wait_until("every read of it is kept", DEADLINE, || {
        let hits = || respite.call(&["CACHE.STATS"]).field("hits").int();
        let before = hits();
        client.call(&["HGETALL", "k"]);
        client.call(&["EXISTS", "k"]).assert_int(0);
        hits() == before + 2
    });
    let slot = slot_of(&mut cluster.servers[0].connect(), "k").to_string();
    let from = cluster.owner(slot.parse().expect("a number"));
    let to = (from + 1) % 3;
    let (source, target) = (&cluster.servers[from], &cluster.servers[to]);
    let importing = ["CLUSTER", "SETSLOT", &slot, "IMPORTING", &cluster.id(from)];
    target.call(&importing).assert_ok();
    let migrating = ["CLUSTER", "SETSLOT", &slot, "MIGRATING", &cluster.id(to)];
    source.call(&migrating).assert_ok();
    let mut direct = target.connect();
    let replies = direct.pipeline(&[&["ASKING"], &["SET", "k", "there"]]);
    replies.iter().for_each(|reply| reply.assert_ok());
    wait_until("it is seen", DEADLINE, || {
        !client.call(&["GET", "k"]).is_null()
    });
    client.call(&["GET", "k"]).assert_str("there");
    client.call(&["EXISTS", "k"]).assert_int(1);
    client.call(&["HGETALL", "k"]).assert_error("WRONGTYPE ");
}
