//! The commands as `COMMAND DOCS` and `HELP` describe them.

use crate::command::{ArgKind, Categories, Flags, OwnArg, OwnRow};

const READ: OwnRow = OwnRow {
    flags: Flags::READONLY,
    categories: Categories::READ.union(Categories::SLOW),
    group: "bus",
    ..OwnRow::EMPTY
};

const WRITE: OwnRow = OwnRow {
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::WRITE.union(Categories::SLOW),
    group: "bus",
    ..OwnRow::EMPTY
};

const WAIT: OwnRow = OwnRow {
    flags: Flags::WRITE
        .union(Flags::DENYOOM)
        .union(Flags::BLOCKING)
        .union(Flags::NOSCRIPT),
    categories: Categories::WRITE
        .union(Categories::SLOW)
        .union(Categories::BLOCKING),
    group: "bus",
    ..OwnRow::EMPTY
};

const BUS: OwnArg = OwnArg::new("bus", ArgKind::String);
const METHOD: OwnArg = OwnArg::new("method", ArgKind::String);
const WORKER: OwnArg = OwnArg::new("worker", ArgKind::String);
const ID: OwnArg = OwnArg::new("id", ArgKind::String);
const TOKEN: OwnArg = OwnArg::new("token", ArgKind::String);
const TIMEOUT: OwnArg = OwnArg::new("milliseconds", ArgKind::Integer)
    .token("TIMEOUT")
    .optional();
const COUNT: OwnArg = OwnArg::new("count", ArgKind::Integer)
    .token("COUNT")
    .optional();
const PAYLOAD: OwnArg = OwnArg::new("payload", ArgKind::String);

const POSITIONAL: OwnArg = OwnArg::new("args", ArgKind::Block).of(&[
    OwnArg::new("args-token", ArgKind::PureToken).token("ARGS"),
    OwnArg::new("arg", ArgKind::String).optional().multiple(),
]);
const BY_NAME: OwnArg = OwnArg::new("kwargs", ArgKind::Block).of(&[
    OwnArg::new("kwargs-token", ArgKind::PureToken).token("KWARGS"),
    OwnArg::new("pair", ArgKind::Block)
        .optional()
        .multiple()
        .of(&[
            OwnArg::new("name", ArgKind::String),
            OwnArg::new("value", ArgKind::String),
        ]),
]);

const CALL_ARGUMENTS: &[OwnArg] = &[
    BUS,
    METHOD,
    TIMEOUT,
    OwnArg::new("caching", ArgKind::OneOf).optional().of(&[
        OwnArg::new("nocache", ArgKind::PureToken).token("NOCACHE"),
        OwnArg::new("refresh", ArgKind::PureToken).token("REFRESH"),
    ]),
    PAYLOAD.token("PAYLOAD").optional(),
    OwnArg::new("arguments", ArgKind::OneOf)
        .optional()
        .of(&[POSITIONAL, BY_NAME]),
];

pub(in crate::bus) const ROWS: &[OwnRow] = &[
    OwnRow {
        name: "BUS.REGISTER",
        arity: -3,
        summary: "Registers a method, or gives it other options",
        arguments: &[
            BUS,
            METHOD,
            OwnArg::new("params", ArgKind::Block)
                .token("PARAMS")
                .optional()
                .of(&[
                    OwnArg::new("numparams", ArgKind::Integer),
                    OwnArg::new("param", ArgKind::String).optional().multiple(),
                ]),
            OwnArg::new("template", ArgKind::String)
                .token("CACHE")
                .optional(),
            OwnArg::new("cache-seconds", ArgKind::Double)
                .token("CACHETTL")
                .optional(),
            OwnArg::new("result-seconds", ArgKind::Double)
                .token("RESULTTTL")
                .optional(),
            OwnArg::new("idempotent", ArgKind::PureToken)
                .token("IDEMPOTENT")
                .optional(),
            OwnArg::new("visibility-milliseconds", ArgKind::Integer)
                .token("VISIBILITY")
                .optional(),
            OwnArg::new("deliveries", ArgKind::Integer)
                .token("MAXDELIVERIES")
                .optional(),
            OwnArg::new("pending", ArgKind::Integer)
                .token("MAXPENDING")
                .optional(),
            OwnArg::new("description", ArgKind::String)
                .token("DESCRIPTION")
                .optional(),
        ],
        syntax: "BUS.REGISTER bus method [PARAMS n name[=default] ...] [CACHE template] [CACHETTL s] [RESULTTTL s] \
                 [IDEMPOTENT] [VISIBILITY ms] [MAXDELIVERIES n] [MAXPENDING n] [DESCRIPTION d]",
        ..WRITE
    },
    OwnRow {
        name: "BUS.UNREGISTER",
        arity: 3,
        summary: "Removes a method; its pending calls fail",
        arguments: &[BUS, METHOD],
        syntax: "BUS.UNREGISTER bus method",
        complexity: "O(N) with N being the number of the method's calls",
        ..WRITE
    },
    OwnRow {
        name: "BUS.FETCH",
        arity: -4,
        summary: "Waits for calls of the methods that the patterns match",
        arguments: &[
            BUS,
            WORKER,
            OwnArg::new("pattern", ArgKind::Pattern).multiple(),
            COUNT,
            TIMEOUT,
        ],
        syntax: "BUS.FETCH bus worker pattern [pattern ...] [COUNT n] [TIMEOUT ms]",
        complexity: "O(N) with N being the number of methods that the patterns match",
        ..WAIT
    },
    OwnRow {
        name: "BUS.REPLY",
        arity: 5,
        summary: "Ends a call with its result",
        arguments: &[BUS, ID, TOKEN, PAYLOAD],
        syntax: "BUS.REPLY bus id token payload",
        ..WRITE
    },
    OwnRow {
        name: "BUS.FAIL",
        arity: -6,
        summary: "Ends a call with an error, or gives it to another worker",
        arguments: &[
            BUS,
            ID,
            TOKEN,
            OwnArg::new("code", ArgKind::String),
            OwnArg::new("message", ArgKind::String),
            OwnArg::new("retry", ArgKind::PureToken)
                .token("RETRY")
                .optional(),
        ],
        syntax: "BUS.FAIL bus id token code message [RETRY]",
        ..WRITE
    },
    OwnRow {
        name: "BUS.BEAT",
        arity: -3,
        summary: "Keeps a worker alive, extends its calls and tells which ones are over",
        arguments: &[
            BUS,
            WORKER,
            OwnArg::new("extend", ArgKind::Block)
                .token("EXTEND")
                .optional()
                .of(&[
                    OwnArg::new("numids", ArgKind::Integer),
                    OwnArg::new("id", ArgKind::String).optional().multiple(),
                ]),
        ],
        syntax: "BUS.BEAT bus worker [EXTEND n id ...]",
        complexity: "O(N) with N being the number of calls that the worker holds",
        ..WRITE
    },
    OwnRow {
        name: "BUS.CALL",
        arity: -3,
        summary: "Calls a method and waits for its result",
        arguments: CALL_ARGUMENTS,
        syntax: "BUS.CALL bus method [TIMEOUT ms] [NOCACHE|REFRESH] [PAYLOAD p] [ARGS a ...|KWARGS k v ...]",
        ..WAIT
    },
    OwnRow {
        name: "BUS.CAST",
        arity: -3,
        summary: "Queues a call and returns its id",
        arguments: CALL_ARGUMENTS,
        syntax: "BUS.CAST bus method [TIMEOUT ms] [NOCACHE|REFRESH] [PAYLOAD p] [ARGS a ...|KWARGS k v ...]",
        ..WRITE
    },
    OwnRow {
        name: "BUS.RESULT",
        arity: -3,
        summary: "Waits for the result of a call",
        arguments: &[BUS, ID, TIMEOUT],
        syntax: "BUS.RESULT bus id [TIMEOUT ms]",
        ..WAIT
    },
    OwnRow {
        name: "BUS.CANCEL",
        arity: 3,
        summary: "Cancels a call",
        arguments: &[BUS, ID],
        syntax: "BUS.CANCEL bus id",
        ..WRITE
    },
    OwnRow {
        name: "BUS.METHODS",
        arity: -2,
        summary: "Lists the methods of a bus",
        arguments: &[
            BUS,
            OwnArg::new("glob", ArgKind::Pattern)
                .token("MATCH")
                .optional(),
        ],
        syntax: "BUS.METHODS bus [MATCH glob]",
        complexity: "O(N) with N being the number of methods and workers",
        ..READ
    },
    OwnRow {
        name: "BUS.WORKERS",
        arity: 2,
        summary: "Lists the workers that are alive",
        arguments: &[BUS],
        syntax: "BUS.WORKERS bus",
        complexity: "O(N) with N being the number of workers and calls",
        ..READ
    },
    OwnRow {
        name: "BUS.STATS",
        arity: -2,
        summary: "Returns the counters of methods",
        arguments: &[BUS, METHOD.optional()],
        syntax: "BUS.STATS bus [method]",
        complexity: "O(N) with N being the number of methods",
        ..READ
    },
    OwnRow {
        name: "BUS.UNCACHE",
        arity: -4,
        summary: "Removes cached results",
        arguments: &[
            BUS,
            METHOD,
            OwnArg::new("which", ArgKind::OneOf).of(&[
                OwnArg::new("all", ArgKind::PureToken).token("ALL"),
                POSITIONAL,
                BY_NAME,
            ]),
        ],
        syntax: "BUS.UNCACHE bus method (ALL|ARGS a ...|KWARGS k v ...)",
        ..WRITE
    },
    OwnRow {
        name: "BUS.DEAD",
        arity: -3,
        summary: "Lists calls that were given up after too many deliveries",
        arguments: &[BUS, METHOD, COUNT],
        syntax: "BUS.DEAD bus method [COUNT n]",
        complexity: "O(N) with N being the number of calls returned",
        ..READ
    },
    OwnRow {
        name: "BUS.REVIVE",
        arity: 3,
        summary: "Puts a dead call back into its queue",
        arguments: &[BUS, ID],
        syntax: "BUS.REVIVE bus id",
        ..WRITE
    },
    OwnRow {
        name: "BUS.CLEANUP",
        arity: 2,
        summary: "Removes all keys of a bus",
        arguments: &[BUS],
        syntax: "BUS.CLEANUP bus",
        complexity: "O(N) with N being the number of the bus's keys",
        flags: Flags::WRITE,
        ..WRITE
    },
    OwnRow {
        name: "BUS.HELP",
        arity: 1,
        summary: "Lists the commands of the bus",
        syntax: "BUS.HELP",
        flags: Flags::LOADING.union(Flags::STALE),
        categories: Categories::SLOW,
        ..READ
    },
];
