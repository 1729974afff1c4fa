//! Transactions: warm ones open no connection, conflicts give nil, a packet keeps its order.

use super::connections_received;
use crate::support::{Client, RedisServer, Reply, Respite, encode, escape};

const CLIENTS: usize = 5;
const ROUNDS: usize = 2_000;

#[test]
fn warm_transactions_open_no_connection() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut admin = redis.connect();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| respite.connect()).collect();
    // every client's worker needs a connection for each of its clients, and its shared link
    for client in &mut clients {
        client.call(&["GET", "warm"]);
        client.call(&["MULTI"]).assert_ok();
    }
    for client in &mut clients {
        client.call(&["EXEC"]);
    }
    let before = connections_received(&mut admin);
    std::thread::scope(|scope| {
        for (n, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || (0..ROUNDS).for_each(|round| transact(client, n, round)));
        }
    });
    assert_eq!(connections_received(&mut admin), before);
    let counted: i64 = (0..CLIENTS)
        .map(|n| admin.call(&["INCRBY", &format!("n:{n}"), "0"]).int())
        .sum();
    assert_eq!(counted, i64::try_from(CLIENTS * ROUNDS).expect("fits"));
}

fn transact(client: &mut Client, n: usize, round: usize) {
    let (counter, plain) = (format!("n:{n}"), format!("plain:{n}"));
    let (round_text, next) = (round.to_string(), round + 1);
    if round.is_multiple_of(3) {
        client.call(&["WATCH", &counter]).assert_ok();
    }
    client.call(&["SET", &plain, &round_text]).assert_ok();
    let replies = client.pipeline(&[
        &["MULTI"][..],
        &["INCR", &counter],
        &["GET", &plain],
        &["EXEC"],
    ]);
    let done = [
        Reply::Int(next.try_into().expect("fits")),
        Reply::Bulk(round_text.clone().into_bytes()),
    ];
    assert_eq!(
        replies[3],
        Reply::Array(done.into()),
        "client {n}, round {round}"
    );
    client.call(&["GET", &plain]).assert_str(&round_text);
}

#[test]
fn a_conflict_gives_nil_and_a_new_try_succeeds() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let (mut one, mut other) = (respite.connect(), respite.connect());
    for proto in ["2", "3"] {
        one.call(&["HELLO", proto]);
        for by_other in [true, false, true] {
            one.call(&["WATCH", "k"]).assert_ok();
            one.call(&["GET", "k"]);
            if by_other {
                other.call(&["SET", "k", "other"]).assert_ok();
            }
            one.call(&["MULTI"]).assert_ok();
            one.call(&["SET", "k", "one"]).assert_str("QUEUED");
            let nil: &[u8] = if proto == "2" { b"*-1\r\n" } else { b"_\r\n" };
            let expected = if by_other { nil } else { b"*1\r\n+OK\r\n" };
            assert_eq!(escape(&one.call_raw(&["EXEC"])), escape(expected));
            let value = if by_other { "other" } else { "one" };
            one.call(&["GET", "k"]).assert_str(value);
        }
        // its own write, over the shared connections, is a conflict as well
        one.call(&["WATCH", "k"]).assert_ok();
        one.call(&["SET", "k", "own"]).assert_ok();
        one.call(&["MULTI"]).assert_ok();
        assert!(one.call(&["EXEC"]).is_null());
        one.call(&["WATCH", "k"]).assert_ok();
        other.call(&["SET", "k", "again"]).assert_ok();
        one.call(&["UNWATCH"]).assert_ok();
        one.call(&["MULTI"]).assert_ok();
        assert_eq!(one.call(&["EXEC"]), Reply::Array(Vec::new()));
    }
}

#[test]
fn one_packet_replies_as_redis_does() {
    let commands: [&[&str]; 20] = [
        &["SET", "a", "1"],
        &["MULTI"],
        &["GET", "a"],
        &["EXEC"],
        &["SELECT", "2"],
        &["GET", "a"],
        &["SET", "a", "two"],
        &["WATCH", "a"],
        &["SET", "a", "2"],
        &["MULTI"],
        &["SELECT", "0"],
        &["EXEC"],
        &["GET", "a"],
        &["MULTI"],
        &["SELECT", "0"],
        &["EXEC"],
        &["GET", "a"],
        &["BLPOP", "none", "0.01"],
        &["SELECT", "2"],
        &["GET", "a"],
    ];
    let packet: Vec<u8> = commands
        .iter()
        .flat_map(|command| encode(command))
        .collect();
    let answer = |mut client: Client| {
        let mut all = Vec::new();
        // the second time over warm connections
        for _ in 0..2 {
            client.send_raw(&packet);
            commands
                .iter()
                .for_each(|_| all.extend(client.read_reply_raw()));
            client.call(&["SELECT", "0"]).assert_ok();
            client.call(&["FLUSHALL"]).assert_ok();
        }
        escape(&all)
    };
    let (alone, redis) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::in_front_of(&redis);
    assert_eq!(answer(respite.connect()), answer(alone.connect()));
}

/// Redis 7.0 writes a message that a transaction publishes to its own client into the reply of `EXEC`, and does
/// not count it there.
#[test]
fn a_message_to_oneself_in_the_reply_is_passed_on_as_it_is() {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let commands: [&[&str]; 10] = [
        &["HELLO", "3"],
        // On a connection of its own.
        &["MULTI"],
        &["SUBSCRIBE", "c"],
        &["EXEC"],
        &["MULTI"],
        &["PUBLISH", "c", "y"],
        &["CLIENT", "GETNAME"],
        &["GET", "k"],
        &["EXEC"],
        &["ECHO", "the end"],
    ];
    let [direct, through] = [redis.port(), respite.port()].map(|port| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream
            .set_read_timeout(Some(crate::support::DEADLINE))
            .expect("a timeout");
        let packet: Vec<u8> = commands.iter().flat_map(|words| encode(words)).collect();
        stream.write_all(&packet).expect("sent");
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !seen.ends_with(b"$7\r\nthe end\r\n") {
            assert_eq!(stream.read(&mut byte).expect("a reply"), 1, "closed");
            seen.push(byte[0]);
        }
        let from = seen.windows(9).position(|window| window == b"subscribe");
        seen.split_off(from.expect("subscribed"))
    });
    assert_eq!(through, direct);
}
