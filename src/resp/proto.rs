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
