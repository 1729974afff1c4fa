//! Values that are too large to be kept: nobody holds them for everybody who waits.

use std::time::Duration;

use super::{calls, gets, start, warm};
use crate::support::{Direction, RedisServer, Relay, Respite};

const MIB: usize = 1 << 20;
const BIG: usize = 16 * MIB;
const CLIENTS: i64 = 12;
const PATIENCE: Duration = Duration::from_secs(60);

fn highest(respite: &Respite) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", respite.pid())).expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .expect("VmHWM")
        .trim_matches(|c: char| !c.is_ascii_digit());
    kib.parse::<usize>().expect("a number of kB") * 1024
}

/// How often something was fetched for the cache.
fn pttls(redis: &RedisServer) -> u64 {
    calls(&redis.info("commandstats", "cmdstat_pttl"))
}

#[test]
fn clients_that_miss_a_large_value_cost_no_copy_each() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder()
        .upstream(&relay.url())
        .workers(1)
        .config("[cache]\nstaleness_max = \"20s\"")
        // so much passes through the relay that a busy machine is late with a PING
        .allow_log("backing not usable")
        .start();
    redis.call(&["SETRANGE", "big", &(BIG - 1).to_string(), "x"]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| respite.connect()).collect();
    warm(&mut clients[0], "other");
    let fill = relay.find(|first| first.windows(12).any(|part| part == b"respite-fill"));
    fill.pause(Direction::Down);
    for client in &mut clients {
        client.set_timeout(PATIENCE);
        client.send(&["GET", "big"]);
    }
    let mut admin = respite.connect();
    crate::support::wait_until("everybody waits", PATIENCE, || {
        super::stat(&mut admin, "coalesced") >= CLIENTS - 1
    });
    fill.resume(Direction::Down);
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || assert_eq!(client.read_reply_raw().len(), BIG + 13));
        }
    });
    assert!(highest(&respite) < 150 * MIB, "{} bytes", highest(&respite));
}

/// Who is answered from memory reads the bytes that are kept, whatever becomes of the key meanwhile.
#[test]
fn clients_that_hit_a_large_value_share_its_bytes() {
    const VALUE: usize = MIB - 100;
    let (redis, respite, mut client) = start("");
    redis.call(&["SETRANGE", "big", &(VALUE - 1).to_string(), "x"]);
    redis.call(&["SET", "small", "s"]);
    warm(&mut client, "big");
    warm(&mut client, "small");
    let hits = super::stat(&mut client, "hits");
    crate::support::wait_until("the length is kept", PATIENCE, || {
        client.call(&["STRLEN", "big"]);
        super::stat(&mut client, "hits") > hits
    });
    let hits = super::stat(&mut client, "hits");
    let (before, fetched) = (highest(&respite), calls(&gets(&redis)));
    let mut clients: Vec<_> = (0..60).map(|_| respite.connect()).collect();
    for client in &mut clients {
        client.set_timeout(PATIENCE);
        for _ in 0..2 {
            for command in [&["GET", "big"][..], &["GET", "small"], &["STRLEN", "big"]] {
                client.send(command);
            }
        }
    }
    let hits = hits + 60 * 6;
    crate::support::wait_until("all are answered from memory", PATIENCE, || {
        super::stat(&mut client, "hits") >= hits
    });
    client.call(&["DEL", "big"]).assert_int(1);
    let more = highest(&respite) - before;
    assert!(more < 60 * MIB, "{more} bytes for {hits} replies");
    for client in &mut clients {
        for _ in 0..2 {
            let big = client.read_reply_raw();
            assert_eq!(big.len(), VALUE + "$1048476\r\n\r\n".len());
            client.read_reply().assert_str("s");
            client
                .read_reply()
                .assert_int(i64::try_from(VALUE).expect("small"));
        }
    }
    assert!(calls(&gets(&redis)) <= fetched + 1, "read from the backing");
}

/// It is measured again when it has changed, and not brought for it.
#[test]
fn a_large_value_is_remembered_over_writes_until_it_is_small() {
    let (redis, _respite, mut client) = start("[cache]\nmax_value_bytes = 1000");
    let large = "x".repeat(300_000);
    client.call(&["SET", "k", &large]).assert_ok();
    warm(&mut client, "other");
    // it takes one fetch to learn it
    client.call(&["GET", "k"]).assert_str(&large);
    for _ in 0..5 {
        let (before, fetches) = (calls(&gets(&redis)), pttls(&redis));
        redis.call(&["SET", "k", &large]);
        client.call(&["SET", "k", &large]).assert_ok();
        client.call(&["GET", "k"]).assert_str(&large);
        assert_eq!(
            calls(&gets(&redis)),
            before + 1,
            "brought once, for the client"
        );
        assert_eq!(pttls(&redis), fetches, "and not for the cache");
    }
    client.call(&["SET", "k", "small"]).assert_ok();
    warm(&mut client, "k");
    client.call(&["GET", "k"]).assert_str("small");
}
