//! Reads of many keys that wait for parts. How they are answered is in `many`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

use crate::cache::{Collected, ManyQuery, Waiter};
use crate::command::Many;
use crate::resp::ArgVec;

/// The reads of many keys of a worker's clients.
#[derive(Default)]
pub(super) struct Gathers {
    /// Those that wait for parts, by session and ticket.
    pub(super) under_way: RefCell<HashMap<(u64, u64), Gather>>,
    pub(super) collected: RefCell<Collected>,
}

/// One that waits.
pub(super) struct Gather {
    /// Parts that are still to come.
    pub(super) left: usize,
    pub(super) many: Many,
    pub(super) db: u32,
    pub(super) request: ArgVec,
    pub(super) waiter: Waiter,
    /// What was there from the beginning, for the broken rule `MgetUnchecked`.
    #[cfg(feature = "mutants")]
    pub(super) found: Vec<Option<Vec<u8>>>,
}

// === impl Gathers ===

impl Gathers {
    /// Bytes of a request that waits.
    pub(super) fn bytes(&self, id: (u64, u64)) -> usize {
        let under_way = self.under_way.borrow();
        under_way
            .get(&id)
            .map_or(0, |gather| gather.request.bytes())
    }
}

// === impl Gather ===

impl Gather {
    /// What it asks the cache.
    pub(super) fn query(&self, now: Instant) -> ManyQuery<'_> {
        ManyQuery {
            many: self.many,
            db: self.db,
            keys: self.request.as_args().tail(1),
            proto: self.waiter.proto,
            whole: false,
            now,
        }
    }
}
