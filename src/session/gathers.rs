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
    vain: Vain,
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
    /// Whether it is worth while to fetch what a read is missing; `alike` is the same for reads of the same keys.
    pub(super) fn are_worth_it(&self, alike: u64) -> bool {
        self.vain.may_try(alike)
    }

    /// Bytes of a request that waits.
    pub(super) fn bytes(&self, id: (u64, u64)) -> usize {
        let under_way = self.under_way.borrow();
        under_way
            .get(&id)
            .map_or(0, |gather| gather.request.bytes())
    }

    /// Notes whether what was fetched for a read has made it whole.
    pub(super) fn note(&self, alike: u64, whole: bool) {
        self.vain.note(alike, whole);
    }
}

/// Which reads were fetched for in vain of late. Where keys change all the time, a fetch of each of them costs the
/// backing more than the command does, and something has always changed when the last is in. Two reads that are taken
/// for one cost each other a few ways past the cache.
struct Vain(RefCell<[u8; 256]>);

impl Vain {
    /// From here on only some of the reads are fetched for.
    const TOO_OFTEN: u8 = 16;

    fn of<T>(&self, alike: u64, look: impl FnOnce(&mut u8) -> T) -> T {
        let mut reads = self.0.borrow_mut();
        look(&mut reads[usize::from(alike.to_be_bytes()[0])])
    }

    fn may_try(&self, alike: u64) -> bool {
        self.of(alike, |vain| {
            let may = *vain < Self::TOO_OFTEN;
            if !may {
                *vain -= 1;
            }
            may
        })
    }

    fn note(&self, alike: u64, whole: bool) {
        self.of(alike, |vain| {
            *vain = match whole {
                true => *vain / 2,
                false => vain.saturating_add(Self::TOO_OFTEN),
            };
        });
    }
}

impl Default for Vain {
    fn default() -> Self {
        Vain(RefCell::new([0; 256]))
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
            now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_in_vain_is_tried_less_often_and_what_succeeds_is_tried() {
        let vain = Vain::default();
        let (changing, calm) = (1 << 60, 2 << 60);
        let tries = |hash| (0..100).filter(|_| vain.may_try(hash)).count();
        vain.note(changing, false);
        assert_eq!(tries(changing), 99);
        vain.note(changing, false);
        assert_eq!(tries(changing), 84);
        assert_eq!(tries(calm), 100);
        (0..20).for_each(|_| vain.note(changing, false));
        vain.note(changing, true);
        assert_eq!((0..=255).find(|_| vain.may_try(changing)), Some(112));
        vain.note(changing, true);
        assert_eq!(tries(changing), 100);
    }
}
