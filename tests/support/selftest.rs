//! Tests of the tools themselves: a tool that lies makes every other test worthless.

use super::{Client, Direction, RedisServer, Relay, Respite, escape};

#[test]
fn relay_holds_splits_and_cuts() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let mut client = Client::connect(relay.port());
    client.call(&["SET", "a", "1"]).assert_ok();
    let connection = relay.find(|bytes| bytes.starts_with(b"*3\r\n$3\r\nSET"));

    connection.pause(Direction::Down);
    client.send(&["GET", "a"]);
    connection.wait_held(Direction::Down);
    connection.hold_after(Direction::Down, 5);
    connection.resume(Direction::Down);
    client.read_reply().assert_str("1");

    connection.hold_before(Direction::Down, b"$5\r\n");
    client.send_raw(b"PING\r\nECHO hello\r\n");
    client.read_reply().assert_str("PONG");
    connection.wait_held(Direction::Down);
    connection.resume(Direction::Down);
    client.read_reply().assert_str("hello");

    relay.split(Some(3));
    let long = "x".repeat(1000);
    client.call(&["ECHO", &long]).assert_str(&long);
    assert_eq!(relay.accepted(), 1);

    connection.cut();
    assert!(client.closed());
    assert!(!connection.is_open());
}

#[test]
fn relay_refuses_and_swallows() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    relay.when(
        |bytes| bytes.starts_with(b"ECHO"),
        |connection| connection.pause(Direction::Up),
    );
    let mut first = Client::connect(relay.port());
    relay.connection(0);
    relay.refuse();
    assert!(Client::try_connect(relay.port()).is_err());
    first.send_raw(b"PING\r\n");
    first.read_reply().assert_str("PONG");
    relay.accept();
    let mut second = Client::connect(relay.port());
    second.send_raw(b"ECHO held\r\n");
    let connection = relay.connection(1);
    connection.wait_held(Direction::Up);
    assert_eq!(connection.forwarded(Direction::Up), 0);
    connection.resume(Direction::Up);
    second.read_reply().assert_str("held");
    relay.black_hole(true);
    let mut third = Client::connect(relay.port());
    third.send_raw(b"PING\r\n");
    assert!(third.silent_for(std::time::Duration::from_millis(30)));
    relay.cut_all();
    assert!(first.closed() && second.closed() && third.closed());
}

#[test]
fn redis_keeps_its_port() {
    let mut redis = RedisServer::start();
    let port = redis.port();
    redis.call(&["SET", "a", "1"]).assert_ok();
    redis.kill();
    assert!(Client::try_connect(port).is_err());
    redis.restart();
    assert_eq!(redis.port(), port);
    assert!(redis.call(&["GET", "a"]).is_null());
    let unix = RedisServer::builder()
        .unix()
        .args(["--maxmemory", "10mb"])
        .start();
    unix.call(&["CONFIG", "GET", "maxmemory"])
        .field("maxmemory")
        .assert_str("10485760");
}

#[test]
fn client_reads_deep_pipelines() {
    let redis = RedisServer::start();
    let mut client = redis.connect();
    let big = vec![b'v'; 1 << 20];
    assert_eq!(client.call(&[b"ECHO".as_slice(), &big]).as_bytes(), big);
    let echo: &[&[u8]] = &[b"ECHO", &big[..1000]];
    let replies = client.pipeline(&vec![echo; 20_000]);
    assert!(replies.iter().all(|reply| reply.as_bytes() == &big[..1000]));
    client.hello3().field("proto").int();
    assert_eq!(
        format!("{:?}", client.call(&["CONFIG", "GET", "port"])),
        format!("{{\"port\": \"{}\"}}", redis.port())
    );
    client.send_raw(b"*1\r\n:1\r\n");
    client
        .read_reply()
        .assert_error("ERR Protocol error: expected '$', got ':'");
    assert!(client.closed());
    assert_eq!(escape(b"a\r\n\xff"), "a\\r\\n\\xff");
}

#[test]
fn respite_starts_and_stops() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    respite.call(&["SET", "a", "1"]).assert_ok();
    redis.call(&["GET", "a"]).assert_str("1");
    let stopped = respite.stop();
    assert!(stopped.status.success(), "{stopped:?}");
}
