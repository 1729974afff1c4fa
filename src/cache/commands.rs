//! `CACHE.*`: what the cache holds and how it does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::entry::Entry;
use super::lease::ticks;
use super::named::Chosen;
use super::store::Cache;
use super::variants::Variants;
use crate::command::{Answer, ArgKind, Call, Categories, Family, Flags, OwnArg, OwnRow, help};
use crate::resp::{Args, Glob, Proto, ReplyWriter};

const DEFAULT_HOTKEYS: usize = 10;
const MOST_HOTKEYS: usize = 1000;

const READ: OwnRow = OwnRow {
    flags: Flags::READONLY.union(Flags::LOADING).union(Flags::STALE),
    categories: Categories::READ.union(Categories::SLOW),
    group: "cache",
    ..OwnRow::EMPTY
};

const ROWS: &[OwnRow] = &[
    OwnRow {
        name: "CACHE.STATS",
        arity: 1,
        summary: "Returns the counters and limits of the cache",
        syntax: "CACHE.STATS",
        ..READ
    },
    OwnRow {
        name: "CACHE.INSPECT",
        arity: 2,
        first_key: 1,
        last_key: 1,
        key_step: 1,
        summary: "Returns what the cache holds for a key",
        arguments: &[OwnArg::new("key", ArgKind::Key)],
        syntax: "CACHE.INSPECT key",
        ..READ
    },
    OwnRow {
        name: "CACHE.HOTKEYS",
        arity: -1,
        summary: "Returns the keys with the most hits of late, with an estimate of these",
        arguments: &[OwnArg::new("count", ArgKind::Integer)
            .token("COUNT")
            .optional()],
        syntax: "CACHE.HOTKEYS [COUNT n]",
        complexity: "O(1)",
        ..READ
    },
    OwnRow {
        name: "CACHE.FLUSH",
        arity: -1,
        summary: "Drops cached entries",
        arguments: &[OwnArg::new("glob", ArgKind::Pattern)
            .token("MATCH")
            .optional()],
        syntax: "CACHE.FLUSH [MATCH glob]",
        complexity: "O(N) with N being the number of entries",
        flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
        categories: Categories::ADMIN
            .union(Categories::SLOW)
            .union(Categories::DANGEROUS),
        ..READ
    },
    OwnRow {
        name: "CACHE.HELP",
        arity: 1,
        summary: "Lists the commands about the cache",
        syntax: "CACHE.HELP",
        ..READ
    },
];

/// The commands about the cache.
#[derive(Debug)]
pub struct CacheFamily {
    cache: Arc<Cache>,
    /// Held by the one flush by names that is under way: it takes a thread for as long as it lasts.
    flushing: Arc<tokio::sync::Mutex<()>>,
}

impl CacheFamily {
    /// The commands about this cache.
    pub fn new(cache: Arc<Cache>) -> Self {
        CacheFamily {
            cache,
            flushing: Arc::default(),
        }
    }

    fn stats(&self, reply: &mut ReplyWriter<'_>) {
        let figures = self.cache.figures();
        reply.map(figures.numbers.len() + 3);
        for (name, text) in [("mode", figures.mode), ("state", figures.state)] {
            reply.bulk(name);
            reply.bulk(text);
        }
        for (name, number) in figures.numbers {
            reply.bulk(name);
            reply.integer(i64::try_from(number).unwrap_or(i64::MAX));
        }
        reply.bulk("hit_ratio");
        reply.double(figures.hit_ratio);
    }

    fn inspect(&self, call: &Call<'_>, out: &mut Vec<u8>) {
        let proto = call.proto;
        let found = self.cache.inspect(call.db, &call.args[1], |entry| {
            describe(entry, &mut ReplyWriter::new(out, proto));
        });
        if found.is_none() {
            ReplyWriter::new(out, proto).null();
        }
    }

    fn hotkeys(&self, call: &Call<'_>, reply: &mut ReplyWriter<'_>) -> Result<(), &'static str> {
        let count = match option(call.args, b"COUNT")? {
            None => DEFAULT_HOTKEYS,
            Some(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok())
                .filter(|count| (1..=MOST_HOTKEYS).contains(count))
                .ok_or("ERR COUNT must be from 1 to 1000")?,
        };
        let hottest = self.cache.hottest(count, |key| call.rights.may_use(key));
        reply.array(hottest.len());
        for (_, key, hits) in hottest {
            reply.map(2);
            reply.bulk("key");
            reply.bulk(&key);
            reply.bulk("hits");
            reply.integer(hits.cast_signed());
        }
        Ok(())
    }

    fn flush(&self, call: &Call<'_>, reply: &mut ReplyWriter<'_>) -> Result<Answer, &'static str> {
        let matching = match option(call.args, b"MATCH")? {
            None if !call.rights.are_restricted() => {
                reply.integer(i64::try_from(self.cache.flush()).unwrap_or(i64::MAX));
                return Ok(Answer::Given);
            }
            None => None,
            Some(pattern) => Some((call.db, Glob::new(pattern)?)),
        };
        let chosen = Chosen {
            matching,
            rights: call.rights.clone(),
        };
        let (cache, proto) = (Arc::clone(&self.cache), call.proto);
        let (one, asked) = (Arc::clone(&self.flushing), chosen);
        Ok(Answer::Later(Box::pin(async move {
            let _turn = one.lock().await;
            let flushed = spawn_blocking(move || cache.flush_chosen(&asked)).await;
            let mut out = Vec::new();
            let mut reply = ReplyWriter::new(&mut out, proto);
            match flushed {
                Ok(dropped) => reply.integer(i64::try_from(dropped).unwrap_or(i64::MAX)),
                Err(_) => reply.error("ERR the cache was not flushed: the server is stopping"),
            }
            out
        })))
    }
}

fn describe(entry: &Entry, reply: &mut ReplyWriter<'_>) {
    let now = Instant::now();
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let newest = entry.values().map(|value| value.landed).max();
    let first_to_go = entry.values().min_by_key(|value| value.deadline);
    let lengths = entry.values().map(|value| {
        let reply = value.reply.as_deref();
        reply.map_or(0, value_bytes)
    });
    let bytes: usize = lengths.sum();
    reply.map(7);
    reply.bulk("cached");
    reply.boolean(true);
    reply.bulk("type");
    reply.bulk(kind(entry));
    reply.bulk("bytes");
    reply.integer(count(bytes));
    reply.bulk("age_ms");
    let age = newest.map_or(0, |landed| ticks(now).saturating_sub(landed));
    reply.integer(millis(Duration::from_nanos(age)));
    reply.bulk("ttl_ms");
    // As PTTL: -1 for a key that does not expire.
    let left = first_to_go.filter(|value| value.expires).map(|value| {
        millis(Duration::from_nanos(
            value.deadline.saturating_sub(ticks(now)),
        ))
    });
    reply.integer(left.unwrap_or(-1));
    reply.bulk("hits");
    reply.integer(entry.hits.get().cast_signed());
    reply.bulk("variants");
    let others = entry.others().map_or(0, Variants::len);
    reply.integer(count(others + usize::from(entry.get().is_some())));
}

/// The type of a key as far as what was read of it tells.
fn kind(entry: &Entry) -> &'static str {
    match entry.get() {
        Some(value) if value.reply.is_some() => return "string",
        Some(_) => return "none",
        None => {}
    }
    let mut names = entry.others().into_iter().flat_map(Variants::names);
    let known = names.find_map(|name| match name.split(|byte| *byte == b' ').next()? {
        b"exists" | b"type" => None,
        [b'h', ..] => Some("hash"),
        [b'l', ..] => Some("list"),
        [b'z', ..] | [b'g', b'e', b'o', ..] => Some("zset"),
        [b'x', ..] => Some("stream"),
        b"scard" | b"sismember" | b"smembers" | b"smismember" => Some("set"),
        _ => Some("string"),
    });
    known.unwrap_or("unknown")
}

/// The bytes of the value in a bulk reply; those of any other reply as it is.
fn value_bytes(reply: &[u8]) -> usize {
    if reply.first() != Some(&b'$') {
        return reply.len();
    }
    let header = memchr::memchr(b'\n', reply).map_or(0, |at| at + 1);
    reply.len().saturating_sub(header + 2)
}

/// The value of a command's only option.
fn option<'a>(args: Args<'a>, name: &[u8]) -> Result<Option<&'a [u8]>, &'static str> {
    match (args.len(), args.get(1)) {
        (1, _) => Ok(None),
        (3, Some(given)) if given.eq_ignore_ascii_case(name) => Ok(args.get(2)),
        _ => Err("ERR syntax error"),
    }
}

impl Family for CacheFamily {
    fn rows(&self) -> &'static [OwnRow] {
        ROWS
    }

    /// `CACHE.INSPECT` has its key in its row; the others look at names one by one.
    fn key(&self, _call: &Call<'_>) -> Option<String> {
        None
    }

    fn call(&self, call: &Call<'_>, out: &mut Vec<u8>) -> Answer {
        let proto: Proto = call.proto;
        let name = call.args[0].to_ascii_uppercase();
        let mut reply = ReplyWriter::new(out, proto);
        let result = match name.as_slice() {
            b"CACHE.STATS" => {
                self.stats(&mut reply);
                Ok(())
            }
            b"CACHE.INSPECT" => {
                self.inspect(call, out);
                return Answer::Given;
            }
            b"CACHE.HOTKEYS" => self.hotkeys(call, &mut reply),
            b"CACHE.FLUSH" => match self.flush(call, &mut reply) {
                Ok(answer) => return answer,
                Err(text) => Err(text),
            },
            _ => {
                help(ROWS, out);
                return Answer::Given;
            }
        };
        if let Err(text) = result {
            reply.error(text);
        }
        Answer::Given
    }
}
