//! What is kept of one key: what was read of it, and when that may be served.

use std::sync::Arc;

use super::lease::{Lease, Standing};
use super::variants::{NewVariant, Variants};
use crate::resp::Proto;

/// What an entry costs besides its key and value: the map, the list, the allocations.
pub(super) const OVERHEAD_BYTES: usize = 184;

/// Which read of a key is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// `GET`.
    Get,
    /// Another one, by its variant, with the hash of that.
    Other(&'a [u8], u64),
}

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

/// All that was read of a key: gone together when the key changes.
#[derive(Debug, Default)]
pub(super) struct Entry {
    get: Option<Value>,
    others: Option<Box<Variants>>,
    pub(super) hits: u64,
}

// === impl Value ===

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

    fn bytes(&self) -> usize {
        self.reply.as_ref().map_or(0, |reply| reply.len())
    }
}

// === impl Entry ===

impl Entry {
    /// What `GET` brought alone.
    #[cfg(feature = "mutants")]
    pub(super) fn of_get(value: Value) -> Self {
        Entry {
            get: Some(value),
            ..Entry::default()
        }
    }

    /// What a read has brought, for a client of this version.
    #[inline]
    pub(super) fn find(&mut self, read: Read<'_>, proto: Proto) -> Option<&mut Value> {
        match read {
            Read::Get => self.get.as_mut(),
            Read::Other(name, hash) => self.others.as_mut()?.find(name, hash, proto),
        }
    }

    /// What tells whether the key exists: any `GET` does, if it may be served at `now`, in ticks.
    pub(super) fn existence(
        &mut self,
        read: Read<'_>,
        proto: Proto,
        now: u64,
    ) -> Option<&mut Value> {
        let is_good = |value: &Value| value.worth(now) == Worth::Good;
        match self.get.as_ref().is_some_and(is_good) {
            true => self.get.as_mut(),
            false => self.find(read, proto),
        }
    }

    /// What `GET` has brought.
    pub(super) fn get(&self) -> Option<&Value> {
        self.get.as_ref()
    }

    /// The reads besides `GET`.
    pub(super) fn others(&self) -> Option<&Variants> {
        self.others.as_deref()
    }

    /// All that was brought.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        let others = self.others.iter().flat_map(|others| others.values());
        self.get.iter().chain(others)
    }

    /// Keeps what `GET` has brought.
    pub(super) fn put_get(&mut self, value: Value) {
        self.get = Some(value);
    }

    /// Drops what `GET` has brought.
    #[cfg(feature = "mutants")]
    pub(super) fn forget_get(&mut self) {
        self.get = None;
    }

    /// Keeps what another read has brought; of more than `most` the one that was not used for longest goes.
    pub(super) fn put_other(&mut self, new: NewVariant<'_>, most: usize) {
        self.others.get_or_insert_default().put(new, most);
    }

    /// Drops the variant that was not used for longest; false when there is none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let dropped = self
            .others
            .as_mut()
            .is_some_and(|others| others.drop_oldest());
        self.tidy();
        dropped
    }

    /// Drops what `stays` does not take.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&mut Value) -> bool) {
        if self.get.as_mut().is_some_and(|value| !stays(value)) {
            self.get = None;
        }
        if let Some(others) = &mut self.others {
            others.retain(stays);
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        if self.others.as_ref().is_some_and(|others| others.is_empty()) {
            self.others = None;
        }
    }

    /// Whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.get.is_none() && self.others.is_none()
    }

    /// The bytes that count against the limit, for a key of this length.
    pub(super) fn bytes(&self, key: usize) -> usize {
        let others = self.others.as_ref().map_or(0, |others| others.bytes());
        key + self.get.as_ref().map_or(0, Value::bytes) + others + OVERHEAD_BYTES
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
    /// The fetch is a part of a read of many keys: it is waited for, its reply is not.
    pub part: bool,
}
