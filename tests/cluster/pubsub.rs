//! Subscriptions, while nodes come and go.

use super::start;
use crate::support::{
    Client, DEADLINE, RedisCluster, RedisServer, Reply, Respite, slot_of, wait_until,
};

/// What `PUBSUB` of all nodes says of a channel, those that are dead left out.
fn subscribers(servers: &[&RedisServer], how: &str, channel: &str) -> i64 {
    let count = |server: &&RedisServer| {
        let reply = server.call(&["PUBSUB", how, channel]);
        reply.items()[1].int()
    };
    servers.iter().map(count).sum()
}

/// How many messages other nodes have told a server of.
fn published(server: &RedisServer) -> u64 {
    let info = server.call(&["CLUSTER", "INFO"]);
    let mut lines = info.as_str().lines();
    let count =
        lines.find_map(|line| line.strip_prefix("cluster_stats_messages_publish_received:"));
    count.map_or(0, |count| count.parse().expect("a number"))
}

fn all(cluster: &RedisCluster) -> Vec<&RedisServer> {
    cluster.servers.iter().collect()
}

/// Reads the next frame, which has these words.
#[track_caller]
fn expect(client: &mut Client, words: &[&str]) {
    let reply = client.read_reply();
    let seen: Vec<String> = { reply.items() }
        .iter()
        .map(|item| match item {
            Reply::Int(number) => number.to_string(),
            other if other.is_null() => "nil".to_owned(),
            other => other.as_str().to_owned(),
        })
        .collect();
    assert_eq!(seen, words);
}

#[test]
fn channels_and_patterns_of_both_protocols() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut publisher = respite.connect();
    for proto in [2, 3] {
        let mut client = respite.connect();
        if proto == 3 {
            client.hello3();
        }
        client.send_raw(b"SUBSCRIBE a b\r\nPSUBSCRIBE c*\r\nUNSUBSCRIBE b\r\n");
        expect(&mut client, &["subscribe", "a", "1"]);
        expect(&mut client, &["subscribe", "b", "2"]);
        expect(&mut client, &["psubscribe", "c*", "3"]);
        expect(&mut client, &["unsubscribe", "b", "2"]);
        for (channel, words) in [
            ("a", &["message", "a", "1"][..]),
            ("cc", &["pmessage", "c*", "cc", "1"]),
        ] {
            publisher.call(&["PUBLISH", channel, "1"]);
            expect(&mut client, words);
        }
        if proto == 2 {
            let error = client.call(&["GET", "a"]);
            error.assert_error("ERR Can't execute 'get'");
            client
                .call(&["MULTI"])
                .assert_error("ERR Can't execute 'multi'");
            client.send(&["PING", "x"]);
            expect(&mut client, &["pong", "x"]);
        } else {
            // Whatever else it asks goes where it belongs.
            for key in ["foo", "hello", "bar"] {
                client.call(&["SET", key, "1"]).assert_ok();
                client.call(&["GET", key]).assert_str("1");
                let replies = client.pipeline(&[&["MULTI"][..], &["INCR", key], &["EXEC"]]);
                replies[2].items()[0].assert_int(2);
            }
        }
        publisher.call(&["PUBLISH", "a", "2"]);
        expect(&mut client, &["message", "a", "2"]);
        client.send_raw(b"UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nUNSUBSCRIBE\r\n");
        expect(&mut client, &["unsubscribe", "a", "1"]);
        expect(&mut client, &["punsubscribe", "c*", "0"]);
        expect(&mut client, &["unsubscribe", "nil", "0"]);
        client.call(&["SET", "foo", "2"]).assert_ok();
        client.call(&["GET", "foo"]).assert_str("2");
    }
}

#[test]
fn channels_of_slots_go_with_their_slots() {
    if RedisServer::lacks((7, 0), "sharded publish/subscribe") {
        return;
    }
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut publisher = respite.connect();
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    for proto in [2, 3] {
        let mut client = respite.connect();
        if proto == 3 {
            client.hello3();
        }
        client.send_raw(
            b"SSUBSCRIBE foo {foo}2\r\nSSUBSCRIBE hello\r\nSUBSCRIBE foo\r\nSSUBSCRIBE bar\r\n",
        );
        expect(&mut client, &["ssubscribe", "foo", "1"]);
        expect(&mut client, &["ssubscribe", "{foo}2", "2"]);
        expect(&mut client, &["ssubscribe", "hello", "3"]);
        expect(&mut client, &["subscribe", "foo", "1"]);
        expect(&mut client, &["ssubscribe", "bar", "4"]);
        client
            .call(&["SSUBSCRIBE", "foo", "bar"])
            .assert_error("CROSSSLOT Keys in request don't hash to the same slot");
        for round in 0..3 {
            for channel in ["foo", "{foo}2", "hello", "bar"] {
                publisher.call(&["SPUBLISH", channel, "1"]).assert_int(1);
                expect(&mut client, &["smessage", channel, "1"]);
            }
            publisher.call(&["PUBLISH", "foo", "1"]);
            expect(&mut client, &["message", "foo", "1"]);
            let to = (cluster.owner(slot) + 1) % 3;
            cluster.move_slot(slot, to, || {});
            wait_until("it is subscribed at the new owner", DEADLINE, || {
                let new = [&cluster.servers[to]];
                subscribers(&new, "SHARDNUMSUB", "foo") == 1
                    && subscribers(&new, "SHARDNUMSUB", "{foo}2") == 1
            });
            if round == 1 {
                client.send(&["SUNSUBSCRIBE", "{foo}2"]);
                expect(&mut client, &["sunsubscribe", "{foo}2", "3"]);
                client.send(&["SSUBSCRIBE", "{foo}2"]);
                expect(&mut client, &["ssubscribe", "{foo}2", "4"]);
            }
        }
        client.send_raw(b"SUNSUBSCRIBE\r\nPING\r\n");
        let mut counts: Vec<i64> = (0..4)
            .map(|_| client.read_reply().items()[2].int())
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [0, 1, 2, 3]);
        client.read_reply();
        client.send_raw(b"SUNSUBSCRIBE\r\nUNSUBSCRIBE\r\n");
        expect(&mut client, &["sunsubscribe", "nil", "0"]);
        expect(&mut client, &["unsubscribe", "foo", "0"]);
        client.call(&["SET", "foo", "2"]).assert_ok();
        assert_eq!(subscribers(&all(&cluster), "SHARDNUMSUB", "foo"), 0);
    }
    let replies = publisher.pipeline(&[
        &["MULTI"][..],
        &["SPUBLISH", "foo", "1"],
        &["SET", "foo", "1"],
        &["EXEC"],
    ]);
    replies[3].items()[1].assert_ok();
}

#[test]
fn a_subscriber_whose_node_is_killed_is_subscribed_at_another() {
    let mut cluster = RedisCluster::start(3, 1);
    cluster.wait_until_replicas_follow();
    let mut respite = start(&cluster);
    respite.allow_log("backing");
    respite.allow_log("is away");
    let sharded = !RedisServer::lacks((7, 0), "sharded publish/subscribe");
    let mut clients: Vec<Client> = (0..2).map(|_| respite.connect()).collect();
    clients[1].hello3();
    for client in &mut clients {
        client.send_raw(b"SUBSCRIBE a\r\nPSUBSCRIBE b*\r\n");
        expect(client, &["subscribe", "a", "1"]);
        expect(client, &["psubscribe", "b*", "2"]);
    }
    let mut killed = Vec::new();
    for round in 0..2 {
        let has = |n: &usize| {
            !killed.contains(n) && subscribers(&[&cluster.servers[*n]], "NUMSUB", "a") > 0
        };
        let node = (0..cluster.servers.len())
            .find(has)
            .expect("a node has one of them");
        // A channel of a slot of that node, which its replica will have.
        let slots = sharded && round == 0;
        let channel = (0..1000).map(|n| format!("c{n}")).find(|channel| {
            slots && cluster.owner(slot_of(&mut cluster.servers[node].connect(), channel)) == node
        });
        if let Some(channel) = &channel {
            for client in &mut clients {
                client.send(&["SSUBSCRIBE", channel]);
                expect(client, &["ssubscribe", channel, "1"]);
            }
        }
        cluster.servers[node].kill();
        killed.push(node);
        let alive: Vec<_> = { cluster.servers.iter().enumerate() }
            .filter(|(n, _)| !killed.contains(n))
            .map(|(_, server)| server)
            .collect();
        wait_until("they are subscribed again", DEADLINE, || {
            subscribers(&alive, "NUMSUB", "a") == 2
        });
        if let Some(channel) = &channel {
            wait_until("in the slot, too", DEADLINE, || {
                subscribers(&alive, "SHARDNUMSUB", channel) == 2
            });
            wait_until("the message is taken", DEADLINE, || {
                respite.call(&["SPUBLISH", channel, "s"]) == Reply::Int(2)
            });
        }
        // It comes over another connection than the next one.
        for (client, channel) in clients.iter_mut().zip([&channel; 2]) {
            if let Some(channel) = channel {
                expect(client, &["smessage", channel, "s"]);
            }
        }
        let before: Vec<_> = alive.iter().map(|server| published(server)).collect();
        alive[0].call(&["PUBLISH", "a", "m"]);
        for client in &mut clients {
            // And no confirmation in front of it.
            expect(client, &["message", "a", "m"]);
        }
        alive[0].call(&["PUBLISH", "bb", "m"]);
        for client in &mut clients {
            expect(client, &["pmessage", "b*", "bb", "m"]);
            if channel.is_some() {
                client.send(&["SUNSUBSCRIBE"]);
                expect(
                    client,
                    &["sunsubscribe", channel.as_deref().unwrap_or_default(), "0"],
                );
            }
        }
        // Else they might hear of it once more, from the node where they are subscribed next.
        wait_until("all nodes have heard of both messages", DEADLINE, || {
            let others = alive.iter().zip(&before).skip(1);
            { others }.all(|(server, before)| published(server) == before + 2)
        });
        wait_until("all slots have a master", DEADLINE, || {
            alive[0]
                .call(&["CLUSTER", "INFO"])
                .as_str()
                .contains("cluster_state:ok")
        });
    }
}

/// Nothing is owed on the connection, so Respite asks on it: also on one that is set aside for another node's.
#[test]
fn a_node_that_is_silent_is_noticed_by_who_only_listens() {
    if RedisServer::lacks((7, 0), "sharded publish/subscribe") {
        return;
    }
    let cluster = RedisCluster::start(3, 0);
    let config = "[timeouts]\nconnect = \"500ms\"\nreply = \"300ms\"\nfailover = \"1s\"";
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .config(config)
        .allow_log("")
        .start();
    let slot = |key| slot_of(&mut cluster.servers[0].connect(), key);
    let (foo, bar) = (cluster.owner(slot("foo")), cluster.owner(slot("bar")));
    assert_ne!(foo, bar);
    let listen = |channels: [&str; 2]| {
        let mut client = respite.connect();
        for (n, channel) in channels.iter().enumerate() {
            client.send(&["SSUBSCRIBE", channel]);
            let count = (n + 1).to_string();
            expect(&mut client, &["ssubscribe", channel, &count]);
        }
        client
    };
    let mut clients = [listen(["foo", "bar"]), listen(["bar", "foo"])];
    let mut stays = listen(["bar", "{bar}2"]);
    cluster.servers[foo].freeze();
    for client in &mut clients {
        assert!(client.closed(), "it waits for ever");
    }
    cluster.servers[bar].call(&["SPUBLISH", "{bar}2", "1"]);
    expect(&mut stays, &["smessage", "{bar}2", "1"]);
    cluster.servers[foo].thaw();
}
