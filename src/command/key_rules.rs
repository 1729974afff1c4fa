//! Where the keys of a command stand among its arguments, as data.
//!
//! Holds the static rules for the core commands whose keys first, last and step do not tell (or
//! tell without saying which are written), so that they are right on Redis 6 too, which has no key
//! specifications. Does not look at arguments: [`keys`](mod@super::keys) does.

use super::key_span::{KeyAccess, Span, span};
use super::key_spec::KeySpec;

/// Where the keys of a command are.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Keys {
    /// It has none.
    #[default]
    None,
    /// At fixed positions.
    Span(Span),
    /// At several fixed positions with different accesses.
    Spans(&'static [Span]),
    /// After an argument that counts them.
    Counted(Counted),
    /// As `SORT` and `SORT_RO` have them.
    Sort,
    /// As `GEORADIUS` and `GEORADIUSBYMEMBER` have them.
    GeoRadius,
    /// As `XREAD` and `XREADGROUP` have them: the first half of what follows `STREAMS`.
    Streams(KeyAccess),
    /// As `MIGRATE` has them.
    Migrate,
    /// As `STRALGO` has them.
    StrAlgo,
    /// At a position that depends on the subcommand, for containers whose subcommands have no
    /// rows of their own.
    BySubcommand(&'static [(&'static str, Span)]),
    /// As the backing's key specifications say.
    Specs(Box<[KeySpec]>),
    /// Not to be known from the arguments, apart from these.
    Open(Option<Span>),
}

/// Keys after an argument that counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    /// The position of the count.
    pub count_at: u32,
    /// What the command does with the counted keys.
    pub access: KeyAccess,
    /// Whether the first argument is a destination.
    pub destination: bool,
    /// Whether the command (a script) may use other keys as well.
    pub open: bool,
}

impl Keys {
    /// The distance of the keys, if all arguments are keys and their values.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        match self {
            Keys::Span(Span {
                first: 1,
                last: -1,
                step,
                ..
            }) => Some(*step as usize),
            _ => None,
        }
    }

    /// Makes the rule for first key, last key and step as `COMMAND` gives them; none when there
    /// is no first key.
    #[must_use]
    pub fn range(range: (i32, i32, i32), access: KeyAccess) -> Self {
        match span(range, access) {
            Some(span) => Self::Span(span),
            None => Self::None,
        }
    }

    /// Tells whether the command may use keys that its arguments do not name, whatever they are.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Counted(counted) => counted.open,
            Self::Open(_) => true,
            Self::Specs(specs) => specs.iter().any(KeySpec::is_open),
            _ => false,
        }
    }
}

use KeyAccess::{Change, Look, Modify, Overwrite, Read, ReadInPlace};

const FIRST_TO_SECOND: &[Span] = &[Span::at(1, Read), Span::at(2, Overwrite)];
const RENAMED: &[Span] = &[Span::at(1, Modify), Span::at(2, Overwrite)];
const MOVED: &[Span] = &[Span::at(1, Modify), Span::at(2, Change)];
const STORED_FROM_ONE: &[Span] = &[Span::at(1, Overwrite), Span::at(2, Read)];
const STORED_FROM_ALL: &[Span] = &[Span::at(1, Overwrite), Span::from(2, Read)];
const MERGED: &[Span] = &[Span::at(1, Modify), Span::from(2, Read)];
const BIT_OPERATION: &[Span] = &[Span::at(2, Overwrite), Span::from(3, Read)];

const READ_SECOND: Span = Span::at(2, Read);
const LOOK_SECOND: Span = Span::at(2, Look);
const WRITE_SECOND: Span = Span::at(2, Change);

// Whoever may run `DEBUG` is shown what is in a key.
const DEBUG: &[(&str, Span)] = &[
    ("object", READ_SECOND),
    ("sdslen", READ_SECOND),
    ("ziplist", READ_SECOND),
    ("listpack", READ_SECOND),
    ("quicklist", READ_SECOND),
    ("htstats-key", READ_SECOND),
    ("digest-value", Span::from(2, Read)),
];
const OBJECT: &[(&str, Span)] = &[
    ("encoding", LOOK_SECOND),
    ("freq", LOOK_SECOND),
    ("idletime", LOOK_SECOND),
    ("refcount", LOOK_SECOND),
];
const XGROUP: &[(&str, Span)] = &[
    ("create", WRITE_SECOND),
    ("createconsumer", WRITE_SECOND),
    ("delconsumer", WRITE_SECOND),
    ("destroy", WRITE_SECOND),
    ("setid", WRITE_SECOND),
];
const XINFO: &[(&str, Span)] = &[
    ("consumers", READ_SECOND),
    ("groups", READ_SECOND),
    ("stream", READ_SECOND),
];
const MEMORY: &[(&str, Span)] = &[("usage", LOOK_SECOND)];

/// Gives the static rule for a core command, by its name in lower case.
///
/// The sources are the key specifications of Redis 7.0.15, with one difference: `XREADGROUP`
/// counts as a writer of its streams, since it moves the state of their groups.
pub(super) fn static_rule(name: &str) -> Option<Keys> {
    let counted = |count_at, access| Counted {
        count_at,
        access,
        destination: false,
        open: false,
    };
    Some(match name {
        "copy" => Keys::Spans(FIRST_TO_SECOND),
        "rename" | "renamenx" => Keys::Spans(RENAMED),
        "smove" | "lmove" | "blmove" | "rpoplpush" | "brpoplpush" => Keys::Spans(MOVED),
        "geosearchstore" | "zrangestore" => Keys::Spans(STORED_FROM_ONE),
        "sinterstore" | "sunionstore" | "sdiffstore" => Keys::Spans(STORED_FROM_ALL),
        "pfmerge" => Keys::Spans(MERGED),
        "bitop" => Keys::Spans(BIT_OPERATION),
        // Updates the cached cardinality inside the value, although it is flagged as a read.
        "pfcount" => Keys::Span(Span::from(1, ReadInPlace)),
        // Flagged neither as reading nor as writing.
        "watch" => Keys::Span(Span::from(1, Look)),
        "pfdebug" => Keys::Span(Span::at(2, ReadInPlace)),
        "zunionstore" | "zinterstore" | "zdiffstore" => Keys::Counted(Counted {
            destination: true,
            ..counted(2, Read)
        }),
        "zunion" | "zinter" | "zdiff" | "zintercard" | "sintercard" => {
            Keys::Counted(counted(1, Read))
        }
        "lmpop" | "zmpop" => Keys::Counted(counted(1, Modify)),
        "blmpop" | "bzmpop" => Keys::Counted(counted(2, Modify)),
        "eval" | "evalsha" | "fcall" => Keys::Counted(Counted {
            open: true,
            ..counted(2, Modify)
        }),
        "eval_ro" | "evalsha_ro" | "fcall_ro" => Keys::Counted(Counted {
            open: true,
            ..counted(2, Read)
        }),
        "sort" | "sort_ro" => Keys::Sort,
        "georadius" | "georadiusbymember" => Keys::GeoRadius,
        "xread" => Keys::Streams(Read),
        "xreadgroup" => Keys::Streams(ReadInPlace),
        "migrate" => Keys::Migrate,
        "stralgo" => Keys::StrAlgo,
        "debug" => Keys::BySubcommand(DEBUG),
        "object" => Keys::BySubcommand(OBJECT),
        "xgroup" => Keys::BySubcommand(XGROUP),
        "xinfo" => Keys::BySubcommand(XINFO),
        "memory" => Keys::BySubcommand(MEMORY),
        _ => return None,
    })
}
