//! `CLIENT UNBLOCK` says truly whether it ended a wait, however long the blocking command is on its way.

use super::client_cmd;
use crate::support::{Client, DEADLINE, Direction, RedisServer, Relay, Respite, wait_until};

/// A Respite behind a relay, a client, its id, and another one.
fn setup() -> (RedisServer, Relay, Respite, Client, String, Client) {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder().upstream(&relay.url()).workers(2).start();
    let (mut client, mut other) = (respite.connect(), respite.connect());
    let id = client.call(&["CLIENT", "ID"]).int().to_string();
    other.call(&["SET", "a", "1"]).assert_ok();
    (redis, relay, respite, client, id, other)
}

fn is_pinned(bytes: &[u8]) -> bool {
    let name: &[u8] = b"respite-pinned";
    bytes.windows(name.len()).any(|part| part == name)
}

/// Waits until a client is shown with this command and these flags.
#[track_caller]
fn wait_for_shown(respite: &Respite, id: &str, shown: &[&str]) {
    let mut asking = respite.connect();
    wait_until("the client is shown so", DEADLINE, || {
        let list = asking.call(&["CLIENT", "LIST", "ID", id]);
        shown.iter().all(|part| list.as_str().contains(part))
    });
}

#[test]
fn it_does_not_overtake_the_command_on_its_way() {
    let (_redis, relay, respite, mut client, id, mut other) = setup();
    let other_id = other.call(&["CLIENT", "ID"]).int().to_string();
    for reason in ["TIMEOUT", "ERROR"] {
        client.call(&["WATCH", "w"]).assert_ok();
        let connection = relay.find(is_pinned);
        connection.pause(Direction::Up);
        client.send(&["BLPOP", "list", "0"]);
        connection.wait_held(Direction::Up);
        wait_for_shown(&respite, &id, &[" flags=b ", " cmd=blpop "]);
        other.send(&["CLIENT", "UNBLOCK", &id, reason]);
        wait_for_shown(&respite, &other_id, &[&client_cmd("unblock")]);
        connection.resume(Direction::Up);
        assert_eq!(other.read_reply().int(), 1, "{reason}");
        let reply = client.read_reply();
        assert_eq!(reply.is_error(), reason == "ERROR", "{reply:?}");
        client.call(&["UNWATCH"]).assert_ok();
    }
}

#[test]
fn it_waits_for_the_connection_that_is_being_opened() {
    let (_redis, relay, respite, mut client, id, mut other) = setup();
    let other_id = other.call(&["CLIENT", "ID"]).int().to_string();
    relay.when(is_pinned, |connection| connection.pause(Direction::Up));
    client.send(&["BLPOP", "list", "0"]);
    wait_for_shown(&respite, &id, &[" flags=b ", " cmd=blpop "]);
    let connection = relay.find(is_pinned);
    other.send(&["CLIENT", "UNBLOCK", &id]);
    wait_for_shown(&respite, &other_id, &[&client_cmd("unblock")]);
    connection.resume(Direction::Up);
    assert_eq!(other.read_reply().int(), 1);
    assert!(client.read_reply().is_null());
}

#[test]
fn it_says_no_when_the_wait_ended_otherwise() {
    let (redis, relay, respite, mut client, id, mut other) = setup();
    let other_id = other.call(&["CLIENT", "ID"]).int().to_string();
    client.call(&["WATCH", "w"]).assert_ok();
    let connection = relay.find(is_pinned);
    connection.pause(Direction::Up);
    client.send(&["BLPOP", "list", "0"]);
    connection.wait_held(Direction::Up);
    wait_for_shown(&respite, &id, &[" flags=b "]);
    other.send(&["CLIENT", "UNBLOCK", &id]);
    wait_for_shown(&respite, &other_id, &[&client_cmd("unblock")]);
    redis.call(&["RPUSH", "list", "x"]);
    connection.resume(Direction::Up);
    assert_eq!(client.read_reply().strings(), ["list", "x"]);
    assert_eq!(other.read_reply().int(), 0);
}

#[test]
fn it_ends_the_wait_for_a_call_of_the_bus() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(2).start();
    let (mut client, mut other) = (respite.connect(), respite.connect());
    let id = client.call(&["CLIENT", "ID"]).int().to_string();
    client.call(&["BUS.REGISTER", "b", "m"]);
    // also a client that has a connection of its own
    for pinned in [false, true] {
        if pinned {
            client.hello3();
            client.call(&["CLIENT", "TRACKING", "ON"]).assert_ok();
        }
        client.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
        let mut answer = 0;
        wait_until("it waits", DEADLINE, || {
            answer = other.call(&["CLIENT", "UNBLOCK", &id]).int();
            answer == 1
        });
        assert!(client.read_reply().is_null());
        assert_eq!(other.call(&["CLIENT", "UNBLOCK", &id]).int(), 0);
    }
}
