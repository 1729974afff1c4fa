//! Connections of a client's own: they carry its state, nobody else's, and go back when it is gone.

mod clients;
mod gone;
mod idle;
mod isolation;
mod list;
mod monitor;
mod pause;
mod pool;
mod refused;
mod renamed;
mod subscriber_sessions;
mod subscribers;
mod tracking;
mod transactions;
mod unblock;
mod wait;

use crate::support::{Client, DEADLINE, RedisServer, wait_until};

/// The lines of the backing's `CLIENT LIST`, this connection's own and replicas left out.
fn backing_clients(admin: &mut Client) -> Vec<String> {
    let list = admin.call(&["CLIENT", "LIST"]);
    let lines = list.as_str().lines();
    let asking = client_cmd("list");
    let others = lines.filter(|line| !line.contains(&asking));
    others.map(str::to_owned).collect()
}

/// How `CLIENT LIST` shows a client whose last command was this one of `CLIENT`.
fn client_cmd(sub: &str) -> String {
    match RedisServer::version() >= (7, 0, 0) {
        true => format!(" cmd=client|{sub} "),
        false => " cmd=client ".to_owned(),
    }
}

/// Waits until Respite has no connection at the backing but the shared ones.
#[track_caller]
fn wait_for_shared_only(redis: &RedisServer) {
    let mut admin = redis.connect();
    let names = [
        " name=respite ",
        " name=respite-monitor ",
        " name=respite-fill ",
        " name=respite-control ",
        " name=respite-poller ",
        " name=respite-subscriber ",
    ];
    let shared = |line: &String| names.iter().any(|name| line.contains(name));
    wait_until("only shared connections are left", DEADLINE, || {
        backing_clients(&mut admin).iter().all(shared)
    });
}

/// Waits until so many clients of the backing are blocked.
#[track_caller]
fn wait_for_blocked(admin: &mut Client, count: usize) {
    let line = format!("blocked_clients:{count}\r\n");
    wait_until("the backing blocks as many clients", DEADLINE, || {
        admin.call(&["INFO", "clients"]).as_str().contains(&line)
    });
}

/// How many connections the backing has accepted in its life.
#[track_caller]
fn connections_received(admin: &mut Client) -> u64 {
    let info = admin.call(&["INFO", "stats"]);
    let field = |line: &str| {
        line.strip_prefix("total_connections_received:")?
            .parse()
            .ok()
    };
    info.as_str()
        .lines()
        .find_map(field)
        .expect("in INFO stats")
}
