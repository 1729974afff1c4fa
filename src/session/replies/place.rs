//! The places that replies take in the order of requests.

use bytes::Bytes;

use super::asked::{Asked, Sent};
use super::{Hold, Rewrite};
use crate::cache::Guard;

/// The place of a reply, or of several that come over one connection.
pub(super) enum Place {
    /// `left` replies are to come. What comes before it is the place's turn waits in `early`.
    Awaited {
        left: u32,
        from: Source,
        fate: Fate,
        early: Vec<u8>,
        guard: Option<Guard>,
        asked: Asked,
        /// What was sent on the client's own connection.
        sent: Option<Sent>,
        /// A reply has come in part.
        open: bool,
    },
    /// A reply that is in and may not be shown yet.
    Held {
        reply: Vec<u8>,
        /// What was said unasked after it.
        behind: Vec<u8>,
    },
    /// What may be shown, waiting for those in front.
    Ready(Vec<u8>),
    /// The same, of bytes that other clients wait for as well.
    Shared(Bytes),
}

/// Who brings a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A connection that the request was sent on for this session.
    Link,
    /// A fetch into the cache, or a family.
    Fetch,
}

/// What happens to the replies of a place, and what is left to do it with.
pub(super) enum Fate {
    Pass,
    Drop,
    Rewrite(Option<Rewrite>),
    Hold(Option<Hold>, Shown),
}

/// Whether the client gets a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    No,
}
