//! `MGET`, and `EXISTS` of many keys: from memory they have the bytes that the backing would send, and a write of any
//! key is seen.

use super::read_table::KEYS;
use super::reads::assert_same;
use super::{count, start, stat, warm};
use crate::support::{Client, DEADLINE, RedisServer, Respite, wait_until};

/// Reads of keys that are strings or not there: all of it can be kept.
const KEPT: &[&[&str]] = &[
    &["MGET", "string"],
    &["MGET", "missing"],
    &["MGET", "empty", "string"],
    &[
        "mget", "string", "number", "missing", "empty", "passing", "hll",
    ],
    &["MGET", "string", "string", "missing", "string", "missing"],
    &["MGET", "", "string"],
    &["MGET", "bin\u{0}\r\n\u{ff}", "string"],
    &["EXISTS", "string", "string"],
    &["EXISTS", "missing", "none"],
    &["exists", "string", "missing", "empty", "number", "string"],
    &[
        "EXISTS", "list", "set", "zset", "stream", "missing", "string",
    ],
];

/// Reads with keys of other types, of which `MGET` says nil.
const OTHER_TYPES: &[&[&str]] = &[
    &["MGET", "list"],
    &["MGET", "string", "hash", "missing", "zset", "number"],
    &["MGET", "set", "set", "empty"],
];

/// One link, and no pause of the machine that has it prove itself again.
fn one_worker(redis: &RedisServer, config: &str) -> Respite {
    Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .config(&format!("[cache]\nstaleness_max = \"10s\"\n{config}"))
        .start()
}

#[test]
fn they_have_the_bytes_of_the_backing_from_memory_too() {
    let redis = RedisServer::start();
    let respite = one_worker(&redis, "");
    for words in KEYS {
        redis.call(words);
    }
    redis.call(&["SET", "bin\u{0}\r\n\u{ff}", "bytes \u{0}\r\n$5"]);
    redis.call(&["SET", "", "a key without a name"]);
    let mut direct = [redis.connect(), redis.connect()];
    let mut through = [respite.connect(), respite.connect()];
    direct[1].hello3();
    through[1].hello3();
    warm(&mut through[0], "warm");
    for turn in [[0, 1], [1, 0]] {
        through[0].call(&["CACHE.FLUSH"]);
        for read in KEPT.iter().chain(OTHER_TYPES) {
            for n in turn {
                let expected = direct[n].call_raw(read);
                assert_same(read, n, &through[n].call_raw(read), &expected);
            }
        }
        through[0].call(&["CACHE.FLUSH"]);
        for read in KEPT {
            through[turn[0]].call_raw(read);
        }
        let expected = |n: usize, direct: &mut [Client; 2]| {
            KEPT.iter()
                .map(|read| direct[n].call_raw(read))
                .collect::<Vec<_>>()
        };
        let expected = [0, 1].map(|n| expected(n, &mut direct));
        let asked = ["mget", "get", "exists"].map(|name| count(&redis, name));
        let misses = stat(&mut through[0], "misses");
        for n in turn {
            for (read, expected) in KEPT.iter().zip(&expected[n]) {
                assert_same(read, n, &through[n].call_raw(read), expected);
            }
        }
        assert_eq!(
            ["mget", "get", "exists"].map(|name| count(&redis, name)),
            asked
        );
        assert_eq!(stat(&mut through[0], "misses"), misses);
    }
}

#[test]
fn what_is_missing_alone_is_fetched_and_each_key_counts() {
    let redis = RedisServer::start();
    let respite = one_worker(&redis, "");
    let mut client = respite.connect();
    for n in 0..10 {
        redis.call(&["SET", &format!("k{n}"), &format!("v{n}")]);
    }
    warm(&mut client, "k0");
    for n in 1..6 {
        client.call(&["GET", &format!("k{n}")]);
    }
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let mut mget = vec!["MGET"];
    mget.extend(keys.iter().map(String::as_str));
    let before = ["get", "mget"].map(|name| count(&redis, name));
    let [hits, misses] = ["hits", "misses"].map(|field| stat(&mut client, field));
    let expected = redis.connect().call_raw(&mget);
    assert_same(&mget, 0, &client.call_raw(&mget), &expected);
    assert_eq!(count(&redis, "get"), before[0] + 4);
    // That of the test itself.
    assert_eq!(count(&redis, "mget"), before[1] + 1);
    assert_eq!(stat(&mut client, "hits"), hits + 6);
    assert_eq!(stat(&mut client, "misses"), misses + 4);
    assert_same(&mget, 0, &client.call_raw(&mget), &expected);
    assert_eq!(stat(&mut client, "hits"), hits + 16);
    // What it has brought, `GET` has, and the other way round.
    client.call(&["GET", "k9"]).assert_str("v9");
    assert_eq!(count(&redis, "get"), before[0] + 4);
    assert_eq!(client.call(&["CACHE.INSPECT", "k9"]).field("hits").int(), 2);
}

/// What a read of many keys by their numbers did: how many commands of its own name and of those that fetch one key the
/// backing has had, and how many keys were hits.
fn effect(client: &mut Client, redis: &RedisServer, name: &str, keys: &[usize]) -> [u64; 3] {
    let keys: Vec<String> = keys.iter().map(|n| format!("n{n}")).collect();
    let mut read = vec![name];
    read.extend(keys.iter().map(String::as_str));
    let expected = redis.connect().call_raw(&read);
    let own = name.to_lowercase();
    let single = if name == "MGET" { "get" } else { "exists" };
    let counts = |client: &mut Client| {
        let [own, single] = [&own, single].map(|name| count(redis, name));
        let hits = stat(client, "hits");
        [own, single, hits.try_into().expect("a count")]
    };
    let before = counts(client);
    assert_same(&read, 0, &client.call_raw(&read), &expected);
    let after = counts(client);
    [0, 1, 2].map(|n| after[n] - before[n])
}

#[test]
fn keys_that_are_mostly_asked_for_the_first_time_are_not_fetched() {
    let redis = RedisServer::start();
    let respite = one_worker(&redis, "");
    let mut client = respite.connect();
    for n in 0..30 {
        redis.call(&["SET", &format!("n{n}"), &format!("v{n}")]);
    }
    warm(&mut client, "n0");
    let ten = Vec::from_iter(10..20);
    let mut mget = |keys: &[usize]| effect(&mut client, &redis, "MGET", keys);
    assert_eq!(mget(&ten), [1, 0, 0], "the first time it is the backing's");
    assert_eq!(mget(&ten), [0, 10, 0], "then they are fetched");
    assert_eq!(mget(&ten), [0, 0, 10], "and served");
    // Of eight four are new, and five of nine.
    assert_eq!(mget(&[10, 11, 12, 13, 20, 21, 22, 23]), [0, 4, 4]);
    assert_eq!(mget(&[10, 11, 12, 13, 25, 26, 27, 28, 29]), [1, 0, 0]);
    assert_eq!(mget(&[10, 11, 12, 13, 25, 26, 27, 28, 29]), [0, 5, 4]);
    // Those that are not there are no others.
    let of_sixteen = (1..=16).map(|n| mget(&Vec::from_iter(n * 100..n * 100 + 10)));
    let all = of_sixteen.fold([0; 3], |sum, one| [0, 1, 2].map(|n| sum[n] + one[n]));
    assert_eq!(all, [15, 10, 0], "one of sixteen is fetched all the same");

    // How many there are says nothing of each, so that is not compared: they are fetched at once.
    let mut exists = |keys: &[usize]| effect(&mut client, &redis, "EXISTS", keys);
    let ten = Vec::from_iter(5000..5010);
    assert_eq!(exists(&ten), [10, 10, 0]);
    assert_eq!(exists(&ten), [0, 0, 10]);
}

/// All of them, through Respite and past it.
const WRITES: &[&[&str]] = &[
    &["SET", "b", "new"],
    &["MSET", "a", "x", "b", "y", "c", "z"],
    &["APPEND", "b", "x"],
    &["SETRANGE", "a", "0", "S"],
    &["INCR", "n"],
    &["GETSET", "c", "x"],
    &["GETDEL", "c"],
    &["DEL", "a", "b"],
    &["UNLINK", "c"],
    &["RENAME", "a", "missing"],
    &["COPY", "a", "missing"],
    &["MOVE", "b", "5"],
    &["PEXPIREAT", "a", "1"],
    &["SET", "a", "x", "PXAT", "1"],
    &["SETBIT", "a", "0", "1"],
    &["BITOP", "NOT", "b", "a"],
    &["SORT", "list", "ALPHA", "STORE", "a"],
    &["EVAL", "redis.call('set', 'b', 'lua')", "0"],
    &[
        "EVAL",
        "redis.call('mset', KEYS[1], 'l', KEYS[2], 'm')",
        "2",
        "a",
        "missing",
    ],
    &["FLUSHALL"],
    &["FLUSHDB"],
    &["SWAPDB", "0", "7"],
];

#[test]
fn they_end_with_a_write_through_respite_and_past_it() {
    let (redis, respite, mut client) = start("");
    let reads: [&[&str]; 2] = [
        &["MGET", "a", "b", "c", "n", "missing"],
        &["EXISTS", "a", "b", "c", "n", "missing"],
    ];
    let prepare = |client: &mut Client| {
        redis.call(&["FLUSHALL"]);
        redis.call(&["MSET", "a", "1", "b", "2", "c", "3", "n", "4"]);
        redis.call(&["RPUSH", "list", "x"]);
        let mut direct = redis.connect();
        wait_until("all is kept", DEADLINE, || {
            let same = reads
                .iter()
                .all(|read| client.call_raw(read) == direct.call_raw(read));
            let asked = count(&redis, "mget") + count(&redis, "exists");
            reads.iter().for_each(|read| drop(client.call_raw(read)));
            same && count(&redis, "mget") + count(&redis, "exists") == asked
        });
    };
    let mut writer = respite.connect();
    for write in WRITES {
        prepare(&mut client);
        writer.call_raw(write);
        let now = reads.map(|read| redis.connect().call_raw(read));
        for (read, now) in reads.iter().zip(&now) {
            assert_same(read, 0, &client.call_raw(read), now);
        }
        // Nothing tells of that.
        if write[0] == "SWAPDB" {
            continue;
        }
        prepare(&mut client);
        redis.connect().call_raw(write);
        for read in reads {
            let now = redis.connect().call_raw(read);
            wait_until(&format!("{write:?} is seen by {read:?}"), DEADLINE, || {
                client.call_raw(read) == now
            });
        }
    }
}

/// Two workers, each with a link of its own.
#[test]
fn what_is_written_together_is_seen_together() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(2).start();
    let mut clients: Vec<Client> = (0..4).map(|_| respite.connect()).collect();
    let (mut direct, mut writer) = (redis.connect(), respite.connect());
    for n in 1..1500 {
        let n = n.to_string();
        let set = ["MSET", "a", &n, "b", &n, "c", &n, "d", &n];
        if n.ends_with(['1', '5']) {
            writer.call(&set);
        } else {
            direct.call(&set);
        }
        for (at, client) in clients.iter_mut().enumerate() {
            if at % 2 == 0 {
                client.call(&["GET", ["a", "b", "c", "d"][at]]);
            }
            let reply = client.call(&["MGET", "a", "b", "c", "d"]);
            let values = reply.strings();
            assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
        }
    }
}

#[test]
fn a_key_that_may_not_be_read_is_refused_although_it_is_there() {
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let user = |name: &str, keys: &str| {
        format!(
            "[[access.users]]\nname = \"{name}\"\npassword_sha256 = \"{hash}\"\nkeys = [\"{keys}\"]\n"
        )
    };
    let config = [user("all", "*"), user("some", "mine:*")].concat();
    let (_redis, respite, mut all) = start(&config);
    all.call(&["AUTH", "all", "password"]).assert_ok();
    for key in ["secret", "mine:1", "mine:2"] {
        warm(&mut all, key);
    }
    let mut some = respite.connect();
    some.call(&["AUTH", "some", "password"]).assert_ok();
    assert_eq!(some.call(&["MGET", "mine:1", "mine:2"]).items().len(), 2);
    for command in ["MGET", "EXISTS"] {
        let refused = some.call(&[command, "mine:1", "secret"]);
        assert!(refused.error().starts_with("NOPERM "), "{refused:?}");
    }
    some.call(&["MGET"])
        .assert_error("ERR wrong number of arguments");
}

#[test]
fn very_many_keys_and_very_large_values_are_the_backings() {
    let redis = RedisServer::start();
    let respite = one_worker(&redis, "max_value_bytes = \"100KiB\"\nmax_entries = 500");
    let mut client = respite.connect();
    let mut direct = redis.connect();
    warm(&mut client, "warm");
    let keys: Vec<String> = (0..10_000).map(|n| format!("key:{n}")).collect();
    let mut all = vec!["MSET"];
    for key in &keys {
        all.extend([key.as_str(), key.as_str()]);
    }
    direct.call(&all);
    let large = "x".repeat(200 * 1024);
    direct.call(&["MSET", "large:1", &large, "large:2", &large]);
    for most in [10_000, 1000, 999, 600, 400] {
        let mut mget = vec!["MGET"];
        mget.extend(keys[..most].iter().map(String::as_str));
        let expected = direct.call_raw(&mget);
        for _ in 0..3 {
            assert_same(&["MGET"], 0, &client.call_raw(&mget), &expected);
        }
        assert!(stat(&mut client, "entries") <= 500);
    }
    let mixed = ["MGET", "key:1", "large:1", "key:2", "large:2"];
    let expected = direct.call_raw(&mixed);
    for _ in 0..3 {
        assert_same(&mixed, 0, &client.call_raw(&mixed), &expected);
    }
    // Once it has become small it is kept.
    client
        .call(&["MSET", "large:1", "s", "large:2", "t"])
        .assert_ok();
    wait_until("the small values are kept", DEADLINE, || {
        let before = count(&redis, "mget");
        client.call_raw(&mixed);
        count(&redis, "mget") == before
    });
    assert_same(
        &mixed,
        0,
        &client.call_raw(&mixed),
        &direct.call_raw(&mixed),
    );
}

#[test]
fn where_they_are_not_to_be_answered_from_memory_they_are_not() {
    for config in [
        "[cache]\nstrict = true",
        "[cache]\nmode = \"off\"",
        "[cache]\nmode = \"expiry\"",
        "[cache]\ncommands = [\"get\"]",
        "[cache]\nexclude = [\"b\"]",
    ] {
        let (redis, _respite, mut client) = start(config);
        redis.call(&["MSET", "a", "1", "b", "2"]);
        for n in 1..5 {
            assert_eq!(client.call(&["MGET", "a", "b"]).strings(), ["1", "2"]);
            assert_eq!(count(&redis, "mget"), n, "{config}");
            assert_eq!(count(&redis, "get"), 0, "{config}");
        }
    }
}

/// In one packet with writes of its keys, and in a transaction.
#[test]
fn a_client_reads_its_own_writes() {
    let (_redis, _respite, mut client) = start("");
    warm(&mut client, "a");
    warm(&mut client, "b");
    for n in 0..200 {
        let (n, m) = (n.to_string(), (n + 1).to_string());
        let replies = client.pipeline(&[
            &["MSET", "a", &n, "b", &n][..],
            &["MGET", "a", "b"],
            &["GET", "a"],
            &["MGET", "b", "a", "a"],
            &["SET", "b", &m],
            &["MGET", "a", "b"],
            &["MULTI"],
            &["MGET", "a", "b"],
            &["SET", "a", &m],
            &["MGET", "a", "b"],
            &["EXEC"],
            &["MGET", "a", "b"],
        ]);
        assert_eq!(replies[1].strings(), [&n, &n]);
        replies[2].assert_str(&n);
        assert_eq!(replies[3].strings(), [&n, &n, &n]);
        assert_eq!(replies[5].strings(), [&n, &m]);
        let exec = replies[10].items();
        assert_eq!(exec[0].strings(), [&n, &m]);
        assert_eq!(exec[2].strings(), [&m, &m]);
        assert_eq!(replies[11].strings(), [&m, &m]);
    }
}
