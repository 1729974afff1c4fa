//! Callers that wait for the outcome of a call.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::bus::Bus;
use super::order::Order;

/// How a call ended: the worker's payload, or the error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Done(Arc<[u8]>),
    Failed(Arc<str>),
}

/// Who waits here, by call.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    calls: HashMap<String, Vec<Waiter>>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    /// Whether the call counts it among those who wait (`BUS.CALL` does, `BUS.RESULT` does not).
    counted: bool,
    /// Whether the backing knows the call by now.
    issued: bool,
    tx: oneshot::Sender<Outcome>,
}

/// A place among those who wait. Dropped before the outcome came, it gives the call up.
#[derive(Debug)]
pub(super) struct Place {
    bus: Arc<Bus>,
    id: String,
    number: u64,
    /// Whether the backing knows that somebody waits.
    issued: bool,
    pub(super) outcome: oneshot::Receiver<Outcome>,
}

impl Waiting {
    /// Hands the outcome to all who wait; returns how many of them the call had counted.
    pub(super) fn complete(&mut self, id: &str, outcome: &Outcome) -> usize {
        let waiters = self.calls.remove(id).unwrap_or_default();
        let counted = waiters.iter().filter(|waiter| waiter.counted).count();
        for waiter in waiters {
            // Who has gone needs no outcome, and was counted all the same.
            let _ = waiter.tx.send(outcome.clone());
        }
        counted
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.calls.contains_key(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The calls that the backing knows.
    pub(super) fn ids(&self) -> Vec<String> {
        let issued = |waiters: &Vec<Waiter>| waiters.iter().any(|waiter| waiter.issued);
        let calls = self.calls.iter();
        let calls = calls.filter(|(_, waiters)| issued(waiters));
        calls.map(|(id, _)| id.clone()).collect()
    }

    fn leave(&mut self, id: &str, number: u64) -> bool {
        let Some(waiters) = self.calls.get_mut(id) else {
            return false;
        };
        let before = waiters.len();
        waiters.retain(|waiter| waiter.number != number);
        let left = waiters.len() < before;
        if waiters.is_empty() {
            self.calls.remove(id);
        }
        left
    }
}

impl Place {
    /// Takes a place. It must be taken before the backing can know of it, so that no outcome is missed.
    pub(super) fn take(bus: &Arc<Bus>, id: &str, counted: bool) -> Self {
        let (tx, outcome) = oneshot::channel();
        let mut waiting = bus.waiting.lock();
        waiting.next += 1;
        let number = waiting.next;
        let waiter = Waiter {
            number,
            counted,
            issued: false,
            tx,
        };
        waiting.calls.entry(id.to_owned()).or_default().push(waiter);
        drop(waiting);
        Place {
            bus: Arc::clone(bus),
            id: id.to_owned(),
            number,
            issued: false,
            outcome,
        }
    }

    /// The backing knows the call: from now on it is looked at, and given up if the place is and the call
    /// had counted it.
    pub(super) fn issued(&mut self) {
        let mut waiting = self.bus.waiting.lock();
        let waiters = waiting.calls.get_mut(&self.id);
        let own = |waiter: &&mut Waiter| waiter.number == self.number;
        if let Some(waiter) = waiters.and_then(|waiters| waiters.iter_mut().find(own)) {
            waiter.issued = true;
            self.issued = waiter.counted;
        }
    }

    /// Gives the place up without a word to the backing; false when the outcome is there already.
    pub(super) fn leave(&mut self) -> bool {
        self.issued = false;
        self.bus.waiting.lock().leave(&self.id, self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.bus.waiting.lock().leave(&self.id, self.number);
        if left && self.issued {
            self.bus.submit_from_anywhere(vec![Order::gone(&self.id)]);
        }
    }
}
