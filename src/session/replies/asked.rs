//! When a reply was asked for.

use std::time::Instant;

use crate::latency::Kind;

/// When something was asked for, and what its time counts as; as nothing when the client waits on
/// purpose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// When it was read.
    pub(crate) at: Instant,
    /// Where its time is counted.
    pub(crate) kind: Option<Kind>,
}

/// The beginning of a request that went over the client's own connection, and when it did.
pub(super) struct Sent {
    pub(super) head: Box<[u8]>,
    pub(super) at: Instant,
}
