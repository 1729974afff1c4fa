//! Replies that arrive in pieces reach those who asked.

use super::{builder, link};
use crate::support::{Client, Direction, RedisServer, Relay};

#[test]
fn a_batch_split_in_the_middle_takes_no_reply_of_the_next() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = builder(&relay.url()).start();
    for word in ["a", "b", "c"] {
        redis.call(&["SET", word, word]).assert_ok();
    }
    let (mut one, mut other) = (respite.connect(), respite.connect());
    one.call(&["GET", "warm"]);
    let link = link(&relay);
    // each reply is 7 bytes: the cut goes through each of the four, and between them
    for through in 1..28 {
        link.hold_after(Direction::Down, through);
        one.send_raw(&b"GET a\r\n".repeat(4));
        link.wait_held(Direction::Down);
        other.send_raw(&b"GET b\r\n".repeat(4));
        one.send_raw(b"GET c\r\n");
        let arrived = 9 * 7;
        let before = link.forwarded(Direction::Down) - through as u64;
        crate::support::wait_until("all replies are here", crate::support::DEADLINE, || {
            link.received(Direction::Down) == before + arrived
        });
        link.resume(Direction::Down);
        for (client, words) in [(&mut one, "aaaac"), (&mut other, "bbbb")] {
            for word in words.chars() {
                client.read_reply().assert_str(&word.to_string());
            }
        }
    }
}

#[test]
fn chunks_of_any_size_keep_the_order() {
    const CLIENTS: usize = 6;
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    relay.split(Some(60));
    let respite = builder(&relay.url()).start();
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let client = respite.connect();
            scope.spawn(move || write_and_read(client, n));
        }
    });
}

fn write_and_read(mut client: Client, n: usize) {
    for round in 0..150 {
        let words: Vec<String> = (0..1 + (round + n) % 12)
            .map(|at| format!("{n}:{round}:{at}"))
            .collect();
        let packet: String = words
            .iter()
            .map(|word| format!("SET {word} x{word}\r\nGET {word}\r\n"))
            .collect();
        client.send_raw(packet.as_bytes());
        for word in &words {
            client.read_reply().assert_ok();
            client.read_reply().assert_str(&format!("x{word}"));
        }
    }
}
