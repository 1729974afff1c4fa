//! What waits for a client: all of it reaches whoever reads, in whatever order requests and replies are moved.

use std::time::Duration;

use super::{MIB, PATIENCE, highest, memory};
use crate::support::{Client, RedisServer, Respite, encode};

const LARGE: usize = 100_000;

#[track_caller]
fn read_bulks(client: &mut Client, count: usize, bytes: usize) {
    for n in 0..count {
        let reply = client
            .try_read_reply_raw()
            .unwrap_or_else(|error| panic!("reply {n}: {error:.100}"));
        assert_eq!(
            reply.len(),
            format!("${bytes}\r\n").len() + bytes + 2,
            "reply {n}"
        );
    }
}

fn patient(respite: &Respite) -> Client {
    let client = respite.connect();
    client.set_timeout(PATIENCE);
    client
}

/// A window learnt from small replies must not let in any number of large ones.
#[test]
fn a_prompt_reader_of_large_replies_behind_small_ones_gets_them_all_in_bounded_memory() {
    const COUNT: usize = 600;
    let redis = RedisServer::start();
    let config = "[limits]\nclient_output_bytes = \"64MiB\"";
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(config)
        .start();
    let value = "x".repeat(MIB);
    for n in 0..8 {
        redis.call(&["SET", &format!("big:{n}"), &value]);
    }
    let small: Vec<u8> = (0..COUNT)
        .flat_map(|n| encode(&["SET", &format!("s:{n}"), "1"]))
        .collect();
    let large: Vec<u8> = (0..COUNT)
        .flat_map(|n| encode(&["GET", &format!("big:{}", n % 8)]))
        .collect();
    let mut client = patient(&respite);
    client
        .sending(&[&small, &large], |client| {
            (0..COUNT).for_each(|_| client.read_reply().assert_ok());
            read_bulks(client, COUNT, MIB);
            Ok(())
        })
        .expect("all replies");
    assert!(highest(&respite) < 200 * MIB, "{} bytes", highest(&respite));
}

/// As most client libraries do it: nothing is read before everything is sent.
#[track_caller]
fn send_all_then_read(respite: &Respite, pairs: usize, prelude: &[&[&str]], key: &str) {
    let mut client = patient(respite);
    for command in prelude {
        client.call(command);
    }
    let value = "y".repeat(LARGE);
    let pair = [encode(&["GET", key]), encode(&["SET", "other", &value])].concat();
    client.send_raw(&pair.repeat(pairs));
    for _ in 0..pairs {
        read_bulks(&mut client, 1, LARGE);
        client.read_reply().assert_ok();
    }
    client.call(&["PING"]).assert_str("PONG");
}

#[test]
fn a_client_may_send_all_before_it_reads() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    redis.call(&["SET", "large", &"x".repeat(LARGE)]);
    send_all_then_read(&respite, 300, &[], "large");
    let pinned: [&[&str]; 2] = [&["WATCH", "w"], &["CLIENT", "NO-TOUCH", "ON"]];
    send_all_then_read(&respite, 300, &pinned[..1], "large");
    send_all_then_read(
        &respite,
        300,
        &[&["HELLO", "3"], &["CLIENT", "TRACKING", "ON"]],
        "large",
    );
    send_all_then_read(&respite, 300, &[&["CLIENT", "REPLY", "ON"]], "large");
}

/// Replies made here, by a family and by the cache, beside requests that are larger than what is read ahead.
#[test]
fn a_client_may_send_large_requests_among_replies_of_every_kind_before_it_reads() {
    const ROUNDS: usize = 40;
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    redis.call(&["SET", "large", &"x".repeat(LARGE)]);
    let mut client = patient(&respite);
    read_bulks_of(&mut client, &["GET", "large"]);
    let value = "y".repeat(3 * MIB);
    let round = [
        encode(&["GET", "large"]),
        encode(&["ECHO", &"z".repeat(LARGE)]),
        encode(&["GET", "large"]).repeat(5),
        encode(&["SET", "other", &value]),
        encode(&["CACHE.STATS"]),
        encode(&["MULTI"]),
        encode(&["GET", "large"]),
        encode(&["EXEC"]),
        encode(&["EVAL", "return redis.call('GET', 'large')", "0"]),
        encode(&["STRLEN", "other"]),
    ];
    client.send_raw(&round.concat().repeat(ROUNDS));
    for _ in 0..ROUNDS {
        read_bulks(&mut client, 7, LARGE);
        client.read_reply().assert_ok();
        assert!(!client.read_reply().is_error());
        client.read_reply().assert_ok();
        client.read_reply().assert_str("QUEUED");
        assert_eq!(client.read_reply().items()[0].as_bytes().len(), LARGE);
        read_bulks(&mut client, 1, LARGE);
        assert_eq!(
            client.read_reply().int(),
            i64::try_from(3 * MIB).expect("small")
        );
    }
}

#[track_caller]
fn read_bulks_of(client: &mut Client, command: &[&str]) {
    client.send(command);
    read_bulks(client, 1, LARGE);
}

#[test]
fn a_client_that_sends_and_never_reads_is_cut_off_at_the_limit() {
    let redis = RedisServer::start();
    let config = "[limits]\nclient_output_bytes = \"16MiB\"";
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .config(config)
        .start();
    redis.call(&["SET", "large", &"x".repeat(LARGE)]);
    let mut client = respite.connect();
    let address = client.local_addr();
    let pair = [
        encode(&["GET", "large"]),
        encode(&["SET", "other", &"y".repeat(LARGE)]),
    ]
    .concat();
    assert!(
        client.try_send_raw(&pair.repeat(2_000)).is_err(),
        "it was not cut off"
    );
    let line = respite.expect_log("limits.client_output_bytes");
    assert!(line.contains(&address), "{line}");
    assert!(highest(&respite) < 150 * MIB, "{} bytes", highest(&respite));
}

/// What Respite itself keeps back, for a fence or until a fetch is whole, is not left unread by the client.
#[test]
fn one_reply_may_be_larger_than_what_is_kept_for_a_client() {
    const BYTES: usize = 48 * MIB;
    let redis = RedisServer::start();
    let config = "[limits]\nclient_output_bytes = \"4MiB\"";
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(config)
        .start();
    redis.call(&["SETRANGE", "huge", &(BYTES - 1).to_string(), "x"]);
    let script = encode(&["EVAL", "return redis.call('GET', 'huge')", "0"]);
    let in_transaction = [encode(&["MULTI"]), script.clone(), encode(&["EXEC"])].concat();
    for hello in [2, 3] {
        let mut client = patient(&respite);
        client.call(&["HELLO", &hello.to_string()]);
        client.send(&["GET", "huge"]);
        read_bulks(&mut client, 1, BYTES);
        client.send(&["GETRANGE", "huge", "0", "-1"]);
        read_bulks(&mut client, 1, BYTES);
        client.send_raw(&script);
        read_bulks(&mut client, 1, BYTES);
        client.send_raw(&in_transaction);
        client.read_reply().assert_ok();
        client.read_reply().assert_str("QUEUED");
        assert_eq!(client.read_reply().items()[0].as_bytes().len(), BYTES);
        client.call(&["CLIENT", "TRACKING", "ON"]);
        client.send(&["GET", "huge"]);
        read_bulks(&mut client, 1, BYTES);
    }
    // one that does something else first is no different
    let mut late = patient(&respite);
    late.send_raw(&script);
    std::thread::sleep(Duration::from_secs(2));
    read_bulks(&mut late, 1, BYTES);
    assert!(
        memory(&respite, "VmHWM:") < 400 * MIB,
        "{} bytes",
        highest(&respite)
    );
}
