//! The key specifications of Redis 7: read from a `COMMAND` reply, then applied to arguments.
//!
//! Used for commands that Respite has no rule of its own for: modules and newer servers.
//! The algorithm is `getKeysUsingKeySpecs` of Redis' db.c.

use super::key_ref::{KeyRef, Seen, lenient_count, visit_positions};
use super::key_span::{KeyAccess, Span};
use super::reading::{field, strings};
use crate::resp::{Args, Value};

/// One key specification.
#[derive(Clone, PartialEq, Debug)]
pub struct KeySpec {
    access: KeyAccess,
    /// Not all keys are covered.
    incomplete: bool,
    begin: Begin,
    find: Find,
}

/// Where the search for keys begins.
#[derive(Clone, PartialEq, Debug)]
enum Begin {
    Index(i64),
    Keyword { word: Box<[u8]>, from: i64 },
    Unknown,
}

/// Which arguments from there are keys.
#[derive(Clone, PartialEq, Debug)]
enum Find {
    Range { last: i64, step: i64, limit: i64 },
    Count { at: i64, first: i64, step: i64 },
    Unknown,
}

impl KeySpec {
    /// Reads one specification; none for those that describe channels (`not_key`).
    ///
    /// Whatever it does not understand becomes an unknown part, never an error: the keys are then
    /// treated as not to be known.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let flags = field(value, "flags").map(strings).unwrap_or_default();
        if flags
            .iter()
            .any(|flag| flag.eq_ignore_ascii_case("not_key"))
        {
            return None;
        }
        Some(Self {
            access: KeyAccess::of_spec(&flags),
            incomplete: flags
                .iter()
                .any(|flag| flag.eq_ignore_ascii_case("incomplete")),
            begin: field(value, "begin_search").map_or(Begin::Unknown, read_begin),
            find: field(value, "find_keys").map_or(Find::Unknown, read_find),
        })
    }

    /// Tells whether the command may use keys that this does not find.
    pub(super) fn is_open(&self) -> bool {
        self.incomplete || self.begin == Begin::Unknown || self.find == Find::Unknown
    }

    /// Gives the fixed positions that this amounts to, when it does.
    pub(super) fn as_span(&self) -> Option<Span> {
        let (
            &Begin::Index(first),
            &Find::Range {
                last,
                step,
                limit: 0,
            },
        ) = (&self.begin, &self.find)
        else {
            return None;
        };
        if self.is_open() || first < 1 || step < 1 {
            return None;
        }
        let last = if last < 0 {
            last
        } else {
            first.checked_add(last)?
        };
        Some(Span {
            first: u32::try_from(first).ok()?,
            last: i32::try_from(last).ok()?,
            step: u32::try_from(step).ok()?,
            access: self.access,
        })
    }

    /// Hands the keys to `each`.
    pub(super) fn visit<'a>(&self, args: Args<'a>, each: &mut impl FnMut(KeyRef<'a>)) -> Seen {
        match self.find(args) {
            Found::Keys { first, last, step } => {
                visit_positions(args, first, last, step, self.access, each);
                if self.incomplete {
                    Seen::Declared
                } else {
                    Seen::All
                }
            }
            Found::Nothing if !self.incomplete => Seen::All,
            Found::Nothing | Found::Unknown => Seen::Declared,
        }
    }

    fn find(&self, args: Args<'_>) -> Found {
        let argc = i64::try_from(args.len()).unwrap_or(i64::MAX);
        let first = match &self.begin {
            Begin::Index(at) => *at,
            Begin::Keyword { word, from } => match keyword(args, word, *from) {
                Some(at) => at.saturating_add(1),
                None => return Found::Nothing,
            },
            Begin::Unknown => return Found::Unknown,
        };
        match self.find {
            Find::Range { last, step, limit } => {
                let last = if last >= 0 {
                    first.saturating_add(last)
                } else if limit <= 1 {
                    argc.saturating_add(last)
                } else {
                    let share = argc.saturating_sub(first) / limit;
                    first.saturating_add(share).saturating_add(last)
                };
                Found::Keys { first, last, step }
            }
            Find::Count {
                at,
                first: offset,
                step,
            } => {
                let count = usize::try_from(first.saturating_add(at))
                    .ok()
                    .and_then(|at| args.get(at))
                    .map(lenient_count);
                let Some(count) = count else {
                    return Found::Unknown;
                };
                let first = first.saturating_add(offset);
                let extent = count.saturating_sub(1).saturating_mul(step.max(1));
                Found::Keys {
                    first,
                    last: first.saturating_add(extent),
                    step,
                }
            }
            Find::Unknown => Found::Unknown,
        }
    }
}

/// The outcome of one specification.
enum Found {
    Keys { first: i64, last: i64, step: i64 },
    Nothing,
    Unknown,
}

/// Finds a keyword: forwards from a positive position, backwards from a negative one.
fn keyword(args: Args<'_>, word: &[u8], from: i64) -> Option<i64> {
    let found = if from > 0 {
        let from = usize::try_from(from).ok()?;
        args.iter()
            .enumerate()
            .skip(from)
            .find(|(_, arg)| arg.eq_ignore_ascii_case(word))
    } else {
        let skipped = usize::try_from(from.checked_neg()?.checked_sub(1)?.max(0)).ok()?;
        args.iter()
            .enumerate()
            .rev()
            .skip(skipped)
            .find(|(_, arg)| arg.eq_ignore_ascii_case(word))
    };
    found
        .filter(|(at, _)| *at > 0)
        .and_then(|(at, _)| i64::try_from(at).ok())
}

fn read_begin(value: &Value<'_>) -> Begin {
    let spec = field(value, "spec");
    let number = |name| {
        spec.and_then(|spec| field(spec, name))
            .and_then(Value::as_int)
    };
    match field(value, "type").and_then(Value::as_str) {
        Some("index") => number("index").map_or(Begin::Unknown, Begin::Index),
        Some("keyword") => {
            let word = spec
                .and_then(|spec| field(spec, "keyword"))
                .and_then(Value::as_bytes);
            match (word, number("startfrom")) {
                (Some(word), Some(from)) => Begin::Keyword {
                    word: word.into(),
                    from,
                },
                _ => Begin::Unknown,
            }
        }
        _ => Begin::Unknown,
    }
}

fn read_find(value: &Value<'_>) -> Find {
    let spec = field(value, "spec");
    let number = |name| {
        spec.and_then(|spec| field(spec, name))
            .and_then(Value::as_int)
    };
    let found = match field(value, "type").and_then(Value::as_str) {
        Some("range") => match (number("lastkey"), number("keystep"), number("limit")) {
            (Some(last), Some(step), Some(limit)) => Some(Find::Range { last, step, limit }),
            _ => None,
        },
        Some("keynum") => match (number("keynumidx"), number("firstkey"), number("keystep")) {
            (Some(at), Some(first), Some(step)) => Some(Find::Count { at, first, step }),
            _ => None,
        },
        _ => None,
    };
    found.unwrap_or(Find::Unknown)
}
