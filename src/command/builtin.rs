//! The commands that Respite treats in a way of its own: those it answers and those that leave
//! state in a connection.
//!
//! They are known before a backing has been reached. Once it has, its own rows replace these and
//! only the handling stays.

use hashbrown::HashMap;

use super::flags::{Categories, Flags};
use super::key_rules::{Keys, static_rule};
use super::row::{Channel, Handling, Local, Pin, Row};

use Handling::{Local as L, Pin as P};

/// A row as it is written down here.
struct Builtin {
    name: &'static str,
    arity: i32,
    flags: Flags,
    /// Those beyond what the flags imply.
    categories: Categories,
    /// First key, last key, step.
    range: (i32, i32, i32),
    handling: Handling,
    subcommands: &'static [Sub],
}

/// A subcommand: name, arity, whether it is administrative.
type Sub = (&'static str, i32, bool);

const CONNECTION: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST);
const ANYWHERE: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);
const HANDSHAKE: Flags = CONNECTION.union(Flags::NO_AUTH).union(Flags::ALLOW_BUSY);
const TRANSACTION: Flags = CONNECTION.union(Flags::ALLOW_BUSY);
const PUBSUB: Flags = Flags::PUBSUB
    .union(Flags::NOSCRIPT)
    .union(Flags::LOADING)
    .union(Flags::STALE);
const BLOCKING_WRITE: Flags = Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING);
const ADMIN: Flags = Flags::ADMIN
    .union(Flags::NOSCRIPT)
    .union(Flags::LOADING)
    .union(Flags::STALE);

const NO_KEYS: (i32, i32, i32) = (0, 0, 0);
const FIRST_TWO: (i32, i32, i32) = (1, 2, 1);
const ALL: (i32, i32, i32) = (1, -1, 1);
const ALL_BUT_LAST: (i32, i32, i32) = (1, -2, 1);

const CLIENT: &[Sub] = &[
    ("caching", 3, false),
    ("getname", 2, false),
    ("getredir", 2, false),
    ("help", 2, false),
    ("id", 2, false),
    ("info", 2, false),
    ("kill", -3, true),
    ("list", -2, true),
    ("no-evict", 3, true),
    ("no-touch", 3, false),
    ("pause", -3, true),
    ("reply", 3, false),
    ("setinfo", 4, false),
    ("setname", 3, false),
    ("tracking", -3, false),
    ("trackinginfo", 2, false),
    ("unblock", -3, true),
    ("unpause", 2, true),
];
const COMMAND: &[Sub] = &[
    ("count", 2, false),
    ("docs", -2, false),
    ("getkeys", -3, false),
    ("getkeysandflags", -3, false),
    ("help", 2, false),
    ("info", -2, false),
    ("list", -2, false),
];
/// Only the one that must not reach a shared connection; the others come from the backing.
const SCRIPT: &[Sub] = &[("debug", 3, false)];

const fn row(name: &'static str, arity: i32, flags: Flags, handling: Handling) -> Builtin {
    let categories = Categories::empty();
    Builtin {
        name,
        arity,
        flags,
        categories,
        range: NO_KEYS,
        handling,
        subcommands: &[],
    }
}

impl Builtin {
    const fn in_category(mut self, categories: Categories) -> Self {
        self.categories = categories;
        self
    }

    const fn keys(mut self, range: (i32, i32, i32)) -> Self {
        self.range = range;
        self
    }

    const fn of(mut self, subcommands: &'static [Sub]) -> Self {
        self.subcommands = subcommands;
        self
    }

    fn row(&self) -> Row {
        let (first, last, step) = self.range;
        let mut subcommands = HashMap::with_capacity(self.subcommands.len());
        for &sub in self.subcommands {
            subcommands.insert(sub.0.as_bytes().into(), self.subcommand_row(sub));
        }
        Row {
            name: self.name.into(),
            arity: self.arity,
            flags: self.flags,
            categories: self.categories | Categories::implied_by(self.flags),
            keys: static_rule(self.name)
                .unwrap_or_else(|| Keys::range(first, last, step, self.flags)),
            handling: self.handling,
            subcommands,
        }
    }

    fn subcommand_row(&self, (name, arity, admin): Sub) -> Row {
        let mut flags = Flags::LOADING | Flags::STALE;
        flags.set(Flags::ADMIN, admin);
        let name = format!("{}|{name}", self.name);
        Row {
            arity,
            flags,
            categories: self.categories | Categories::implied_by(flags),
            keys: Keys::None,
            handling: handling_of(&name).unwrap_or(self.handling),
            name: name.into(),
            subcommands: HashMap::new(),
        }
    }
}

const BUILTIN: &[Builtin] = &[
    row("hello", -1, HANDSHAKE, L(Local::Hello)).in_category(Categories::CONNECTION),
    row("auth", -2, HANDSHAKE, L(Local::Auth)).in_category(Categories::CONNECTION),
    row("quit", -1, HANDSHAKE, L(Local::Quit)).in_category(Categories::CONNECTION),
    row("reset", 1, HANDSHAKE, L(Local::Reset)).in_category(Categories::CONNECTION),
    row("ping", -1, Flags::FAST, L(Local::Ping)).in_category(Categories::CONNECTION),
    row("echo", 2, ANYWHERE, L(Local::Echo)).in_category(Categories::CONNECTION),
    row("select", 2, ANYWHERE, L(Local::Select)).in_category(Categories::CONNECTION),
    row("client", -2, Flags::empty(), L(Local::Client))
        .in_category(Categories::CONNECTION)
        .of(CLIENT),
    row(
        "command",
        -1,
        Flags::LOADING.union(Flags::STALE),
        L(Local::Command),
    )
    .in_category(Categories::CONNECTION)
    .of(COMMAND),
    row(
        "info",
        -1,
        Flags::LOADING.union(Flags::STALE),
        L(Local::Info),
    )
    .in_category(Categories::DANGEROUS),
    row("multi", 1, TRANSACTION, P(Pin::Multi)).in_category(Categories::TRANSACTION),
    row("exec", 1, CONNECTION.difference(Flags::FAST), P(Pin::Exec))
        .in_category(Categories::TRANSACTION),
    row("discard", 1, TRANSACTION, P(Pin::Discard)).in_category(Categories::TRANSACTION),
    row(
        "watch",
        -2,
        TRANSACTION.union(Flags::READONLY),
        P(Pin::Watch),
    )
    .in_category(Categories::TRANSACTION)
    .keys(ALL),
    row("unwatch", 1, TRANSACTION, P(Pin::Unwatch)).in_category(Categories::TRANSACTION),
    row("blpop", -3, BLOCKING_WRITE, P(Pin::Block))
        .in_category(Categories::LIST)
        .keys(ALL_BUT_LAST),
    row("brpop", -3, BLOCKING_WRITE, P(Pin::Block))
        .in_category(Categories::LIST)
        .keys(ALL_BUT_LAST),
    row("brpoplpush", 4, BLOCKING_WRITE, P(Pin::Block))
        .in_category(Categories::LIST)
        .keys(FIRST_TWO),
    row("blmove", 6, BLOCKING_WRITE, P(Pin::Block))
        .in_category(Categories::LIST)
        .keys(FIRST_TWO),
    row("blmpop", -5, BLOCKING_WRITE, P(Pin::Block)).in_category(Categories::LIST),
    row(
        "bzpopmin",
        -3,
        BLOCKING_WRITE.union(Flags::FAST),
        P(Pin::Block),
    )
    .in_category(Categories::SORTEDSET)
    .keys(ALL_BUT_LAST),
    row(
        "bzpopmax",
        -3,
        BLOCKING_WRITE.union(Flags::FAST),
        P(Pin::Block),
    )
    .in_category(Categories::SORTEDSET)
    .keys(ALL_BUT_LAST),
    row("bzmpop", -5, BLOCKING_WRITE, P(Pin::Block)).in_category(Categories::SORTEDSET),
    row(
        "xread",
        -4,
        Flags::READONLY.union(Flags::BLOCKING),
        P(Pin::BlockIfOption),
    )
    .in_category(Categories::STREAM),
    row(
        "xreadgroup",
        -7,
        Flags::WRITE.union(Flags::BLOCKING),
        P(Pin::BlockIfOption),
    )
    .in_category(Categories::STREAM),
    row("subscribe", -2, PUBSUB, P(Pin::Subscribe(Channel::Exact))),
    row(
        "psubscribe",
        -2,
        PUBSUB,
        P(Pin::Subscribe(Channel::Pattern)),
    ),
    row("ssubscribe", -2, PUBSUB, P(Pin::Subscribe(Channel::Shard))),
    row(
        "unsubscribe",
        -1,
        PUBSUB,
        P(Pin::Unsubscribe(Channel::Exact)),
    ),
    row(
        "punsubscribe",
        -1,
        PUBSUB,
        P(Pin::Unsubscribe(Channel::Pattern)),
    ),
    row(
        "sunsubscribe",
        -1,
        PUBSUB,
        P(Pin::Unsubscribe(Channel::Shard)),
    ),
    row("monitor", 1, ADMIN, P(Pin::Monitor)),
    row("wait", 3, Flags::NOSCRIPT, P(Pin::Wait)).in_category(Categories::CONNECTION),
    row("waitaof", 4, Flags::NOSCRIPT, P(Pin::Wait)).in_category(Categories::CONNECTION),
    row("sync", 1, ADMIN, P(Pin::Replication)),
    row("psync", -3, ADMIN, P(Pin::Replication)),
    row("replconf", -1, ADMIN, P(Pin::Replication)),
    row("asking", 1, Flags::FAST, P(Pin::Cluster)).in_category(Categories::CONNECTION),
    row("readonly", 1, ANYWHERE, P(Pin::Cluster)).in_category(Categories::CONNECTION),
    row("readwrite", 1, ANYWHERE, P(Pin::Cluster)).in_category(Categories::CONNECTION),
    row("script", -2, Flags::NOSCRIPT, Handling::Forward)
        .in_category(Categories::SCRIPTING)
        .of(SCRIPT),
];

/// Gives the handling of a command that is not simply forwarded, by its full name in lower case.
pub(super) fn handling_of(name: &str) -> Option<Handling> {
    if name == "script|debug" {
        return Some(Handling::Pin(Pin::Debugger));
    }
    let container = name.split('|').next().unwrap_or(name);
    let known = BUILTIN.iter().find(|row| row.name == container)?;
    Some(known.handling)
}

/// Makes the rows.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    BUILTIN.iter().map(Builtin::row)
}
