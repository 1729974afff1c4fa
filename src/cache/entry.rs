//! One cached value.

use std::sync::Arc;
use std::time::Instant;

use super::lease::Lease;
use crate::resp::Proto;

/// What an entry costs besides its key and value: the map, the list, the allocations.
pub(super) const OVERHEAD_BYTES: usize = 168;

/// A value with all that decides whether it may be served. It owns exactly its own bytes.
#[derive(Debug)]
pub(super) struct Entry {
    /// The reply, `$3\r\nabc\r\n`; none for a key that does not exist.
    pub(super) reply: Option<Box<[u8]>>,
    /// Not served from then on, in ticks.
    pub(super) deadline: u64,
    /// Whether `deadline` comes from the key's expiry in Redis.
    pub(super) expires: bool,
    pub(super) lease: Arc<Lease>,
    pub(super) epoch: u64,
    pub(super) since: Instant,
    pub(super) hits: u64,
}

impl Entry {
    /// Appends the reply for a client of this version.
    #[inline]
    pub(super) fn write(&self, proto: Proto, out: &mut Vec<u8>) {
        match &self.reply {
            Some(reply) => out.extend_from_slice(reply),
            None => write_nil(proto, out),
        }
    }

    /// The bytes that count against the limit, for a key of this length.
    pub(super) fn bytes(&self, key: usize) -> usize {
        key + self.reply.as_ref().map_or(0, |reply| reply.len()) + OVERHEAD_BYTES
    }
}

/// Appends the nil of a version.
pub(super) fn write_nil(proto: Proto, out: &mut Vec<u8>) {
    out.extend_from_slice(match proto {
        Proto::Resp2 => b"$-1\r\n",
        Proto::Resp3 => b"_\r\n",
    });
}

/// A session that waits for a fill: which worker it lives on, and which of its replies that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// The worker.
    pub worker: usize,
    /// The session.
    pub session: u64,
    /// The place of the reply among the session's replies.
    pub ticket: u64,
    /// The version its client speaks.
    pub proto: Proto,
}
