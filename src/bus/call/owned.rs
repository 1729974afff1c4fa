//! Direct calls that this Respite owns: offered to its workers, put back, ended, lost.

use std::sync::Arc;

use crate::bus::bus::Bus;
use crate::bus::direct::{Begun, Ended, Look, Offer, PutBack, Standing};
use crate::bus::error::BusError;
use crate::bus::fetch::{Delivered, Delivery, Slot, TakesBack};
use crate::bus::id::{direct_id, method_of, number_of, parse_direct};
use crate::bus::method::{Body, Method};
use crate::bus::outcome::{Outcome, Work};
use crate::bus::store::{Granted, Operation, Order};

impl TakesBack for Bus {
    fn take_back(self: Arc<Self>, calls: Vec<Delivered>) {
        let mut back = Vec::new();
        // The last one first: each goes to the front of its queue.
        for call in calls.into_iter().rev() {
            let order = Order::lost(&call.id, &call.token, true);
            if !self.put_back(call) {
                back.push(order);
            }
        }
        self.submit_from_anywhere(back);
    }
}

impl Bus {
    /// Whether a call of this method might get a worker here. Others must be able to ask for it then.
    pub(in crate::bus) fn has_worker_for(&self, method: &str) -> bool {
        self.shared.hears() && (self.parked.lock().wants(method) || self.is_served_here(method))
    }

    /// Takes the lease on the registry; gives its state.
    pub(in crate::bus) async fn take_lease(self: &Arc<Self>) -> Result<String, BusError> {
        let term = self.lease.ask();
        let granted: Granted = self.ask(Operation::lease()).await?;
        let stamp = granted.stamp.clone();
        self.lease.take(&term, granted);
        Ok(stamp)
    }

    /// Offers a call to the workers here, if the registry that it was made with is still the one.
    pub(in crate::bus) fn offer(
        self: &Arc<Self>,
        number: &str,
        (method, body): (&Arc<Method>, Body),
        when: Begun,
        stamp: &str,
    ) -> Offer {
        let mut parked = self.parked.lock();
        let mut direct = self.direct.lock();
        // Looked at under the lock that letting go takes as well.
        if !self.lease.holds(stamp) {
            return Offer::Lapsed;
        }
        if when.origin.is_some() && !direct.is_new(number, when.sent) {
            return Offer::Known;
        }
        if direct.is_full() {
            return Offer::Full;
        }
        if let Some(slot) = parked.take(&method.name, 1).pop() {
            let call = direct.hand(number, (method, body), when, &slot.worker);
            drop(direct);
            drop(parked);
            slot.give(Ok(Delivery::new(self, vec![call])));
        } else {
            direct.queue(number, (method, body), when);
        }
        Offer::Accepted
    }

    /// Takes the calls that wait here for a fetch. They are given to it without a lock.
    pub(in crate::bus) fn take_direct(self: &Arc<Self>, slot: &Slot) -> Option<Delivery> {
        if slot.is_closed() {
            return None;
        }
        let calls = self.direct.lock().take(slot);
        (!calls.is_empty()).then(|| Delivery::new(self, calls))
    }

    /// The number of a direct call of this Respite.
    fn own_direct<'a>(&self, id: &'a str) -> Option<&'a str> {
        let (number, home) = parse_direct(id)?;
        let own = home == self.shared.store.instance() && self.direct.lock().may_be(number, id);
        own.then_some(number)
    }

    /// A worker was gone before it saw a call; false if the call is not here.
    fn put_back(self: &Arc<Self>, call: Delivered) -> bool {
        let (id, token) = (call.id.clone(), call.token.clone());
        let Some(number) = self.own_direct(&id) else {
            return false;
        };
        let back = self.direct.lock().put_back(number, call);
        match back {
            // The method may be another one by now, which whoever let go of it could not see in this call.
            PutBack::Queued(method) if !self.is_current(&method) => {
                self.return_queued(number, &method);
                true
            }
            PutBack::Queued(method) => {
                let mut parked = self.parked.lock();
                let news = parked.news();
                if let Some(slot) = parked.take(&method.name, 1).pop() {
                    let own = Arc::clone(self);
                    self.shared.spawn(async move { own.park(slot, news) });
                }
                true
            }
            PutBack::Over => true,
            PutBack::Keeping => self.lose(&id, &token, "that fetched it"),
            PutBack::Unknown => false,
        }
    }

    /// Whether the registry has a method as it is here, until further notice.
    fn is_current(&self, method: &Method) -> bool {
        let registry = self.registry();
        let known = registry.get(&method.name);
        known.is_some_and(|known| known.stamp == method.stamp) && self.lease.holds(&registry.stamp)
    }

    /// Has a call that no worker has begin anew.
    fn return_queued(self: &Arc<Self>, number: &str, method: &Method) {
        let (look, origin) = {
            let mut direct = self.direct.lock();
            let origin = direct.origin(number);
            (direct.look(number, true), origin)
        };
        if look == Look::Withdrawn {
            self.begin_anew(number, method, origin);
        }
    }

    /// Tells the backing that a call is over which it may have heard of.
    pub(in crate::bus) fn void_if(self: &Arc<Self>, unsure: bool, number: &str, method: &str) {
        if unsure {
            self.submit_from_anywhere(vec![Order::void(direct_id(number, method))]);
        }
    }

    /// Ends a direct call with this outcome. `unsure`: the backing may have heard of it.
    pub(in crate::bus) fn complete_direct(
        self: &Arc<Self>,
        id: &str,
        outcome: Outcome,
        (unsure, origin): (bool, Option<Arc<str>>),
    ) {
        if let Outcome::Failed(error) = &outcome {
            self.tally(method_of(id), |tally| tally.error(error));
        }
        match origin {
            None => {
                self.void_if(unsure, number_of(id), method_of(id));
                self.complete(id, &outcome, false);
            }
            // Its Respite may have seen it there, and looks for the outcome there.
            Some(origin) if unsure => self.store_outcome(id.to_owned(), outcome, origin),
            Some(origin) => self.complete_remote(id, outcome, &origin),
        }
    }

    /// Ends a direct call of this Respite with a worker's outcome; whether that was in time. None if the call is
    /// no such, or the backing has it.
    pub(in crate::bus) async fn end_direct(
        self: &Arc<Self>,
        id: &str,
        token: &str,
        work: &Work,
    ) -> Option<bool> {
        let number = self.own_direct(id)?;
        let mut asked = false;
        loop {
            let ended = self.direct.lock().end(number, token, asked);
            match ended {
                Ended::Keeping(mut over) => drop(over.changed().await),
                Ended::Unsure => {
                    asked = true;
                    if let Some(mut over) = self.store(number) {
                        let _ = over.changed().await;
                    }
                }
                Ended::Unknown => return None,
                Ended::TooLate => return Some(false),
                Ended::Here {
                    worked,
                    unsure,
                    origin,
                } => {
                    let us = i64::try_from(worked.as_micros()).unwrap_or(i64::MAX);
                    self.tally(method_of(id), |tally| tally.worked(us));
                    self.complete_direct(id, work.outcome(), (unsure, origin));
                    return Some(true);
                }
            }
        }
    }

    /// The connection of a worker has gone; false if its call is not here.
    pub(in crate::bus) fn lose(self: &Arc<Self>, id: &str, token: &str, worker: &str) -> bool {
        let Some(number) = self.own_direct(id) else {
            return false;
        };
        let ended = self.direct.lock().end(number, token, true);
        match ended {
            Ended::Unknown => return false,
            Ended::TooLate | Ended::Unsure => {}
            Ended::Here { unsure, origin, .. } => {
                let lost = Outcome::Failed(BusError::WorkerLost(worker.to_owned()));
                self.complete_direct(id, lost, (unsure, origin));
            }
            Ended::Keeping(mut over) => {
                let (own, id) = (Arc::clone(self), id.to_owned());
                let (token, worker) = (token.to_owned(), worker.to_owned());
                self.shared.spawn(async move {
                    let _ = over.changed().await;
                    if !own.lose(&id, &token, &worker) {
                        own.submit(Order::lost(&id, &token, false));
                    }
                });
            }
        }
        true
    }

    /// How a call of this Respite is that a worker asks about; none if the backing has to say it.
    pub(in crate::bus) fn standing(&self, id: &str, worker: &str) -> Option<Standing> {
        let number = self.own_direct(id)?;
        self.direct.lock().standing(number, worker)
    }
}
