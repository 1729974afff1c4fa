//! The two versions of the protocol and the kinds of reply they have.

/// Names the version of the protocol that a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum Proto {
    /// RESP2, what every connection starts with.
    #[default]
    Resp2,
    /// RESP3, what `HELLO 3` switches to.
    Resp3,
}

impl Proto {
    /// Returns the number that `HELLO` knows the version by: 2 or 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Classifies a reply by its first byte, as far as a relay has to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ReplyKind {
    /// An error: `-` or `!`.
    Error,
    /// A push, which answers no request: `>`.
    Push,
    /// An attribute, in front of the reply that it describes: `|`.
    Attribute,
    /// Any other reply.
    Plain,
}

impl ReplyKind {
    /// Classifies the reply that starts with `first`.
    ///
    /// Does not tell whether `first` is a type byte at all: the scanner does.
    #[must_use]
    pub const fn of(first: u8) -> Self {
        match first {
            b'-' | b'!' => Self::Error,
            b'>' => Self::Push,
            b'|' => Self::Attribute,
            _ => Self::Plain,
        }
    }
}
