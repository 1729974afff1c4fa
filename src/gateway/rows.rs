//! The rows of `GATEWAY.*`.

use crate::command::{ArgKind, Categories, Flags, OwnArg, OwnRow};

const READ: OwnRow = OwnRow {
    flags: Flags::READONLY.union(Flags::LOADING).union(Flags::STALE),
    categories: Categories::READ.union(Categories::SLOW),
    group: "gateway",
    ..OwnRow::EMPTY
};

const ADMIN: OwnRow = OwnRow {
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    categories: Categories::ADMIN
        .union(Categories::SLOW)
        .union(Categories::DANGEROUS),
    ..READ
};

const SERVICE: OwnArg = OwnArg::new("service", ArgKind::String);
const URL: OwnArg = OwnArg::new("url", ArgKind::String);

pub(super) const ROWS: &[OwnRow] = &[
    OwnRow {
        name: "GATEWAY.SERVICES",
        arity: 1,
        summary: "Lists the services that requests are forwarded to",
        syntax: "GATEWAY.SERVICES",
        complexity: "O(N) with N being the number of instances",
        ..READ
    },
    OwnRow {
        name: "GATEWAY.INSTANCES",
        arity: 2,
        summary: "Lists the instances of a service",
        arguments: &[SERVICE],
        syntax: "GATEWAY.INSTANCES service",
        complexity: "O(N) with N being the number of instances",
        ..READ
    },
    OwnRow {
        name: "GATEWAY.PICK",
        arity: 2,
        summary: "Picks an instance as for a request",
        arguments: &[SERVICE],
        syntax: "GATEWAY.PICK service",
        complexity: "O(N) with N being the number of instances",
        ..READ
    },
    OwnRow {
        name: "GATEWAY.FORWARD",
        arity: -3,
        flags: Flags::LOADING.union(Flags::STALE),
        categories: Categories::WRITE.union(Categories::SLOW),
        summary: "Forwards a request and returns the response",
        arguments: &[
            OwnArg::new("method", ArgKind::String),
            OwnArg::new("path", ArgKind::String),
            OwnArg::new("headers", ArgKind::Block)
                .token("HEADERS")
                .optional()
                .of(&[
                    OwnArg::new("numheaders", ArgKind::Integer),
                    OwnArg::new("header", ArgKind::Block).multiple().of(&[
                        OwnArg::new("name", ArgKind::String),
                        OwnArg::new("value", ArgKind::String),
                    ]),
                ]),
            OwnArg::new("body", ArgKind::String)
                .token("BODY")
                .optional(),
        ],
        syntax: "GATEWAY.FORWARD method path [HEADERS n k v [k v ...]] [BODY b]",
        complexity: "Depends on the instance",
        ..READ
    },
    OwnRow {
        name: "GATEWAY.DRAIN",
        arity: 3,
        summary: "Sends an instance no more requests",
        arguments: &[SERVICE, URL],
        syntax: "GATEWAY.DRAIN service url",
        ..ADMIN
    },
    OwnRow {
        name: "GATEWAY.UNDRAIN",
        arity: 3,
        summary: "Sends a drained instance requests again",
        arguments: &[SERVICE, URL],
        syntax: "GATEWAY.UNDRAIN service url",
        ..ADMIN
    },
    OwnRow {
        name: "GATEWAY.CHECK",
        arity: -2,
        summary: "Polls instances now",
        arguments: &[SERVICE, URL.optional()],
        syntax: "GATEWAY.CHECK service [url]",
        ..ADMIN
    },
    OwnRow {
        name: "GATEWAY.STATS",
        arity: -1,
        summary: "Returns what was counted of services and their instances",
        arguments: &[SERVICE.optional()],
        syntax: "GATEWAY.STATS [service]",
        complexity: "O(N) with N being the number of instances",
        ..READ
    },
    OwnRow {
        name: "GATEWAY.HELP",
        arity: 1,
        summary: "Lists the commands about request forwarding",
        syntax: "GATEWAY.HELP",
        ..READ
    },
];
