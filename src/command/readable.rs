//! Reads of one key whose reply depends on that key alone, and reads of many keys that are such reads of each: those
//! that may be answered from memory.
//!
//! `GET` is not among them: it is recognized by its bytes, and is the cache's first variant.

use super::flags::Flags;
use crate::resp::{Args, Shape};

/// A command that is a read of the key, or the keys, behind its name.
#[derive(Debug, PartialEq, Eq)]
pub struct Readable {
    name: &'static str,
    /// From this argument on, words are options, in any case.
    options_from: usize,
    shape: Shape,
    keys: Keys,
    /// Its last word makes the reply a pair, and its null an array's.
    with_score: bool,
    /// What of a hash it tells, whose fields may have lives of their own.
    pub fields: Fields,
    /// Its reply is made from many elements, by its nature: a fetch costs the backing more than looking one up.
    pub dear: bool,
}

/// Which fields of a hash a reply depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    /// None: the key is no hash, or there is no reply.
    None,
    /// Those named from this argument on.
    From(usize),
    /// The one named by this argument.
    One(usize),
    /// All.
    All,
}

/// Which of its arguments are the keys that a command reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// The first.
    One,
    /// All, as [`Many::Values`].
    Each,
    /// The first alone, or several as [`Many::Existing`].
    OneOrEach,
}

/// What a command reads of many keys at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Many {
    /// Their values: `MGET`.
    Values,
    /// How many of them exist: `EXISTS`.
    Existing,
}

const NO_OPTIONS: usize = usize::MAX;
const PLAIN: Shape = Shape {
    null_array: false,
    flat_pairs: false,
};
const PAIRS: Shape = Shape {
    null_array: false,
    flat_pairs: true,
};
const NULL_ARRAYS: Shape = Shape {
    null_array: true,
    flat_pairs: false,
};

const fn row(name: &'static str, options_from: usize, shape: Shape, fields: Fields) -> Readable {
    Readable {
        name,
        options_from,
        shape,
        keys: Keys::One,
        with_score: false,
        fields,
        dear: false,
    }
}

const fn keys(keys: Keys, row: Readable) -> Readable {
    Readable { keys, ..row }
}

const fn with_score(row: Readable) -> Readable {
    Readable {
        with_score: true,
        ..row
    }
}

const fn dear(row: Readable) -> Readable {
    Readable { dear: true, ..row }
}

const fn plain(name: &'static str) -> Readable {
    row(name, NO_OPTIONS, PLAIN, Fields::None)
}

/// In the order of their names.
const ROWS: &[Readable] = &[
    dear(row("bitcount", 4, PLAIN, Fields::None)),
    plain("bitfield_ro"),
    dear(row("bitpos", 5, PLAIN, Fields::None)),
    keys(
        Keys::OneOrEach,
        row("exists", NO_OPTIONS, PLAIN, Fields::All),
    ),
    row("geodist", 4, PLAIN, Fields::None),
    plain("geohash"),
    row("geopos", NO_OPTIONS, NULL_ARRAYS, Fields::None),
    dear(plain("georadius_ro")),
    dear(plain("georadiusbymember_ro")),
    dear(plain("geosearch")),
    plain("getbit"),
    plain("getrange"),
    row("hexists", NO_OPTIONS, PLAIN, Fields::One(2)),
    row("hget", NO_OPTIONS, PLAIN, Fields::One(2)),
    dear(row("hgetall", NO_OPTIONS, PLAIN, Fields::All)),
    dear(row("hkeys", NO_OPTIONS, PLAIN, Fields::All)),
    row("hlen", NO_OPTIONS, PLAIN, Fields::All),
    row("hmget", NO_OPTIONS, PLAIN, Fields::From(2)),
    row("hstrlen", NO_OPTIONS, PLAIN, Fields::One(2)),
    dear(row("hvals", NO_OPTIONS, PLAIN, Fields::All)),
    plain("lindex"),
    plain("llen"),
    dear(row("lpos", 3, PLAIN, Fields::None)),
    dear(plain("lrange")),
    keys(Keys::Each, plain("mget")),
    plain("scard"),
    plain("sismember"),
    dear(plain("smembers")),
    plain("smismember"),
    plain("strlen"),
    plain("substr"),
    row("type", NO_OPTIONS, PLAIN, Fields::All),
    plain("xlen"),
    dear(row("xrange", 4, NULL_ARRAYS, Fields::None)),
    dear(row("xrevrange", 4, NULL_ARRAYS, Fields::None)),
    plain("zcard"),
    plain("zcount"),
    plain("zlexcount"),
    plain("zmscore"),
    dear(row("zrange", 4, PAIRS, Fields::None)),
    dear(row("zrangebylex", 4, PAIRS, Fields::None)),
    dear(row("zrangebyscore", 4, PAIRS, Fields::None)),
    with_score(row("zrank", 3, NULL_ARRAYS, Fields::None)),
    dear(row("zrevrange", 4, PAIRS, Fields::None)),
    dear(row("zrevrangebylex", 4, PAIRS, Fields::None)),
    dear(row("zrevrangebyscore", 4, PAIRS, Fields::None)),
    with_score(row("zrevrank", 3, NULL_ARRAYS, Fields::None)),
    plain("zscore"),
];

impl Readable {
    /// What is known of a command as a read; none when it is not one. A backing that gives such a name to
    /// something else, a module's command or one that writes, is not believed to read.
    pub(super) fn of(name: &str, flags: Flags) -> Option<&'static Self> {
        (flags.contains(Flags::READONLY) && !flags.contains(Flags::MODULE))
            .then(|| Self::named(name))?
    }

    /// The row of a name in lower case.
    pub fn named(name: &str) -> Option<&'static Self> {
        let at = ROWS.binary_search_by(|row| row.name.cmp(name)).ok()?;
        Some(&ROWS[at])
    }

    /// Whether so many arguments, which its command takes, are a read of one key.
    #[inline]
    pub fn takes(&self, args: usize) -> bool {
        match self.keys {
            Keys::One => true,
            Keys::Each => false,
            Keys::OneOrEach => args == 2,
        }
    }

    /// What so many arguments, which its command takes, read of many keys.
    pub fn many(&self, args: usize) -> Option<Many> {
        match self.keys {
            Keys::Each if args >= 2 => Some(Many::Values),
            Keys::OneOrEach if args > 2 => Some(Many::Existing),
            _ => None,
        }
    }

    /// The names of all that may be answered from memory besides `get`, in lower case.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ROWS.iter().map(|row| row.name)
    }

    /// How the reply to these arguments differs between the versions of the protocol.
    #[inline]
    pub fn shape_of(&self, args: usize) -> Shape {
        match self.with_score && args == 3 {
            true => PLAIN, // a number
            false => self.shape,
        }
    }

    /// Writes what tells this read from others of the same key: its name and its arguments but the key, each
    /// with its length in four bytes. Two spellings of one read are written alike if they differ in case only.
    #[inline]
    pub fn write_variant(&self, args: Args<'_>, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.name.as_bytes());
        for n in 2..args.len() {
            let arg = &args[n];
            if n == 2 {
                out.push(b' ');
            }
            // A request is under 4 GiB.
            out.extend_from_slice(&(arg.len() as u32).to_le_bytes());
            let from = out.len();
            out.extend_from_slice(arg);
            if n >= self.options_from {
                out[from..].make_ascii_uppercase();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{RequestLimits, RequestParser};

    fn variant(request: &str) -> String {
        let mut bytes = Vec::new();
        let words: Vec<&[u8]> = request.split('_').map(str::as_bytes).collect();
        crate::resp::write_command(&mut bytes, &words);
        let limits = RequestLimits {
            bulk_bytes: 1000,
            request_bytes: 1000,
            authenticated: true,
        };
        let mut parser = RequestParser::default();
        parser.parse(&bytes, &limits).expect("a request");
        let args = parser.args(&bytes);
        let row = Readable::named(&words_lower(&args[0])).expect("a read");
        let mut out = Vec::new();
        row.write_variant(args, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn words_lower(name: &[u8]) -> String {
        String::from_utf8_lossy(name).to_lowercase()
    }

    #[test]
    fn the_rows_are_in_order() {
        assert!(ROWS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn case_is_the_same_in_names_and_options_and_nowhere_else() {
        assert_eq!(variant("HGET_k_Field"), "hget \x05\0\0\0Field");
        assert_eq!(variant("hget_other_Field"), variant("HGET_k_Field"));
        assert_eq!(
            variant("ZRANGE_k_0_-1_withScores"),
            variant("zrange_k_0_-1_WITHSCORES")
        );
        assert_ne!(variant("SISMEMBER_k_a"), variant("SISMEMBER_k_A"));
        assert_eq!(variant("LLEN_k"), "llen");
    }

    #[test]
    fn other_arguments_are_another_variant() {
        assert_ne!(variant("HMGET_k_ab_c"), variant("HMGET_k_a_bc"));
        assert_ne!(variant("HMGET_k_a\x01\0\0\0b"), variant("HMGET_k_a_b"));
    }
}
