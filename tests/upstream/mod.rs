//! The backing lost, hung, wrong or restarted: what clients are told, and that service comes back.

mod busy;
mod closing;
mod credentials;
mod hung;
mod large;
mod load;
mod modules;
mod moved;
mod pinned;
mod retry;
mod scripts;
mod shutdown;
mod split;
mod unsent;
mod wrong;

use crate::support::{
    Client, Connection, DEADLINE, Direction, Relay, Respite, RespiteBuilder, contains, wait_until,
};

const SENT: &str = "; the command was sent and may have been executed";
const NOT_SENT: &str = "; the command was not sent";

/// A Respite with one worker, which announces that it loses its backing and tells its clients so.
fn builder(upstream: &str) -> RespiteBuilder {
    Respite::builder()
        .upstream(upstream)
        .workers(1)
        .allow_log("link lost")
        .allow_log("backing not usable")
}

/// The same without a cache, for what is said of commands on shared links.
fn uncached(upstream: &str) -> RespiteBuilder {
    builder(upstream).env("RESPITE_CACHE__MODE", "off")
}

/// The open relayed connection that shared requests travel on.
#[track_caller]
fn link(relay: &Relay) -> Connection {
    relay.find(|bytes| contains(bytes, b"SETNAME\r\n$7\r\nrespite\r\n"))
}

/// The open relayed connection of a pinned client.
#[track_caller]
fn own_connection(relay: &Relay) -> Connection {
    relay.find(|bytes| contains(bytes, b"SETNAME\r\n$14\r\nrespite-pinned\r\n"))
}

/// Sends a command and cuts its connection when its reply has come as far as the relay.
#[track_caller]
fn cut_before_reply(connection: &Connection, client: &mut Client, command: &[&str]) {
    connection.pause(Direction::Down);
    client.send(command);
    connection.wait_held(Direction::Down);
    connection.cut();
}

/// Waits until Respite has taken in this command of the other client, its only one.
#[track_caller]
fn wait_until_taken(respite: &Respite, command: &str) {
    let mut asking = respite.connect();
    let shown = format!(" cmd={command} ");
    wait_until("Respite has taken in the command", DEADLINE, || {
        asking.call(&["CLIENT", "LIST"]).as_str().contains(&shown)
    });
}

/// Asks until this client is served again; only `-UPSTREAM` may come before.
#[track_caller]
fn wait_for_service(client: &mut Client) {
    wait_until("the client is served again", DEADLINE, || {
        let reply = client.call(&["SET", "served", "again"]);
        if reply.is_error() {
            reply.assert_error("UPSTREAM ");
        }
        !reply.is_error()
    });
}
