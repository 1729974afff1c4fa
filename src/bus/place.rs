//! The place of a caller among those who wait.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::bus::Bus;
use super::error::BusError;
use super::id::number_of;
use super::outcome::Outcome;
use super::store::Order;
use super::waiting::Role;

/// A place among those who wait. Dropped before the outcome came, it gives the call up.
#[derive(Debug)]
pub(super) struct Place {
    bus: Arc<Bus>,
    call: String,
    number: u64,
    role: Role,
    /// The call, if it is to be given up.
    issued: Option<String>,
    pub(super) outcome: oneshot::Receiver<Outcome>,
}

/// What became of a call that did not go through the backing at once.
pub(super) enum Direct {
    Over(Result<Outcome, BusError>),
    /// The backing has it now.
    Stored(Place, String),
    /// It is to go through the backing from the beginning.
    Refused,
    /// As `Refused`, and it was counted.
    Returned,
    /// As `Returned`, and a worker that serves it was alive.
    Withdrawn,
}

impl Place {
    /// Takes a place, by the call's id or the number that it begins with. It must be taken before the backing
    /// can know of it, so that no outcome is missed.
    pub(super) fn take(bus: &Arc<Bus>, id: &str, role: Role) -> Self {
        let (tx, outcome) = oneshot::channel();
        let call = number_of(id).to_owned();
        let number = bus.waiting.lock().add(&call, role, tx);
        Place {
            bus: Arc::clone(bus),
            call,
            number,
            role,
            issued: None,
            outcome,
        }
    }

    /// The backing knows the call: from now on it is looked at, and given up if the place of a caller is.
    pub(super) fn issued(&mut self, id: &str) {
        self.bus.waiting.lock().set_id(id);
        self.issued = (self.role != Role::Onlooker).then(|| id.to_owned());
    }

    /// Gives the place up without a word to the backing; false when the outcome is there already.
    pub(super) fn leave(&mut self) -> bool {
        self.issued = None;
        self.bus.waiting.lock().leave(&self.call, self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.bus.waiting.lock().leave(&self.call, self.number);
        if let Some(id) = self.issued.take().filter(|_| left) {
            self.bus.submit_from_anywhere(vec![Order::gone(&id)]);
        }
    }
}
