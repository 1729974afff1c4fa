//! Picks the keys out of a command's arguments.
//!
//! Does not judge whether the command is valid: for one that Redis refuses it gives what it
//! finds, and never less than what Redis would use.

use super::key_ref::{KeyRef, Seen, lenient_count, visit_one, visit_positions, visit_span};
use super::key_rules::{Counted, Keys};
use super::key_span::KeyAccess;
use super::row::Row;
use crate::resp::Args;

/// The keys of a command, in the order of Redis' `COMMAND GETKEYS`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyList<'a> {
    /// All keys that the command can touch by name. Commands that touch keys without naming any
    /// (`FLUSHALL`) have none: see [`super::Effects`].
    Known(Vec<KeyRef<'a>>),
    /// The command may touch other keys than these (scripts, `SORT` with `BY` or `GET`, modules
    /// whose keys move).
    Declared(Vec<KeyRef<'a>>),
}

impl<'a> KeyList<'a> {
    /// Gives the keys that are named.
    #[must_use]
    pub fn named(&self) -> &[KeyRef<'a>] {
        match self {
            Self::Known(keys) | Self::Declared(keys) => keys,
        }
    }
}

/// Lists the keys of a command. For a container the row of its subcommand is used.
#[must_use]
pub fn keys<'a>(row: &Row, args: Args<'a>) -> KeyList<'a> {
    let mut keys = Vec::new();
    match each_key(row, args, |key| keys.push(key)) {
        Seen::All => KeyList::Known(keys),
        Seen::Declared => KeyList::Declared(keys),
    }
}

/// Hands the keys of a command to `each`, one after the other, without allocating.
pub fn each_key<'a>(row: &Row, args: Args<'a>, mut each: impl FnMut(KeyRef<'a>)) -> Seen {
    visit(&row.or_subcommand(args).keys, args, &mut each)
}

/// Gives the first key of a command without allocating, for routing and for the commonest reads.
#[inline]
#[must_use]
pub fn first_key<'a>(row: &Row, args: Args<'a>) -> Option<&'a [u8]> {
    match &row.keys {
        Keys::Span(span) => args.get(span.first as usize),
        Keys::None if row.subcommands.is_empty() => None,
        _ => {
            let mut first = None;
            each_key(row, args, |key| {
                first.get_or_insert(key.key);
            });
            first
        }
    }
}

/// Tells whether a command has one key, or none, whatever its arguments are.
#[inline]
#[must_use]
pub fn has_one_key(row: &Row) -> bool {
    match &row.keys {
        Keys::Span(span) => i64::from(span.first) == i64::from(span.last),
        _ => false,
    }
}

/// Tells whether `XREAD` or `XREADGROUP` has a `BLOCK` option.
#[must_use]
pub fn has_block_option(args: Args<'_>) -> bool {
    block_value(args).is_some()
}

/// The position of the value of that option.
pub(super) fn block_value(args: Args<'_>) -> Option<usize> {
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        match stream_option(arg) {
            StreamOption::Streams => return None,
            StreamOption::Block => return Some(at + 1),
            StreamOption::Values(values) => at += 1 + values,
        }
    }
    None
}

fn visit<'a>(rule: &Keys, args: Args<'a>, each: &mut impl FnMut(KeyRef<'a>)) -> Seen {
    match rule {
        Keys::None => Seen::All,
        Keys::Span(span) => visit_span(*span, args, each),
        Keys::Spans(spans) => spans.iter().fold(Seen::All, |seen, span| {
            seen.and(visit_span(*span, args, each))
        }),
        Keys::Counted(counted) => visit_counted(*counted, args, each),
        Keys::Sort => visit_sort(args, each),
        Keys::GeoRadius => visit_georadius(args, each),
        Keys::Streams(access) => visit_streams(*access, args, each),
        Keys::Migrate => visit_migrate(args, each),
        Keys::StrAlgo => visit_stralgo(args, each),
        Keys::BySubcommand(rules) => {
            let sub = args.get(1).unwrap_or_default();
            match rules
                .iter()
                .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(sub))
            {
                Some((_, span)) => visit_span(*span, args, each),
                None => Seen::All,
            }
        }
        Keys::Specs(specs) => specs
            .iter()
            .fold(Seen::All, |seen, spec| seen.and(spec.visit(args, each))),
        Keys::Open(span) => {
            if let Some(span) = span {
                visit_span(*span, args, each);
            }
            Seen::Declared
        }
    }
}

fn visit_counted<'a>(rule: Counted, args: Args<'a>, each: &mut impl FnMut(KeyRef<'a>)) -> Seen {
    if rule.destination {
        visit_one(1, KeyAccess::Overwrite, args, each);
    }
    let count = args.get(rule.count_at as usize).map_or(0, lenient_count);
    let at = i64::from(rule.count_at);
    visit_positions(args, at + 1, at.saturating_add(count), 1, rule.access, each);
    if rule.open { Seen::Declared } else { Seen::All }
}

/// `SORT key [BY p] [LIMIT o n] [GET p …] [ASC|DESC] [ALPHA] [STORE d]`; the last `STORE` wins.
/// A `BY` without `*` sorts by nothing, a `GET #` gives the element itself.
fn visit_sort<'a>(args: Args<'a>, each: &mut impl FnMut(KeyRef<'a>)) -> Seen {
    visit_one(1, KeyAccess::Read, args, each);
    let (mut seen, mut store, mut at) = (Seen::All, None, 2);
    while let Some(option) = args.get(at) {
        let next = args.get(at + 1);
        at += if option.eq_ignore_ascii_case(b"limit") {
            3
        } else if option.eq_ignore_ascii_case(b"by") {
            if next.is_some_and(|pattern| memchr::memchr(b'*', pattern).is_some()) {
                seen = Seen::Declared;
            }
            2
        } else if option.eq_ignore_ascii_case(b"get") {
            if next.is_some_and(|pattern| pattern != b"#") {
                seen = Seen::Declared;
            }
            2
        } else if option.eq_ignore_ascii_case(b"store") {
            store = Some(at + 1);
            2
        } else {
            1
        };
    }
    if let Some(at) = store {
        visit_one(at, KeyAccess::Overwrite, args, each);
    }
    seen
}

/// `GEORADIUS key lon lat r unit …`, `GEORADIUSBYMEMBER key member r unit …` with `STORE d` or
/// `STOREDIST d` among the options. Both count when both are there, as in `COMMAND GETKEYS`.
fn visit_georadius<'a>(args: Args<'a>, each: &mut impl FnMut(KeyRef<'a>)) -> Seen {
    visit_one(1, KeyAccess::Read, args, each);
    let mut at = 5;
    while let Some(option) = args.get(at) {
        at += 1;
        if option.eq_ignore_ascii_case(b"store") || option.eq_ignore_ascii_case(b"storedist") {
            visit_one(at, KeyAccess::Overwrite, args, each);
            at += 1;
        }
    }
    Seen::All
}

/// What an argument of `XREAD` and `XREADGROUP` before the streams is.
enum StreamOption {
    Streams,
    Block,
    /// Another option, with so many values.
    Values(usize),
}

fn stream_option(arg: &[u8]) -> StreamOption {
    let is = |name: &[u8]| arg.eq_ignore_ascii_case(name);
    if is(b"streams") {
        StreamOption::Streams
    } else if is(b"block") {
        StreamOption::Block
    } else if is(b"group") {
        StreamOption::Values(2)
    } else if is(b"count") || is(b"claim") {
        StreamOption::Values(1)
    } else {
        StreamOption::Values(0)
    }
}

/// The keys are the first half of what follows `STREAMS`; the options before it are stepped over
/// one by one because a group may be called `streams`.
fn visit_streams<'a>(access: KeyAccess, args: Args<'a>, each: &mut impl FnMut(KeyRef<'a>)) -> Seen {
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        at += match stream_option(arg) {
            StreamOption::Block => 2,
            StreamOption::Values(values) => 1 + values,
            StreamOption::Streams => {
                let count = (args.len() - at - 1) / 2;
                (at + 1..=at + count).for_each(|at| visit_one(at, access, args, each));
                break;
            }
        };
    }
    Seen::All
}

/// `MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH p] [AUTH2 u p] [KEYS k …]`
fn visit_migrate<'a>(args: Args<'a>, each: &mut impl FnMut(KeyRef<'a>)) -> Seen {
    let (mut at, mut listed) = (6, false);
    while let Some(option) = args.get(at) {
        at += if option.eq_ignore_ascii_case(b"keys") {
            (at + 1..args.len()).for_each(|at| visit_one(at, KeyAccess::Modify, args, each));
            listed = true;
            break;
        } else if option.eq_ignore_ascii_case(b"auth") {
            2
        } else if option.eq_ignore_ascii_case(b"auth2") {
            3
        } else {
            1
        };
    }
    // Without a list, an empty word is the key whose name is empty.
    if !listed || args.get(3).is_some_and(|key| !key.is_empty()) {
        visit_one(3, KeyAccess::Modify, args, each);
    }
    Seen::All
}

/// `STRALGO LCS [option …] KEYS a b|STRINGS a b` (Redis 6 only).
fn visit_stralgo<'a>(args: Args<'a>, each: &mut impl FnMut(KeyRef<'a>)) -> Seen {
    let words = args.iter().enumerate().skip(2);
    for (at, arg) in words {
        if arg.eq_ignore_ascii_case(b"strings") {
            break;
        }
        if arg.eq_ignore_ascii_case(b"keys") {
            visit_one(at + 1, KeyAccess::Read, args, each);
            visit_one(at + 2, KeyAccess::Read, args, each);
            break;
        }
    }
    Seen::All
}

#[cfg(test)]
mod tests;
