//! One reply that is kept, and when it may be served.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use super::lease::{Lease, Standing};
use crate::resp::Proto;

/// From this size on a reply is not copied for whoever is answered with it: several pieces of this size cost no
/// more system calls than they need anyway.
const SHARED_BYTES: usize = 32 * 1024;

/// The bytes of a reply that is kept.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Own(Box<[u8]>),
    /// Outputs on their way to clients have the same bytes.
    Shared(Arc<[u8]>),
}

/// One reply, with all that decides whether it may be served. It has exactly its own bytes.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// The reply, `$3\r\nabc\r\n`; none for a `GET` of a key that does not exist.
    pub(super) reply: Option<Reply>,
    /// Not served from then on, in ticks.
    pub(super) deadline: u64,
    /// Whether `deadline` comes from the key's expiry in Redis.
    pub(super) expires: bool,
    pub(super) lease: Arc<Lease>,
    pub(super) epoch: u64,
    /// When it was brought, in ticks.
    pub(super) landed: u64,
    /// Of the fetch that brought it: no two values have the same.
    pub(super) token: u64,
    /// Its lease has to reach beyond this, in ticks: another link has brought something of the key since,
    /// and what this one's link then owed has to be in.
    pub(super) overtaken: u64,
}

/// What an entry's value is worth at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// It may be served.
    Good,
    /// It is past its life.
    Expired,
    /// It is of an epoch that is over.
    Ended,
    /// Its link has not shown for δ that it is alive.
    Unproven,
    /// Another link has brought what may be newer: it is fetched anew.
    Overtaken,
}

impl Value {
    /// What it is worth at `now`, in ticks.
    #[inline]
    pub(super) fn worth(&self, now: u64) -> Worth {
        if now >= self.deadline {
            return Worth::Expired;
        }
        match self.lease.standing(self.epoch, now.max(self.overtaken)) {
            Standing::Good => Worth::Good,
            Standing::Ended => Worth::Ended,
            Standing::Unproven => self.unproven(now),
        }
    }

    #[cold]
    fn unproven(&self, now: u64) -> Worth {
        match self.lease.standing(self.epoch, now) {
            Standing::Good => Worth::Overtaken,
            Standing::Ended => Worth::Ended,
            Standing::Unproven => Worth::Unproven,
        }
    }

    /// Appends the reply for a client of this version, or gives it when it is large.
    #[inline]
    pub(super) fn write(&self, proto: Proto, out: &mut Vec<u8>) -> Option<Bytes> {
        match &self.reply {
            Some(Reply::Own(reply)) => out.extend_from_slice(reply),
            Some(Reply::Shared(reply)) => return Some(share(reply)),
            None => write_nil(proto, out),
        }
        None
    }

    pub(super) fn bytes(&self) -> usize {
        self.reply.as_ref().map_or(0, |reply| reply.len())
    }
}

#[cold]
fn share(reply: &Arc<[u8]>) -> Bytes {
    Bytes::from_owner(Arc::clone(reply))
}

impl From<&[u8]> for Reply {
    fn from(reply: &[u8]) -> Self {
        match reply.len() < SHARED_BYTES {
            true => Reply::Own(reply.into()),
            false => Reply::Shared(reply.into()),
        }
    }
}

impl Deref for Reply {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Reply::Own(reply) => reply,
            Reply::Shared(reply) => reply,
        }
    }
}

/// Appends the nil of a version.
pub(super) fn write_nil(proto: Proto, out: &mut Vec<u8>) {
    out.extend_from_slice(match proto {
        Proto::Resp2 => b"$-1\r\n",
        Proto::Resp3 => b"_\r\n",
    });
}

/// Whether a reply to `GET` says that the key does not exist.
pub(super) fn is_nil(reply: &[u8]) -> bool {
    reply == b"_\r\n" || reply == b"$-1\r\n"
}

/// Whether two replies to `GET` say the same, of whichever version of the protocol they are.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one == other || is_nil(one) && is_nil(other)
}
