//! Discovery, the bus and added shards behind a cluster: each script where its keys are, each event told of.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    Client, DEADLINE, FakeServer, RedisCluster, RedisServer, Reply, Respite, slot_of, wait_until,
};

/// So many groups and buses are on all nodes.
const MANY: usize = 24;

/// A cluster with two Respites in front.
pub(super) struct World {
    // Before the servers that they would miss.
    respites: [Respite; 2],
    pub(super) cluster: RedisCluster,
}

impl World {
    pub(super) fn start(replicas: usize) -> Self {
        let cluster = RedisCluster::start(3, replicas);
        let respite = || {
            Respite::builder()
                .upstream(&cluster.url())
                .allow_log("link lost")
                .allow_log("is away")
                .allow_log("backing not usable")
                .allow_log("no node tells")
                .allow_log("fails")
                .start()
        };
        World {
            respites: [respite(), respite()],
            cluster,
        }
    }

    pub(super) fn connect(&self) -> Client {
        self.respites[0].connect()
    }

    pub(super) fn connect_other(&self) -> Client {
        self.respites[1].connect()
    }

    /// The slot of a group or a bus, and who has it.
    pub(super) fn place(&self, tag: &str) -> (u16, usize) {
        let slot = slot_of(&mut self.cluster.servers[0].connect(), tag);
        (slot, self.cluster.owner(slot))
    }

    /// Moves all keys of a group or a bus to another master, one key after the other.
    fn move_away(&self, tag: &str, between: impl FnMut()) {
        let (slot, from) = self.place(tag);
        self.cluster.move_slot(slot, (from + 1) % 3, between);
    }
}

#[track_caller]
pub(super) fn run(client: &mut Client, line: &str) -> Reply {
    let words: Vec<&str> = line.split(' ').collect();
    let reply = client.call(&words);
    assert!(!reply.is_error(), "{line}: {reply:?}");
    reply
}

fn names(reply: &Reply) -> Vec<String> {
    let nodes = reply.field("nodes").items().iter();
    nodes
        .map(|node| node.field("node").as_str().to_owned())
        .collect()
}

fn nodes(client: &mut Client, rest: &str) -> Vec<String> {
    names(&run(client, &format!("DISCOVERY.NODES {rest}")))
}

fn index(client: &mut Client, rest: &str) -> String {
    let reply = run(client, &format!("DISCOVERY.NODES {rest}"));
    reply.field("index").as_str().to_owned()
}

/// Begins to watch a group's `web`.
fn watch(client: &mut Client, group: &str, at: &str) {
    client.send(&["DISCOVERY.WATCH", "web", "INDEX", at, "GROUP", group]);
}

#[test]
fn groups_on_all_nodes_are_registered_watched_and_lapse() {
    let world = World::start(0);
    let (mut one, mut two) = (world.connect(), world.connect_other());
    let group = |n: usize| format!("g{n}");
    let owners: HashSet<_> = (0..MANY).map(|n| world.place(&group(n)).1).collect();
    assert_eq!(owners.len(), 3);
    let mut watchers = Vec::new();
    for n in 0..MANY {
        let group = group(n);
        run(&mut one, &format!("DISCOVERY.REGISTER web u GROUP {group}"));
        let at = index(&mut two, &format!("web GROUP {group}"));
        let mut watcher = world.respites[n % 2].connect();
        watch(&mut watcher, &group, &at);
        watchers.push(watcher);
    }
    for n in 0..MANY {
        run(
            &mut one,
            &format!("DISCOVERY.JOIN web n{n} GROUP {} TTL 3", group(n)),
        );
    }
    for (n, watcher) in watchers.iter_mut().enumerate() {
        let told = watcher.read_reply();
        assert_eq!(
            (told.field("changed").int(), names(&told)),
            (1, vec![format!("n{n}")])
        );
        watch(watcher, &group(n), told.field("index").as_str());
    }
    // They lapse, and whoever watches hears of it.
    for (n, watcher) in watchers.iter_mut().enumerate() {
        assert!(names(&watcher.read_reply()).is_empty(), "{n}");
    }
    let listed = run(&mut two, "DISCOVERY.GROUPS");
    assert_eq!(listed.items().len(), MANY);
}

#[test]
fn a_group_moves_and_nobody_notices() {
    let world = World::start(0);
    let (mut one, mut two) = (world.connect(), world.connect_other());
    run(&mut one, "DISCOVERY.REGISTER web u");
    for n in 0..20 {
        run(&mut one, &format!("DISCOVERY.JOIN web n{n} TTL 60"));
    }
    let lease = run(&mut one, "DISCOVERY.JOIN web kept TTL 60");
    let lease = lease.field("lease").as_str().to_owned();
    let mut watcher = world.connect_other();
    watch(&mut watcher, "default", &index(&mut two, "web"));
    let mut waiting = None;
    world.move_away("default", || {
        // In the middle of the move: it is carried out when that is over.
        waiting.get_or_insert_with(|| {
            let mut client = world.connect();
            client.send(&["DISCOVERY.JOIN", "web", "late", "TTL", "60"]);
            client
        });
    });
    let joined = waiting.expect("there were keys to move").read_reply();
    joined.field("created").assert_int(1);
    assert!(names(&watcher.read_reply()).contains(&"late".to_owned()));
    assert_eq!(nodes(&mut two, "web").len(), 22);
    run(
        &mut two,
        &format!("DISCOVERY.HEARTBEAT web kept LEASE {lease}"),
    );
    // Events are heard of where they are now.
    watch(&mut watcher, "default", &index(&mut two, "web"));
    run(&mut one, "DISCOVERY.LEAVE web late");
    assert!(!names(&watcher.read_reply()).contains(&"late".to_owned()));
}

#[test]
fn a_node_that_fails_over_takes_its_groups_along() {
    let mut world = World::start(1);
    let (mut one, mut two) = (world.connect(), world.connect_other());
    world.cluster.wait_until_replicas_follow();
    let lease = run(&mut one, "DISCOVERY.JOIN web kept TTL 4");
    let lease = lease.field("lease").as_str().to_owned();
    // One that nobody renews, and a group elsewhere, which goes on.
    let (_, owner) = world.place("default");
    let elsewhere = (0..)
        .map(|n| format!("e{n}"))
        .find(|group| world.place(group).1 != owner)
        .expect("a group elsewhere");
    run(
        &mut one,
        &format!("DISCOVERY.JOIN web other GROUP {elsewhere} TTL 60"),
    );
    let mut watcher = world.connect_other();
    watch(&mut watcher, "default", &index(&mut two, "web"));
    // What was acknowledged is at the replica.
    let mut direct = world.cluster.servers[owner].connect();
    direct.call(&["SET", "{default}x", "1"]).assert_ok();
    direct.call(&["WAIT", "1", "10000"]).assert_int(1);
    world.cluster.servers[owner].kill();
    let begun = Instant::now();
    // Those of other nodes notice nothing.
    assert_eq!(
        nodes(&mut two, &format!("web GROUP {elsewhere}")),
        ["other"]
    );
    // What is asked meanwhile waits for the new master. It may be told that a connection broke under it, once.
    let renew = format!("DISCOVERY.HEARTBEAT web kept LEASE {lease}");
    let words: Vec<&str> = renew.split(' ').collect();
    let mut renewed = one.call(&words);
    if renewed.is_error() {
        renewed.assert_error("UPSTREAM ");
        renewed = one.call(&words);
    }
    renewed.field("ttl_ms").assert_int(4000);
    eprintln!("renewed after {:?}", begun.elapsed());
    assert_eq!(nodes(&mut two, "web"), ["kept"], "an outage ends no lease");
    // And it lapses when nobody renews it any more. After an outage all that is watched counts as changed.
    let mut told = watcher.read_reply();
    while !names(&told).is_empty() {
        watch(&mut watcher, "default", told.field("index").as_str());
        told = watcher.read_reply();
    }
}

/// A fetched call, by its id and its token.
pub(super) fn fetched(reply: &Reply) -> Vec<(String, String, String)> {
    let word = |call: &Reply, name: &str| call.field(name).as_str().to_owned();
    let calls = if reply.is_null() { &[] } else { reply.items() };
    calls
        .iter()
        .map(|call| (word(call, "id"), word(call, "token"), word(call, "payload")))
        .collect()
}

/// A worker that answers every call of a bus with its payload, until the test ends.
fn serve(world: &World, bus: &str, options: &[&str]) {
    let mut client = world.connect_other();
    let register = [&["BUS.REGISTER", bus, "echo"], options].concat();
    assert!(!client.call(&register).is_error());
    let fetch = ["BUS.FETCH", bus, "w", "*", "TIMEOUT", "0"].map(str::to_owned);
    client.send(&fetch);
    let (bus, bus_name) = (bus.to_owned(), bus.to_owned());
    std::thread::spawn(move || {
        while let Ok(raw) = client.try_read_reply_raw() {
            let reply = Reply::parse(&raw);
            // The connection may have broken under the order.
            if !reply.is_error() {
                for (id, token, payload) in fetched(&reply) {
                    client.call(&["BUS.REPLY", &bus, &id, &token, &payload]);
                }
            }
            if client.try_send_raw(&encoded(&fetch)).is_err() {
                return;
            }
        }
    });
    wait_until("the worker waits", DEADLINE, || {
        let workers = world.connect().call(&["BUS.WORKERS", &bus_name]);
        !workers.is_error() && workers.items().len() == 1
    });
}

fn encoded(words: &[String]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

#[test]
fn buses_on_all_nodes_call_cancel_and_clean_up() {
    let world = World::start(0);
    let bus = |n: usize| format!("b{n}");
    for n in 0..MANY {
        serve(&world, &bus(n), &[]);
    }
    // Through the Respite that has no worker, and the one that has.
    for client in &mut [world.connect(), world.connect_other()] {
        for round in 0..3 {
            for n in 0..MANY {
                let payload = format!("{n}:{round}");
                let call = [
                    "BUS.CALL",
                    &bus(n),
                    "echo",
                    "TIMEOUT",
                    "5000",
                    "PAYLOAD",
                    &payload,
                ];
                client.call(&call).assert_str(&payload);
            }
        }
    }
    let mut client = world.connect();
    run(&mut client, "BUS.REGISTER quiet m");
    let id = run(&mut client, "BUS.CAST quiet m PAYLOAD x");
    let id = id.as_str();
    client.call(&["BUS.CANCEL", "quiet", id]).assert_int(1);
    client
        .call(&["BUS.RESULT", "quiet", id])
        .assert_error("CANCELLED");
    assert!(run(&mut client, "BUS.CLEANUP quiet").int() > 0);
    let left = world.cluster.servers.iter().map(|server| {
        let keys = server.call(&["KEYS", "respite:b:{quiet}*"]);
        keys.items().len()
    });
    assert_eq!(left.sum::<usize>(), 0);
}

#[test]
fn a_bus_moves_with_calls_under_way() {
    let world = World::start(0);
    serve(&world, "b", &[]);
    let (stop, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (stop, calls, world) = (&stop, &calls, &world);
        let callers: Vec<_> = (0..3)
            .map(|caller| {
                scope.spawn(move || {
                    let mut client = world.connect();
                    while !stop.load(Ordering::Relaxed) {
                        let payload = format!("{caller}:{}", calls.fetch_add(1, Ordering::Relaxed));
                        let call = [
                            "BUS.CALL", "b", "echo", "TIMEOUT", "20000", "PAYLOAD", &payload,
                        ];
                        client.call(&call).assert_str(&payload);
                    }
                })
            })
            .collect();
        for _ in 0..4 {
            let before = calls.load(Ordering::Relaxed);
            world.move_away("b", || {});
            wait_until("calls go on", DEADLINE, || {
                calls.load(Ordering::Relaxed) > before + 50
                    || callers.iter().any(|c| c.is_finished())
            });
        }
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().expect("no mismatch");
        }
    });
}

/// In the middle of a move a script is refused as a whole: some keys are here, others there, and it must not
/// stop halfway.
#[test]
fn no_script_runs_while_its_slot_moves() {
    let world = World::start(0);
    let mut client = world.connect();
    run(&mut client, "BUS.REGISTER b m");
    for n in 0..20 {
        run(&mut client, &format!("BUS.CAST b m PAYLOAD {n}"));
    }
    let mut casting = None;
    let mut keys = 0;
    world.move_away("b", || {
        keys += 1;
        // One half of its keys is there.
        if keys == 3 {
            let mut client = world.connect_other();
            client.send(&["BUS.CAST", "b", "m", "PAYLOAD", "late"]);
            assert!(client.silent_for(Duration::from_millis(300)));
            casting = Some(client);
        }
    });
    let cast = casting.expect("there were more keys").read_reply();
    assert!(!cast.is_error(), "{cast:?}");
    let mut taken = Vec::new();
    while taken.len() < 21 {
        let more = run(&mut client, "BUS.FETCH b w m COUNT 50 TIMEOUT 5000");
        let more = fetched(&more);
        assert!(!more.is_empty(), "{taken:?}");
        taken.extend(more.into_iter().map(|(.., payload)| payload));
    }
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 21, "each once");
}

#[test]
fn a_bus_outlives_the_death_of_its_master() {
    let mut world = World::start(1);
    serve(&world, "b", &["IDEMPOTENT"]);
    let (_, owner) = world.place("b");
    let elsewhere = (0..)
        .map(|n| format!("e{n}"))
        .find(|bus| world.place(bus).1 != owner)
        .expect("a bus elsewhere");
    serve(&world, &elsewhere, &[]);
    world.cluster.wait_until_replicas_follow();
    let call = |client: &mut Client, bus: &str| {
        client.call(&["BUS.CALL", bus, "echo", "TIMEOUT", "20000", "PAYLOAD", "x"])
    };
    let mut client = world.connect();
    call(&mut client, "b").assert_str("x");
    world.cluster.servers[owner].kill();
    // That of another node goes on at once.
    for _ in 0..20 {
        call(&mut client, &elsewhere).assert_str("x");
    }
    wait_until("the bus is there again", DEADLINE, || {
        let answer = call(&mut client, "b");
        if answer.is_error() {
            answer.assert_error("UPSTREAM ");
        }
        !answer.is_error()
    });
}

#[test]
fn added_shards_are_known_to_all_and_nodes_are_tracked() {
    let world = World::start(1);
    let (mut one, mut two) = (world.connect(), world.connect_other());
    let fake = FakeServer::start(FakeServer::info("run_id:one\r\n"));
    one.call(&["SHARD.ADD", "added", &fake.addr()]).assert_ok();
    let listed = |client: &mut Client| -> Vec<(String, String)> {
        let list = client.call(&["SHARD.LIST"]);
        let word = |shard: &Reply, name: &str| shard.field(name).as_str().to_owned();
        let list = list.items().iter();
        list.map(|shard| (word(shard, "id"), word(shard, "state")))
            .collect()
    };
    let is_live = |client: &mut Client, id: &str| {
        listed(client).contains(&(id.to_owned(), "live".to_owned()))
    };
    for client in [&mut one, &mut two] {
        wait_until("it is known to all", DEADLINE, || is_live(client, "added"));
        for server in &world.cluster.servers {
            wait_until("every node is tracked", DEADLINE, || {
                is_live(client, &server.addr())
            });
            let info = client.call(&["INFO", &server.addr(), "cluster"]);
            assert!(info.as_str().contains("cluster_enabled:1"), "{info:?}");
        }
    }
    one.call(&["SHARD.DEL", "added"]).assert_int(1);
    // A node that joins is tracked, and one that leaves is not.
    let joins = RedisServer::builder()
        .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"])
        .start();
    let seed = &world.cluster.servers[0];
    joins
        .call(&["CLUSTER", "MEET", "127.0.0.1", &seed.port().to_string()])
        .assert_ok();
    let id = joins.call(&["CLUSTER", "MYID"]).as_str().to_owned();
    wait_until("it is known", DEADLINE, || {
        let nodes = world.cluster.servers.iter();
        nodes
            .clone()
            .all(|server| server.call(&["CLUSTER", "NODES"]).as_str().contains(&id))
            && joins
                .call(&["CLUSTER", "INFO"])
                .as_str()
                .contains("cluster_state:ok")
    });
    let slot = slot_of(&mut seed.connect(), "foo");
    let from = world.cluster.owner(slot);
    for server in [&joins, &world.cluster.servers[from]] {
        server
            .call(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id])
            .assert_ok();
    }
    one.call(&["SET", "foo", "1"]).assert_ok();
    wait_until("it is tracked", DEADLINE, || {
        is_live(&mut one, &joins.addr())
    });
}
