//! `[cache]` changes: mode, strictness and sizes.

use std::time::Duration;

use super::{Load, file, put_in_force, start};
use crate::support::{
    Client, DEADLINE, Direction, RedisServer, Relay, Reply, Respite, contains, wait_until,
};

/// A field of `CACHE.STATS`.
fn stat(client: &mut Client, name: &str) -> Reply {
    client.call(&["CACHE.STATS"]).field(name).clone()
}

fn number(client: &mut Client, name: &str) -> i64 {
    stat(client, name).int()
}

/// A client that may look at the figures.
fn admin(respite: &Respite) -> Client {
    let mut client = respite.connect();
    client.hello3();
    client
}

#[test]
fn the_mode_changes_while_clients_read_and_write() {
    let redis = RedisServer::start();
    let cache = |mode: &str| file(&redis, &format!("[cache]\n{mode}"));
    let mut respite = start(&redis, "[cache]\nmode = \"off\"");
    respite.allow_log("unlikely");
    let mut figures = admin(&respite);
    let load = Load::start(|| respite.connect());
    let modes = [
        ("mode = \"tracking\"", "tracking", true),
        ("mode = \"expiry\"", "expiry", true),
        ("mode = \"off\"", "off", false),
        ("mode = \"expiry\"", "expiry", true),
        ("mode = \"tracking\"", "tracking", true),
        ("strict = true", "tracking", false),
        ("mode = \"tracking\"", "tracking", true),
    ];
    load.goes_on();
    for (text, mode, serves) in modes {
        put_in_force(&respite, &cache(text));
        // Links that hear what changes take a moment; until then it is as without.
        wait_until(text, DEADLINE, || {
            stat(&mut figures, "mode").as_str() == mode
        });
        load.goes_on();
        let before = number(&mut figures, "hits");
        load.goes_on();
        let hits = number(&mut figures, "hits") - before;
        assert_eq!(hits > 0, serves, "{text}: {hits} hits");
    }
    load.end();
}

#[test]
fn sizes_change_and_values_stay_right() {
    let redis = RedisServer::start();
    let cache = |bytes: &str| file(&redis, &format!("[cache]\nmax_bytes = \"{bytes}\"\n"));
    let respite = start(&redis, "");
    let mut figures = admin(&respite);
    for key in 0..200 {
        let (key, value) = (format!("big:{key}"), "x".repeat(10_000));
        figures.call(&["SET", &key, &value]).assert_ok();
    }
    let load = Load::start(|| respite.connect());
    load.goes_on();
    let read_all = |figures: &mut Client| {
        for key in 0..200 {
            let value = figures.call(&["GET", &format!("big:{key}")]);
            assert_eq!(value.as_str().len(), 10_000);
        }
    };
    for (bytes, least, most) in [
        ("100KiB", 0, 102_400),
        ("64MiB", 2_000_000, 64 << 20),
        ("1MiB", 500_000, 1 << 20),
        ("2KiB", 0, 2048),
    ] {
        put_in_force(&respite, &cache(bytes));
        wait_until("it is filled as far as it may be", DEADLINE, || {
            read_all(&mut figures);
            number(&mut figures, "bytes") >= least
        });
        let held = number(&mut figures, "bytes");
        assert!(held <= most, "{bytes}: {held}");
        load.goes_on();
    }
    load.end();
}

/// A command that was sent while the cache was off has no guard: until it is answered nothing may be kept, on
/// whatever worker.
#[test]
fn nothing_is_kept_until_what_was_sent_before_is_answered() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let text = |mode: &str| {
        format!(
            "listen = \"127.0.0.1:$PORT\"\nupstream = \"{}\"\nworkers = 2\nhttp.listen = \"\"\n\
             [cache]\nmode = \"{mode}\"\n",
            relay.url()
        )
    };
    let respite = Respite::builder().only_file(&text("off")).start();
    let mut figures = admin(&respite);
    let mut clients: Vec<Client> = (0..4).map(|_| respite.connect()).collect();
    clients[0].call(&["SET", "held", "1"]).assert_ok();
    // Its worker's connection to the backing; the other worker has one of its own.
    relay
        .find(|bytes| contains(bytes, b"held"))
        .pause(Direction::Down);
    clients[0].send(&["INCR", "held"]);
    relay
        .find(|bytes| contains(bytes, b"held"))
        .wait_held(Direction::Down);
    put_in_force(&respite, &text("tracking"));
    for client in &mut clients[1..] {
        client.set_timeout(Duration::from_millis(20));
        client.send(&["GET", "other"]);
    }
    let mut served = None;
    wait_until("one is served by the other worker", DEADLINE, || {
        let mut all = clients[1..].iter_mut();
        served = all.position(|client| client.try_read_reply_raw().is_ok());
        served.is_some()
    });
    let other = &mut clients[1 + served.expect("just seen")];
    other.set_timeout(DEADLINE);
    // The link that could fetch is there, and has shown twice that it is alive.
    assert!(other.call(&["GET", "fresh"]).is_null());
    let fill = relay.find(|bytes| contains(bytes, b"TRACKING"));
    for _ in 0..2 {
        let heard = fill.received(Direction::Down);
        wait_until("a heartbeat", DEADLINE, || {
            fill.received(Direction::Down) > heard
        });
    }
    // Of a key that nobody has asked for whose reply is held.
    for _ in 0..50 {
        assert!(other.call(&["GET", "fresh"]).is_null());
    }
    assert_eq!(
        (
            number(&mut figures, "entries"),
            number(&mut figures, "hits")
        ),
        (0, 0)
    );
    relay
        .find(|bytes| contains(bytes, b"held"))
        .resume(Direction::Down);
    clients[0].read_reply().assert_int(2);
    wait_until("reads are served from memory", DEADLINE, || {
        respite.call(&["GET", "other"]);
        number(&mut figures, "hits") > 0
    });
}
