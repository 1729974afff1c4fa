//! `RESPITE.NODE`: a command at one node of the cluster behind.

use super::start;
use crate::support::{DEADLINE, RedisCluster, RedisServer, Respite, slot_of, wait_until};

#[test]
fn each_node_answers_for_itself() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    for key in ["foo", "hello", "bar"] {
        client.call(&["SET", key, "1"]).assert_ok();
    }
    let listed = client.call(&["RESPITE.NODE", "LIST"]);
    let mut ids = listed.strings();
    ids.sort_unstable();
    let mut expected: Vec<String> = cluster.servers.iter().map(RedisServer::addr).collect();
    expected.sort();
    assert_eq!(ids, expected);
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    for server in &cluster.servers {
        let id = server.addr();
        let size = server.call(&["DBSIZE"]).int();
        client
            .call(&["RESPITE.NODE", &id, "DBSIZE"])
            .assert_int(size);
        let port = format!("tcp_port:{}", server.port());
        let info = client.call(&["RESPITE.NODE", &id, "INFO", "server"]);
        assert!(info.as_str().contains(&port));
        let stats = client.call(&["RESPITE.NODE", &id, "MEMORY", "STATS"]);
        assert!(!stats.is_error(), "{stats:?}");
        client
            .call(&["RESPITE.NODE", &id, "DEBUG", "SLEEP", "0"])
            .assert_ok();
        // What the node says is the reply.
        let value = client.call(&["RESPITE.NODE", &id, "GET", "foo"]);
        match cluster.servers[cluster.owner(slot)].addr() == id {
            true => value.assert_str("1"),
            false => value.assert_error("MOVED "),
        }
    }
    // What it changes is seen at once by who has it cached.
    let owner = cluster.servers[cluster.owner(slot)].addr();
    for n in 0..20 {
        let n = n.to_string();
        client.call(&["GET", "foo"]);
        client
            .call(&["RESPITE.NODE", &owner, "SET", "foo", &n])
            .assert_ok();
        client.call(&["GET", "foo"]).assert_str(&n);
    }
    client
        .call(&["RESPITE.NODE", "10.0.0.1:1", "PING"])
        .assert_error("ERR no such node");
    client
        .call(&["RESPITE.NODE", "WHAT"])
        .assert_error("ERR RESPITE.NODE takes");
    client
        .call(&["RESPITE.NODE"])
        .assert_error("ERR wrong number of arguments");
}

#[test]
fn a_replica_answers_for_what_it_has() {
    let mut cluster = RedisCluster::start(3, 1);
    cluster.wait_until_replicas_follow();
    let mut respite = start(&cluster);
    let mut client = respite.connect();
    let mut ids = Vec::new();
    wait_until("the replicas are known", DEADLINE, || {
        let listed = client.call(&["RESPITE.NODE", "LIST"]);
        ids = listed
            .strings()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        ids.len() == 6
    });
    // Masters come first.
    let masters: Vec<String> = { cluster.masters().into_iter() }
        .map(|at| cluster.servers[at].addr())
        .collect();
    assert!(ids[..3].iter().all(|id| masters.contains(id)), "{ids:?}");
    client.call(&["SET", "foo", "1"]).assert_ok();
    let owner = cluster.owner(slot_of(&mut cluster.servers[0].connect(), "foo"));
    cluster.wait_for_replica(owner);
    let at = cluster.replica_of(owner);
    let replica = cluster.servers[at].addr();
    let mut run =
        |command: &[&str]| client.call(&[&["RESPITE.NODE", &replica][..], command].concat());
    run(&["GET", "foo"]).assert_str("1");
    assert_eq!(run(&["ROLE"]).items()[0].as_str(), "slave");
    run(&["SET", "foo", "2"]).assert_error("MOVED ");
    // One that is away was sent nothing.
    cluster.servers[at].kill();
    respite.allow_log("link lost");
    let away = run(&["SET", "foo", "3"]);
    assert!(away.error().starts_with("UPSTREAM "), "{away:?}");
    assert!(away.error().contains("not sent"), "{away:?}");
    cluster.servers[owner].kill();
    respite.allow_log("is away");
    let id = cluster.servers[owner].addr();
    let away = client.call(&["RESPITE.NODE", &id, "SET", "foo", "3"]);
    assert!(away.error().contains("not sent"), "{away:?}");
}

#[test]
fn nothing_is_left_in_a_connection_and_nobody_waits_for_ever() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let mut client = respite.connect();
    let id = cluster.servers[0].addr();
    for command in [
        &["MULTI"][..],
        &["SUBSCRIBE", "c"],
        &["BLPOP", "k", "0"],
        &["XREAD", "BLOCK", "0", "STREAMS", "s", "0"],
        &["MONITOR"],
        &["WAIT", "1", "0"],
        &["CLIENT", "REPLY", "OFF"],
        &["AUTH", "x"],
        &["NO.SUCH.COMMAND"],
        &["RESPITE.NODE", "LIST"],
        &["CACHE.FLUSH"],
    ] {
        let reply = client.call(&[&["RESPITE.NODE", &id][..], command].concat());
        assert!(
            reply.error().contains("RESPITE.NODE does not run it"),
            "{reply:?}"
        );
    }
    client.call(&["MULTI"]).assert_ok();
    assert!(client.call(&["RESPITE.NODE", &id, "PING"]).is_error());
    client.call(&["EXEC"]).assert_error("EXECABORT");
    client.call(&["PING"]).assert_str("PONG");
}

#[test]
fn the_rules_are_asked_about_what_it_runs() {
    let cluster = RedisCluster::start(3, 0);
    let password = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let user = |name: &str, commands: &str| {
        format!(
            "[[access.users]]\nname = \"{name}\"\npassword_sha256 = \"{password}\"\n\
             commands = [{commands}]\nkeys = [\"app:*\"]\n"
        )
    };
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .config(
            &[
                user("operator", "\"+respite.node\", \"+get\", \"+memory|stats\""),
                user("reader", "\"+get\""),
            ]
            .concat(),
        )
        .start();
    let id = cluster.servers[0].addr();
    let mut operator = respite.connect();
    operator.call(&["AUTH", "operator", "password"]).assert_ok();
    let run = |client: &mut crate::support::Client, command: &[&str]| {
        client.call(&[&["RESPITE.NODE", &id][..], command].concat())
    };
    assert!(!run(&mut operator, &["MEMORY", "STATS"]).is_error());
    let value = run(&mut operator, &["GET", "app:1"]);
    assert!(
        value.is_null() || value.error().starts_with("MOVED "),
        "{value:?}"
    );
    for denied in [
        &["GET", "other"][..],
        &["SET", "app:1", "x"],
        &["CONFIG", "GET", "*"],
        &["EVAL", "return 1", "0"],
        &["NO.SUCH.COMMAND"],
    ] {
        run(&mut operator, denied).assert_error("NOPERM ");
    }
    let mut reader = respite.connect();
    reader.call(&["AUTH", "reader", "password"]).assert_ok();
    run(&mut reader, &["GET", "app:1"]).assert_error("NOPERM ");
}

#[test]
fn one_redis_is_a_node_too() {
    let server = RedisServer::start();
    let respite = Respite::in_front_of(&server);
    let listed = respite.call(&["RESPITE.NODE", "LIST"]);
    assert_eq!(listed.strings(), [server.addr()]);
    respite
        .call(&["RESPITE.NODE", &server.addr(), "SET", "k", "v"])
        .assert_ok();
    respite.call(&["GET", "k"]).assert_str("v");
}
