//! Random commands over all types on few keys, with arguments that are sometimes wrong.
//!
//! Only commands whose reply follows from the commands before them: nothing random, nothing that depends
//! on the clock or on the order of a hash table (sets hold integers only, hashes stay small).
//! It knows no more of the state than whether a transaction is open.

use crate::support::Random;

/// One row per shape of command. `{…}` is filled in by [`Generator::fill`].
const COMMANDS: &str = "
SET {str} {value}
SET {str} {value} NX
SET {str} {value} XX GET
SET {str} {value} {junk}
SET {str} {value} PXAT 33177117420000
SETNX {str} {value}
GET {str}
GET {str}
GET {any}
GETSET {str} {value}
GETDEL {str}
GETEX {str} EXAT 33177117420
MGET {str} {any} {str}
MSET {str} {value} {str} {int}
MSETNX {str} 1 {str} 2
APPEND {str} {value}
STRLEN {str}
GETRANGE {str} {int} {int}
SETRANGE {str} {small} {value}
INCR {str}
DECR {str}
INCRBY {str} {int}
INCRBYFLOAT {str} {score}
SETBIT {str} {small} {bit}
GETBIT {str} {small}
BITCOUNT {str}
BITPOS {str} {bit}
BITOP XOR {str} {str} {str}
BITFIELD {str} INCRBY u8 {small} {int} GET i5 {small}
PFADD {str} {field} {field}
PFCOUNT {str}
RPUSH {list} {value} {int}
LPUSH {list} {int}
LPUSHX {list} {int}
LPOP {list}
RPOP {list} {small}
LRANGE {list} 0 -1
LRANGE {list} {int} {int}
LLEN {list}
LINDEX {list} {int}
LSET {list} {int} {value}
LINSERT {list} BEFORE {int} {value}
LREM {list} {int} {int}
LTRIM {list} {small} {int}
LPOS {list} {int} COUNT 0
LMOVE {list} {list} LEFT RIGHT
RPOPLPUSH {list} {list}
LMPOP 2 {list} {list} LEFT COUNT {small}
BLPOP {list} {list} 0.01
SORT {list} DESC
SORT {list} STORE {list}
SADD {set} {number} {number}
SREM {set} {number} {number}
SMEMBERS {set}
SISMEMBER {set} {number}
SMISMEMBER {set} {number} {number}
SCARD {set}
SMOVE {set} {set} {number}
SINTER {set} {set}
SUNION {set} {set}
SDIFF {set} {set}
SUNIONSTORE {set} {set} {set}
SINTERSTORE {set} {set} {set}
SINTERCARD 2 {set} {set}
HSET {hash} {field} {value}
HSETNX {hash} {field} {value}
HGET {hash} {field}
HMGET {hash} {field} {field}
HGETALL {hash}
HDEL {hash} {field}
HINCRBY {hash} {field} {int}
HINCRBYFLOAT {hash} {field} {score}
HLEN {hash}
HKEYS {hash}
HEXISTS {hash} {field}
ZADD {zset} {score} {field}
ZADD {zset} GT CH {score} {field} {score} {field}
ZADD {zset} INCR {score} {field}
ZINCRBY {zset} {score} {field}
ZSCORE {zset} {field}
ZMSCORE {zset} {field} {field}
ZRANGE {zset} 0 -1 WITHSCORES
ZRANGE {zset} {score} {score} BYSCORE
ZRANK {zset} {field}
ZREVRANK {zset} {field}
ZCARD {zset}
ZCOUNT {zset} {score} {score}
ZREM {zset} {field}
ZPOPMIN {zset}
ZPOPMAX {zset} {small}
ZREMRANGEBYRANK {zset} {int} {int}
ZUNIONSTORE {zset} 2 {zset} {zset}
ZUNION 2 {zset} {zset} WITHSCORES
ZDIFF 2 {zset} {zset}
ZRANGESTORE {zset} {zset} 0 {int}
GEOADD {zset} {small} {small} {field}
XADD {stream} {small}-{small} {field} {value}
XADD {stream} {small}-* {field} {value}
XLEN {stream}
XRANGE {stream} - +
XREVRANGE {stream} + - COUNT {small}
XREAD STREAMS {stream} {small}
XDEL {stream} {small}-{small}
XTRIM {stream} MAXLEN {small}
XGROUP CREATE {stream} g 0 MKSTREAM
XREADGROUP GROUP g c COUNT {small} STREAMS {stream} >
XACK {stream} g {small}-{small}
XPENDING {stream} g
DEL {any} {any}
UNLINK {any}
EXISTS {any} {any} {any}
TYPE {any}
TOUCH {any}
RENAME {any} {any}
RENAMENX {any} {any}
COPY {any} {any} REPLACE
COPY {any} {any} DB 1
MOVE {any} 1
EXPIREAT {any} 33177117420
EXPIRE {any} -1
EXPIRE {any} {junk}
EXPIRETIME {any}
PERSIST {any}
OBJECT ENCODING {any}
DUMP {set}
DBSIZE
PING
ECHO {value}
CLIENT SETNAME {field}
CLIENT GETNAME
EVAL return{redis.call('GET',KEYS[1])} 1 {str}
EVAL return{redis.call('INCR','str1'),{ARGV[1]}} 0 {value}
EVAL redis.call('DEL','str2','list2')return{ok='DONE'} 0
EVAL return{redis.pcall('HGETALL',KEYS[1]),1.5,true,false} 1 {any}
EVAL redis.setresp(3)return{redis.call('HGETALL',KEYS[1])} 1 {hash}
EVAL error('boom') 0
WATCH {any}
WATCH {any} {any}
UNWATCH
SELECT {bit}
SELECT {bit}
SELECT {bit}
SELECT {junk}
MULTI
MULTI
MULTI
MULTI
MULTI
MULTI
{name} {any}
{name}
{name} {any} {int} {value}
RESET
SWAPDB 0 1
FLUSHDB
";

const TYPES: [&str; 6] = ["str", "list", "set", "hash", "zset", "stream"];

/// What a cluster refuses: other databases, scripts that do not name their keys; and rows that make keys of what is
/// none.
const NOT_IN_A_CLUSTER: [&str; 7] = [
    "SELECT",
    "SWAPDB",
    "MOVE ",
    " DB 1",
    "EVAL redis.call('DEL','str2'",
    "'INCR','str1'",
    "{name} {any} {int} {value}",
];

/// Those that are split when their keys are in several slots.
const SPLIT: [&str; 6] = ["MGET", "MSET", "EXISTS", "TOUCH", "DEL", "UNLINK"];

/// What sequences are made of.
#[derive(Debug)]
pub(crate) struct Generator {
    rows: Vec<&'static str>,
    in_multi: bool,
    /// What each key ends with.
    tag: String,
    /// What does not stand in transactions.
    alone: &'static [&'static str],
}

impl Generator {
    pub(crate) fn new() -> Self {
        Self {
            rows: COMMANDS.lines().filter(|row| !row.is_empty()).collect(),
            in_multi: false,
            tag: String::new(),
            alone: &[],
        }
    }

    /// For a cluster, with all keys in the slot of this tag.
    pub(crate) fn in_one_slot(tag: &str) -> Self {
        let mut all = Self::new();
        all.rows
            .retain(|row| !NOT_IN_A_CLUSTER.iter().any(|part| row.contains(part)));
        all.tag = format!("{{{tag}}}");
        // Those of all nodes; and a transaction in one that is not noted here.
        all.alone = &["DBSIZE", "FLUSHDB", "MULTI"];
        all
    }

    /// For a cluster, with keys in slots of all nodes: commands of one key, and those that are split.
    pub(crate) fn in_all_slots() -> Self {
        let mut all = Self::in_one_slot("");
        all.rows.retain(|row| {
            let mut words = row.split(' ');
            let name = words.next().unwrap_or_default();
            let is_key = |word: &&str| {
                let word = word.trim_matches(['{', '}']);
                word == "any" || TYPES.contains(&word)
            };
            let keys = words.filter(is_key).count();
            (keys <= 1 || SPLIT.contains(&name)) && !["MULTI", "WATCH"].contains(&name)
        });
        all.tag = String::new();
        all
    }

    /// The next command. Transactions are ended after some commands.
    pub(crate) fn next(&mut self, random: &mut Random) -> Vec<Vec<u8>> {
        if self.in_multi && random.one_in(6) {
            self.in_multi = false;
            let end = if random.one_in(5) { "DISCARD" } else { "EXEC" };
            return vec![end.into()];
        }
        let row = loop {
            let row = *random.pick(&self.rows);
            if !(self.in_multi && self.alone.contains(&row)) {
                break row;
            }
        };
        match row {
            "MULTI" => self.in_multi = true,
            "RESET" => self.in_multi = false,
            _ => {}
        }
        row.split(' ').map(|word| self.fill(word, random)).collect()
    }

    fn fill(&self, word: &str, random: &mut Random) -> Vec<u8> {
        let mut filled = Vec::new();
        let mut rest = word;
        // in a script a brace is Lua's own: {…} is a slot only with a known name
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}') else {
                break;
            };
            let name = &rest[open + 1..open + close];
            let Some(value) = self.slot(name, random) else {
                break;
            };
            filled.extend_from_slice(&rest.as_bytes()[..open]);
            filled.extend(value);
            rest = &rest[open + close + 1..];
        }
        filled.extend_from_slice(rest.as_bytes());
        filled
    }

    fn slot(&self, name: &str, random: &mut Random) -> Option<Vec<u8>> {
        if TYPES.contains(&name) {
            let kind = if random.one_in(12) {
                *random.pick(&TYPES)
            } else {
                name
            };
            return Some(self.key(kind, random));
        }
        let text = match name {
            "any" => {
                let kind = *random.pick(&TYPES);
                return Some(self.key(kind, random));
            }
            "value" => return Some(value(random)),
            "name" => {
                let name = self.rows[random.below(self.rows.len())].split(' ').next()?;
                // its last argument would be a time to wait
                if matches!(name, "{name}" | "BLPOP") || self.alone.contains(&name) {
                    "NOSUCH".to_owned()
                } else {
                    name.to_owned()
                }
            }
            "int" if random.one_in(15) => junk(random),
            "int" => (random.below(12).cast_signed() - 5).to_string(),
            "number" => (random.below(25).cast_signed() - 5).to_string(),
            "small" if random.one_in(30) => junk(random),
            "small" => random.below(9).to_string(),
            "bit" => random.below(2).to_string(),
            "score" if random.one_in(15) => junk(random),
            "score" => format!("{}", (random.below(80).cast_signed() - 20) as f64 / 4.0),
            "field" => format!("f{}", random.below(5)),
            "junk" => junk(random),
            _ => return None,
        };
        Some(text.into_bytes())
    }

    fn key(&self, kind: &str, random: &mut Random) -> Vec<u8> {
        format!("{kind}{}{}", random.between(1, 2), self.tag).into_bytes()
    }
}

fn junk(random: &mut Random) -> String {
    let all = [
        "abc",
        "",
        "9223372036854775807",
        "-9223372036854775808",
        // Not 1e9999: redis-server's SORT takes the errno that it leaves behind for an error of its own.
        "inf",
        "nan",
        " 1",
        "0x10",
        "99",
        "1.5",
    ];
    (*random.pick(&all)).to_owned()
}

/// Mostly short; sometimes a number, binary, or long.
fn value(random: &mut Random) -> Vec<u8> {
    match random.below(20) {
        0 => Vec::new(),
        1 => b"\r\n$5\r\n\x00\xff".to_vec(),
        2..=8 => random.below(100).to_string().into_bytes(),
        _ => {
            let length = random.between(1, 20);
            (0..length).map(|_| *random.pick(b"abcxyz")).collect()
        }
    }
}
