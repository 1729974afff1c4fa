//! What is read, and the keys that it is read of.

use std::io;

use crate::shared::servers::Connection;

/// One kind of read.
pub(crate) struct Row {
    /// For the report.
    pub(crate) name: &'static str,
    /// The command, as redis-benchmark takes it.
    pub(crate) command: Vec<String>,
    /// Whether all of it can be answered from memory.
    pub(crate) hits: bool,
}

fn row(name: &'static str, command: &str) -> Row {
    Row {
        name,
        command: command.split_whitespace().map(str::to_owned).collect(),
        hits: true,
    }
}

/// An `MGET` of so many keys: of all that are there to be hit, or of half of them and as many that nobody has asked for
/// before, and that do not exist.
fn mget(name: &'static str, keys: usize, half: bool) -> Row {
    let key = |n: usize| match half && n % 2 == 1 {
        true => "cold:__rand_int__".to_owned(),
        false => format!("key:{n}"),
    };
    let mut command = vec!["MGET".to_owned()];
    command.extend((0..keys).map(key));
    Row {
        name,
        command,
        hits: !half,
    }
}

/// All of them, in the order of the report.
pub(crate) fn all() -> Vec<Row> {
    vec![
        row("`GET` of 64 bytes", "GET key:0"),
        row("`HGET`", "HGET hash field:7"),
        row("`HGETALL` of 20 fields", "HGETALL hash"),
        row("`ZRANGE` of 50 with scores", "ZRANGE zset 0 49 WITHSCORES"),
        row("`LRANGE` of 100", "LRANGE list 0 99"),
        row("`SISMEMBER`", "SISMEMBER set member:7"),
        mget("`MGET` of 10", 10, false),
        mget("`MGET` of 100", 100, false),
        mget("`MGET` of 10, half of them missing", 10, true),
        mget("`MGET` of 100, half of them missing", 100, true),
        row("`GET` of 4 KiB", "GET large:4"),
        row("`GET` of 64 KiB", "GET large:64"),
    ]
}

/// Makes the keys.
pub(crate) fn prepare(redis: &mut Connection) -> io::Result<()> {
    let text = |bytes: usize| "x".repeat(bytes);
    let mut call = |words: &[&str]| redis.ask(words).map(drop);
    for n in 0..100 {
        call(&["SET", &format!("key:{n}"), &text(64)])?;
    }
    for n in 0..20 {
        call(&["HSET", "hash", &format!("field:{n}"), &text(16)])?;
        call(&["SADD", "set", &format!("member:{n}")])?;
    }
    for n in 0..100 {
        call(&["RPUSH", "list", &format!("element:{n:08}")])?;
        call(&["ZADD", "zset", &format!("{n}.5"), &format!("member:{n}")])?;
    }
    call(&["SET", "large:4", &text(4 * 1024)])?;
    call(&["SET", "large:64", &text(64 * 1024)])
}
