//! The rows of `DISCOVERY.*`, from which the table, `COMMAND DOCS` and `HELP` come.

use crate::command::{ArgKind, Categories, Flags, OwnArg, OwnRow};

const READ: OwnRow = OwnRow {
    flags: Flags::READONLY,
    categories: Categories::READ.union(Categories::SLOW),
    group: "discovery",
    ..OwnRow::EMPTY
};

const WRITE: OwnRow = OwnRow {
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::WRITE.union(Categories::FAST),
    complexity: "O(log(N)) with N being the number of nodes in the group",
    ..READ
};

const REMOVE: OwnRow = OwnRow {
    flags: Flags::WRITE,
    categories: Categories::WRITE.union(Categories::SLOW),
    ..READ
};

const SERVICE: OwnArg = OwnArg::new("service", ArgKind::String);
const NODE: OwnArg = OwnArg::new("node", ArgKind::String);
const GROUP: OwnArg = OwnArg::new("group", ArgKind::String)
    .token("GROUP")
    .optional();
const STATES: &[OwnArg] = &[
    OwnArg::new("passing", ArgKind::PureToken).token("passing"),
    OwnArg::new("warning", ArgKind::PureToken).token("warning"),
    OwnArg::new("critical", ArgKind::PureToken).token("critical"),
    OwnArg::new("draining", ArgKind::PureToken).token("draining"),
];
const STATE: OwnArg = OwnArg::new("state", ArgKind::OneOf)
    .token("STATE")
    .optional()
    .of(STATES);
const PAIR: OwnArg = OwnArg::new("data", ArgKind::Block).multiple().of(&[
    OwnArg::new("key", ArgKind::String),
    OwnArg::new("value", ArgKind::String),
]);
const COUNT: OwnArg = OwnArg::new("count", ArgKind::Integer);

const fn text(name: &'static str, token: &'static str) -> OwnArg {
    OwnArg::new(name, ArgKind::String).token(token).optional()
}

const fn flag(name: &'static str, token: &'static str) -> OwnArg {
    OwnArg::new(name, ArgKind::PureToken)
        .token(token)
        .optional()
}

const fn block(name: &'static str, token: &'static str, of: &'static [OwnArg]) -> OwnArg {
    OwnArg::new(name, ArgKind::Block)
        .token(token)
        .optional()
        .of(of)
}

pub(super) const ROWS: &[OwnRow] = &[
    OwnRow {
        name: "DISCOVERY.REGISTER",
        arity: -3,
        summary: "Registers a service, or replaces what is known of it",
        syntax: "DISCOVERY.REGISTER service endpoint [GROUP g] [TYPE t] [AUTH type credentials] \
                 [BACKEND b] [DESCRIPTION d] [META n k v ...]",
        arguments: &[
            SERVICE,
            OwnArg::new("endpoint", ArgKind::String),
            GROUP,
            text("type", "TYPE"),
            block(
                "auth",
                "AUTH",
                &[
                    OwnArg::new("type", ArgKind::String),
                    OwnArg::new("credentials", ArgKind::String),
                ],
            ),
            text("backend", "BACKEND"),
            text("description", "DESCRIPTION"),
            block("meta", "META", &[COUNT, PAIR]),
        ],
        ..WRITE
    },
    OwnRow {
        name: "DISCOVERY.JOIN",
        arity: -3,
        summary: "Adds a node to a service, or updates it, and returns its lease",
        syntax: "DISCOVERY.JOIN service node [GROUP g] [ADDR host port] [TTL s] \
                 [DEREGISTERAFTER s] [TAGS n t ...] [FACTS n k v ...] [NX]",
        arguments: &[
            SERVICE,
            NODE,
            GROUP,
            block(
                "addr",
                "ADDR",
                &[
                    OwnArg::new("host", ArgKind::String),
                    OwnArg::new("port", ArgKind::Integer),
                ],
            ),
            OwnArg::new("seconds", ArgKind::Double)
                .token("TTL")
                .optional(),
            OwnArg::new("seconds", ArgKind::Double)
                .token("DEREGISTERAFTER")
                .optional(),
            block(
                "tags",
                "TAGS",
                &[COUNT, OwnArg::new("tag", ArgKind::String).multiple()],
            ),
            block("facts", "FACTS", &[COUNT, PAIR]),
            flag("nx", "NX"),
        ],
        ..WRITE
    },
    OwnRow {
        name: "DISCOVERY.HEARTBEAT",
        arity: -5,
        summary: "Renews the lease of a node and may change its state",
        syntax: "DISCOVERY.HEARTBEAT service node LEASE l [GROUP g] \
                 [STATE passing|warning|critical|draining]",
        arguments: &[
            SERVICE,
            NODE,
            OwnArg::new("lease", ArgKind::String).token("LEASE"),
            GROUP,
            STATE,
        ],
        ..WRITE
    },
    OwnRow {
        name: "DISCOVERY.LEAVE",
        arity: -3,
        summary: "Removes a node; with a lease only if it is the node's",
        syntax: "DISCOVERY.LEAVE service node [GROUP g] [LEASE l]",
        arguments: &[SERVICE, NODE, GROUP, text("lease", "LEASE")],
        flags: Flags::WRITE.union(Flags::FAST),
        ..WRITE
    },
    OwnRow {
        name: "DISCOVERY.GET",
        arity: -2,
        summary: "Returns what is known of a service",
        syntax: "DISCOVERY.GET service [GROUP g] [WITHSECRETS]",
        arguments: &[SERVICE, GROUP, flag("withsecrets", "WITHSECRETS")],
        ..READ
    },
    OwnRow {
        name: "DISCOVERY.NODES",
        arity: -2,
        summary: "Returns the live nodes of a service, or those in a state",
        syntax: "DISCOVERY.NODES service [GROUP g] [STATE s] [TAG t] [ALL]",
        complexity: "O(N) with N being the number of nodes of the service",
        arguments: &[
            SERVICE,
            GROUP,
            STATE,
            text("tag", "TAG"),
            flag("all", "ALL"),
        ],
        ..READ
    },
    OwnRow {
        name: "DISCOVERY.RESOLVE",
        arity: -2,
        summary: "Returns one passing node of a service, each in its turn",
        syntax: "DISCOVERY.RESOLVE service [GROUP g]",
        complexity: "O(log(N)) with N being the number of nodes, more where they do not pass",
        arguments: &[SERVICE, GROUP],
        ..READ
    },
    OwnRow {
        name: "DISCOVERY.SERVICES",
        arity: -1,
        summary: "Lists the services of a group",
        syntax: "DISCOVERY.SERVICES [GROUP g]",
        complexity: "O(N*log(M)) with N being the number of services and M of nodes",
        arguments: &[GROUP],
        ..READ
    },
    OwnRow {
        name: "DISCOVERY.GROUPS",
        arity: 1,
        summary: "Lists the groups that have services",
        syntax: "DISCOVERY.GROUPS",
        complexity: "O(N) with N being the number of groups",
        ..READ
    },
    OwnRow {
        name: "DISCOVERY.WATCH",
        arity: -4,
        summary: "Waits until a service, or any of the group, has changed after an index",
        syntax: "DISCOVERY.WATCH service|* INDEX i [GROUP g] [TIMEOUT ms]",
        flags: Flags::READONLY.union(Flags::BLOCKING),
        categories: Categories::READ
            .union(Categories::SLOW)
            .union(Categories::BLOCKING),
        complexity: "O(N) with N being the number of nodes, once for all who watch",
        arguments: &[
            OwnArg::new("what", ArgKind::OneOf)
                .of(&[SERVICE, OwnArg::new("all", ArgKind::PureToken).token("*")]),
            OwnArg::new("index", ArgKind::String).token("INDEX"),
            GROUP,
            OwnArg::new("milliseconds", ArgKind::Integer)
                .token("TIMEOUT")
                .optional(),
        ],
        ..READ
    },
    OwnRow {
        name: "DISCOVERY.DEREGISTER",
        arity: -2,
        summary: "Removes a service with its nodes",
        syntax: "DISCOVERY.DEREGISTER service [GROUP g]",
        complexity: "O(N) with N being the number of nodes of the service",
        arguments: &[SERVICE, GROUP],
        ..REMOVE
    },
    OwnRow {
        name: "DISCOVERY.DROPGROUP",
        arity: 2,
        summary: "Removes a group with everything in it",
        syntax: "DISCOVERY.DROPGROUP group",
        complexity: "O(N) with N being the number of nodes in the group",
        arguments: &[OwnArg::new("group", ArgKind::String)],
        ..REMOVE
    },
    OwnRow {
        name: "DISCOVERY.HELP",
        arity: 1,
        summary: "Lists the commands of service discovery",
        syntax: "DISCOVERY.HELP",
        ..READ
    },
];
