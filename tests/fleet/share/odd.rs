//! What cannot be shared, what is not shared, and what others have written into the backing.

use std::time::Instant;

use super::fakes::Fakes;
use super::{SHARED, check_polls, number, start, wait_divided, wait_polled};
use crate::fleet::{field, wait_state};
use crate::support::{Client, DEADLINE, RedisServer, Respite, get, wait_until};

const KEYS: [&str; 6] = ["state", "leases", "members", "sets", "info", "when"];

fn key(name: &str) -> String {
    format!("respite:f:{{share}}:{name}")
}

/// The clock of the backing.
fn redis_micros(client: &mut Client) -> u64 {
    let time = client.call(&["TIME"]);
    let [seconds, micros] = [0, 1].map(|n: usize| time.items()[n].as_str().parse::<u64>());
    seconds.expect("seconds") * 1_000_000 + micros.expect("microseconds")
}

/// How many records it could not read.
fn unreadable(respite: &Respite) -> u64 {
    let (_, text) = get(respite.http_port(), "/metrics");
    let name = "respite_fleet_unreadable_records_total ";
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.expect("the metric").parse().expect("a number")
}

#[test]
fn what_only_one_tracks_is_polled_by_that_one() {
    let redis = RedisServer::start();
    let (shared, own) = (Fakes::start(20), Fakes::start(20));
    let rename = own.config("").replace("\"s", "\"own");
    let config = format!("{SHARED}{}", shared.config(""));
    let first = start(&redis, &format!("{config}{rename}"));
    let second = start(&redis, &config);
    let (mut a, mut b) = (first.connect(), second.connect());
    wait_divided(&mut [&mut a, &mut b], 41);
    let (began, before) = (Instant::now(), own.counts());
    wait_polled(&own, 2);
    check_polls("its own", &own, &before, began, 0);
    for index in 0..own.len() {
        let id = format!("own{index}");
        b.call(&["INFO", &id, "server"]);
        wait_state(&mut a, &id, "live");
        b.call(&["SHARD.INFO", &id]).assert_error("NOSHARD");
        let info = a.call(&["INFO", &id, "respite"]);
        assert!(!info.as_str().contains("shard_poller"), "{info:?}");
    }
}

#[test]
fn who_is_refused_leaves_a_shard_to_who_is_not() {
    let redis = RedisServer::start();
    let fakes = Fakes::with_password(200, Some("right"));
    let with = |password: &str| {
        let shards = fakes.config("credential = \"main\"");
        format!("{SHARED}{shards}[credentials.main]\npassword = \"{password}\"\n")
    };
    let first = start(&redis, &with("right"));
    let second = start(&redis, &with("wrong"));
    let third = start(&redis, &with("wrong"));
    let (mut a, mut b, mut c) = (first.connect(), second.connect(), third.connect());
    for index in 0..fakes.len() {
        for client in [&mut a, &mut b, &mut c] {
            wait_state(client, &format!("s{index}"), "live");
        }
    }
    wait_until("the first one polls them all", DEADLINE, || {
        number(&mut a, "fleet_shards_polled_here") >= fakes.len()
    });
    for client in [&mut b, &mut c] {
        let held = number(client, "fleet_shards_polled_here");
        assert!(held <= 1, "the backing alone, not {held}");
    }
    // Once the login is right it takes its part.
    second.reload(&with("right"));
    wait_until("the second one polls some", DEADLINE, || {
        number(&mut b, "fleet_shards_polled_here") > 1
    });
    wait_divided(&mut [&mut a, &mut b, &mut c], 201);
    wait_polled(&fakes, 2);
}

#[test]
fn nothing_is_shared_unless_that_is_wanted() {
    let redis = RedisServer::start();
    let fakes = Fakes::start(10);
    let shared = format!("{SHARED}{}", fakes.config(""));
    let alone = shared.replace("share = true", "share = false");
    let respite = start(&redis, &alone);
    let mut client = respite.connect();
    wait_polled(&fakes, 2);
    for name in KEYS {
        assert_eq!(client.call(&["EXISTS", &key(name)]).int(), 0, "{name}");
    }
    let info = client.call(&["INFO", "respite"]);
    assert!(!info.as_str().contains("fleet_member"), "{info:?}");

    // A reload is enough, either way.
    let (began, before) = (Instant::now(), fakes.counts());
    respite.reload(&shared);
    wait_until("it shares", DEADLINE, || {
        let info = client.call(&["INFO", "respite"]);
        info.as_str().contains("fleet_shards_polled_here:11")
    });
    wait_polled(&fakes, 1);
    wait_until("it has told", DEADLINE, || {
        client.call(&["ZCARD", &key("when")]).int() == 11
    });
    for name in KEYS {
        assert_eq!(client.call(&["EXISTS", &key(name)]).int(), 1, "{name}");
        assert!(client.call(&["PTTL", &key(name)]).int() > 0, "{name}");
    }
    respite.reload(&alone);
    wait_until("it does not", DEADLINE, || {
        let info = client.call(&["INFO", "respite"]);
        !info.as_str().contains("fleet_member")
    });
    assert_eq!(
        client.call(&["ZCARD", &key("leases")]).int(),
        0,
        "it has left"
    );
    wait_polled(&fakes, 2);
    check_polls("shared and not", &fakes, &before, began, 2);
}

#[test]
fn what_others_have_written_does_no_harm() {
    let redis = RedisServer::start();
    let fakes = Fakes::start(20);
    let config = format!("{SHARED}{}", fakes.config(""));
    let respite = Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .http()
        .config(&config)
        .allow_log("what other Respites poll cannot be heard of")
        .start();
    let mut client = respite.connect();
    wait_divided(&mut [&mut client], 21);

    // Records that are none, for shards that there are and for others.
    wait_until("the records are read, and counted", DEADLINE, || {
        let shards = client.call(&["HKEYS", &key("info")]);
        // Newer than all that it has heard of, and not so new that they are swept.
        let score = (redis_micros(&mut client) + 1_000_000).to_string();
        for shard in shards.items() {
            let shard = shard.as_str();
            client.call(&["HSET", &key("info"), shard, "\u{1}\u{2}\u{3}"]);
            client.call(&["ZADD", &key("when"), &score, shard]);
        }
        unreadable(&respite) > 0
    });
    for (id, score) in [("x", "inf"), ("0123456789abcdef", "1e18"), ("", "-inf")] {
        client.call(&["HSET", &key("info"), id, &"x".repeat(100_000)]);
        client.call(&["ZADD", &key("when"), score, id]);
    }
    // Members that are none, with leases that do not end by themselves.
    for (member, lease) in [("ghost", "inf"), ("a b", "1e18"), ("", "1e17")] {
        client.call(&["ZADD", &key("leases"), lease, member]);
        client.call(&["HSET", &key("members"), member, "0|nothing|"]);
    }
    client.call(&[
        "HSET",
        &key("state"),
        "view",
        "nan",
        "rev",
        "1e300",
        "born",
        "-1",
        "last",
        "inf",
    ]);
    let (began, before) = (Instant::now(), fakes.counts());
    wait_until("the ghosts are gone", DEADLINE, || {
        client.call(&["ZCARD", &key("leases")]).int() == 1
    });
    wait_divided(&mut [&mut client], 21);
    wait_polled(&fakes, 2);
    check_polls("among ghosts", &fakes, &before, began, 0);

    // A key of another type: nothing can be shared until it is gone, and it says so.
    client.call(&["DEL", &key("leases")]);
    client.call(&["SET", &key("leases"), "x"]).assert_ok();
    wait_until("it says so", DEADLINE, || {
        let info = client.call(&["INFO", "respite"]);
        field(info.as_str(), "fleet_share_error").contains("WRONGTYPE")
    });
    wait_polled(&fakes, 2);
    client.call(&["DEL", &key("leases")]);
    wait_divided(&mut [&mut client], 21);
    wait_polled(&fakes, 2);
    check_polls("with a key of another type", &fakes, &before, began, 1);
}
