//! The side of the worker: a call of another Respite is treated like a direct one of this one, and its outcome is sent
//! there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{Cancelled, answer, cancel};
use crate::bus::bus::Bus;
use crate::bus::direct::{Begun, Offer, PATIENCE, may_be_direct};
use crate::bus::error::BusError;
use crate::bus::fetch::Delivered;
use crate::bus::id::{HOME_LEN, direct_id, method_of, number_of};
use crate::bus::method::Body;
use crate::bus::outcome::Outcome;
use crate::bus::peer::{MOST_SENT, Message, RemoteCall};
use crate::bus::store::{Answer, BackingClock, EndReason, Operation, Order};

/// How long a call may be on its way. It is remembered for longer.
pub(super) const FRESH: Duration = Duration::from_secs(2);
/// How often an outcome is brought to the backing in vain, a second apart.
const TRIES: usize = 60;
const RETRY: Duration = Duration::from_secs(1);

impl Bus {
    /// Tells the Respites where calls came from that there are workers here.
    pub(in crate::bus) fn offer_to_callers(self: &Arc<Self>, calls: &[Delivered]) {
        if !self.shared.hears() {
            return;
        }
        for call in calls {
            let home = number_of(&call.id).split('-').next().unwrap_or_default();
            let is_other = home.len() == HOME_LEN && home != self.shared.store.instance();
            if !is_other || !self.peers.is_to_be_told(home, &call.method) {
                continue;
            }
            let (home, method): (Arc<str>, _) = (home.into(), call.method.clone());
            if self.registry().get(&method).is_some() {
                self.offer_to(&home, method);
                continue;
            }
            // Who fetches by name needs no registry.
            let own = Arc::clone(self);
            self.shared.spawn(async move {
                if own.reload().await.is_ok() {
                    own.offer_to(&home, method);
                }
            });
        }
    }

    fn offer_to(self: &Arc<Self>, home: &Arc<str>, method: String) {
        let registry = self.registry();
        if registry
            .get(&method)
            .is_some_and(|known| may_be_direct(known))
        {
            let workers = self.touched.count_serving(&method).max(1);
            let workers = u64::try_from(workers).unwrap_or(1);
            self.send(home, Message::Offer { method, workers });
        }
    }

    /// Whether a number is one of those that another Respite gives to calls for this one.
    fn is_number_of(&self, number: &str, from: &str) -> bool {
        let rest = number.strip_prefix(self.shared.store.instance());
        let rest = rest.and_then(|rest| rest.strip_prefix('-')?.strip_prefix(from));
        let rest = rest.and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| rest.len() <= 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    /// Another Respite sends a call.
    pub(super) fn take_call(self: &Arc<Self>, from: &Arc<str>, call: RemoteCall) {
        if !self.is_number_of(&call.number, from) {
            return;
        }
        self.lease.want();
        if let Some(clock) = self.lease.clock(&call.stamp) {
            return self.accept(from, call, clock);
        }
        let (own, from) = (Arc::clone(self), Arc::clone(from));
        self.shared.spawn(async move {
            let known = own.registry().stamp.clone();
            if own.take_lease().await.is_ok_and(|stamp| stamp != known) {
                drop(own.reload().await);
            }
            match own.lease.clock(&call.stamp) {
                Some(clock) => own.accept(&from, call, clock),
                None => own.give_back(&call.number, &call.method, &from),
            }
        });
    }

    fn accept(self: &Arc<Self>, from: &Arc<str>, call: RemoteCall, clock: BackingClock) {
        let now = Instant::now();
        let now_us = clock.latest_us(now);
        let age = Duration::from_micros(now_us.saturating_sub(call.sent_us));
        let left = Duration::from_micros(call.deadline_us.saturating_sub(now_us));
        let registry = self.registry();
        let method = registry.get(&call.method);
        let method = method.filter(|_| registry.stamp == call.stamp);
        let timeout = Duration::from_millis(call.timeout_ms);
        let begun = now + left.min(timeout);
        let (Some(method), Some(at), false, false) = (
            method.filter(|method| may_be_direct(method) && self.has_worker_for(&method.name)),
            begun.checked_sub(timeout),
            age > FRESH,
            left.is_zero(),
        ) else {
            return self.give_back(&call.number, &call.method, from);
        };
        let begun = Begun {
            at,
            timeout_ms: call.timeout_ms,
            origin: Some(Arc::clone(from)),
            sent: now.checked_sub(age),
        };
        let offered = (method, Body::read(call.body));
        match self.offer(&call.number, offered, begun, &registry.stamp) {
            Offer::Accepted | Offer::Known => {}
            Offer::Full | Offer::Lapsed => self.give_back(&call.number, &call.method, from),
        }
    }

    /// Tells the Respite of a call that no worker here has had it.
    pub(in crate::bus) fn give_back(
        self: &Arc<Self>,
        number: &str,
        method: &str,
        origin: &Arc<str>,
    ) {
        self.direct.lock().refuse(number);
        let id = direct_id(number, method);
        self.send(origin, Message::Returned { id });
    }

    /// Tells the Respite of a call that the backing has it, or its outcome.
    pub(in crate::bus) fn tell_stored(self: &Arc<Self>, id: &str, origin: &Arc<str>) {
        let id = id.to_owned();
        self.send(origin, Message::Stored { id });
    }

    /// Tells the Respite of a call how it has ended.
    pub(in crate::bus) fn complete_remote(
        self: &Arc<Self>,
        id: &str,
        outcome: Outcome,
        origin: &Arc<str>,
    ) {
        if outcome.bytes().len() > MOST_SENT {
            return self.store_outcome(id.to_owned(), outcome, Arc::clone(origin));
        }
        self.direct.lock().note_outcome(number_of(id), &outcome);
        let message = Message::Outcome {
            id: id.to_owned(),
            outcome: outcome.clone(),
        };
        if !self.send(origin, message) {
            self.store_outcome(id.to_owned(), outcome, Arc::clone(origin));
        }
    }

    /// Has the outcome of a call kept in the backing, where its Respite looks for it.
    pub(in crate::bus) fn store_outcome(
        self: &Arc<Self>,
        id: String,
        outcome: Outcome,
        origin: Arc<str>,
    ) {
        let own = Arc::clone(self);
        self.shared.spawn(async move {
            for _ in 0..TRIES {
                let told = Operation::Outcome {
                    id: id.clone(),
                    home: Arc::clone(&origin),
                    outcome: outcome.clone(),
                };
                match own.ask::<Answer>(told).await {
                    Ok(_) => {
                        own.direct.lock().note_stored(number_of(&id));
                        own.tell_stored(&id, &origin);
                        return;
                    }
                    Err(failure) if failure.is_outage() => tokio::time::sleep(RETRY).await,
                    Err(_) => return,
                }
            }
        });
    }

    /// Whether a call may go on waiting here for a worker, as none waits elsewhere but perhaps at the Respite that asks.
    pub(super) fn may_stay(&self, id: &str, has_workers: bool) -> bool {
        self.others() <= i64::from(has_workers) && self.has_worker_for(method_of(id))
    }

    /// The Respite of a call asks what became of it.
    pub(super) fn answer_about(
        self: &Arc<Self>,
        from: &Arc<str>,
        id: &str,
        age_ms: u64,
        withdraw: bool,
    ) {
        let number = number_of(id);
        if !self.is_number_of(number, from) {
            return;
        }
        let asked = (Instant::now(), age_ms);
        let (answer, handed) = answer(&mut self.direct.lock(), (id, from), asked, withdraw);
        if let Some(handed) = handed {
            self.store_in_time(number, handed);
        }
        self.send(from, answer);
    }

    /// Has a call kept in the backing when a worker has had it for a while.
    fn store_in_time(self: &Arc<Self>, number: &str, handed: Instant) {
        let left = PATIENCE.saturating_sub(handed.elapsed());
        if left.is_zero() {
            drop(self.store(number));
            return;
        }
        let (own, number) = (Arc::clone(self), number.to_owned());
        self.shared.spawn(async move {
            tokio::time::sleep(left).await;
            drop(own.store(&number));
        });
    }

    /// The Respite of a call says that nobody waits for it any more.
    pub(super) fn cancel_for(self: &Arc<Self>, from: &Arc<str>, id: &str, is_late: bool) {
        let number = number_of(id);
        if !self.is_number_of(number, from) {
            return;
        }
        let cancelled = cancel(&mut self.direct.lock(), id);
        let answer = match cancelled {
            Cancelled::Here { unsure, answer } => {
                let why = if is_late {
                    BusError::Deadline
                } else {
                    BusError::CallerGone
                };
                self.tally(method_of(id), |tally| tally.error(why));
                self.void_if(unsure, number, method_of(id));
                Some(answer)
            }
            Cancelled::Over(answer) => answer,
            Cancelled::Stored => return self.cancel_stored(id, is_late),
            Cancelled::Keeping(mut over) => {
                let (own, from, id) = (Arc::clone(self), Arc::clone(from), id.to_owned());
                self.shared.spawn(async move {
                    let _ = over.changed().await;
                    own.cancel_for(&from, &id, is_late);
                });
                return;
            }
        };
        if let Some(answer) = answer.filter(|_| is_late) {
            self.send(from, answer);
        }
    }

    /// Nobody waits any more for a call that the backing may have.
    pub(super) fn cancel_stored(self: &Arc<Self>, id: &str, is_late: bool) {
        let why = if is_late {
            EndReason::Deadline
        } else {
            EndReason::Gone
        };
        self.submit_from_anywhere(vec![Order::given_up(id, why)]);
    }
}
