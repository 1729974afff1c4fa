//! The HTTP listener: alive, ready.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{DEADLINE, RedisServer, Respite, wait_until};

/// The status and the body of `GET path`.
fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect to HTTP");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("set_read_timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("send");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    let (head, body) = response.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), body.to_owned())
}

#[test]
fn it_says_whether_it_is_alive_and_of_use() {
    let mut redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .http()
        .allow_log("backing not usable")
        .start();
    let port = respite.http_port();
    assert_eq!(get(port, "/health"), (200, "alive\n".to_owned()));
    assert_eq!(get(port, "/ready"), (200, "ready\n".to_owned()));
    assert_eq!(get(port, "/nothing").0, 404);
    redis.kill();
    wait_until("/ready notices the loss", DEADLINE, || {
        get(port, "/ready").0 == 503
    });
    assert_eq!(get(port, "/health").0, 200);
    redis.restart();
    wait_until("/ready notices the return", DEADLINE, || {
        get(port, "/ready").0 == 200
    });
}

#[test]
fn a_start_without_the_backing_is_alive_and_not_ready() {
    let mut redis = RedisServer::start();
    let url = redis.url();
    redis.kill();
    let respite = Respite::builder()
        .upstream(&url)
        .http()
        .config("timeouts.connect = \"100ms\"")
        .allow_log("backing not usable")
        .start();
    let port = respite.http_port();
    assert_eq!((get(port, "/health").0, get(port, "/ready").0), (200, 503));
    let mut client = respite.connect();
    client.call(&["GET", "a"]).assert_error("UPSTREAM ");
    redis.restart();
    wait_until("/ready notices it", DEADLINE, || {
        get(port, "/ready").0 == 200
    });
    wait_until("the same client is served", DEADLINE, || {
        client.call(&["GET", "a"]).is_null()
    });
}
