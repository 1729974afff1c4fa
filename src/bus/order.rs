//! What a Respite wants done in the backing: one entry of the list that `exchange.lua` works off.

use std::sync::Arc;

use redis::Value;
use tokio::sync::oneshot;

use super::error::BusError;
use super::lease::Term;
use super::outcome::Outcome;
use super::slot::Slot;
use super::store::{bytes, list, next, text};
use crate::random;

/// An order and what becomes of its answer.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) kind: Kind,
    /// The letter of the order and its words. Those of a fetch are written when it is sent.
    pub(super) words: Vec<Vec<u8>>,
    pub(super) done: Done,
}

/// Orders that are sent together are carried out in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A direct call is kept from now on.
    Keep,
    /// A direct call is over of which the backing may have heard.
    Void,
    /// The outcome of a direct call whose Respite could not be told.
    Outcome,
    /// A worker's outcome.
    Reply,
    /// Somebody's leaving.
    End,
    Lost,
    /// Callers have what they waited for.
    Taken,
    TakenShared,
    Call,
    Look,
    Beat,
    Touch,
    Interest,
    /// How many direct calls wait.
    Queued,
    Lease,
    Fetch,
}

/// Who gets the answer.
#[derive(Debug)]
pub(super) enum Done {
    Nobody,
    Answer(oneshot::Sender<Result<Value, BusError>>),
    /// A look at this call's outcome, for all who wait for it here.
    Waiting(String),
    /// A fetch, with how much news there had been when it was sent.
    Slot(Arc<Slot>, u64),
    /// The fetches that can have one of the calls that are ready.
    Parked,
    /// The lease that was asked for.
    Lease(Term),
}

impl Order {
    pub(super) fn new(kind: Kind, words: Vec<Vec<u8>>, done: Done) -> Self {
        Order { kind, words, done }
    }

    /// An order whose answer is awaited.
    pub(super) fn asked(
        kind: Kind,
        words: Vec<Vec<u8>>,
    ) -> (Self, oneshot::Receiver<Result<Value, BusError>>) {
        let (tx, rx) = oneshot::channel();
        (Order::new(kind, words, Done::Answer(tx)), rx)
    }

    /// A fetch.
    pub(super) fn fetch(slot: Arc<Slot>) -> Self {
        Order::new(Kind::Fetch, Vec::new(), Done::Slot(slot, 0))
    }

    /// Fetches wait here: hints are wanted, and what is ready is to be fetched.
    pub(super) fn ready() -> Self {
        Order::new(Kind::Interest, words(&["I"]), Done::Parked)
    }

    /// So many direct calls wait here, by method.
    pub(super) fn queued(counts: &[(Arc<str>, usize)]) -> Self {
        let lines = counts
            .iter()
            .map(|(method, count)| format!("\n{count} {method}"));
        let text: String = lines.collect();
        Order::new(Kind::Queued, words(&["Q", &text]), Done::Nobody)
    }

    /// The lease on the registry is wanted.
    pub(super) fn lease(term: Term) -> Self {
        // The secret, if the bus has none yet.
        let words = words(&["H", &random::password()]);
        Order::new(Kind::Lease, words, Done::Lease(term))
    }

    /// A worker's connection is gone; `unseen`: before the worker saw the call.
    pub(super) fn lost(id: &str, token: &str, unseen: bool) -> Self {
        let unseen = if unseen { "1" } else { "0" };
        Order::new(Kind::Lost, words(&["L", id, token, unseen]), Done::Nobody)
    }

    /// A look at a call's outcome for those who wait for it.
    pub(super) fn look(id: &str) -> Self {
        Order::new(
            Kind::Look,
            words(&["T", id, "look"]),
            Done::Waiting(id.to_owned()),
        )
    }

    /// The caller has the outcome.
    pub(super) fn taken(id: &str) -> Self {
        Order::new(Kind::Taken, words(&["X", id]), Done::Nobody)
    }

    /// So many callers have the outcome of a call that others may wait for, too.
    pub(super) fn taken_shared(id: &str, count: usize) -> Self {
        let count = count.to_string();
        Order::new(Kind::TakenShared, words(&["Y", id, &count]), Done::Nobody)
    }

    /// A direct call that may have been kept has ended at the Respite that owns it.
    pub(super) fn void(id: &str) -> Self {
        Order::new(Kind::Void, words(&["V", id]), Done::Nobody)
    }

    /// Nobody here waits for the call any more.
    pub(super) fn gone(id: &str) -> Self {
        Order::given_up(id, "g")
    }

    /// As [`Order::gone`], or (`d`) because its time is up.
    pub(super) fn given_up(id: &str, why: &str) -> Self {
        Order::new(Kind::End, words(&["E", id, why]), Done::Nobody)
    }

    /// Whether it need not be carried out, because whoever wanted it has gone.
    pub(super) fn is_void(&self) -> bool {
        match &self.done {
            Done::Answer(tx) => self.kind == Kind::Call && tx.is_closed(),
            Done::Slot(slot, _) => slot.is_closed(),
            Done::Nobody | Done::Waiting(_) | Done::Parked | Done::Lease(_) => false,
        }
    }

    /// How many calls it may bring.
    pub(super) fn calls(&self) -> usize {
        match &self.done {
            Done::Slot(slot, _) => slot.count,
            _ => 1,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.iter().map(Vec::len).sum()
    }
}

/// Writes words of an order.
pub(super) fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// The first word of an answer, one letter.
pub(super) fn letter(answer: &Value) -> Option<u8> {
    let Value::Array(words) = answer else {
        return None;
    };
    match words.first() {
        Some(Value::BulkString(word)) => word.first().copied(),
        _ => None,
    }
}

/// Reads the answer to a look, if it has an outcome.
pub(super) fn outcome(answer: Value) -> Option<Outcome> {
    let kind = letter(&answer)?;
    let mut words = list(answer).into_iter().skip(1);
    match kind {
        b'd' => Some(Outcome::Done(bytes(next(&mut words)).into())),
        b'e' | b'x' => Some(Outcome::Failed(BusError::told(text(next(&mut words))))),
        _ => None,
    }
}
