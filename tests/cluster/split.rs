//! Commands with keys in several slots of a cluster, which are split into a command for each slot.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{StopAtEnd, start};
use crate::support::{Client, DEADLINE, RedisCluster, RedisServer, Respite, slot_of, wait_until};

/// Keys of many slots, some of them in one.
fn keys() -> Vec<String> {
    let mut keys: Vec<String> = (0..40).map(|n| format!("key:{n}")).collect();
    keys.extend((0..5).map(|n| format!("{{tag}}:{n}")));
    keys
}

#[track_caller]
fn same(clients: &mut (Client, Client), command: &[&str]) -> Vec<u8> {
    let expected = clients.1.call_raw(command);
    let got = clients.0.call_raw(command);
    if expected.starts_with(b"-") && RedisServer::version() < (7, 0, 0) {
        // Errors are worded as in version 7.0.
        assert!(got.starts_with(b"-ERR "), "{command:?}");
        return got;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&got), text(&expected), "{command:?}");
    got
}

#[test]
fn replies_are_those_of_one_redis() {
    let cluster = RedisCluster::start(3, 0);
    let clustered = start(&cluster);
    let server = RedisServer::start();
    let single = Respite::in_front_of(&server);
    for resp3 in [false, true] {
        let mut clients = (clustered.connect(), single.connect());
        if resp3 {
            clients.0.hello3();
            clients.1.hello3();
        }
        let keys = keys();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let with = |name: &'static str| [&[name][..], &keys].concat();
        same(&mut clients, &["FLUSHALL"]);
        same(&mut clients, &with("MGET"));
        let mut mset = vec!["MSET"];
        mset.extend(keys.iter().flat_map(|key| [*key, *key]));
        // The last value of a key is the one that stays.
        mset.extend(["key:0", "first", "key:0", "last"]);
        same(&mut clients, &mset);
        for round in 0..3 {
            // Each key twice, and one that is not there.
            let mut mget = with("MGET");
            mget.extend(["key:7", "nobody", "key:7"]);
            same(&mut clients, &mget);
            same(&mut clients, &with("EXISTS"));
            same(
                &mut clients,
                &["EXISTS", "key:1", "key:1", "nobody", "key:2"],
            );
            same(&mut clients, &with("TOUCH"));
            if round == 1 {
                same(&mut clients, &["HSET", "hash", "f", "v"]);
                same(&mut clients, &["MGET", "key:1", "hash", "key:2"]);
            }
        }
        same(&mut clients, &["DEL", "key:0", "key:1", "nobody", "key:0"]);
        same(&mut clients, &["UNLINK", "key:2", "key:3"]);
        same(&mut clients, &with("MGET"));
        for wrong in [
            &["MSET", "a", "1", "b"][..],
            &["MGET"],
            &["DEL"],
            &["MSET", "a"],
        ] {
            same(&mut clients, wrong);
        }
        same(&mut clients, &with("DEL"));
    }
}

#[test]
fn hits_of_many_slots_come_from_memory() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    let keys = keys();
    let mut mget = vec!["MGET"];
    mget.extend(keys.iter().map(String::as_str));
    for key in &keys {
        client.call(&["SET", key, "1"]).assert_ok();
    }
    let hits = || respite.call(&["CACHE.STATS"]).field("hits").int();
    let before = hits();
    let all = || {
        let mut client = respite.connect();
        let reply = client.call(&mget);
        assert!(reply.strings().iter().all(|value| *value == "1"));
    };
    wait_until("a hit", DEADLINE, || {
        all();
        hits() > before
    });
    // A change of one of them is seen at once by who made it.
    client.call(&["SET", "key:3", "2"]).assert_ok();
    let reply = client.call(&mget);
    assert_eq!(reply.strings()[3], "2");
}

/// Pipelines of writes and reads over many slots while slots move: each sees what was before it.
fn write_and_read(respite: &Respite, writer: usize, stop: &AtomicBool) -> usize {
    let mut client = respite.connect();
    let keys: Vec<String> = (0..6).map(|n| format!("w{writer}:{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let (one, two) = (number.to_string(), format!("{number}!"));
        let mut mset = vec!["MSET"];
        mset.extend(keys.iter().flat_map(|key| [*key, &*one]));
        let mget = [&["MGET"][..], &keys].concat();
        let del = [&["DEL"][..], &keys[2..]].concat();
        let replies = client.pipeline(&[
            &["SET", keys[0], "before"][..],
            &mset,
            &mget,
            &["SET", keys[1], &two],
            &mget,
            &del,
            &mget,
            &["GET", keys[1]],
        ]);
        replies[1].assert_ok();
        assert!(
            replies[2].strings().iter().all(|value| *value == one),
            "{replies:?}"
        );
        assert_eq!(replies[4].strings()[1], two);
        assert_eq!(replies[4].strings()[0], one);
        replies[5].assert_int(4);
        let last = replies[6].items();
        assert!(
            last[2..].iter().all(crate::support::Reply::is_null),
            "{replies:?}"
        );
        last[1].assert_str(&two);
        replies[7].assert_str(&two);
    }
    number
}

#[test]
fn a_clients_order_holds_while_slots_move() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stop, respite) = (&stop, &respite);
        let writers: Vec<_> = (0..3)
            .map(|writer| scope.spawn(move || write_and_read(respite, writer, stop)))
            .collect();
        let end = StopAtEnd(stop);
        let mut client = cluster.servers[0].connect();
        for key in ["w0:0", "w1:1", "w2:2", "w0:3", "w1:4", "w0:0", "w2:2"] {
            let slot = slot_of(&mut client, key);
            let to = (cluster.owner(slot) + 1) % 3;
            cluster.move_slot(slot, to, || {});
        }
        drop(end);
        for writer in writers {
            assert!(writer.join().expect("no mismatch") > 0);
        }
    });
}

#[test]
fn a_part_that_fails_is_told_and_the_rest_is_done() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    let owner = &cluster.servers[cluster.owner(slot)];
    owner.call(&["CONFIG", "SET", "maxmemory", "1"]).assert_ok();
    let reply = client.call(&["MSET", "foo", "1", "hello", "1"]);
    reply.assert_error("OOM ");
    assert!(
        reply
            .error()
            .ends_with("(keys in other slots were changed)"),
        "{reply:?}"
    );
    client.call(&["GET", "hello"]).assert_str("1");
    // A read has no such thing to tell.
    assert!(client.call(&["MGET", "foo", "hello"]).items()[0].is_null());
    owner.call(&["CONFIG", "SET", "maxmemory", "0"]).assert_ok();
}

#[test]
fn writes_that_must_be_atomic_are_not_split() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .config("[cluster]\nsplit_writes = false")
        .start();
    let mut client = respite.connect();
    for command in [
        &["MSET", "foo", "1", "bar", "1"][..],
        &["DEL", "foo", "bar"],
        &["UNLINK", "foo", "bar"],
    ] {
        client.call(command).assert_error("CROSSSLOT ");
    }
    client
        .call(&["MSET", "{foo}1", "1", "{foo}2", "2"])
        .assert_ok();
    client.call(&["DEL", "{foo}1", "{foo}2"]).assert_int(2);
    assert_eq!(client.call(&["MGET", "foo", "bar"]).items().len(), 2);
    client.call(&["EXISTS", "foo", "bar"]).assert_int(0);
}

#[test]
fn thousands_of_slots_in_one_command() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    let keys: Vec<String> = (0..30_000).map(|n| format!("k{n}")).collect();
    let mut mset = vec!["MSET"];
    mset.extend(keys.iter().flat_map(|key| [key.as_str(), key.as_str()]));
    client.call(&mset).assert_ok();
    let mut mget = vec!["MGET"];
    mget.extend(keys.iter().map(String::as_str));
    let reply = client.call(&mget);
    assert!(
        reply
            .strings()
            .iter()
            .zip(&keys)
            .all(|(got, key)| got == key)
    );
    let mut del = vec!["DEL"];
    del.extend(keys.iter().map(String::as_str));
    // Nobody wants the reply; what follows sees what it did.
    client.send(&["CLIENT", "REPLY", "SKIP"]);
    client.send(&del);
    client.call(&["EXISTS", "k1", "k2", "k3"]).assert_int(0);
}
