//! Transactions, and what is watched for them, in a slot of which some keys are at one node and some at another.

use super::start;
use crate::support::{
    Client, DEADLINE, RedisCluster, RedisServer, Reply, Respite, slot_of, wait_until,
};

/// A slot on its way from one node to another: `{foo}here` is at the first, `{foo}there` at the second.
struct HalfMoved {
    // Dropped first: it need not hear that the cluster goes.
    respite: Respite,
    cluster: RedisCluster,
    slot: u16,
    from: usize,
    to: usize,
}

impl HalfMoved {
    fn start() -> Self {
        let cluster = RedisCluster::start(3, 0);
        let respite = start(&cluster);
        let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
        let from = cluster.owner(slot);
        let to = (from + 1) % 3;
        let mut client = respite.connect();
        for key in ["{foo}here", "{foo}there"] {
            client.call(&["SET", key, "10"]).assert_ok();
        }
        let moving = HalfMoved {
            respite,
            cluster,
            slot,
            from,
            to,
        };
        moving.cluster.begin_move(slot, to);
        moving.migrate("{foo}there");
        moving
    }

    /// Moves one key.
    fn migrate(&self, key: &str) {
        let port = self.cluster.servers[self.to].port().to_string();
        let moved = self.cluster.servers[self.from].call(&[
            "MIGRATE",
            "127.0.0.1",
            &port,
            key,
            "0",
            "5000",
        ]);
        moved.assert_str("OK");
    }

    fn finish(&self) {
        self.cluster.move_slot(self.slot, self.to, || {});
    }
}

fn run(client: &mut Client, commands: &[&[&str]], pipelined: bool) -> Reply {
    let mut replies = match pipelined {
        true => client.pipeline(commands),
        false => commands
            .iter()
            .map(|command| client.call(command))
            .collect(),
    };
    replies.pop().expect("several")
}

#[test]
fn a_transaction_is_executed_where_all_its_keys_are() {
    let moving = HalfMoved::start();
    let mut client = moving.respite.connect();
    for (n, pipelined) in [(11, true), (12, false)] {
        for key in ["{foo}there", "{foo}here"] {
            let list = &[
                &["MULTI"][..],
                &["INCR", key],
                &["ECHO", "x"],
                &["EVAL", "return redis.call('GET', KEYS[1])", "1", key],
                &["EXEC"],
            ];
            let all = run(&mut client, list, pipelined);
            all.items()[0].assert_int(n);
            all.items()[2].assert_str(&n.to_string());
        }
        // What is nowhere comes into being at the node that the slot moves to.
        let key = format!("{{foo}}new{n}");
        let list = &[
            &["MULTI"][..],
            &["SET", &key, "1"],
            &["INCR", &key],
            &["EXEC"],
        ];
        let all = run(&mut client, list, pipelined);
        all.items()[1].assert_int(2);
        client.call(&["GET", &key]).assert_str("2");
        // Then both of these are there.
        let list = &[
            &["MULTI"][..],
            &["MGET", "{foo}there", &key],
            &["DEL", &key],
            &["EXEC"],
        ];
        let all = run(&mut client, list, pipelined);
        assert_eq!(all.items()[0].strings(), [&n.to_string(), "2"]);
    }
    // The connection has no state left: what is sent there without being named is sent back.
    for _ in 0..3 {
        let list = &[&["MULTI"][..], &["GET", "{foo}here"], &["EXEC"]];
        run(&mut client, list, true).items()[0].assert_str("12");
        client.call(&["GET", "{foo}there"]).assert_str("12");
    }
    moving.finish();
    let list = &[&["MULTI"][..], &["INCR", "{foo}there"], &["EXEC"]];
    run(&mut client, list, true).items()[0].assert_int(13);
}

#[test]
fn a_key_that_moves_between_multi_and_exec_takes_the_transaction_with_it() {
    let moving = HalfMoved::start();
    let mut client = moving.respite.connect();
    client.call(&["MULTI"]).assert_ok();
    client.call(&["INCR", "{foo}here"]).assert_str("QUEUED");
    moving.migrate("{foo}here");
    client.call(&["INCR", "{foo}here"]).assert_str("QUEUED");
    client.call(&["INCR", "{foo}there"]).assert_str("QUEUED");
    let all = client.call(&["EXEC"]);
    let numbers: Vec<i64> = all.items().iter().map(Reply::int).collect();
    assert_eq!(numbers, [11, 12, 11]);
    // The move is called off.
    client.call(&["MULTI"]).assert_ok();
    client.call(&["SET", "{foo}late", "1"]).assert_str("QUEUED");
    for server in [moving.from, moving.to] {
        let slot = moving.slot.to_string();
        moving.cluster.servers[server]
            .call(&["CLUSTER", "SETSLOT", &slot, "STABLE"])
            .assert_ok();
    }
    client.call(&["EXEC"]).items()[0].assert_ok();
    client.call(&["GET", "{foo}late"]).assert_str("1");
}

#[test]
fn a_transaction_of_keys_at_both_nodes_waits_and_is_executed_once() {
    let moving = HalfMoved::start();
    let mut client = moving.respite.connect();
    std::thread::scope(|scope| {
        let client = &mut client;
        let asked = scope.spawn(move || {
            client.pipeline(&[
                &["MULTI"][..],
                &["INCR", "{foo}here"],
                &["INCR", "{foo}there"],
                &["EXEC"],
            ])
        });
        // It has been at both nodes, and neither has executed it.
        wait_until("it was turned away", DEADLINE, || {
            let servers = &moving.cluster.servers;
            let from = &servers[moving.from];
            // A Valkey does not say of a queued command alone that it is for the other one.
            match RedisServer::is_valkey() {
                true => from.errors("TRYAGAIN") > 1,
                false => from.errors("ASK") > 0 && servers[moving.to].errors("TRYAGAIN") > 1,
            }
        });
        moving.finish();
        let replies = asked.join().expect("answered");
        let numbers: Vec<i64> = replies[3].items().iter().map(Reply::int).collect();
        assert_eq!(numbers, [11, 11]);
    });
}

#[test]
fn what_is_watched_is_watched_where_it_is() {
    let moving = HalfMoved::start();
    let mut client = moving.respite.connect();
    let mut other = moving.respite.connect();
    for key in ["{foo}there", "{foo}here", "{foo}nowhere"] {
        for changed in [false, true, false] {
            client.call(&["WATCH", key]).assert_ok();
            client.call(&["GET", key]);
            if changed {
                other.call(&["SET", key, "100"]).assert_ok();
            }
            client.call(&["MULTI"]).assert_ok();
            client.call(&["INCR", key]).assert_str("QUEUED");
            let all = client.call(&["EXEC"]);
            assert_eq!(all.is_null(), changed, "{key}: {all:?}");
        }
        client.call(&["GET", key]).assert_str("101");
        let list = &[
            &["WATCH", key][..],
            &["MULTI"],
            &["GET", key],
            &["EXEC"],
            &["WATCH", key],
            &["UNWATCH"],
            &["MULTI"],
            &["INCR", key],
            &["EXEC"],
        ];
        let replies = client.pipeline(list);
        replies[3].items()[0].assert_str("101");
        replies[8].items()[0].assert_int(102);
    }
    // A watched key that moves counts as changed.
    client.call(&["WATCH", "{foo}here"]).assert_ok();
    moving.migrate("{foo}here");
    client.call(&["MULTI"]).assert_ok();
    client.call(&["INCR", "{foo}here"]).assert_str("QUEUED");
    let all = client.call(&["EXEC"]);
    assert!(all.is_null(), "{all:?}");
    client.call(&["GET", "{foo}here"]).assert_str("102");
}
