//! Patterns: the long ones are refused, and what takes long holds nobody up.

use crate::support::{DEADLINE, RedisServer, Respite, wait_until};

const LONGEST: usize = 64 * 1024;

#[test]
fn a_pattern_of_more_than_64_kib_is_refused_wherever_one_is_taken() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    let long = "x".repeat(LONGEST + 1);
    let half = "x".repeat(LONGEST / 2 + 1);
    let text = "ERR a pattern may have at most 65536 bytes";
    for command in [
        &["SHARD.LIST", "MATCH", &long][..],
        &["SHARD.FIELDS", "MATCH", "1", &long],
        &["SHARD.FIELDS", "MATCH", "2", &half, &half],
        &["CACHE.FLUSH", "MATCH", &long],
        &["BUS.METHODS", "b", "MATCH", &long],
    ] {
        assert_eq!(client.call(command).error(), text, "{}", command[0]);
    }
    // The longest that is taken does nothing bad.
    let stars = "*a".repeat(LONGEST / 2);
    let classes = format!("*[{}", "x".repeat(LONGEST - 2));
    for pattern in [&stars, &classes] {
        for command in [
            &["SHARD.LIST", "MATCH", pattern][..],
            &["SHARD.FIELDS", "MATCH", "1", pattern],
            &["CACHE.FLUSH", "MATCH", pattern],
            &["BUS.METHODS", "b", "MATCH", pattern],
        ] {
            assert!(!client.call(command).is_error(), "{}", command[0]);
        }
    }
    // A method is named by at most 255 bytes, and each pattern once compared with few.
    let long = ["BUS.FETCH", "b", "w", &long];
    client
        .call(&long)
        .assert_error("ERR the name of a method pattern must be");
    let many: Vec<String> = (0..100_000).map(|n| format!("m{n}*")).collect();
    let mut fetch = vec!["BUS.FETCH", "b", "w"];
    fetch.extend(many.iter().map(String::as_str));
    client.call(&fetch).assert_error("ERR at most ");
}

/// A glob over a key may take as many steps as their lengths multiplied: no worker does that.
#[test]
fn a_flush_that_takes_long_holds_up_no_other_client() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).workers(1);
    let respite = builder.start();
    let mut client = respite.connect();
    let key = "a".repeat(60 * 1024);
    client.call(&["SET", &key, "x"]).assert_ok();
    wait_until("it is cached", DEADLINE, || {
        client.call(&["GET", &key]).assert_str("x");
        !client.call(&["CACHE.INSPECT", &key]).is_null()
    });
    let pattern = format!("*{}b", "a".repeat(LONGEST / 4));
    client.send(&["CACHE.FLUSH", "MATCH", &pattern]);
    let mut other = respite.connect();
    for _ in 0..100 {
        other.call(&["PING"]).assert_str("PONG");
    }
    // Still under way: it would have been over before the first of these.
    assert!(client.silent_for(std::time::Duration::from_millis(1)));
    client.set_timeout(std::time::Duration::from_secs(300));
    client.read_reply().assert_int(0);
}
