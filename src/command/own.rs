//! Respite's own commands as data: each family declares its rows once, and the table, `COMMAND`,
//! `COMMAND DOCS` and `FAMILY.HELP` all come from that one declaration.
//!
//! Not here: what the commands do.

use super::flags::{Categories, Flags};
use super::key_rules::Keys;
use super::key_span::KeyAccess;
use super::row::{Handling, Row};

/// One command of a family.
#[derive(Clone, Copy, Debug)]
pub struct OwnRow {
    /// The name as users write it, upper case: `RESPITE.RELOAD`.
    pub name: &'static str,
    /// The number of arguments with the name; negative: at least as many.
    pub arity: i32,
    /// The flags, for `COMMAND` and for the session.
    pub flags: Flags,
    /// The ACL categories.
    pub categories: Categories,
    /// Commands that tell or do the same: whoever is denied one of them is denied this one. Their
    /// categories have to be among this one's.
    pub aliases: &'static [&'static str],
    /// The position of the first key, 0 for none (mostly).
    pub first_key: i32,
    /// The position of the last key; negative: counted from the end.
    pub last_key: i32,
    /// The distance between keys.
    pub key_step: i32,
    /// One sentence without a full stop, as in Redis' documentation.
    pub summary: &'static str,
    /// The version of Respite that brought the command.
    pub since: &'static str,
    /// The group that redis-cli's `help @group` lists.
    pub group: &'static str,
    /// `O(1)` and the like.
    pub complexity: &'static str,
    /// The arguments after the name.
    pub arguments: &'static [OwnArg],
    /// Who handles it; none: its family.
    pub handling: Option<Handling>,
    /// The whole syntax for `HELP`: `CACHE.FLUSH [MATCH glob]`.
    pub syntax: &'static str,
}

/// One argument of a command, as `COMMAND DOCS` describes it.
#[derive(Clone, Copy, Debug)]
pub struct OwnArg {
    /// The name of the argument.
    pub name: &'static str,
    /// Its type.
    pub kind: ArgKind,
    /// The literal word before it, or the word itself for [`ArgKind::PureToken`].
    pub token: Option<&'static str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
    /// The parts of a [`ArgKind::Block`] or the choices of a [`ArgKind::OneOf`].
    pub children: &'static [OwnArg],
}

/// The types of arguments that `COMMAND DOCS` knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgKind {
    /// A key.
    Key,
    /// Any string.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Double,
    /// A glob.
    Pattern,
    /// A time in seconds or milliseconds since 1970.
    UnixTime,
    /// A word that stands for itself.
    PureToken,
    /// One of the children.
    OneOf,
    /// All of the children, in order.
    Block,
}

impl ArgKind {
    /// Gives the name that `COMMAND DOCS` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

impl OwnArg {
    /// Declares a plain argument: mandatory, once, without a token.
    #[must_use]
    pub const fn new(name: &'static str, kind: ArgKind) -> Self {
        Self {
            name,
            kind,
            token: None,
            optional: false,
            multiple: false,
            children: &[],
        }
    }

    /// Puts a literal word before the argument.
    #[must_use]
    pub const fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// Makes the argument optional.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Lets the argument repeat.
    #[must_use]
    pub const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }

    /// Gives the argument its parts or choices.
    #[must_use]
    pub const fn of(mut self, children: &'static [OwnArg]) -> Self {
        self.children = children;
        self
    }
}

impl OwnRow {
    /// Declares a command without keys, arguments or flags, as a start for `..` updates.
    pub const EMPTY: Self = Self {
        name: "",
        arity: -1,
        flags: Flags::empty(),
        categories: Categories::empty(),
        aliases: &[],
        first_key: 0,
        last_key: 0,
        key_step: 0,
        summary: "",
        since: "0.1.0",
        group: "respite",
        complexity: "O(1)",
        arguments: &[],
        handling: None,
        syntax: "",
    };

    /// Makes the row of the command table.
    #[must_use]
    pub fn row(&self, family: usize) -> Row {
        Row {
            name: self.lower_name().into_boxed_str(),
            arity: self.arity,
            flags: self.flags,
            categories: self.categories.implied(),
            keys: Keys::range(
                (self.first_key, self.last_key, self.key_step),
                KeyAccess::of("", self.flags),
            ),
            handling: self.handling.unwrap_or(Handling::Family(family)),
            aliases: self.aliases,
            ..Row::default()
        }
    }

    /// Gives the name in lower case, as `COMMAND` prints it.
    #[must_use]
    pub fn lower_name(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Tells whether `name` is this command, in any case.
    #[must_use]
    pub fn is_named(&self, name: &[u8]) -> bool {
        self.name.as_bytes().eq_ignore_ascii_case(name)
    }
}
