//! An operation with what becomes of its answer.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::answer::Answer;
use super::lease::Term;
use super::operation::{EndReason, Operation, Wanted};
use crate::bus::error::BusError;
use crate::bus::fetch::Slot;

/// An operation and what becomes of its answer.
#[derive(Debug)]
pub(in crate::bus) struct Order {
    pub(in crate::bus) operation: Operation,
    pub(in crate::bus) done: Done,
}

/// Who gets the answer.
#[derive(Debug)]
pub(in crate::bus) enum Done {
    Nobody,
    Answer(oneshot::Sender<Result<Answer, BusError>>),
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
    /// An operation whose answer nobody needs.
    pub(in crate::bus) fn told(operation: Operation) -> Self {
        let done = Done::Nobody;
        Order { operation, done }
    }

    /// An operation whose answer is awaited.
    pub(in crate::bus) fn asked(
        operation: Operation,
    ) -> (Self, oneshot::Receiver<Result<Answer, BusError>>) {
        let (tx, rx) = oneshot::channel();
        let done = Done::Answer(tx);
        (Order { operation, done }, rx)
    }

    /// A fetch. What it asks for is known when it is sent.
    pub(in crate::bus) fn fetch(slot: Arc<Slot>) -> Self {
        Order {
            operation: Operation::Fetch(Wanted::default()),
            done: Done::Slot(slot, 0),
        }
    }

    /// Fetches wait here: hints are wanted, and what is ready is to be fetched.
    pub(in crate::bus) fn ready() -> Self {
        Order {
            operation: Operation::Interest,
            done: Done::Parked,
        }
    }

    /// The lease on the registry is wanted.
    pub(in crate::bus) fn lease(term: Term) -> Self {
        Order {
            operation: Operation::lease(),
            done: Done::Lease(term),
        }
    }

    /// A worker's connection is gone; `unseen`: before the worker saw the call.
    pub(in crate::bus) fn lost(id: &str, token: &str, unseen: bool) -> Self {
        Order::told(Operation::Lost {
            id: id.to_owned(),
            token: token.to_owned(),
            unseen,
        })
    }

    /// A look at a call's outcome for those who wait for it.
    pub(in crate::bus) fn look(id: &str) -> Self {
        let id = id.to_owned();
        Order {
            done: Done::Waiting(id.clone()),
            operation: Operation::Look { id, wait: false },
        }
    }

    /// The caller has the outcome.
    pub(in crate::bus) fn taken(id: &str) -> Self {
        let id = id.to_owned();
        Order::told(Operation::Taken { id })
    }

    /// So many callers have the outcome of a call that others may wait for, too.
    pub(in crate::bus) fn taken_shared(id: &str, count: usize) -> Self {
        let id = id.to_owned();
        Order::told(Operation::TakenShared { id, count })
    }

    /// A direct call that may have been kept has ended at the Respite that owns it.
    pub(in crate::bus) fn void(id: String) -> Self {
        Order::told(Operation::Void { id })
    }

    /// Nobody here waits for the call any more.
    pub(in crate::bus) fn gone(id: &str) -> Self {
        Order::given_up(id, EndReason::Gone)
    }

    /// As [`Order::gone`], with the reason.
    pub(in crate::bus) fn given_up(id: &str, why: EndReason) -> Self {
        let id = id.to_owned();
        Order::told(Operation::End { id, why })
    }

    /// Whether it need not be carried out, because whoever wanted it has gone.
    pub(in crate::bus) fn is_void(&self) -> bool {
        match &self.done {
            Done::Answer(tx) => matches!(self.operation, Operation::Call(_)) && tx.is_closed(),
            Done::Slot(slot, _) => slot.is_closed(),
            Done::Nobody | Done::Waiting(_) | Done::Parked | Done::Lease(_) => false,
        }
    }

    /// How many calls it may bring.
    pub(in crate::bus) fn calls(&self) -> usize {
        match &self.done {
            Done::Slot(slot, _) => slot.count,
            _ => 1,
        }
    }
}
