//! The login of the backing changes, and the backing itself: one server, a sentinels' master, a cluster.

use super::{Load, put_in_force};
use crate::support::{
    Client, DEADLINE, RedisCluster, RedisServer, Respite, RespiteBuilder, SentinelSet, wait_until,
};

/// The user that Respite logs in as, who has two passwords for a while.
const USER: [&str; 8] = ["ACL", "SETUSER", "app", "on", "~*", "&*", "+@all", ">one"];

fn text(upstream: &str, password: &str) -> String {
    format!(
        "listen = \"127.0.0.1:$PORT\"\nupstream = \"{upstream}\"\nupstream_credential = \"main\"\n\
         workers = 2\nhttp.listen = \"\"\n[credentials.main]\nuser = \"app\"\npassword = \"{password}\"\n"
    )
}

fn builder(upstream: &str, password: &str) -> RespiteBuilder {
    Respite::builder().only_file(&text(upstream, password))
}

/// The connections at a server that carry commands and fill the cache, by their ids.
fn links(server: &mut Client) -> Vec<String> {
    let list = server.call(&["CLIENT", "LIST"]);
    let lines = list.as_str().lines();
    let of_links = lines
        .filter(|line| line.contains(" name=respite ") || line.contains(" name=respite-fill "));
    let ids = of_links.filter_map(|line| line.split(' ').next());
    ids.map(str::to_owned).collect()
}

/// Rotates the password that a Respite in front of these servers logs in with, while clients are at work.
#[track_caller]
fn rotate(upstream: &str, servers: &[RedisServer]) {
    for server in servers {
        server.call(&USER).assert_ok();
        server.call(&["ACL", "SETUSER", "app", ">two"]).assert_ok();
    }
    let respite = builder(upstream, "one").start();
    let load = Load::start(|| respite.connect());
    load.goes_on();
    let mut admins: Vec<Client> = servers.iter().map(RedisServer::connect).collect();
    let before: Vec<_> = admins.iter_mut().map(links).collect();
    assert!(before.iter().any(|links| !links.is_empty()));
    put_in_force(&respite, &text(upstream, "two"));
    load.goes_on();
    for server in servers {
        server.call(&["ACL", "SETUSER", "app", "<one"]).assert_ok();
    }
    load.goes_on();
    load.end();
    // Shared connections are replaced when nothing is owed on them.
    wait_until("no connection is of the old login", DEADLINE, || {
        respite.call(&["SET", "a", "1"]).assert_ok();
        let now = admins.iter_mut().map(links);
        now.zip(&before)
            .all(|(now, before)| now.iter().all(|id| !before.contains(id)))
    });
    // Another connection of a client's own, with the new login.
    let mut client = respite.connect();
    client.call(&["WATCH", "a"]).assert_ok();
    client.call(&["MULTI"]).assert_ok();
    client.call(&["GET", "a"]).assert_str("QUEUED");
    client.call(&["EXEC"]).items()[0].assert_str("1");
}

#[test]
fn the_password_of_one_server_is_rotated() {
    let redis = RedisServer::start();
    rotate(&redis.url(), std::slice::from_ref(&redis));
}

#[test]
fn the_password_behind_sentinels_is_rotated() {
    let set = SentinelSet::start(1);
    rotate(&set.url(), &set.servers);
}

#[test]
fn the_password_of_a_cluster_is_rotated() {
    let cluster = RedisCluster::start(3, 0);
    rotate(&cluster.url(), &cluster.servers);
}

/// Of which cluster a Respite's clients read.
#[track_caller]
fn wait_for(respite: &Respite, value: &str) {
    wait_until("clients read of the other backing", DEADLINE, || {
        let mut client = respite.connect();
        let sent = client.try_send_raw(b"*2\r\n$3\r\nGET\r\n$5\r\nwhere\r\n");
        let reply = sent.ok().and_then(|()| client.try_read_reply_raw().ok());
        reply.is_some_and(|reply| reply == format!("${}\r\n{value}\r\n", value.len()).as_bytes())
    });
}

#[test]
fn seeds_of_another_cluster_lead_to_it() {
    let clusters = [RedisCluster::start(3, 0), RedisCluster::start(3, 0)];
    for (cluster, name) in clusters.iter().zip(["first", "second"]) {
        for server in &cluster.servers {
            server.call(&USER).assert_ok();
        }
        let respite = builder(&cluster.url(), "one").start();
        respite.call(&["SET", "where", name]).assert_ok();
    }
    let mut respite = builder(&clusters[0].url(), "one").start();
    respite.allow_log("link lost");
    respite.allow_log("backing not usable");
    wait_for(&respite, "first");
    put_in_force(&respite, &text(&clusters[1].url(), "one"));
    wait_for(&respite, "second");
    // A seed that nobody answers at changes nothing.
    respite.allow_log("no node tells who has which slots");
    put_in_force(&respite, &text("cluster://127.0.0.1:1", "one"));
    wait_for(&respite, "second");
}

#[test]
fn other_sentinels_name_another_master() {
    let sets = [SentinelSet::start(0), SentinelSet::start(0)];
    for (set, name) in sets.iter().zip(["first", "second"]) {
        set.servers[0].call(&USER).assert_ok();
        set.servers[0].call(&["SET", "where", name]).assert_ok();
    }
    let mut respite = builder(&sets[0].url(), "one").start();
    respite.allow_log("link lost");
    respite.allow_log("backing not usable");
    wait_for(&respite, "first");
    put_in_force(&respite, &text(&sets[1].url(), "one"));
    wait_for(&respite, "second");
}
