//! What can be wrong with a peer's bytes.

/// A request that breaks the protocol; the connection closes after the reply.
///
/// `Display` gives Redis' own text, to be sent after `-ERR `.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is not a number, or over `INT_MAX`.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// The length of an argument is not a number, negative, or over the limit.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// More than ten arguments from a client that has not authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// An argument over 16 KiB from a client that has not authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// No end of the first line within 64 KiB.
    #[error("Protocol error: too big mbulk count string")]
    TooBigMultibulkCount,
    /// No end of an argument's first line within 64 KiB.
    #[error("Protocol error: too big bulk count string")]
    TooBigBulkCount,
    /// No end of an inline request within 64 KiB.
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// An argument starts with this byte instead of `$`.
    #[error("Protocol error: expected '$', got '{}'", char::from(printable(*.0)))]
    ExpectedBulk(u8),
    /// A quote in an inline request is not closed, or closed inside a word.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The request as a whole is over the configured limit.
    #[error("Protocol error: request is larger than limits.request_bytes")]
    RequestTooLarge,
}

impl ProtocolError {
    /// Returns the text as Redis sends it, byte for byte.
    ///
    /// Differs from `Display` only where the client's own byte is quoted and is
    /// not ASCII: here it is that byte, there the Latin-1 character.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::ExpectedBulk(byte) => {
                let mut text = b"Protocol error: expected '$', got '".to_vec();
                text.extend_from_slice(&[printable(byte), b'\'']);
                text
            }
            other => other.to_string().into_bytes(),
        }
    }
}

/// Replaces a line end by a space, as Redis' `addReplyErrorFormat` does.
const fn printable(byte: u8) -> u8 {
    match byte {
        b'\r' | b'\n' => b' ',
        other => other,
    }
}

/// A reply that breaks the protocol; the upstream connection is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplyError {
    /// The first byte of a value names no type.
    #[error("reply has the unknown type byte 0x{0:02x}")]
    UnknownType(u8),
    /// A length or count is not a number that fits.
    #[error("reply has an invalid length")]
    InvalidLength,
    /// A streamed string or aggregate, which Redis never sends.
    #[error("reply is of a streamed type")]
    Streamed,
    /// The bytes behind a bulk are not a line end.
    #[error("reply has a bulk without its line end")]
    MissingLineEnd,
    /// The text of an integer, boolean, null or verbatim string is not one.
    #[error("reply has an invalid value")]
    InvalidValue,
    /// Aggregates stand inside one another too deep.
    #[error("reply is nested too deep")]
    TooDeep,
}
