//! Protected mode: who listens everywhere and asks for no password serves this host alone.

use std::net::{IpAddr, UdpSocket};

use super::{ROOT, config};
use crate::support::{Client, RedisServer, Respite};

/// An address of this host that is not loopback. Connecting a datagram socket sends nothing.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

/// Starts one that also listens on `host`.
fn listening(redis: &RedisServer, host: &str, toml: &str) -> (Respite, u16) {
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .config(toml)
        .arg("--listen")
        .arg(&format!("{host}:0"))
        .start();
    let line = respite.expect_log(&format!("redis://{host}:"));
    let (_, port) = line.rsplit_once(':').expect("HOST:PORT");
    let port = port.parse().expect("a port");
    (respite, port)
}

fn first_reply(address: IpAddr, port: u16) -> Vec<u8> {
    let mut client = Client::try_connect_to(address, port).expect("connect to an own address");
    let _ = client.try_send_raw(b"PING\r\n"); // it may have been turned away already
    client.read_reply_raw()
}

#[test]
fn listening_everywhere_without_users_refuses_other_hosts() {
    let Some(own) = own_address() else {
        eprintln!("left out: this host has no address but loopback");
        return;
    };
    let redis = RedisServer::start();
    let (respite, port) = listening(&redis, "0.0.0.0", "");
    let loopback = "127.0.0.1".parse().expect("an address");
    assert_eq!(first_reply(loopback, port), b"+PONG\r\n");
    let mut turned_away = Client::try_connect_to(own, port).expect("connect to an own address");
    let text = turned_away.read_reply();
    text.assert_error("DENIED Respite is running in protected mode");
    assert!(text.error().contains("access.protected_mode"));
    assert!(turned_away.closed());
    let info = respite.call(&["INFO", "respite"]);
    assert!(info.as_str().contains("rejected_connections:1\r\n"));
}

#[test]
fn users_an_explicit_address_or_the_switch_let_other_hosts_in() {
    let Some(own) = own_address() else {
        eprintln!("left out: this host has no address but loopback");
        return;
    };
    let redis = RedisServer::start();
    let (_respite, port) = listening(&redis, "0.0.0.0", &config(&[ROOT]));
    assert!(first_reply(own, port).starts_with(b"-NOAUTH "));
    let (_respite, port) = listening(&redis, &own.to_string(), "");
    assert_eq!(first_reply(own, port), b"+PONG\r\n");
    let off = "access.protected_mode = false";
    let (mut respite, port) = listening(&redis, "0.0.0.0", off);
    assert_eq!(first_reply(own, port), b"+PONG\r\n");
    respite.reload("# nothing");
    respite.expect_log("configuration reloaded");
    assert!(first_reply(own, port).starts_with(b"-DENIED "));
}

#[test]
fn every_address_of_ipv4_written_as_ipv6_is_every_address() {
    let Some(own) = own_address() else {
        eprintln!("left out: this host has no address but loopback");
        return;
    };
    if std::net::TcpListener::bind("[::ffff:0.0.0.0]:0").is_err() {
        eprintln!("left out: this host has no IPv6");
        return;
    }
    let redis = RedisServer::start();
    let (_respite, port) = listening(&redis, "[::ffff:0.0.0.0]", "");
    let loopback = "127.0.0.1".parse().expect("an address");
    assert_eq!(first_reply(loopback, port), b"+PONG\r\n");
    assert!(first_reply(own, port).starts_with(b"-DENIED "));
}
