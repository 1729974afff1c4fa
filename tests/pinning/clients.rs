//! `CLIENT` about other clients: `UNBLOCK`, `KILL`, `PAUSE`, `LIST`, by Respite's own ids.

use std::time::{Duration, Instant};

use super::{wait_for_blocked, wait_for_shared_only};
use crate::support::{Client, DEADLINE, RedisServer, Respite, wait_until};

/// How long absence is looked for.
const MOMENT: Duration = Duration::from_millis(60);

fn id(client: &mut Client) -> String {
    client.call(&["CLIENT", "ID"]).int().to_string()
}

#[test]
fn unblock_finds_the_connection_behind_an_id() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut admin = redis.connect();
    let (mut other, mut client) = (respite.connect(), respite.connect());
    let client_id = id(&mut client);
    assert_eq!(other.call(&["CLIENT", "UNBLOCK", &client_id]).int(), 0);
    for reason in [&[][..], &["TIMEOUT"], &["ERROR"]] {
        client.send(&["BLPOP", "list", "0"]);
        wait_for_blocked(&mut admin, 1);
        let unblock = [&["CLIENT", "UNBLOCK", client_id.as_str()][..], reason].concat();
        assert_eq!(other.call(&unblock).int(), 1, "{reason:?}");
        let reply = client.read_reply();
        if reason == ["ERROR"] {
            reply.assert_error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        } else {
            assert!(reply.is_null(), "{reply:?}");
        }
        client.call(&["SET", "a", "1"]).assert_ok();
        assert_eq!(other.call(&unblock).int(), 0, "not blocked any more");
    }
    assert_eq!(other.call(&["CLIENT", "UNBLOCK", "1000000"]).int(), 0);
    // a client with a connection of its own can do it too
    client.send(&["BLPOP", "list", "0"]);
    wait_for_blocked(&mut admin, 1);
    other.call(&["WATCH", "w"]).assert_ok();
    assert_eq!(other.call(&["CLIENT", "UNBLOCK", &client_id]).int(), 1);
    assert!(client.read_reply().is_null());
}

#[test]
fn kill_ends_blocked_idle_and_own_clients() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let (mut other, mut blocked, mut idle) =
        (respite.connect(), respite.connect(), respite.connect());
    let mut multi = respite.connect();
    let ids = [&mut blocked, &mut idle, &mut multi].map(id);
    multi.call(&["MULTI"]).assert_ok();
    multi.call(&["SET", "gone", "1"]).assert_str("QUEUED");
    blocked.send(&["BLPOP", "list", "0"]);
    wait_for_blocked(&mut redis.connect(), 1);
    for id in &ids {
        assert_eq!(other.call(&["CLIENT", "KILL", "ID", id]).int(), 1);
    }
    assert!(blocked.closed() && idle.closed() && multi.closed());
    wait_for_shared_only(&redis);
    assert_eq!(redis.call(&["RPUSH", "list", "kept"]).int(), 1);
    assert_eq!(redis.call(&["LLEN", "list"]).int(), 1);

    other
        .call(&["CLIENT", "KILL", "127.0.0.1:1"])
        .assert_error("ERR No such client");
    let mut by_address = respite.connect();
    by_address.call(&["PING"]);
    other
        .call(&["CLIENT", "KILL", &by_address.local_addr()])
        .assert_ok();
    assert!(by_address.closed());
    let own = id(&mut other);
    assert_eq!(
        other.call(&["CLIENT", "KILL", "ID", &own]).int(),
        0,
        "SKIPME is the default"
    );
    assert_eq!(
        other
            .call(&["CLIENT", "KILL", "ID", &own, "SKIPME", "no"])
            .int(),
        1
    );
    assert!(other.closed());
    let mut own = respite.connect();
    let address = own.local_addr();
    own.call(&["CLIENT", "KILL", &address]).assert_ok();
    assert!(own.closed());
}

#[test]
fn pause_write_holds_writes_of_all_and_lets_reads_pass() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut clients: Vec<Client> = (0..4).map(|_| respite.connect()).collect();
    let [pausing, reader, writer, multi] = &mut clients[..] else {
        unreachable!()
    };
    writer.call(&["SET", "a", "0"]).assert_ok();
    multi.call(&["MULTI"]).assert_ok();
    multi.call(&["INCR", "a"]).assert_str("QUEUED");
    pausing
        .call(&["CLIENT", "PAUSE", "100000", "WRITE"])
        .assert_ok();
    writer.send_raw(b"GET a\r\nINCR a\r\nGET a\r\n");
    multi.send(&["EXEC"]);
    writer.read_reply().assert_str("0");
    assert!(writer.silent_for(MOMENT) && multi.silent_for(MOMENT));
    for _ in 0..20 {
        reader.call(&["GET", "a"]).assert_str("0");
        reader.call(&["PING"]).assert_str("PONG");
    }
    pausing.call(&["CLIENT", "UNPAUSE"]).assert_ok();
    let mut seen = [
        writer.read_reply().int(),
        multi.read_reply().items()[0].int(),
    ];
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
    assert!(["1", "2"].contains(&writer.read_reply().as_str()));
}

#[test]
fn pause_all_holds_everything_until_its_end() {
    const PAUSE: Duration = Duration::from_millis(300);
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let (mut pausing, mut other) = (respite.connect(), respite.connect());
    let mut blocked = respite.connect();
    blocked.send(&["BLPOP", "list", "0"]);
    wait_for_blocked(&mut redis.connect(), 1);
    let begin = Instant::now();
    let millis = PAUSE.as_millis().to_string();
    pausing.call(&["CLIENT", "PAUSE", &millis]).assert_ok();
    other.send_raw(b"PING\r\nSET a 1\r\nGET a\r\n");
    other.read_reply().assert_str("PONG");
    assert!(begin.elapsed() >= PAUSE, "the pause held nothing");
    other.read_reply().assert_ok();
    other.read_reply().assert_str("1");
    pausing.call(&["RPUSH", "list", "x"]);
    assert_eq!(blocked.read_reply().strings(), ["list", "x"]);
}

#[test]
fn list_shows_the_clients_of_all_workers() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(4).start();
    let mut clients: Vec<Client> = (0..11).map(|_| respite.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client
            .call(&["CLIENT", "SETNAME", &format!("name-{n}")])
            .assert_ok();
        client.call(&["SELECT", &n.to_string()]).assert_ok();
    }
    clients[3].call(&["MULTI"]).assert_ok();
    clients[4].call(&["SUBSCRIBE", "c"]);
    clients[5].send(&["BLPOP", "list", "0"]);
    wait_for_blocked(&mut redis.connect(), 1);
    // Its own worker says so a moment later.
    let mut list = clients[0].call(&["CLIENT", "LIST"]);
    wait_until("the blocked one is shown as such", DEADLINE, || {
        list = clients[0].call(&["CLIENT", "LIST"]);
        list.as_str().contains(" flags=b ")
    });
    let lines: Vec<&str> = list.as_str().lines().collect();
    assert_eq!(lines.len(), clients.len(), "{list:?}");
    for (n, client) in clients.iter().enumerate() {
        let address = format!(" addr={} ", client.local_addr());
        let line = lines
            .iter()
            .find(|line| line.contains(&address))
            .expect("in the list");
        assert!(line.contains(&format!(" name=name-{n} ")), "{line}");
        assert!(line.contains(&format!(" db={n} ")), "{line}");
        let flags = match n {
            3 => "x",
            4 => "P",
            5 => "b",
            _ => "N",
        };
        assert!(line.contains(&format!(" flags={flags} ")), "{line}");
    }
}

#[test]
fn a_killed_client_is_gone_when_its_killer_is_told() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(2).start();
    let mut killer = respite.connect();
    let mut rounds = 0;
    while rounds < 300 {
        let mut victims: Vec<Client> = (0..4).map(|_| respite.connect()).collect();
        for victim in &mut victims {
            let id = id(victim);
            let shown = format!("id={id} ");
            let replies = killer.pipeline(&[
                &["CLIENT", "KILL", "ID", &id][..],
                &["CLIENT", "LIST"],
                &["CLIENT", "KILL", "ID", &id],
                &["CLIENT", "UNBLOCK", &id],
                &["CLIENT", "TRACKING", "ON", "REDIRECT", &id],
            ]);
            assert_eq!(replies[0].int(), 1);
            let list = replies[1].as_str();
            assert!(!list.lines().any(|line| line.starts_with(&shown)), "{list}");
            assert_eq!((replies[2].int(), replies[3].int()), (0, 0));
            replies[4].assert_error("ERR The client ID you want redirect to does not exist");
            rounds += 1;
        }
    }
}
