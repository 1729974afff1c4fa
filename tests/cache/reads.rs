//! Every read of one key: from memory it has the bytes that the backing would send, and it ends with the key.

use super::read_table::{CHANGES, KEYS, NEWER_READS, READS};
use super::{calls, start, stat, warm};
use crate::support::{Client, DEADLINE, RedisServer, Respite, escape, wait_until};

fn with_key<'a>(words: &[&'a str], key: &'a str) -> Vec<&'a str> {
    let mut words = words.to_vec();
    words[1] = key;
    words
}

fn all_reads() -> Vec<Vec<&'static str>> {
    let newer = match RedisServer::version() >= (7, 2, 0) {
        true => NEWER_READS,
        false => &[],
    };
    let mut keys: Vec<&str> = KEYS.iter().map(|words| words[1]).collect();
    keys.dedup();
    keys.push("missing");
    let reads = READS.iter().chain(newer);
    let of_keys = |read: &'static &'static [&'static str]| -> Vec<Vec<&'static str>> {
        keys.iter().map(|key| with_key(read, key)).collect()
    };
    reads.flat_map(of_keys).collect()
}

/// A read that is added to the table is compared as well.
#[test]
fn each_row_of_the_table_is_among_them() {
    let source = include_str!("../../src/command/readable.rs");
    let (_, rows) = source
        .split_once("const ROWS: &[Readable] = &[")
        .expect("the table");
    let (rows, _) = rows.split_once("\n];").expect("its end");
    let names: Vec<&str> = rows.split('"').skip(1).step_by(2).collect();
    assert!(names.len() > 45, "{names:?}");
    let read = |name: &&str| {
        let mut reads = READS.iter().chain(NEWER_READS);
        reads.any(|read| read[0].eq_ignore_ascii_case(name))
    };
    let left: Vec<&str> = names.into_iter().filter(|name| !read(name)).collect();
    // Of many keys: `many` compares it.
    assert_eq!(left, ["mget"]);
}

#[test]
fn each_has_the_bytes_of_the_backing_from_memory_too() {
    let redis = RedisServer::start();
    // One link, and no pause of the machine that has it prove itself again.
    let respite = Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .config("[cache]\nmax_variants = 1000\nstaleness_max = \"10s\"")
        .start();
    for words in KEYS {
        redis.call(words);
    }
    let mut direct = [redis.connect(), redis.connect()];
    let mut through = [respite.connect(), respite.connect()];
    direct[1].hello3();
    through[1].hello3();
    // Links that fetch are opened by the first read.
    for client in &mut through {
        warm(client, "warm");
    }
    // Each version is once the first to ask.
    for turn in [[0, 1], [1, 0]] {
        through[0].call(&["CACHE.FLUSH"]);
        let mut kept = Vec::new();
        for read in all_reads() {
            let expected = [0, 1].map(|n: usize| direct[n].call_raw(&read));
            for n in turn {
                let got = through[n].call_raw(&read);
                assert_same(&read, n, &got, &expected[n]);
            }
            if expected[0].first() != Some(&b'-') {
                kept.push((read, expected));
            }
        }
        assert!(kept.len() > 250, "only {} reads have a reply", kept.len());
        let [hits, misses] = ["hits", "misses"].map(|field| stat(&mut through[0], field));
        for (read, expected) in &kept {
            for n in turn {
                assert_same(read, n, &through[n].call_raw(read), &expected[n]);
            }
        }
        let reads = i64::try_from(2 * kept.len()).expect("a few");
        assert_eq!(stat(&mut through[0], "hits"), hits + reads);
        assert_eq!(stat(&mut through[0], "misses"), misses, "asked again");
    }
}

#[track_caller]
pub(super) fn assert_same(read: &[&str], n: usize, got: &[u8], expected: &[u8]) {
    let show = |bytes: &[u8]| escape(bytes);
    assert!(
        got == expected,
        "{read:?} in RESP{}:\n{}\nnot\n{}",
        n + 2,
        show(got),
        show(expected)
    );
}

/// Sets the keys anew, and reads until the reply is kept.
fn prepare(redis: &RedisServer, client: &mut Client, read: &[&str]) -> Vec<u8> {
    redis.call(&["FLUSHALL"]);
    for words in KEYS {
        redis.call(words);
    }
    let before = redis.connect().call_raw(read);
    wait_until("the reply is kept", DEADLINE, || {
        let same = client.call_raw(read) == before;
        same && !client.call(&["CACHE.INSPECT", read[1]]).is_null()
    });
    before
}

#[test]
fn each_ends_with_a_write_through_respite_and_past_it() {
    let (redis, respite, mut client) = start("");
    let mut writer = respite.connect();
    for (read, changes) in CHANGES {
        for change in *changes {
            if change[0] == "RESTORE-ASKING" {
                continue;
            }
            let before = prepare(&redis, &mut client, read);
            writer.call_raw(change);
            let now = redis.connect().call_raw(read);
            assert!(now != before, "{change:?} does not change {read:?}");
            assert_same(read, 0, &client.call_raw(read), &now);
            let before = prepare(&redis, &mut client, read);
            redis.connect().call_raw(change);
            let now = redis.connect().call_raw(read);
            assert!(now != before || change[0] == "SPOP", "{change:?}");
            wait_until(&format!("{change:?} is seen by {read:?}"), DEADLINE, || {
                client.call_raw(read) == now
            });
        }
    }
}

#[test]
fn a_transaction_of_another_client_is_seen_by_all_variants_at_once() {
    let (redis, respite, mut client) = start("");
    redis.call(&["HSET", "hash", "a", "0", "b", "0"]);
    let reads: [&[&str]; 4] = [
        &["HGET", "hash", "a"],
        &["HGET", "hash", "b"],
        &["HMGET", "hash", "a", "b"],
        &["HVALS", "hash"],
    ];
    let mut writer = respite.connect();
    for n in 1..200 {
        for read in reads {
            client.call(read);
        }
        let n = n.to_string();
        writer.pipeline(&[
            &["MULTI"][..],
            &["HSET", "hash", "a", &n],
            &["HSET", "hash", "b", &n],
            &["EXEC"],
        ]);
        let expected = [&n[..]];
        client.call(reads[0]).assert_str(&n);
        client.call(reads[1]).assert_str(&n);
        assert_eq!(client.call(reads[2]).strings(), [expected[0], expected[0]]);
        assert_eq!(client.call(reads[3]).strings(), [expected[0], expected[0]]);
    }
}

#[test]
fn of_too_many_variants_the_one_not_used_for_longest_goes() {
    let (redis, _respite, mut client) = start("[cache]\nmax_variants = 3\nstaleness_max = \"10s\"");
    redis.call(&["HSET", "hash", "a", "1", "b", "2", "c", "3", "d", "4"]);
    warm(&mut client, "warm");
    let reads = |redis: &RedisServer| calls(&redis.info("commandstats", "cmdstat_hstrlen"));
    let before = reads(&redis);
    for field in ["a", "b", "c", "a", "d"] {
        client.call(&["HSTRLEN", "hash", field]);
    }
    assert_eq!(reads(&redis), before + 4);
    for field in ["a", "c", "d"] {
        client.call(&["HSTRLEN", "hash", field]);
    }
    assert_eq!(reads(&redis), before + 4);
    client.call(&["HSTRLEN", "hash", "b"]).assert_int(1);
    assert_eq!(reads(&redis), before + 5);
    let entry = client.call(&["CACHE.INSPECT", "hash"]);
    assert_eq!(entry.field("variants").int(), 3);
    assert_eq!(entry.field("type").as_str(), "hash");
}

#[test]
fn only_the_commands_of_the_list_are_kept() {
    let (redis, _respite, mut client) = start("[cache]\ncommands = [\"HGETALL\"]");
    redis.call(&["HSET", "hash", "a", "1"]);
    redis.call(&["SET", "string", "x"]);
    wait_until("it is kept", DEADLINE, || {
        client.call(&["HGETALL", "hash"]);
        !client.call(&["CACHE.INSPECT", "hash"]).is_null()
    });
    let count = |name: &str| calls(&redis.info("commandstats", name));
    let before = count("cmdstat_hstrlen");
    for _ in 0..5 {
        client.call(&["HGETALL", "hash"]);
        client.call(&["HSTRLEN", "hash", "a"]).assert_int(1);
        client.call(&["GET", "string"]).assert_str("x");
    }
    assert_eq!(count("cmdstat_hstrlen"), before + 5);
    assert_eq!(count("cmdstat_get"), 5);
}

#[test]
fn a_reply_too_large_is_passed_on_and_not_kept() {
    let (redis, _respite, mut client) = start("[cache]\nmax_value_bytes = 1000");
    let big = "x".repeat(100_000);
    redis.call(&["RPUSH", "list", &big, &big]);
    for _ in 0..3 {
        assert_eq!(
            client.call(&["LRANGE", "list", "0", "-1"]).strings(),
            [&big, &big]
        );
        assert!(client.call(&["CACHE.INSPECT", "list"]).is_null());
    }
    redis.call(&["DEL", "list"]);
    redis.call(&["RPUSH", "list", "a"]);
    wait_until("the small list is kept", DEADLINE, || {
        let before = calls(&redis.info("commandstats", "cmdstat_lrange"));
        client.call(&["LRANGE", "list", "0", "-1"]);
        calls(&redis.info("commandstats", "cmdstat_lrange")) == before
    });
}

/// Two workers, each with a link of its own: what one link brought of a key is not older than what another one
/// brought later.
#[test]
fn workers_do_not_show_each_other_the_past() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(2).start();
    redis.call(&["HSET", "hash", "a", "0", "b", "0"]);
    let mut clients: Vec<Client> = (0..4).map(|_| respite.connect()).collect();
    let mut direct = redis.connect();
    let mut last = 0;
    for n in 1..2000_i64 {
        let n = n.to_string();
        direct.call(&["HSET", "hash", "a", &n, "b", &n]);
        for client in &mut clients {
            for field in ["a", "b"] {
                let seen: i64 = client
                    .call(&["HGET", "hash", field])
                    .as_str()
                    .parse()
                    .expect("a number");
                assert!(seen >= last, "{seen} after {last}");
                last = seen;
            }
        }
    }
}
