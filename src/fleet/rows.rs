//! `SHARD.*`, declared.

use crate::command::{ArgKind, Categories, Flags, OwnArg, OwnRow};

const READ: OwnRow = OwnRow {
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::SLOW,
    group: "shard",
    ..OwnRow::EMPTY
};

const ADMIN: OwnRow = OwnRow {
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    categories: Categories::ADMIN
        .union(Categories::SLOW)
        .union(Categories::DANGEROUS),
    ..READ
};

/// What tells the same as `INFO`.
const INFO: &[&str] = &["info"];
const FIELDS: &[&str] = &["info", "shard.info"];
/// The categories of `INFO`, as Redis has them.
const OF_INFO: Categories = Categories::SLOW.union(Categories::DANGEROUS);

const ID: OwnArg = OwnArg::new("id", ArgKind::String);
const MAXAGE: OwnArg = OwnArg::new("milliseconds", ArgKind::Integer)
    .token("MAXAGE")
    .optional();

pub(super) const ROWS: &[OwnRow] = &[
    OwnRow {
        name: "SHARD.LIST",
        arity: -1,
        summary: "Returns the tracked servers and how they are",
        syntax: "SHARD.LIST [STATE state] [MATCH glob]",
        complexity: "O(N) with N being the number of shards",
        arguments: &[
            OwnArg::new("state", ArgKind::String)
                .token("STATE")
                .optional(),
            OwnArg::new("glob", ArgKind::Pattern)
                .token("MATCH")
                .optional(),
        ],
        ..READ
    },
    OwnRow {
        name: "SHARD.INFO",
        categories: OF_INFO,
        aliases: INFO,
        arity: -2,
        summary: "Returns what a shard said at the last poll, as INFO does",
        syntax: "SHARD.INFO id [MAXAGE ms] [SECTION name ...]",
        arguments: &[
            ID,
            MAXAGE,
            OwnArg::new("name", ArgKind::String)
                .token("SECTION")
                .optional()
                .multiple(),
        ],
        ..READ
    },
    OwnRow {
        name: "SHARD.FIELDS",
        categories: OF_INFO,
        aliases: FIELDS,
        arity: -1,
        summary: "Returns fields of the INFO of several shards",
        syntax: "SHARD.FIELDS [IDS n id ...] [MATCH n glob ...] [MAXAGE ms] [PARTIAL]",
        complexity: "O(N) with N being the number of fields of all those shards",
        arguments: &[
            OwnArg::new("ids", ArgKind::Block)
                .token("IDS")
                .optional()
                .of(&[OwnArg::new("count", ArgKind::Integer), ID.multiple()]),
            OwnArg::new("globs", ArgKind::Block)
                .token("MATCH")
                .optional()
                .of(&[
                    OwnArg::new("count", ArgKind::Integer),
                    OwnArg::new("glob", ArgKind::Pattern).multiple(),
                ]),
            MAXAGE,
            OwnArg::new("partial", ArgKind::PureToken)
                .token("PARTIAL")
                .optional(),
        ],
        ..READ
    },
    OwnRow {
        name: "SHARD.ADD",
        arity: -3,
        summary: "Tracks a server, here and on every Respite in front of the same backing",
        syntax: "SHARD.ADD id addr [USER user] [CREDENTIAL name] [LABELS n key value ...]",
        arguments: &[
            ID,
            OwnArg::new("addr", ArgKind::String),
            OwnArg::new("user", ArgKind::String)
                .token("USER")
                .optional(),
            OwnArg::new("name", ArgKind::String)
                .token("CREDENTIAL")
                .optional(),
            OwnArg::new("labels", ArgKind::Block)
                .token("LABELS")
                .optional()
                .of(&[
                    OwnArg::new("count", ArgKind::Integer),
                    OwnArg::new("label", ArgKind::Block).multiple().of(&[
                        OwnArg::new("key", ArgKind::String),
                        OwnArg::new("value", ArgKind::String),
                    ]),
                ]),
        ],
        ..ADMIN
    },
    OwnRow {
        name: "SHARD.DEL",
        arity: 2,
        summary: "Stops tracking a server that SHARD.ADD added",
        syntax: "SHARD.DEL id",
        arguments: &[ID],
        ..ADMIN
    },
    OwnRow {
        name: "SHARD.USE",
        arity: 2,
        summary: "Makes INFO on this connection that of a shard",
        syntax: "SHARD.USE id|NONE",
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::NOSCRIPT),
        categories: Categories::SLOW.union(Categories::CONNECTION),
        arguments: &[OwnArg::new("which", ArgKind::OneOf)
            .of(&[ID, OwnArg::new("none", ArgKind::PureToken).token("NONE")])],
        ..READ
    },
    OwnRow {
        name: "SHARD.REFRESH",
        arity: 2,
        summary: "Has a shard polled soon",
        syntax: "SHARD.REFRESH id",
        arguments: &[ID],
        ..ADMIN
    },
    OwnRow {
        name: "SHARD.WATCHERS",
        arity: 1,
        summary: "Returns where the tracked servers come from",
        syntax: "SHARD.WATCHERS",
        complexity: "O(N) with N being the number of watchers",
        ..READ
    },
    OwnRow {
        name: "SHARD.HELP",
        arity: 1,
        summary: "Lists the commands about the tracked servers",
        syntax: "SHARD.HELP",
        ..READ
    },
];
