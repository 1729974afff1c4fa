//! Malformed and hostile bytes: what a client gets is what Redis says, byte for byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::support::{DEADLINE, Random, RedisServer, Respite, encode, escape};

/// How often an answer that a reset may have cut short is asked for again.
const TRIES: usize = 20;
/// What both protect against comes after this many bytes without a line end.
const TOO_LONG: usize = 66_000;
const ROUNDS: usize = 600;

/// All that comes back for `bytes` until the server closes, and whether it closed by itself: with
/// `end` the client says that nothing follows.
fn answer(port: u16, bytes: &[u8], end: bool) -> String {
    for _ in 0..TRIES {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("set_read_timeout");
        // a server may have closed already
        let sent = stream.write_all(bytes);
        if end && sent.is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut all = Vec::new();
        match stream.read_to_end(&mut all) {
            Ok(_) => return escape(&all),
            // input that the server had not read: the reset may have overtaken the reply
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}: {} to {}", escape(&all), escape(bytes)),
        }
    }
    panic!("always reset: {}", escape(bytes));
}

#[test]
fn protocol_errors_are_those_of_redis_and_close() {
    if RedisServer::parses_otherwise() {
        return;
    }
    let long = "1".repeat(TOO_LONG);
    let inputs: Vec<Vec<u8>> = [
        "*abc\r\n",
        "*\r\n",
        "*1x\r\n",
        "* 1\r\n",
        "*+1\r\n",
        "*2147483648\r\n",
        "*9223372036854775808\r\n",
        "*-9223372036854775809\r\n",
        "*1\r\nPING\r\n",
        "*1\r\n+PING\r\n",
        "*2\r\n$4\r\nECHO\r\n:5\r\n",
        "*1\r\n\r\n\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$\r\n",
        "*1\r\n$abc\r\n",
        "*1\r\n$4x\r\nPING\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$9223372036854775808\r\n",
        "PING\r\nGET a\r\n*1\r\n$4\r\nPING\r\n*x\r\nPING\r\n",
        "SET a \"unbalanced\r\n",
        "SET a 'unbalanced\r\n",
        "SET a \"x\"y\r\n",
        "GET 'a'b\n",
        "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    .iter()
    .map(|input| input.as_bytes().to_vec())
    .chain([
        format!("*{long}").into_bytes(),
        format!("*1\r\n${long}").into_bytes(),
        long.into_bytes(),
        b"*1\r\n\xfc\r\n".to_vec(),
    ])
    .collect();
    let (alone, redis) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::builder().upstream(&redis.url()).workers(1).start();
    let mut other = respite.connect();
    for input in &inputs {
        let expected = answer(alone.port(), input, false);
        assert_eq!(
            answer(respite.port(), input, false),
            expected,
            "{}",
            escape(input)
        );
        other.call(&["SET", "other", "goes on"]).assert_ok();
    }
}

#[test]
fn truncated_and_odd_input_is_taken_as_redis_takes_it() {
    if RedisServer::parses_otherwise() {
        return;
    }
    let inputs: [&[u8]; 18] = [
        b"*1\r\n\xff\x00\r\n",
        b"*1\r\n\x00\xff\r\n",
        b"",
        b"\r\n\r\n\nPING\r\n",
        b"*0\r\nPING\r\n",
        b"*-1\r\nPING\r\n",
        b"*1\r\n$0\r\n\r\nPING\r\n",
        b"*1\r\n$4\r\nPINGxxPING\r\n",
        b"PING",
        b"*2\r\n$4\r\nECHO\r\n$5\r\nab",
        b"PING\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\nhalf",
        b"SET a \"\\x41\\n\"\r\nGET a\r\n",
        b"   ECHO    hi   \r\n",
        b"ECHO hi\n",
        b"ECHO \"\"\r\n",
        b"\x00\r\n",
        b"*1\r\n$7\r\nUNKN\xffWN\r\n",
        b"*2\r\n$03\r\nGET\r\n$1\r\na\r\n",
    ];
    let (alone, redis) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::in_front_of(&redis);
    for input in inputs {
        let expected = answer(alone.port(), input, true);
        assert_eq!(
            answer(respite.port(), input, true),
            expected,
            "{}",
            escape(input)
        );
    }
    assert_eq!(redis.call(&["GET", "a"]), alone.call(&["GET", "a"]));
}

#[test]
fn random_garbage_is_answered_as_redis_answers_it() {
    if RedisServer::parses_otherwise() {
        return;
    }
    let mut random = Random::from_env();
    eprintln!("RESPITE_SEED={}", random.seed());
    let (alone, redis) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::in_front_of(&redis);
    let mut other = respite.connect();
    for _ in 0..ROUNDS {
        let input = garbage(&mut random);
        let expected = answer(alone.port(), &input, true);
        assert_eq!(
            answer(respite.port(), &input, true),
            expected,
            "{}",
            escape(&input)
        );
    }
    other.call(&["SET", "other", "goes on"]).assert_ok();
}

/// Bytes that look like the protocol here and there.
fn garbage(random: &mut Random) -> Vec<u8> {
    const PIECES: &[&[u8]] = &[
        b"*",
        b"$",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"1",
        b"2",
        b"3",
        b"-",
        b"\"",
        b"'",
        b" ",
        b"\\x4",
        b"*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
        b"*1\r\n",
        b"$4\r\nPING\r\n",
        b"GET a",
        b"SET a b",
        b"ECHO",
        b"+OK\r\n",
    ];
    let mut bytes = Vec::new();
    for _ in 0..random.between(1, 12) {
        if random.one_in(6) {
            bytes.extend((0..random.between(1, 6)).map(|_| random.below(256) as u8));
        } else {
            let piece: &&[u8] = random.pick(PIECES);
            bytes.extend_from_slice(piece);
        }
    }
    bytes
}

#[test]
fn limits_on_requests_and_arguments_are_clear_errors() {
    let redis = RedisServer::start();
    let config = "[limits]\nbulk_bytes = 1000\nrequest_bytes = 5000";
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(config)
        .start();
    let mut other = respite.connect();
    let (fits, too_large) = ("x".repeat(1000), "x".repeat(1001));
    other.call(&["SET", "k", &fits]).assert_ok();
    for _ in 0..3 {
        let mut client = respite.connect();
        client
            .call(&["SET", "k", &too_large])
            .assert_error("ERR Protocol error: invalid bulk length");
        assert!(client.closed());
        let mut client = respite.connect();
        let many = [&["DEL"][..], &[fits.as_str(); 5]].concat();
        client.send_raw(&encode(&["SET", "k", "1"]));
        client.send(&many);
        client.read_reply().assert_ok();
        client
            .read_reply()
            .assert_error("ERR Protocol error: request is larger than limits.request_bytes");
        assert!(client.closed());
        // nothing is kept of what is announced
        let mut client = respite.connect();
        client.send_raw(b"*2147483647\r\n$100\r\n");
        drop(client);
    }
    other.call(&["GET", "k"]).assert_str("1");
}
