//! Counts: clients, requests in flight, idle time.

use std::time::{Duration, Instant};

use crate::support::{
    Client, DEADLINE, RedisServer, Reply, Respite, RespiteBuilder, encode, wait_until,
};

fn builder(redis: &RedisServer, config: &str) -> RespiteBuilder {
    Respite::builder().upstream(&redis.url()).config(config)
}

#[test]
fn one_client_too_many_is_told_and_others_get_the_place_later() {
    let redis = RedisServer::start();
    let respite = builder(&redis, "[limits]\nclients = 3").start();
    let mut clients: Vec<Client> = Vec::new();
    wait_until("three clients are in", DEADLINE, || {
        // the one that asked whether Respite is there may still be counted
        let mut client = respite.connect();
        if !client.call(&["PING"]).is_error() {
            clients.push(client);
        }
        clients.len() == 3
    });
    for _ in 0..3 {
        let mut refused = respite.connect();
        refused
            .read_reply()
            .assert_error("ERR max number of clients reached");
        assert!(refused.closed());
    }
    clients[0].call(&["SET", "a", "1"]).assert_ok();
    clients.pop();
    wait_until("there is a place again", DEADLINE, || {
        let mut client = respite.connect();
        client.try_send_raw(&encode(&["GET", "a"])).is_ok()
            && client
                .try_read_reply_raw()
                .is_ok_and(|reply| reply == b"$1\r\n1\r\n")
    });
}

/// All ways that a command can go, with the reply it gets.
fn mixed(n: usize) -> (Vec<u8>, Vec<Reply>) {
    let word = format!("word-{n}");
    let ok = || Reply::Simple(b"OK".to_vec());
    let bulk = || Reply::Bulk(word.clone().into_bytes());
    let queued = || Reply::Simple(b"QUEUED".to_vec());
    let (key, list) = (format!("k:{n}"), format!("l:{n}"));
    match n % 7 {
        0 | 1 => (encode(&["SET", &key, &word]), vec![ok()]),
        2 => (encode(&["ECHO", &word]), vec![bulk()]),
        3 => {
            let packet = [
                encode(&["MULTI"]),
                encode(&["SET", &key, &word]),
                encode(&["GET", &key]),
                encode(&["EXEC"]),
            ];
            let done = Reply::Array(vec![ok(), bulk()]);
            (packet.concat(), vec![ok(), queued(), queued(), done])
        }
        4 => {
            let packet = [
                encode(&["RPUSH", &list, &word]),
                encode(&["BLPOP", &list, "0"]),
            ];
            let popped = Reply::Array(vec![Reply::Bulk(list.into_bytes()), bulk()]);
            (packet.concat(), vec![Reply::Int(1), popped])
        }
        5 => (encode(&["CLIENT", "SETNAME", &word]), vec![ok()]),
        _ => (
            encode(&["CLIENT", "GETNAME"]),
            vec![Reply::Bulk(format!("word-{}", n - 1).into_bytes())],
        ),
    }
}

fn run_mixed(mut client: Client, from: usize, count: usize) {
    let (packets, expected): (Vec<_>, Vec<_>) = (from..from + count).map(mixed).unzip();
    let expected = expected.concat();
    let replies = client
        .exchange(&[&packets.concat()], expected.len())
        .expect("all replies");
    for (at, (raw, expected)) in replies.iter().zip(&expected).enumerate() {
        assert_eq!(Reply::parse(raw), *expected, "reply {at}");
    }
}

#[test]
fn two_requests_in_flight_answer_a_deep_pipeline_in_order() {
    let redis = RedisServer::start();
    let respite = builder(&redis, "[limits]\nclient_in_flight = 2").start();
    run_mixed(respite.connect(), 0, 2_100);
    let respite = builder(&redis, "[limits]\nclient_in_flight = 1").start();
    run_mixed(respite.connect(), 0, 700);
}

#[test]
fn few_requests_for_the_backing_serve_many_clients() {
    const CLIENTS: usize = 8;
    const EACH: usize = 700;
    let redis = RedisServer::start();
    for most in [1, 3] {
        let respite = builder(&redis, &format!("[limits]\nupstream_in_flight = {most}"))
            .workers(1)
            .start();
        std::thread::scope(|scope| {
            for n in 0..CLIENTS {
                let client = respite.connect();
                scope.spawn(move || run_mixed(client, n * EACH, EACH));
            }
        });
    }
}

#[test]
fn silent_clients_are_closed_and_waiting_ones_are_not() {
    const IDLE: Duration = Duration::from_millis(400);
    let redis = RedisServer::start();
    let respite = builder(&redis, "[timeouts]\nidle = \"400ms\"").start();
    let (mut blocked, mut subscriber) = (respite.connect(), respite.connect());
    subscriber.call(&["SUBSCRIBE", "c"]);
    blocked.send(&["BLPOP", "list", "0"]);
    let begin = Instant::now();
    let mut silent = respite.connect();
    silent.call(&["PING"]);
    assert!(silent.closed());
    assert!(begin.elapsed() >= IDLE, "closed too early");
    let mut other = respite.connect();
    for _ in 0..3 {
        assert!(other.call(&["BLPOP", "none", "0.3"]).is_null());
    }
    other.call(&["RPUSH", "list", "x"]);
    assert_eq!(blocked.read_reply().strings(), ["list", "x"]);
    redis.call(&["PUBLISH", "c", "m"]);
    subscriber.read_reply().items()[2].assert_str("m");
}
