//! What is kept of one key: what was read of it, and when that may be served.

use std::cell::Cell;

use super::value::{Value, Worth};
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

/// All that was read of a key: gone together when the key changes.
#[derive(Debug, Default)]
pub(super) struct Entry {
    get: Option<Value>,
    others: Option<Box<Variants>>,
    pub(super) hits: Cell<u64>,
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
