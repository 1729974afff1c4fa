//! Fields of hashes that have lives of their own (Redis 7.4): none is shown past its end, from memory or not.
//!
//! Redis tells nobody that a field has ended until somebody touches it, so here nobody does: `HPTTL` says it and
//! changes nothing.

use super::{calls, start, warm};
use crate::support::{Client, DEADLINE, RedisServer, Reply, wait_until};

/// What is read of the hash: of the field `a`, with others, and of all.
const READS: &[&[&str]] = &[
    &["HGET", "h", "a"],
    &["HMGET", "h", "b", "a", "none"],
    &["HEXISTS", "h", "a"],
    &["HSTRLEN", "h", "a"],
    &["HGETALL", "h"],
    &["HVALS", "h"],
    &["HKEYS", "h"],
];

/// Ways to give `a` a short life, at most as long as the test takes.
const ENDINGS: &[&[&str]] = &[
    &["HPEXPIRE", "h", "60", "FIELDS", "1", "a"],
    &["HEXPIRE", "h", "1", "FIELDS", "1", "a"],
    &["HPEXPIRE", "h", "60", "FIELDS", "3", "a", "b", "none"],
    &[
        "EVAL",
        "redis.call('HPEXPIRE', 'h', 60, 'FIELDS', 1, 'a')",
        "0",
    ],
    &["HSETEX", "h", "PX", "60", "FIELDS", "1", "a", "value of a"],
    &["HGETEX", "h", "PX", "60", "FIELDS", "1", "a"],
];

/// Whether a reply of one of the reads says that the field is there.
fn shows_a(reply: &Reply) -> bool {
    match reply {
        Reply::Int(number) => *number != 0,
        Reply::Bulk(bytes) => **bytes == *b"a" || **bytes == *b"value of a",
        Reply::Array(items) => items.iter().any(shows_a),
        Reply::Null => false,
        other => panic!("{other:?}"),
    }
}

/// A hash with more fields than fit into a list of the compact kind, or with few.
fn make(redis: &RedisServer, fields: usize) {
    let mut hset = vec![
        "HSET".to_owned(),
        "h".into(),
        "a".into(),
        "value of a".into(),
    ];
    hset.extend(["b".into(), "2".into()]);
    hset.extend((0..fields).flat_map(|n| [format!("f{n}"), n.to_string()]));
    redis.call(&["DEL", "h"]);
    redis.call(&hset);
}

/// Whether the field has ended, asked without touching it.
fn has_ended(direct: &mut Client) -> bool {
    let lives = direct.call(&["HPTTL", "h", "FIELDS", "1", "a"]);
    lives.is_null() || lives.items()[0].int() == -2
}

#[test]
fn a_field_is_never_shown_past_its_end() {
    let (redis, respite, mut client) = start("[cache]\nstaleness_max = \"10s\"");
    let mut direct = redis.connect();
    direct
        .call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"])
        .assert_ok();
    warm(&mut client, "warm");
    if RedisServer::version() < (7, 4, 0) {
        // Nothing here has such a life, and all of it is kept.
        make(&redis, 1);
        direct.call(ENDINGS[0]).assert_error("ERR unknown command");
        for read in READS {
            assert!(shows_a(&client.call(read)));
        }
        let asked = redis.call(&["INFO", "commandstats"]);
        let count = |stats: &Reply, name: &str| {
            let begins = format!("cmdstat_{name}:");
            let mut lines = stats.as_str().lines();
            lines.find_map(|line| line.strip_prefix(&begins)).map(calls)
        };
        for read in READS {
            assert!(shows_a(&client.call(read)));
        }
        let now = redis.call(&["INFO", "commandstats"]);
        for name in [
            "hget", "hmget", "hgetall", "hvals", "hkeys", "hexists", "hstrlen",
        ] {
            assert_eq!(count(&now, name), count(&asked, name), "{name}");
        }
        return;
    }
    let mut writer = respite.connect();
    for (n, ending) in ENDINGS.iter().enumerate() {
        let newer = ["HSETEX", "HGETEX"].contains(&ending[0]);
        if newer && RedisServer::version() < (8, 0, 0) {
            direct.call(ending).assert_error("ERR unknown command");
            continue;
        }
        for (fields, through) in [(1, n % 2 == 0), (700, n % 2 == 1)] {
            make(&redis, fields);
            for read in READS {
                assert!(shows_a(&client.call(read)), "{read:?}");
            }
            let by = if through { &mut writer } else { &mut direct };
            assert!(!by.call(ending).is_error(), "{ending:?}");
            wait_until("the field ends", DEADLINE, || {
                let ended = has_ended(&mut direct);
                for read in READS {
                    let reply = client.call(read);
                    assert!(
                        !(ended && shows_a(&reply)),
                        "{ending:?}, {read:?}: {reply:?}"
                    );
                }
                ended
            });
            // And of what is kept afterwards, nothing shows it.
            for read in READS {
                assert!(!shows_a(&client.call(read)), "{read:?}");
            }
        }
    }
}

#[test]
fn a_field_with_a_long_life_is_kept_and_one_that_lost_it_stays() {
    let (redis, _respite, mut client) = start("[cache]\nstaleness_max = \"10s\"");
    warm(&mut client, "warm");
    make(&redis, 1);
    let read = ["HGET", "h", "a"];
    if RedisServer::version() < (7, 4, 0) {
        redis
            .call(&["HPERSIST", "h", "FIELDS", "1", "a"])
            .assert_error("ERR unknown command");
        client.call(&read).assert_str("value of a");
        return;
    }
    redis.call(&["HPEXPIRE", "h", "1000000", "FIELDS", "1", "a"]);
    let asked = || calls(&redis.info("commandstats", "cmdstat_hget"));
    wait_until("it is kept", DEADLINE, || {
        client.call(&read).assert_str("value of a");
        let before = asked();
        client.call(&read).assert_str("value of a");
        asked() == before
    });
    // Its life ends, but it does not.
    redis.call(&["HPEXPIRE", "h", "60", "FIELDS", "1", "a"]);
    redis.call(&["HPERSIST", "h", "FIELDS", "1", "a"]);
    redis.call(&["HPEXPIRE", "h", "60", "FIELDS", "1", "b"]);
    wait_until("the other ends", DEADLINE, || {
        client.call(&read).assert_str("value of a");
        redis.call(&["HEXISTS", "h", "b"]).int() == 0
    });
    client.call(&read).assert_str("value of a");
    assert!(client.call(&["HGET", "h", "b"]).is_null());
}
