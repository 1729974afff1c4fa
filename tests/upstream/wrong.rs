//! A backing that says what it should not: the connection is replaced, nobody is misled.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::{builder, contains, wait_for_service};
use crate::support::{RedisServer, Respite};

/// What is said instead of the answer to a chunk of requests that contains the word.
type Script = &'static [(&'static str, fn() -> Vec<u8>)];

/// Stands in front of a real server and replaces some of its answers; lives as long as the test process.
fn impostor(redis: &RedisServer, script: Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("bound");
    let upstream = redis.addr();
    std::thread::spawn(move || {
        for down in listener.incoming().map_while(Result::ok) {
            let up = TcpStream::connect(&upstream);
            let Ok(up) = up else { return };
            std::thread::spawn(move || serve(down, up, script));
        }
    });
    format!("redis://{address}")
}

fn serve(mut down: TcpStream, mut up: TcpStream, script: Script) -> std::io::Result<()> {
    let (mut from_up, mut to_down) = (up.try_clone()?, down.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from_up, &mut to_down));
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let len = down.read(&mut chunk)?;
        if len == 0 {
            return up.shutdown(std::net::Shutdown::Both);
        }
        match script
            .iter()
            .find(|(word, _)| contains(&chunk[..len], word.as_bytes()))
        {
            Some((_, answer)) => down.write_all(&answer())?,
            None => up.write_all(&chunk[..len])?,
        }
    }
}

const SCRIPT: Script = &[
    ("say-garbage", || b"?what is this\r\n".to_vec()),
    ("say-nothing-known", || b"\x00\xff\x00\xff".to_vec()),
    ("say-a-bad-length", || b"$-7\r\nabc\r\n".to_vec()),
    ("say-a-bad-end", || b"$3\r\nabcdef\r\n".to_vec()),
    ("say-more", || b"$4\r\ntrue\r\n$5\r\nwrong\r\n".to_vec()),
    ("say-a-push", || {
        b"$4\r\ntrue\r\n>2\r\n$5\r\nwrong\r\n$5\r\nwrong\r\n".to_vec()
    }),
    ("say-it-deep", || b"*1\r\n".repeat(20_000)),
    ("say-a-huge-count", || b"*9223372036854775807\r\n".to_vec()),
    ("say-a-huge-bulk", || b"$9223372036854775807\r\n".to_vec()),
    ("say-an-endless-line", || {
        b"+aaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(5_000)
    }),
];

fn setup() -> (RedisServer, Respite) {
    let redis = RedisServer::start();
    redis.call(&["SET", "k", "right"]).assert_ok();
    let url = impostor(&redis, SCRIPT);
    let config = "[timeouts]\nconnect = \"2s\"\nreply = \"1s\"";
    let respite = builder(&url).config(config).start();
    (redis, respite)
}

/// The tests' own reading of replies is recursive, and some are deep.
fn with_a_deep_stack(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(1 << 30);
    thread
        .spawn(test)
        .expect("a thread")
        .join()
        .expect("the test failed");
}

#[test]
fn garbage_on_a_shared_connection_harms_nobody_else() {
    with_a_deep_stack(on_a_shared_connection);
}

#[test]
fn garbage_on_a_pinned_connection_harms_nobody_else() {
    with_a_deep_stack(on_a_pinned_connection);
}

fn on_a_shared_connection() {
    let (_redis, respite) = setup();
    let mut other = respite.connect();
    other.call(&["GET", "k"]).assert_str("right");
    for (word, _) in SCRIPT {
        eprintln!("{word}");
        // each lost connection makes the next attempt wait longer: not more of them than needed
        let commands = if word.contains("garbage") {
            &["GET", "INCR"][..]
        } else {
            &["INCR"]
        };
        for command in commands {
            let mut client = respite.connect();
            client.send(&[*command, *word]);
            match client.try_read_reply_raw() {
                Ok(reply) if reply == b"$4\r\ntrue\r\n" => {
                    assert!(["say-more", "say-a-push"].contains(word));
                    client.call(&["GET", "k"]).assert_str("right");
                }
                Ok(reply) => {
                    assert!(
                        reply.starts_with(b"-UPSTREAM "),
                        "{word}: {:?}",
                        crate::support::escape(&reply)
                    );
                    wait_for_service(&mut client);
                }
                // what was begun cannot be taken back
                Err(error) => assert!(error.starts_with("closed"), "{word}: {error}"),
            }
            wait_for_service(&mut other);
            other.call(&["GET", "k"]).assert_str("right");
        }
    }
}

fn on_a_pinned_connection() {
    let (_redis, respite) = setup();
    for (word, _) in SCRIPT {
        eprintln!("{word}");
        let mut client = respite.connect();
        client.call(&["MULTI"]).assert_ok();
        client.send(&["GET", word]);
        if let Ok(reply) = client.try_read_reply_raw() {
            let said = reply == b"$4\r\ntrue\r\n";
            assert!(
                said || reply.starts_with(b"-UPSTREAM "),
                "{word}: {:?}",
                crate::support::escape(&reply)
            );
            client.call(&["EXEC"]).assert_error("UPSTREAM ");
            client.call(&["GET", "k"]).assert_str("right");
        }
        let mut blocked = respite.connect();
        blocked.send(&["BRPOP", word, "1"]);
        if blocked.try_read_reply_raw().is_ok() {
            blocked.call(&["WATCH", "k"]);
            wait_for_service(&mut blocked);
            blocked.call(&["GET", "k"]).assert_str("right");
        }
        let mut next = respite.connect();
        let replies = next.pipeline(&[&["MULTI"][..], &["GET", "k"], &["EXEC"]]);
        replies[2].items()[0].assert_str("right");
    }
}
