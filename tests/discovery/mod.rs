//! `DISCOVERY.*` and `respite join`, mostly through two Respites on one backing.

mod agent;
mod load;
mod nodes;
mod outage;
mod services;
mod shapes;
mod watch;

use std::time::Duration;

use crate::support::{Client, RedisServer, Reply, Respite};

/// A backing with two Respites in front of it.
struct Pair {
    redis: RedisServer,
    first: Respite,
    second: Respite,
}

impl Pair {
    fn start() -> Self {
        let redis = RedisServer::start();
        let first = Respite::in_front_of(&redis);
        let second = Respite::in_front_of(&redis);
        Pair {
            redis,
            first,
            second,
        }
    }
}

/// A Respite in front of a backing of its own, and a client.
fn single() -> (RedisServer, Respite, Client) {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let client = respite.connect();
    (redis, respite, client)
}

/// Runs a command given as words.
#[track_caller]
fn run(client: &mut Client, line: &str) -> Reply {
    let words: Vec<&str> = line.split(' ').collect();
    client.call(&words)
}

#[track_caller]
fn send(client: &mut Client, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    client.send(&words);
}

/// Joins and returns the lease.
#[track_caller]
fn join(client: &mut Client, rest: &str) -> String {
    let joined = run(client, &format!("DISCOVERY.JOIN {rest}"));
    joined.field("lease").as_str().to_owned()
}

/// The names of the nodes that a query shows.
#[track_caller]
fn nodes(client: &mut Client, rest: &str) -> Vec<String> {
    let reply = run(client, &format!("DISCOVERY.NODES {rest}"));
    let nodes = reply.field("nodes").items().iter();
    nodes
        .map(|node| node.field("node").as_str().to_owned())
        .collect()
}

/// The present index of the group, as a query for a service shows it.
#[track_caller]
fn index(client: &mut Client, rest: &str) -> String {
    let reply = run(client, &format!("DISCOVERY.NODES {rest}"));
    reply.field("index").as_str().to_owned()
}

/// Long enough to show that nothing comes, short enough to wait for.
const A_WHILE: Duration = Duration::from_millis(300);
