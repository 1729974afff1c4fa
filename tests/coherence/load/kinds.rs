//! Values that are no strings: how they are made, and what reads of them show.
//!
//! Each has a *head* that carries a version, as a string does, and elements behind it that only make it larger. Element
//! `n` is there when there are more than `n`. A list has the newest head first, a stream last; the score of
//! the head is that of a sorted set.

use super::super::conn::{Command, command};
use super::super::history::{Content, MOST_ELEMENTS, SlotId, decode_value};
use crate::support::{Random, Reply};

/// The type of the values that a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Hash,
    List,
    Set,
    Zset,
    Stream,
}

/// A read of a key, and what its reply shows, if it says anything.
pub(super) struct TypedRead {
    pub(super) how: &'static str,
    pub(super) command: Command,
    pub(super) shows: Shows,
}

type Shows = Box<dyn Fn(&Reply) -> Option<Content>>;

/// The element of this number.
pub(super) fn element(number: u32) -> String {
    format!("p{number}")
}

/// The score that stands for a version.
pub(super) fn score(origin: SlotId, version: u64) -> u64 {
    (u64::from(origin) << 32) + version
}

impl Kind {
    /// All but strings.
    pub(crate) const OTHERS: [Self; 5] =
        [Self::Hash, Self::List, Self::Set, Self::Zset, Self::Stream];

    /// As `TYPE` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Stream => "stream",
        }
    }

    /// The commands that make the value where there is none. `head` is the value with its version, `number` the same
    /// as a score.
    pub(super) fn make(self, key: &str, head: &[u8], number: u64, size: u32) -> Vec<Command> {
        let elements = || (1..size).map(element);
        let one = match self {
            Self::String => command!["SET", key, head],
            Self::Hash => {
                let mut words = command!["HSET", key, "h", head];
                elements().for_each(|element| words.extend(command![element, "pad"]));
                words
            }
            Self::List => {
                let mut words = command!["RPUSH", key, head];
                elements().for_each(|element| words.extend(command![element]));
                words
            }
            Self::Set => {
                let mut words = command!["SADD", key, head];
                elements().for_each(|element| words.extend(command![element]));
                words
            }
            Self::Zset => {
                let mut words = command!["ZADD", key, number.to_string(), "h"];
                for n in 1..size {
                    words.extend(command![format!("-{n}"), element(n)]);
                }
                words
            }
            Self::Stream => {
                let add = |element: String| command!["XADD", key, "*", "f", element];
                let mut all: Vec<Command> = elements().map(add).collect();
                all.push(command!["XADD", key, "*", "f", head]);
                return all;
            }
        };
        vec![one]
    }

    /// One of the reads of such a key; `field_lives`: not those that count what has ended.
    pub(super) fn read(self, key: &str, field_lives: bool, random: &mut Random) -> TypedRead {
        let counts = ["TYPE", "EXISTS", "HLEN"];
        loop {
            let read = self.any_read(key, random);
            if !(field_lives && self == Self::Hash && counts.contains(&read.how)) {
                return read;
            }
        }
    }

    fn any_read(self, key: &str, random: &mut Random) -> TypedRead {
        match random.below(12) {
            0 => typed_read("TYPE", command!["TYPE", key], move |reply| {
                Some(match reply.as_str() {
                    "none" => Content::Nil,
                    name if name == self.name() => Content::Typed,
                    _ => Content::Other,
                })
            }),
            1 => typed_read("EXISTS", command!["EXISTS", key], |reply| {
                Some(match reply.int() {
                    0 => Content::Nil,
                    _ => Content::There,
                })
            }),
            _ => match self {
                Self::String => string(key, random),
                Self::Hash => hash(key, random),
                Self::List => list(key, random),
                Self::Set => set(key, random),
                Self::Zset => zset(key, random),
                Self::Stream => stream(key, random),
            },
        }
    }
}

fn typed_read(
    how: &'static str,
    command: Command,
    shows: impl Fn(&Reply) -> Option<Content> + 'static,
) -> TypedRead {
    let shows = move |reply: &Reply| match reply {
        Reply::Error(text) if text.starts_with(b"WRONGTYPE") => Some(Content::Other),
        Reply::Error(_) => None,
        reply => shows(reply),
    };
    TypedRead {
        how,
        command,
        shows: Box::new(shows),
    }
}

/// The reply is the head, or nothing.
fn head(reply: &Reply) -> Option<Content> {
    Some(match reply {
        Reply::Null => Content::Nil,
        reply => decode_value(reply.as_bytes()),
    })
}

/// The reply counts the elements.
#[expect(clippy::unnecessary_wraps, reason = "one of the forms of `shows`")]
fn size(reply: &Reply) -> Option<Content> {
    Some(Content::Size(count(reply)))
}

fn count(reply: &Reply) -> u32 {
    u32::try_from(reply.int()).expect("a count")
}

/// Whether an element is there.
fn has(number: u32, there: bool) -> Content {
    match there {
        true => Content::Has(number),
        false => Content::Lacks(number),
    }
}

/// The whole of a value whose head is this.
fn whole(head: Option<&[u8]>, size: usize) -> Content {
    let size = u32::try_from(size).expect("few elements");
    match head.map(decode_value) {
        None if size == 0 => Content::Nil,
        Some(Content::Value { origin, version }) => Content::Whole {
            origin,
            version,
            size,
        },
        _ => Content::Garbage,
    }
}

/// The head of a sorted set, by its score.
fn scored(reply: &Reply) -> Content {
    let text = match reply {
        Reply::Double(text) => text.clone(),
        reply => reply.as_str().to_owned(),
    };
    let Ok(number) = text.parse::<u64>() else {
        return Content::Garbage;
    };
    Content::Value {
        origin: SlotId::try_from(number >> 32).expect("few slots"),
        version: number & u64::from(u32::MAX),
    }
}

/// The members and scores of a sorted set, in either protocol version.
fn with_scores(reply: &Reply) -> Vec<(&Reply, &Reply)> {
    match reply.items() {
        items @ [Reply::Array(_), ..] => items
            .iter()
            .map(|pair| (&pair.items()[0], &pair.items()[1]))
            .collect(),
        _ => reply.pairs(),
    }
}

/// The whole of a sorted set whose members are shown with their scores.
#[expect(clippy::unnecessary_wraps, reason = "one of the forms of `shows`")]
fn whole_zset(reply: &Reply) -> Option<Content> {
    let members = with_scores(reply);
    let head = members.iter().find(|(member, _)| member.as_bytes() == b"h");
    let size = u32::try_from(members.len()).expect("few elements");
    Some(match head.map(|(_, score)| scored(score)) {
        Some(Content::Value { origin, version }) => Content::Whole {
            origin,
            version,
            size,
        },
        None if size == 0 => Content::Nil,
        _ => Content::Garbage,
    })
}

fn any_element(random: &mut Random) -> u32 {
    let most = usize::try_from(MOST_ELEMENTS).expect("few");
    u32::try_from(random.between(1, most - 1)).expect("few")
}

fn string(key: &str, random: &mut Random) -> TypedRead {
    match random.below(3) {
        0 => typed_read("STRLEN", command!["STRLEN", key], size),
        // All that tells which value it is.
        1 => typed_read(
            "GETRANGE of the beginning",
            command!["GETRANGE", key, "0", "63"],
            |reply| {
                let bytes = reply.as_bytes();
                if bytes.is_empty() {
                    return Some(Content::Nil);
                }
                let text = String::from_utf8_lossy(bytes);
                let mut parts = text.splitn(3, '.');
                let mut number = || parts.next()?.parse::<u64>().ok();
                let known = number().zip(number());
                Some(
                    known.map_or(Content::Garbage, |(origin, version)| Content::Value {
                        origin: SlotId::try_from(origin).expect("few slots"),
                        version,
                    }),
                )
            },
        ),
        _ => typed_read("SUBSTR", command!["SUBSTR", key, "0", "-1"], |reply| {
            Some(match reply.as_bytes() {
                b"" => Content::Nil,
                bytes => decode_value(bytes),
            })
        }),
    }
}

fn hash(key: &str, random: &mut Random) -> TypedRead {
    let n = any_element(random);
    match random.below(10) {
        0 | 1 => typed_read("HGET", command!["HGET", key, "h"], head),
        2 => typed_read("HGET", command!["HGET", key, element(n)], move |reply| {
            Some(has(n, !reply.is_null()))
        }),
        3 => typed_read(
            "HMGET",
            command!["HMGET", key, "h", element(1), element(2)],
            |reply| head(&reply.items()[0]),
        ),
        4 => typed_read("HVALS", command!["HVALS", key], |reply| {
            let values = reply.items();
            let mut heads = values.iter().filter(|value| value.as_bytes() != b"pad");
            Some(whole(heads.next().map(Reply::as_bytes), values.len()))
        }),
        5 => typed_read("HKEYS", command!["HKEYS", key], |reply| {
            let fields = reply.items().len();
            Some(Content::Size(u32::try_from(fields).expect("few fields")))
        }),
        6 => typed_read("HLEN", command!["HLEN", key], size),
        7 => typed_read("HEXISTS", command!["HEXISTS", key, element(n)], move |r| {
            Some(has(n, r.int() == 1))
        }),
        8 => typed_read("HSTRLEN", command!["HSTRLEN", key, element(n)], move |r| {
            Some(has(n, r.int() > 0))
        }),
        _ => typed_read("HGETALL", command!["HGETALL", key], |reply| {
            let fields = reply.pairs();
            let mut heads = fields.iter().filter(|(field, _)| field.as_bytes() == b"h");
            Some(whole(
                heads.next().map(|(_, value)| value.as_bytes()),
                fields.len(),
            ))
        }),
    }
}

fn list(key: &str, random: &mut Random) -> TypedRead {
    let n = any_element(random);
    match random.below(6) {
        0 | 1 => typed_read("LINDEX", command!["LINDEX", key, "0"], head),
        2 => typed_read("LINDEX", command!["LINDEX", key, n.to_string()], move |r| {
            Some(has(n, !r.is_null()))
        }),
        3 => typed_read("LLEN", command!["LLEN", key], size),
        4 => typed_read("LRANGE", command!["LRANGE", key, "0", "0"], |reply| {
            Some(match reply.items() {
                [] => Content::Nil,
                items => decode_value(items[0].as_bytes()),
            })
        }),
        _ => typed_read("LRANGE", command!["LRANGE", key, "0", "-1"], |reply| {
            let items = reply.items();
            Some(whole(items.first().map(Reply::as_bytes), items.len()))
        }),
    }
}

fn set(key: &str, random: &mut Random) -> TypedRead {
    let n = any_element(random);
    match random.below(5) {
        0 => typed_read(
            "SISMEMBER",
            command!["SISMEMBER", key, element(n)],
            move |r| Some(has(n, r.int() == 1)),
        ),
        1 => typed_read(
            "SMISMEMBER",
            command!["SMISMEMBER", key, element(n), "nobody"],
            move |r| Some(has(n, r.items()[0].int() == 1)),
        ),
        2 => typed_read("SCARD", command!["SCARD", key], size),
        _ => typed_read("SMEMBERS", command!["SMEMBERS", key], |reply| {
            let members = reply.items();
            let is_head = |member: &&Reply| !member.as_bytes().starts_with(b"p");
            let mut heads = members.iter().filter(is_head);
            let found = whole(heads.next().map(Reply::as_bytes), members.len());
            Some(heads.next().map_or(found, |_| Content::Garbage))
        }),
    }
}

fn zset(key: &str, random: &mut Random) -> TypedRead {
    let n = any_element(random);
    let shown_score = |reply: &Reply| match reply {
        Reply::Null => Content::Nil,
        reply => scored(reply),
    };
    match random.below(10) {
        0 => typed_read("ZSCORE", command!["ZSCORE", key, "h"], move |reply| {
            Some(shown_score(reply))
        }),
        1 => typed_read(
            "ZMSCORE",
            command!["ZMSCORE", key, "h", "x"],
            move |reply| Some(shown_score(&reply.items()[0])),
        ),
        // The head has the highest score.
        2 => typed_read("ZRANK", command!["ZRANK", key, "h"], |reply| {
            Some(match reply {
                Reply::Null => Content::Nil,
                reply => Content::Size(count(reply) + 1),
            })
        }),
        3 => typed_read(
            "ZREVRANK",
            command!["ZREVRANK", key, element(n)],
            move |r| Some(has(n, !r.is_null())),
        ),
        4 => typed_read("ZCARD", command!["ZCARD", key], size),
        5 => typed_read("ZCOUNT", command!["ZCOUNT", key, "-inf", "+inf"], size),
        6 => typed_read(
            "ZRANGEBYSCORE",
            command!["ZRANGEBYSCORE", key, "-inf", "+inf", "WITHSCORES"],
            whole_zset,
        ),
        7 => typed_read(
            "ZREVRANGE",
            command!["ZREVRANGE", key, "0", "0", "WITHSCORES"],
            |reply| {
                Some(match with_scores(reply)[..] {
                    [] => Content::Nil,
                    [(_, score), ..] => scored(score),
                })
            },
        ),
        _ => typed_read(
            "ZRANGE",
            command!["ZRANGE", key, "0", "-1", "WITHSCORES"],
            whole_zset,
        ),
    }
}

/// The values of the entries.
fn entries(reply: &Reply) -> Vec<&[u8]> {
    reply
        .items()
        .iter()
        .map(|entry| entry.items()[1].items()[1].as_bytes())
        .collect()
}

fn stream(key: &str, random: &mut Random) -> TypedRead {
    let n = any_element(random);
    match random.below(5) {
        0 => typed_read("XLEN", command!["XLEN", key], size),
        1 => {
            let count = (n + 1).to_string();
            let command = command!["XRANGE", key, "-", "+", "COUNT", count];
            typed_read("XRANGE", command, move |reply| {
                Some(has(n, reply.items().len() > n as usize))
            })
        }
        2 => {
            let command = command!["XREVRANGE", key, "+", "-", "COUNT", "1"];
            typed_read("XREVRANGE", command, |reply| {
                Some(match entries(reply)[..] {
                    [] => Content::Nil,
                    [last, ..] => decode_value(last),
                })
            })
        }
        _ => typed_read("XRANGE", command!["XRANGE", key, "-", "+"], |reply| {
            let entries = entries(reply);
            Some(whole(entries.last().copied(), entries.len()))
        }),
    }
}
