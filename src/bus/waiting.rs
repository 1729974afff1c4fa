//! Callers that wait for the outcome of a call.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::oneshot;

use super::id::number_of;
use super::outcome::Outcome;
use super::store::Order;

/// Who waits here, by the number of the call.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    calls: HashMap<String, Waiters>,
    next: u64,
}

/// Those who wait for one call.
#[derive(Debug, Default)]
struct Waiters {
    /// The whole id, once the backing knows the call.
    id: Option<String>,
    /// When another Respite said last that it has the call.
    heard: Option<Instant>,
    all: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    role: Role,
    tx: oneshot::Sender<Outcome>,
}

/// What somebody who waits means to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The one caller.
    Only,
    /// One of the callers of a shared call, which counts them.
    Sharer,
    /// Somebody who asked for the result.
    Onlooker,
}

impl Waiting {
    /// Hands the outcome to all who wait; returns what the backing is to be told of it.
    pub(super) fn complete(&mut self, id: &str, outcome: &Outcome) -> Option<Order> {
        let waiters = self.calls.remove(number_of(id))?;
        let sharers = waiters
            .all
            .iter()
            .filter(|waiter| waiter.role == Role::Sharer)
            .count();
        let is_taken = waiters.all.iter().any(|waiter| waiter.role == Role::Only);
        for waiter in waiters.all {
            // Who has gone needs no outcome, and was counted all the same.
            let _ = waiter.tx.send(outcome.clone());
        }
        match sharers {
            0 => is_taken.then(|| Order::taken(id)),
            count => Some(Order::taken_shared(id, count)),
        }
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.calls.contains_key(number_of(id))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// How many wait.
    pub(super) fn waiters(&self) -> usize {
        self.calls.values().map(|waiters| waiters.all.len()).sum()
    }

    /// The calls that the backing knows.
    pub(super) fn ids(&self) -> Vec<String> {
        self.calls
            .values()
            .filter_map(|waiters| waiters.id.clone())
            .collect()
    }

    /// Nobody will say what becomes of this call: those who wait find out.
    pub(super) fn forget(&mut self, number: &str) {
        self.calls.remove(number);
    }

    /// The backing has a call that somebody may wait for here.
    pub(super) fn set_id(&mut self, id: &str) {
        if let Some(waiters) = self.calls.get_mut(number_of(id)) {
            waiters.id = Some(id.to_owned());
        }
    }

    /// Another Respite says that it has the call.
    pub(super) fn note_heard(&mut self, number: &str) {
        if let Some(waiters) = self.calls.get_mut(number) {
            waiters.heard = Some(Instant::now());
        }
    }

    /// When another Respite said last that it has the call.
    pub(super) fn heard(&self, number: &str) -> Option<Instant> {
        self.calls.get(number)?.heard
    }

    /// The id of a call that the backing has.
    pub(super) fn id(&self, number: &str) -> Option<String> {
        self.calls.get(number)?.id.clone()
    }

    /// Adds somebody who waits for a call; gives his number.
    pub(super) fn add(&mut self, call: &str, role: Role, tx: oneshot::Sender<Outcome>) -> u64 {
        self.next += 1;
        let number = self.next;
        let waiters = self.calls.entry(call.to_owned()).or_default();
        waiters.all.push(Waiter { number, role, tx });
        number
    }

    /// Takes somebody off; false if the outcome was there already.
    pub(super) fn leave(&mut self, call: &str, number: u64) -> bool {
        let Some(waiters) = self.calls.get_mut(call) else {
            return false;
        };
        let before = waiters.all.len();
        waiters.all.retain(|waiter| waiter.number != number);
        let left = waiters.all.len() < before;
        if waiters.all.is_empty() {
            self.calls.remove(call);
        }
        left
    }
}
