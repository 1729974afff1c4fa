//! Fetches on their way: given calls, parked while there are none, woken by news.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bus::bus::Bus;
use crate::bus::fetch::{Park, Slot};
use crate::bus::method::MOST_METHODS;
use crate::bus::store::Order;

impl Bus {
    /// Looks for calls: here and in the backing, which is left out if it was just seen to have none. Where both
    /// have calls, they take turns.
    pub(in crate::bus) fn look_for_calls(self: &Arc<Self>, slot: &Arc<Slot>) {
        let first = self.direct.lock().first_wanted(&slot.patterns);
        if let Some(first) = first
            && self.turn.swap(false, Ordering::Relaxed)
        {
            // What the backing has for earlier patterns is before them all the same.
            slot.yields.store(first > 0, Ordering::Relaxed);
            if first == 0
                && let Some(calls) = self.take_direct(slot)
            {
                return slot.give(Ok(calls));
            }
        }
        match self.quiet(slot) {
            Some(news) => self.park(Arc::clone(slot), news),
            None => self.submit(Order::fetch(Arc::clone(slot))),
        }
    }

    /// A fetch got calls of the backing.
    pub(in crate::bus) fn note_stored(&self, slot: &Slot) {
        self.turn.store(true, Ordering::Relaxed);
        self.touched.note_stored(slot);
    }

    /// The news at the time when such a fetch found nothing, if that was a moment ago and hints come since.
    fn quiet(&self, slot: &Slot) -> Option<u64> {
        let quiet = self.touched.quiet(slot, &self.registry().stamp);
        quiet.filter(|_| self.shared.hears())
    }

    /// Whether a worker that fetches here serves a method.
    pub(in crate::bus) fn is_served_here(&self, method: &str) -> bool {
        let candidate = self.candidate(method);
        let serving = self.touched.serving(method, &candidate);
        match serving {
            Some(worker) if worker != candidate => {
                self.candidates.lock().insert(method.to_owned(), worker);
                true
            }
            serving => serving.is_some(),
        }
    }

    /// A fetch found nothing in the backing, when its news were these.
    pub(in crate::bus) fn park(self: &Arc<Self>, slot: Arc<Slot>, seen: u64) {
        let mut parked = self.parked.lock();
        if !parked.concern(&slot, seen)
            && let Some(calls) = self.take_direct(&slot)
        {
            drop(parked);
            return slot.give(Ok(calls));
        }
        let again = Arc::clone(&slot);
        // The call for whose sake it was asked for less has gone meanwhile.
        let outcome = if slot.limited.swap(false, Ordering::Relaxed) && !slot.is_closing() {
            Park::Again
        } else {
            parked.park(slot, seen)
        };
        drop(parked);
        if outcome == Park::Again {
            self.submit(Order::fetch(again));
        }
    }

    /// Calls were queued for a method: wakes as many fetches as can have one.
    pub(in crate::bus) fn news(self: &Arc<Self>, method: &str, count: usize) {
        let slots = {
            let mut parked = self.parked.lock();
            parked.note(method);
            parked.trim(MOST_METHODS * 2);
            parked.take(method, count)
        };
        for slot in slots {
            self.submit(Order::fetch(slot));
        }
    }
}
