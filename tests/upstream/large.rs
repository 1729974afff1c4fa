//! Requests that the backing's limits forbid: it closes the connection that they came on. Large requests and replies, and whom
//! they hold up.

use std::time::Duration;

use super::{builder, cut_before_reply, link, uncached};
use crate::support::{
    Client, DEADLINE, Direction, Random, RedisServer, Relay, Respite, encode, wait_until,
};

const MIB: usize = 1024 * 1024;

/// Two clients of one worker, the second of which has sent what is too large for the backing while
/// the reply of the first one's command was on its way.
fn too_large(redis: &RedisServer, config: &str, prepare: impl FnOnce(&Respite) -> Vec<Client>) {
    let relay = Relay::to(redis.port());
    let respite = builder(&relay.url()).config(config).start();
    let _busy = prepare(&respite);
    let (mut modest, mut large) = (respite.connect(), respite.connect());
    modest.call(&["INCR", "n"]).assert_int(1);
    let shared = link(&relay);
    shared.pause(Direction::Up);
    modest.send(&["INCR", "n"]);
    shared.wait_held(Direction::Up);
    large.send(&["SET", "large", &"x".repeat(2 * MIB)]);
    let refused = String::from_utf8(large.read_reply_raw()).expect("text");
    assert!(refused.starts_with('-'), "{refused}");
    modest.send(&["INCR", "n"]);
    shared.resume(Direction::Up);
    modest.read_reply().assert_int(2);
    modest.read_reply().assert_int(3);
    assert!(shared.is_open(), "the shared link was lost");
    modest.call(&["EXISTS", "large"]).assert_int(0);
}

#[test]
fn a_request_too_large_for_the_backing_takes_no_other_client_along() {
    for limit in ["proto-max-bulk-len", "client-query-buffer-limit"] {
        let redis = RedisServer::builder()
            .args(["--".to_owned() + limit, "1mb".into()])
            .start();
        too_large(&redis, "", |_| Vec::new());
    }
}

#[test]
fn nor_when_no_connection_of_its_own_is_left() {
    let redis = RedisServer::builder()
        .args(["--proto-max-bulk-len", "1mb"])
        .start();
    too_large(&redis, "[limits]\npinned = 1", |respite| {
        let mut blocked = respite.connect();
        blocked.send(&["SUBSCRIBE", "channel"]);
        blocked.read_reply_raw();
        vec![blocked]
    });
}

/// Others take another connection as soon as there is one.
#[test]
fn a_large_reply_does_not_hold_up_everybody() {
    const LARGE: usize = 16 << 20;
    let redis = RedisServer::start();
    redis.call(&["SETRANGE", "big", &(LARGE - 1).to_string(), "x"]);
    let relay = Relay::to(redis.port());
    let respite = uncached(&relay.url()).start();
    let mut big = respite.connect();
    big.call(&["EXISTS", "k"]);
    let link = link(&relay);
    link.hold_after(Direction::Down, 5 << 20);
    big.send(&["GET", "big"]);
    link.wait_held(Direction::Down);
    big.wait_for_bytes(3 << 20);
    wait_until("others are served", DEADLINE, || {
        let mut other = respite.connect();
        other.set_timeout(Duration::from_millis(200));
        other.send(&["SET", "k", "v"]);
        other.try_read_reply_raw().is_ok()
    });
    link.resume(Direction::Down);
    assert_eq!(big.read_reply().as_bytes().len(), LARGE);
    big.call(&["GET", "k"]).assert_str("v");
}

/// It is passed on as it came, and what is behind it in the same packet is not forgotten.
#[test]
fn a_large_request_is_passed_on_whole() {
    const LARGE: usize = 40 << 20;
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    let mut value: Vec<u8> = b"0123456789abcdef".repeat(LARGE / 16);
    value.truncate(LARGE - 7);
    let large = encode(&[b"SET".as_slice(), b"big", &value]);
    let behind = [encode(&["INCR", "n"]), encode(&["STRLEN", "big"])].concat();
    // In front of it something to wait for.
    let packet = [encode(&["INCR", "n"]), large, behind].concat();
    for round in 0..2 {
        let replies = client.exchange(&[&packet], 4).expect("replies");
        let text = |at: usize| String::from_utf8_lossy(&replies[at]).into_owned();
        assert_eq!(text(0), format!(":{}\r\n", 2 * round + 1));
        assert_eq!(text(1), "+OK\r\n");
        assert_eq!(text(2), format!(":{}\r\n", 2 * round + 2));
        assert_eq!(text(3), format!(":{}\r\n", value.len()));
    }
    assert!(redis.call(&["GET", "big"]).as_bytes() == value);
}

/// What is too large for the buffer that all share is read into one of its own, which goes on to the backing as it is.
#[test]
fn values_of_every_size_arrive_as_they_were_sent() {
    const SIZES: &[usize] = &[1, 4_000, 47_000, 49_000, 65_536, 70_000, 140_000, 520_000];
    const CLIENTS: usize = 4;
    let redis = RedisServer::start();
    let respite = uncached(&redis.url()).start();
    let mut random = Random::from_env();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let mut random = Random::with_seed(random.next());
            let mut client = respite.connect();
            scope.spawn(move || {
                for round in 0..60 {
                    let (mut packet, mut expected) = (Vec::new(), Vec::new());
                    for n in 0..random.between(1, 6) {
                        let key = format!("{number}:{n}");
                        let most = *random.pick(SIZES);
                        let size = random.between(1, most + 1);
                        let value = format!("{number}.{round}.{n};").repeat(size / 8 + 1);
                        // Whether it is the last argument that is large makes a difference.
                        packet.extend(match random.one_in(2) {
                            true => encode(&["SET", &key, &value]),
                            false => encode(&["SET", &key, &value, "EX", "1000"]),
                        });
                        expected.push(b"+OK\r\n".to_vec());
                        if random.one_in(2) {
                            packet.extend(encode(&["GET", &key]));
                            let head = format!("${}\r\n", value.len());
                            expected.push([head.as_bytes(), value.as_bytes(), b"\r\n"].concat());
                        }
                        if random.one_in(4) {
                            packet.extend(encode(&["ECHO", &key]));
                            expected.push(format!("${}\r\n{key}\r\n", key.len()).into_bytes());
                        }
                    }
                    let mut parts = vec![&packet[..]];
                    for _ in 0..random.below(4) {
                        let last = parts.pop().expect("a part");
                        let (one, other) = last.split_at(random.below(last.len()));
                        parts.extend([one, other]);
                    }
                    let replies = client.exchange(&parts, expected.len()).expect("replies");
                    assert!(replies == expected, "round {round}: another value");
                }
            });
        }
    });
}

/// It is still there when the connection is lost on which it was sent without a copy.
#[test]
fn a_large_read_is_asked_again_as_it_was() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = uncached(&relay.url()).start();
    let mut client = respite.connect();
    let keys: Vec<String> = (0..9_000).map(|n| format!("key:{n}")).collect();
    for key in keys.iter().step_by(3) {
        redis.call(&["SET", key, key]).assert_ok();
    }
    let mut command = vec!["EXISTS"];
    command.extend(keys.iter().map(String::as_str));
    assert!(encode(&command).len() > 100_000);
    client.call(&["TTL", "key:0"]);
    for _ in 0..2 {
        cut_before_reply(&link(&relay), &mut client, &command);
        client.read_reply().assert_int(3_000);
    }
}
