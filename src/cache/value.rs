//! One reply that is kept, and when it may be served.

use std::sync::Arc;

use super::lease::{Lease, Standing};
use crate::resp::Proto;

/// One reply, with all that decides whether it may be served. It owns exactly its own bytes.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// The reply, `$3\r\nabc\r\n`; none for a `GET` of a key that does not exist.
    pub(super) reply: Option<Box<[u8]>>,
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

    /// Appends the reply for a client of this version.
    #[inline]
    pub(super) fn write(&self, proto: Proto, out: &mut Vec<u8>) {
        match &self.reply {
            Some(reply) => out.extend_from_slice(reply),
            None => write_nil(proto, out),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.reply.as_ref().map_or(0, |reply| reply.len())
    }
}

/// Appends the nil of a version.
pub(super) fn write_nil(proto: Proto, out: &mut Vec<u8>) {
    out.extend_from_slice(match proto {
        Proto::Resp2 => b"$-1\r\n",
        Proto::Resp3 => b"_\r\n",
    });
}
