//! Every way a key can be written, as commands and what they do to which key.

use std::time::Duration;

use super::super::conn::{Command, command};
use super::super::history::{Content, SlotId};
use crate::support::Reply;

/// A way to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Set,
    SetPx,
    SetEx,
    Mset,
    GetSet,
    GetDel,
    GetEx,
    Append,
    SetRange,
    Del,
    Unlink,
    Rename,
    Copy,
    /// The key of the same name in the other database is copied here.
    CopyDb,
    Restore,
    Exec,
    Eval,
    /// A script that writes a key it did not declare.
    EvalHidden,
    /// A function that takes its key from the arguments.
    Fcall,
    /// A script that writes a key it did not declare, and whose reply the client does not want.
    Silent,
    Expire,
    Persist,
    Move,
    /// The key becomes a list, and a blocking pop takes its last element.
    Blpop,
    /// Another client's push makes the key a list.
    Blmove,
    SortStore,
    // Of values that are no strings:
    /// Another head.
    Head,
    /// One more element.
    Grow,
    /// One element less.
    Shrink,
    /// A value of another type.
    SetOther,
    /// All fields of a hash get a life, or lose it.
    FieldLives,
}

impl Op {
    /// Every way, the plain ones more often.
    pub(crate) const ALL: [Self; 33] = [
        Self::Set,
        Self::Set,
        Self::Set,
        Self::Set,
        Self::SetPx,
        Self::SetPx,
        Self::SetEx,
        Self::Mset,
        Self::GetSet,
        Self::GetDel,
        Self::GetEx,
        Self::Append,
        Self::SetRange,
        Self::Del,
        Self::Del,
        Self::Unlink,
        Self::Rename,
        Self::Copy,
        Self::CopyDb,
        Self::Restore,
        Self::Exec,
        Self::Exec,
        Self::Eval,
        Self::EvalHidden,
        Self::EvalHidden,
        Self::Fcall,
        Self::Silent,
        Self::Expire,
        Self::Persist,
        Self::Move,
        Self::Blpop,
        Self::Blmove,
        Self::SortStore,
    ];

    /// Those whose keys a cluster has at one node, and that name them.
    pub(crate) const IN_A_CLUSTER: [Self; 22] = [
        Self::Set,
        Self::Set,
        Self::Set,
        Self::SetPx,
        Self::SetEx,
        Self::Mset,
        Self::GetSet,
        Self::GetDel,
        Self::GetEx,
        Self::Append,
        Self::SetRange,
        Self::Del,
        Self::Del,
        Self::Unlink,
        Self::Rename,
        Self::Copy,
        Self::Restore,
        Self::Exec,
        Self::Eval,
        Self::Expire,
        Self::Persist,
        Self::SortStore,
    ];

    /// Every way to write what is no string, the plain ones more often.
    pub(crate) const TYPED: [Self; 20] = [
        Self::Set,
        Self::Set,
        Self::Set,
        Self::SetPx,
        Self::SetOther,
        Self::Head,
        Self::Head,
        Self::Head,
        Self::Head,
        Self::Grow,
        Self::Grow,
        Self::Shrink,
        Self::Shrink,
        Self::Shrink,
        Self::Del,
        Self::Unlink,
        Self::Expire,
        Self::Persist,
        Self::Move,
        Self::CopyDb,
    ];

    /// Those that do not rely on what is there.
    pub(crate) const TYPED_ANEW: [Self; 5] =
        [Self::Set, Self::Set, Self::SetPx, Self::Del, Self::Unlink];

    /// Whether it makes a list of its key.
    pub(crate) fn makes_list(self) -> bool {
        matches!(self, Self::Blpop | Self::Blmove | Self::SortStore)
    }

    /// Whether what it leaves depends on what was there.
    pub(crate) fn needs_certainty(self) -> bool {
        let relative = [
            Self::GetEx,
            Self::Append,
            Self::SetRange,
            Self::Expire,
            Self::Persist,
            Self::Move,
        ];
        self.makes_list() || relative.contains(&self)
    }
}

/// What all of them together record.
pub(crate) const WAYS: [&str; 60] = [
    "SET",
    "SET with ttl",
    "MSET",
    "GETSET",
    "GETDEL",
    "GETEX",
    "APPEND",
    "SETRANGE",
    "DEL",
    "UNLINK",
    "RENAME",
    "COPY",
    "COPY DB",
    "RESTORE",
    "EXEC",
    "EVAL",
    "EVAL hidden",
    "FCALL",
    "silent EVAL",
    "PEXPIRE",
    "PERSIST",
    "MOVE",
    "RPUSH",
    "BLPOP",
    "BLMOVE",
    "SORT STORE",
    "another type",
    "typed RENAME",
    "typed COPY",
    "typed EXEC",
    "typed EVAL",
    "typed EVAL hidden",
    "typed RESTORE",
    "SUNIONSTORE",
    "SINTERSTORE",
    "ZUNIONSTORE",
    "HSET",
    "HMSET",
    "HSETNX",
    "HDEL",
    "LPUSH",
    "RPOPLPUSH",
    "LMOVE",
    "BLMOVE head",
    "LSET",
    "RPUSHX",
    "LTRIM",
    "RPOP",
    "BRPOP",
    "SADD",
    "SMOVE",
    "SREM",
    "ZADD",
    "ZINCRBY",
    "ZPOPMIN",
    "BZPOPMIN",
    "ZREM",
    "XADD",
    "XADD MAXLEN",
    "XTRIM",
];

/// What a command does to a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) slot: SlotId,
    pub(crate) content: Content,
    pub(crate) size: u32,
    pub(crate) ttl: Option<Duration>,
}

/// Commands that go out in one packet, and what they do together.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) how: &'static str,
    pub(crate) commands: Vec<Command>,
    pub(crate) effects: Vec<Effect>,
    /// Replies that do not come.
    pub(crate) silent: usize,
    /// Whether the last reply, no error, means that it happened.
    pub(crate) happened: fn(&Reply) -> bool,
    /// The last reply is what this slot held before.
    pub(crate) shows: Option<SlotId>,
}

impl Plan {
    /// A plan whose only failure is an error.
    pub(crate) fn new(how: &'static str, commands: Vec<Command>, effects: Vec<Effect>) -> Self {
        Self {
            how,
            commands,
            effects,
            silent: 0,
            happened: |_| true,
            shows: None,
        }
    }

    /// It happened if the last reply says so.
    pub(crate) fn if_reply(mut self, happened: fn(&Reply) -> bool) -> Self {
        self.happened = happened;
        self
    }

    /// The last reply is what this slot held before.
    pub(crate) fn showing(mut self, slot: SlotId) -> Self {
        self.shows = Some(slot);
        self
    }
}

/// Not 0 and not nil.
pub(crate) fn something(reply: &Reply) -> bool {
    !matches!(reply, Reply::Int(0) | Reply::Null)
}

/// The commands that write one string value to one key and leave it without a deadline.
/// `temp` is a key of the same client that nobody reads.
pub(crate) fn write_string(
    op: Op,
    key: &str,
    temp: &str,
    value: &[u8],
) -> (&'static str, Vec<Command>) {
    const DECLARED: &str = "return redis.call('SET', KEYS[1], ARGV[1])";
    const HIDDEN: &str = "return redis.call('SET', ARGV[1], ARGV[2])";
    let set_temp = || command!["SET", temp, value];
    match op {
        Op::GetSet => ("GETSET", vec![command!["GETSET", key, value]]),
        Op::Rename => ("RENAME", vec![set_temp(), command!["RENAME", temp, key]]),
        Op::Copy => (
            "COPY",
            vec![set_temp(), command!["COPY", temp, key, "REPLACE"]],
        ),
        Op::Eval => ("EVAL", vec![command!["EVAL", DECLARED, "1", key, value]]),
        Op::EvalHidden => (
            "EVAL hidden",
            vec![command!["EVAL", HIDDEN, "0", key, value]],
        ),
        Op::Fcall => (
            "FCALL",
            vec![command!["FCALL", "coherence_set", "0", key, value]],
        ),
        _ => ("SET", vec![command!["SET", key, value]]),
    }
}

/// The library that [`Op::Fcall`] calls.
pub(crate) const FUNCTIONS: &str = "#!lua name=coherence
redis.register_function('coherence_set', function(keys, args)
  return redis.call('SET', args[1], args[2])
end)";
