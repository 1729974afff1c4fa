//! Makes one reply of those of several nodes. Knows no node and no connection.

use std::collections::{BTreeMap, HashSet};

use crate::command::Joining;
use crate::resp::{Proto, ReplyWriter, Value, parse_reply};

/// What is said when nodes answer with what cannot be joined.
const DIFFERENT: &[u8] = b"-ERR the nodes of the cluster answer in different ways\r\n";
/// What others say whose node has nothing to be killed.
const NOTHING_TO_DO: &[u8] = b"-NOTBUSY ";

/// Joins whole replies, one of each node.
pub(super) fn join(joining: Joining, replies: &[Vec<u8>], proto: Proto) -> Vec<u8> {
    if joining == Joining::OneSucceeded {
        return one_succeeded(replies).to_vec();
    }
    if let Some(error) = replies.iter().find(|reply| is_error(reply)) {
        return error.clone();
    }
    joined(joining, replies, proto).unwrap_or_else(|| DIFFERENT.to_vec())
}

/// Whether a reply is an error.
pub(super) fn is_error(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'-' | b'!'))
}

/// Whether a reply is no value.
pub(super) fn is_null(reply: &[u8]) -> bool {
    reply.starts_with(b"$-1\r") || reply.starts_with(b"_\r") || reply.starts_with(b"*-1\r")
}

fn joined(joining: Joining, replies: &[Vec<u8>], proto: Proto) -> Option<Vec<u8>> {
    let integer = |number: i64| {
        let mut out = Vec::new();
        ReplyWriter::new(&mut out, proto).integer(number);
        out
    };
    let numbers = || {
        let numbers = replies.iter().map(|reply| number(reply));
        numbers.collect::<Option<Vec<i64>>>()
    };
    match joining {
        Joining::AllSucceeded | Joining::OneSucceeded => replies.first().cloned(),
        Joining::Sum => Some(integer(numbers()?.into_iter().sum())),
        Joining::Min => Some(integer(numbers()?.into_iter().min()?)),
        Joining::Max => Some(integer(numbers()?.into_iter().max()?)),
        Joining::LogicalAnd => logical_and(replies, proto),
        Joining::Elements => concatenated(replies, false),
        Joining::Distinct => concatenated(replies, true),
        Joining::Counts => counts(replies, proto),
        Joining::AnyValue => {
            let mut values = replies.iter().filter(|reply| !is_null(reply));
            values.next().or(replies.first()).cloned()
        }
        Joining::Newest => newest(replies),
        Joining::Latest => latest(replies),
        Joining::Running => replies
            .iter()
            .find(|r| runs(r))
            .or(replies.first())
            .cloned(),
    }
}

/// The first success, else the error that says most.
fn one_succeeded(replies: &[Vec<u8>]) -> &[u8] {
    let success = replies.iter().find(|reply| !is_error(reply));
    let says_more = |reply: &&Vec<u8>| !reply.starts_with(NOTHING_TO_DO);
    let found = success.or_else(|| replies.iter().find(says_more));
    found.or(replies.first()).map_or(DIFFERENT, Vec::as_slice)
}

/// The number that a reply is.
pub(super) fn number(reply: &[u8]) -> Option<i64> {
    match parse_reply(reply) {
        Ok(Some((Value::Integer(number), _))) => Some(number),
        _ => None,
    }
}

/// The elements of an array or a set as they came, and the kind of the whole.
pub(super) fn elements(reply: &[u8]) -> Option<(u8, Vec<&[u8]>)> {
    let kind = *reply.first().filter(|kind| b"*~".contains(kind))?;
    let end = memchr::memchr(b'\n', reply)? + 1;
    let count = std::str::from_utf8(&reply[1..end - 2]).ok()?;
    let count: usize = count.parse().ok()?;
    let mut found = Vec::new();
    let mut at = end;
    for _ in 0..count {
        let (_, len) = parse_reply(&reply[at..]).ok()??;
        found.push(&reply[at..at + len]);
        at += len;
    }
    Some((kind, found))
}

/// An array, or a set, of these elements.
pub(super) fn array_of<'a>(kind: u8, elements: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(elements.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    elements.for_each(|element| out.extend_from_slice(element));
    out
}

fn concatenated(replies: &[Vec<u8>], distinct: bool) -> Option<Vec<u8>> {
    let mut kind = b'*';
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    for reply in replies {
        let (of, elements) = elements(reply)?;
        kind = of;
        let new = elements
            .into_iter()
            .filter(|e| !distinct || seen.insert(*e));
        all.extend(new);
    }
    Some(array_of(kind, all.into_iter()))
}

fn logical_and(replies: &[Vec<u8>], proto: Proto) -> Option<Vec<u8>> {
    let mut all: Option<Vec<i64>> = None;
    for reply in replies {
        let (value, _) = parse_reply(reply).ok()??;
        let said = value.as_array()?.iter().map(Value::as_int);
        let said: Vec<i64> = said.collect::<Option<_>>()?;
        all = Some(match all {
            None => said,
            Some(before) => before.iter().zip(&said).map(|(a, b)| a & b).collect(),
        });
    }
    let all = all?;
    let mut out = Vec::new();
    let mut writer = ReplyWriter::new(&mut out, proto);
    writer.array(all.len());
    all.into_iter().for_each(|said| writer.integer(said));
    Some(out)
}

fn counts(replies: &[Vec<u8>], proto: Proto) -> Option<Vec<u8>> {
    let mut names: Vec<&[u8]> = Vec::new();
    let mut sums: Vec<i64> = Vec::new();
    for (n, reply) in replies.iter().enumerate() {
        let (_, elements) = elements(reply)?;
        let (pairs, _) = elements.as_chunks::<2>();
        for (at, [name, count]) in pairs.iter().enumerate() {
            let count = number(count)?;
            // Each node answers for all that were named, in their order.
            match n {
                0 => {
                    names.push(name);
                    sums.push(count);
                }
                _ => *sums.get_mut(at).filter(|_| names.get(at) == Some(name))? += count,
            }
        }
    }
    let mut out = Vec::new();
    let mut writer = ReplyWriter::new(&mut out, proto);
    writer.array(2 * names.len());
    for (name, sum) in names.iter().zip(sums) {
        writer.raw(name);
        writer.integer(sum);
    }
    Some(out)
}

/// The integer at a place of an entry.
fn field(entry: &[u8], at: usize) -> Option<i64> {
    let (value, _) = parse_reply(entry).ok()??;
    value.as_array()?.get(at)?.as_int()
}

/// Entries of `SLOWLOG GET`, whose second field is a time: the newest first, as one node gives them.
fn newest(replies: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut all: Vec<(i64, &[u8])> = Vec::new();
    for reply in replies {
        for entry in elements(reply)?.1 {
            all.push((field(entry, 1)?, entry));
        }
    }
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    Some(array_of(b'*', all.into_iter().map(|(_, entry)| entry)))
}

/// Takes an array's first elements alone.
pub(super) fn shortened(reply: Vec<u8>, most: usize) -> Vec<u8> {
    match elements(&reply) {
        Some((kind, elements)) if elements.len() > most => array_of(
            kind,
            elements
                .into_iter()
                .take(most)
                .collect::<Vec<_>>()
                .into_iter(),
        ),
        _ => reply,
    }
}

/// Entries of `LATENCY LATEST`, of each event the one of the node where it was last.
fn latest(replies: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut events: BTreeMap<Vec<u8>, (i64, &[u8])> = BTreeMap::new();
    for reply in replies {
        for entry in elements(reply)?.1 {
            let (value, _) = parse_reply(entry).ok()??;
            let name = value.as_array()?.first()?.as_bytes()?.to_vec();
            let at = field(entry, 1)?;
            let known = events.entry(name).or_insert((at, entry));
            if known.0 < at {
                *known = (at, entry);
            }
        }
    }
    let entries: Vec<&[u8]> = events.into_values().map(|(_, entry)| entry).collect();
    Some(array_of(b'*', entries.into_iter()))
}

/// Whether a reply to `FUNCTION STATS` tells of a function that runs.
fn runs(reply: &[u8]) -> bool {
    let running = |value: &Value<'_>| !value.is_null();
    match parse_reply(reply) {
        Ok(Some((Value::Array(pairs), _))) => pairs.get(1).is_some_and(running),
        Ok(Some((Value::Map(pairs), _))) => pairs.first().is_some_and(|(_, v)| running(v)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(joining: Joining, replies: &[&str]) -> String {
        let replies: Vec<Vec<u8>> = replies.iter().map(|r| r.as_bytes().to_vec()).collect();
        let joined = join(joining, &replies, Proto::Resp2);
        String::from_utf8(joined).expect("text")
    }

    #[test]
    fn replies_become_one() {
        for (joining, replies, expected) in [
            (Joining::Sum, &[":2\r\n", ":40\r\n"][..], ":42\r\n"),
            (Joining::Min, &[":2\r\n", ":40\r\n"], ":2\r\n"),
            (Joining::Max, &[":2\r\n", ":40\r\n"], ":40\r\n"),
            (Joining::AllSucceeded, &["+OK\r\n", "+OK\r\n"], "+OK\r\n"),
            (
                Joining::AllSucceeded,
                &["+OK\r\n", "-OOM x\r\n"],
                "-OOM x\r\n",
            ),
            (
                Joining::OneSucceeded,
                &["-NOTBUSY x\r\n", "+OK\r\n"],
                "+OK\r\n",
            ),
            (
                Joining::OneSucceeded,
                &["-NOTBUSY x\r\n", "-UNKILLABLE y\r\n"],
                "-UNKILLABLE y\r\n",
            ),
            (
                Joining::LogicalAnd,
                &["*2\r\n:1\r\n:1\r\n", "*2\r\n:1\r\n:0\r\n"],
                "*2\r\n:1\r\n:0\r\n",
            ),
            (
                Joining::Elements,
                &["*1\r\n$1\r\na\r\n", "*0\r\n", "*1\r\n$1\r\na\r\n"],
                "*2\r\n$1\r\na\r\n$1\r\na\r\n",
            ),
            (
                Joining::Distinct,
                &["*1\r\n$1\r\na\r\n", "*2\r\n$1\r\nb\r\n$1\r\na\r\n"],
                "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            ),
            (
                Joining::Counts,
                &["*2\r\n$1\r\na\r\n:1\r\n", "*2\r\n$1\r\na\r\n:2\r\n"],
                "*2\r\n$1\r\na\r\n:3\r\n",
            ),
            (
                Joining::AnyValue,
                &["$-1\r\n", "$1\r\nk\r\n"],
                "$1\r\nk\r\n",
            ),
            (Joining::AnyValue, &["$-1\r\n", "$-1\r\n"], "$-1\r\n"),
            (
                Joining::Newest,
                &["*1\r\n*2\r\n:0\r\n:5\r\n", "*1\r\n*2\r\n:0\r\n:7\r\n"],
                "*2\r\n*2\r\n:0\r\n:7\r\n*2\r\n:0\r\n:5\r\n",
            ),
            (
                Joining::Latest,
                &[
                    "*1\r\n*2\r\n$1\r\ne\r\n:5\r\n",
                    "*1\r\n*2\r\n$1\r\ne\r\n:7\r\n",
                ],
                "*1\r\n*2\r\n$1\r\ne\r\n:7\r\n",
            ),
            (
                Joining::Running,
                &["*2\r\n$1\r\nr\r\n$-1\r\n", "*2\r\n$1\r\nr\r\n:1\r\n"],
                "*2\r\n$1\r\nr\r\n:1\r\n",
            ),
        ] {
            assert_eq!(text(joining, replies), expected, "{joining:?} {replies:?}");
        }
        let different = text(Joining::Sum, &[":1\r\n", "+OK\r\n"]);
        assert!(different.starts_with("-ERR"));
        let long = b"*3\r\n:1\r\n:2\r\n:3\r\n".to_vec();
        assert_eq!(shortened(long, 2), b"*2\r\n:1\r\n:2\r\n");
    }
}
