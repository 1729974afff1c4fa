//! One beat: what a member says to the backing, and what it is told. The script is `scripts/heartbeat.lua`; what it
//! returns may have been written by others.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Value;

use super::identity::ShardKey;
use super::view::{LONGEST_ROW, MOST_MEMBERS, SetDigest};
use crate::upstream::ControlScript;

/// The keys, all in one slot.
pub(super) const KEYS: [&str; 6] = [
    "respite:f:{share}:state",
    "respite:f:{share}:leases",
    "respite:f:{share}:members",
    "respite:f:{share}:sets",
    "respite:f:{share}:info",
    "respite:f:{share}:when",
];

/// The most records that one beat takes or brings, and the most bytes of them.
pub(super) const MOST_RECORDS: usize = 2000;
pub(super) const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The most sets that are asked for at once.
pub(super) const MOST_SETS: usize = 16;
/// The most bytes that they, or bases, may have together: a set of all shards that are tracked has 800,000.
const MOST_ASKED: usize = 16 * 1024 * 1024;

pub(super) static BEAT: LazyLock<ControlScript> =
    LazyLock::new(|| ControlScript::new(include_str!("scripts/heartbeat.lua")).repeatable());

/// KEYS: a hash. ARGV: the most bytes, fields. Returns their values, '' for those that are not there or too much.
pub(super) static LOOK: LazyLock<ControlScript> = LazyLock::new(|| {
    ControlScript::new(
        "local all, size = {}, 0 for i = 2, #ARGV do \
         local len = redis.call('HSTRLEN', KEYS[1], ARGV[i]) \
         if len > 0 and size + len <= tonumber(ARGV[1]) \
         then size = size + len all[i - 1] = redis.call('HGET', KEYS[1], ARGV[i]) \
         else all[i - 1] = '' end end return all",
    )
    .repeatable()
});

/// What a member tells of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: ShardKey,
    pub(super) record: Vec<u8>,
    /// Later records are compressed against it.
    pub(super) is_base: bool,
}

/// What a member says.
#[derive(Debug, Clone, Default)]
pub(super) struct Beat {
    pub(super) member: String,
    pub(super) lease: Duration,
    /// The newest view that it has taken over.
    pub(super) acked: u64,
    pub(super) digest: String,
    pub(super) declined: String,
    /// The encoded set, when the backing may not have it.
    pub(super) set: Option<Vec<u8>>,
    /// What it was told last.
    pub(super) rev: u64,
    pub(super) since: u64,
    /// The longest record that it reads.
    pub(super) longest: usize,
    /// How long the backing keeps what it is told.
    pub(super) keep: Duration,
    pub(super) leaves: bool,
    pub(super) entries: Vec<Entry>,
}

/// What it is told. Times are microseconds of the backing's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) now: u64,
    pub(super) view: u64,
    pub(super) rev: u64,
    /// When the first of the present members came.
    pub(super) born: u64,
    /// It was no member before.
    pub(super) joined: bool,
    /// The backing does not have its set.
    pub(super) wants_set: bool,
    /// The number of the last record that it has now.
    pub(super) upto: u64,
    /// There are more records.
    pub(super) more: bool,
    /// Names and rows, when they have changed since `rev`.
    pub(super) rows: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    pub(super) records: Vec<(ShardKey, Vec<u8>)>,
}

impl Beat {
    /// The arguments of the script.
    pub(super) fn args(&self) -> Vec<Vec<u8>> {
        let micros = |time: Duration| time.as_micros().to_string();
        let texts = [
            self.member.clone(),
            micros(self.lease),
            self.acked.to_string(),
            self.digest.clone(),
            self.declined.clone(),
        ];
        let mut args: Vec<Vec<u8>> = texts.map(String::into_bytes).into();
        args.push(self.set.clone().unwrap_or_default());
        let texts = [
            self.rev.to_string(),
            self.since.to_string(),
            MOST_RECORDS.to_string(),
            MOST_BYTES.to_string(),
            self.longest.to_string(),
            micros(self.keep),
            u8::from(self.leaves).to_string(),
        ];
        args.extend(texts.map(String::into_bytes));
        for entry in &self.entries {
            args.push(entry.key.to_string().into_bytes());
            args.push(entry.record.clone());
            args.push(u8::from(entry.is_base).to_string().into_bytes());
        }
        args
    }
}

impl Told {
    /// Reads what the script returned to a beat that knew `rev`.
    pub(super) fn parse(reply: Value, rev: u64) -> Option<Self> {
        let Value::Array(parts) = reply else {
            return None;
        };
        let mut parts = parts.into_iter();
        let mut next = || number(&parts.next()?);
        let (now, view, new_rev, born) = (next()?, next()?, next()?, next()?);
        let (joined, wants_set, upto, more) = (next()?, next()?, next()?, next()?);
        let rows = pairs(parts.next()?, MOST_MEMBERS)?;
        let records = pairs(parts.next()?, MOST_RECORDS)?;
        if rows.iter().any(|(_, row)| row.len() > LONGEST_ROW) {
            return None;
        }
        let key = |(key, record): (Vec<u8>, Vec<u8>)| Some((ShardKey::parse(&key)?, record));
        Some(Told {
            now,
            view,
            rev: new_rev,
            born,
            joined: joined == 1,
            wants_set: wants_set == 1,
            upto,
            more: more == 1,
            rows: (new_rev != rev).then_some(rows),
            records: records.into_iter().filter_map(key).collect(),
        })
    }
}

/// The key of the sets, and the arguments of [`LOOK`] for some of them.
pub(super) fn sets(digests: &[SetDigest]) -> (&'static str, Vec<String>) {
    let digests = digests.iter().map(ToString::to_string);
    let most = std::iter::once(MOST_ASKED.to_string());
    (KEYS[3], most.chain(digests).collect())
}

/// The key of the records, and the arguments of [`LOOK`] for the bases of some shards.
pub(super) fn bases(keys: &[ShardKey]) -> (&'static str, Vec<String>) {
    let fields = keys.iter().map(|key| format!("{key}:b"));
    let most = std::iter::once(MOST_ASKED.to_string());
    (KEYS[4], most.chain(fields).collect())
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

fn pairs(value: Value, most: usize) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let Value::Array(values) = value else {
        return None;
    };
    if values.len() % 2 != 0 || values.len() > 2 * most {
        return None;
    }
    let mut values = values.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let (Some(first), Some(second)) = (values.next(), values.next()) {
        match (first, second) {
            (Value::BulkString(first), Value::BulkString(second)) => pairs.push((first, second)),
            _ => return None,
        }
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::super::view::{LONGEST_NAME, MOST_ROWS};
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn reply(rows: Vec<Value>, records: Vec<Value>) -> Value {
        let mut parts = ["9", "2", "3", "1"].map(bulk).to_vec();
        parts.extend([Value::Int(1), Value::Int(0), bulk("7"), Value::Int(0)]);
        parts.extend([Value::Array(rows), Value::Array(records)]);
        Value::Array(parts)
    }

    #[test]
    fn what_is_told_is_read_within_bounds() {
        let key = "0123456789abcdef";
        let told = reply(vec![bulk("a"), bulk("row")], vec![bulk(key), bulk("x")]);
        let told = Told::parse(told, 0).expect("well-formed");
        assert_eq!((told.now, told.upto, told.joined), (9, 7, true));
        assert_eq!(told.rows, Some(vec![(b"a".to_vec(), b"row".to_vec())]));
        assert_eq!(told.records.len(), 1);
        let same = Told::parse(reply(Vec::new(), Vec::new()), 3).expect("well-formed");
        assert_eq!(same.rows, None);
        let odd = reply(Vec::new(), vec![bulk("other"), bulk("x")]);
        assert!(Told::parse(odd, 0).is_some_and(|told| told.records.is_empty()));
        let long = "x".repeat(LONGEST_ROW + 1);
        let many = vec![bulk("a"); 2 * MOST_MEMBERS + 2];
        for wrong in [
            Value::Nil,
            Value::Array(vec![bulk("x")]),
            reply(vec![bulk("a")], Vec::new()),
            reply(vec![bulk("a"), Value::Nil], Vec::new()),
            reply(vec![bulk("a"), bulk(&long)], Vec::new()),
            reply(many, Vec::new()),
        ] {
            assert_eq!(Told::parse(wrong, 0), None);
        }
    }

    #[test]
    fn the_script_has_the_bounds_of_the_code() {
        let script = include_str!("scripts/heartbeat.lua");
        for (name, most) in [
            ("MOST_MEMBERS", MOST_MEMBERS),
            ("LONGEST_NAME", LONGEST_NAME),
            ("MOST_ROW", LONGEST_ROW),
            ("MOST_ROWS", MOST_ROWS),
        ] {
            let line = format!("local {name} = {most} ");
            assert!(script.contains(&line), "{name} is not {most}");
        }
    }
}
