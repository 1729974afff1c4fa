//! Direct calls on their way: offered to the workers here, ended by them, or told to the backing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;

use super::arguments::{Caching, CallArgs};
use super::body::Body;
use super::bus::Bus;
use super::calling::{DEADLINE, fits};
use super::direct::{
    Ended, Keep, Kept, Look, Meanwhile, PATIENCE, SHORT_PATIENCE, direct_id, may_be_direct,
    parse_direct,
};
use super::hub::Hub;
use super::lane::letter;
use super::method::Method;
use super::order::{Kind, Order};
use super::slot::{Delivered, Delivery, Slot};
use super::store::Failure;
use super::waiting::{Outcome, Place, Role};
use super::working::Work;

/// How long another Respite may take to have a call kept.
const HOME_WAIT: Duration = Duration::from_secs(2);

/// Those who wait until a call is kept, by its id.
pub(super) type Asked = HashMap<String, Vec<oneshot::Sender<()>>>;

/// What became of a call that a worker here might have.
pub(super) enum Direct {
    Over(Result<Outcome, String>),
    /// The backing has it now.
    Stored(Place, String),
    /// It is to go through the backing from the beginning.
    Refused,
}

/// A caller that waits. Dropped, it cancels the call.
struct Waits<'a> {
    bus: &'a Arc<Bus>,
    number: String,
    method: &'a str,
    place: Option<Place>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.cancel("CANCELLED the caller is gone");
        }
    }
}

impl Waits<'_> {
    fn cancel(&self, error: &str) -> bool {
        let mut direct = self.bus.direct.lock();
        let cancelled = direct.cancel(&self.number);
        drop(direct);
        if cancelled {
            self.bus.tally(self.method, |tally| tally.error(error));
        }
        cancelled
    }
}

/// Calls a method through a worker of this Respite, if there is one that can have the call soon.
///
/// # Cancel safety
/// Dropping the future gives the call up.
pub(super) async fn call(
    bus: &Arc<Bus>,
    args: &CallArgs,
    begun: Instant,
) -> Result<Direct, Failure> {
    let mut registry = bus.known_registry().await?;
    let mut is_known = false;
    let method = loop {
        let Some(method) = registry.get(&args.method).cloned() else {
            return Ok(Direct::Refused);
        };
        let shares = method.options.cache.is_some() && args.caching != Caching::Never;
        if shares || !may_be_direct(&method) || !bus.has_worker_for(&method.name) {
            return Ok(Direct::Refused);
        }
        if *bus.check().await? == *registry.stamp {
            break method;
        }
        if is_known {
            return Ok(Direct::Refused);
        }
        registry = bus.reload().await?;
        is_known = true;
    };
    let bound = match method.bind(args.given.clone(), &args.payload) {
        Ok(bound) => bound,
        Err(error) => return Ok(Direct::Over(Err(error))),
    };
    if let Err(error) = fits(bound.body.len(), "the arguments and the payload of a call") {
        return Ok(Direct::Over(Err(error)));
    }
    let number = bus.hub.new_number();
    let waits = Waits {
        bus,
        place: Some(Place::take(bus, &number, Role::Only)),
        number,
        method: &method.name,
    };
    let when = (args.timeout_ms, begun);
    if !bus.offer(&waits.number, (&method, bound.body), when) {
        return Ok(Direct::Refused);
    }
    let deadline = begun + Duration::from_millis(args.timeout_ms);
    Ok(wait(waits, deadline).await)
}

async fn wait(mut waits: Waits<'_>, deadline: Instant) -> Direct {
    let bus = waits.bus;
    let patience = if bus.may_wait_here(waits.method) {
        PATIENCE
    } else {
        SHORT_PATIENCE
    };
    let mut look = Instant::now() + patience;
    loop {
        let Some(place) = &mut waits.place else {
            return Direct::Refused;
        };
        tokio::select! {
            biased;
            outcome = &mut place.outcome => {
                waits.place = None;
                bus.tally(waits.method, |tally| tally.call());
                return Direct::Over(outcome.map_err(|_| "ERR the call was forgotten".to_owned()));
            }
            () = sleep_until(look.min(deadline).into()) => {}
        }
        // The bus of the backing may have it by now, or its outcome may be on its way here.
        let stored = bus.waiting.lock().id(&waits.number);
        if let Some(id) = stored {
            bus.tally(waits.method, |tally| tally.call());
            if let Some(mut place) = waits.place.take() {
                place.issued(&id);
                return Direct::Stored(place, id);
            }
        }
        if Instant::now() >= deadline {
            bus.tally(waits.method, |tally| tally.call());
            if !waits.cancel(DEADLINE)
                && let Some(Ok(outcome)) =
                    waits.place.as_mut().map(|place| place.outcome.try_recv())
            {
                waits.place = None;
                return Direct::Over(Ok(outcome));
            }
            waits.place = None;
            return Direct::Over(Err(DEADLINE.to_owned()));
        }
        let take_back = !bus.may_wait_here(waits.method);
        let found = bus.direct.lock().look(&waits.number, take_back);
        let now = Instant::now();
        look = now + PATIENCE;
        match found {
            Look::Withdrawn => {
                waits.place = None;
                return Direct::Refused;
            }
            Look::Handed(since) if since + PATIENCE > now => look = since + PATIENCE,
            Look::Handed(_) => drop(bus.store(&waits.number)),
            Look::Queued | Look::Gone => {}
        }
    }
}

impl Bus {
    /// Whether a call of this method might get a worker here. Others must be able to ask for it then.
    fn has_worker_for(&self, method: &str) -> bool {
        self.hub.hears() && (self.parked.lock().wants(method) || self.is_served_here(method))
    }

    /// Offers a call to the workers here; false if it has to go through the backing.
    fn offer(
        self: &Arc<Self>,
        number: &str,
        (method, body): (&Arc<Method>, Body),
        when: (u64, Instant),
    ) -> bool {
        let mut parked = self.parked.lock();
        let mut direct = self.direct.lock();
        if direct.is_full() {
            return false;
        }
        if let Some(slot) = parked.take(&method.name, 1).pop() {
            let call = direct.hand(number, (method, body), when, &slot.worker);
            drop(direct);
            drop(parked);
            self.deliver(&slot, vec![call]);
            return true;
        }
        direct.queue(number, (method, body), when);
        true
    }

    /// Gives calls to a fetch.
    pub(super) fn deliver(self: &Arc<Self>, slot: &Slot, calls: Vec<Delivered>) {
        for call in &calls {
            self.tally(&call.method, |tally| tally.queued(call.queued_us));
        }
        slot.give(Ok(Delivery::direct(self, calls)));
    }

    /// A worker was gone before it saw a call; false if the call is not a direct one.
    pub(super) fn put_back(self: &Arc<Self>, call: Delivered) -> bool {
        let (id, token) = (call.id.clone(), call.token.clone());
        let Some((number, home)) = parse_direct(&id) else {
            return false;
        };
        if home != self.hub.store.instance() {
            return false;
        }
        let back = self.direct.lock().put_back(call);
        match back {
            Some(method) => {
                let slot = self.parked.lock().take(&method.name, 1).pop();
                if let Some(slot) = slot {
                    let news = self.parked.lock().news();
                    self.park(slot, news);
                }
                true
            }
            None => {
                let known = self.direct.lock().end(number, &token);
                if matches!(known, Ended::Accepted(_)) {
                    self.complete_direct(
                        &id,
                        Outcome::Failed("WORKERLOST the worker was lost".into()),
                    );
                }
                known != Ended::Unknown
            }
        }
    }

    fn complete_direct(&self, id: &str, outcome: Outcome) {
        if let Outcome::Failed(error) = &outcome {
            self.tally(super::order::method_of(id), |tally| tally.error(error));
        }
        self.complete(id, &outcome, false);
    }

    /// Ends a direct call of this Respite with a worker's outcome; whether that was in time. None if the call is
    /// no such, or the backing has it.
    pub(super) fn end_direct(&self, id: &str, token: &str, work: &Work) -> Option<bool> {
        let (number, home) = parse_direct(id)?;
        if home != self.hub.store.instance() {
            return None;
        }
        let ended = self.direct.lock().end(number, token);
        match ended {
            Ended::Unknown => None,
            Ended::TooLate => Some(false),
            Ended::Accepted(worked) => {
                let us = i64::try_from(worked.as_micros()).unwrap_or(i64::MAX);
                self.tally(super::order::method_of(id), |tally| tally.worked(us));
                let outcome = match work {
                    Work::Done(payload) => Outcome::Done(payload.as_slice().into()),
                    Work::Failed { code, message, .. } => {
                        Outcome::Failed(format!("BUSFAIL {code} {message}").into())
                    }
                };
                self.complete_direct(id, outcome);
                Some(true)
            }
        }
    }

    /// The connection of a worker has gone; true if its call was a direct one.
    pub(super) fn lose(&self, id: &str, token: &str, worker: &str) -> bool {
        let Some((number, home)) = parse_direct(id) else {
            return false;
        };
        if home != self.hub.store.instance() {
            return false;
        }
        let ended = self.direct.lock().end(number, token);
        if let Ended::Accepted(_) = ended {
            let error = format!("WORKERLOST the worker {worker} was lost");
            self.complete_direct(id, Outcome::Failed(error.into()));
        }
        ended != Ended::Unknown
    }

    /// Whether a call of this Respite is with a worker, and the backing does not have it.
    pub(super) fn is_with_worker(&self, id: &str) -> bool {
        parse_direct(id).is_some_and(|(number, _)| self.direct.lock().is_handed(number))
    }

    /// Whether a direct call was cancelled that its worker has not heard of.
    pub(super) fn take_cancelled(&self, id: &str) -> bool {
        parse_direct(id).is_some_and(|(number, _)| self.direct.lock().take_cancelled(number))
    }

    /// Has a direct call kept in the backing; the receiver ends when that is over.
    pub(super) fn store(self: &Arc<Self>, number: &str) -> Option<watch::Receiver<()>> {
        let keep = self.direct.lock().keep(number);
        match keep {
            Keep::Not => None,
            Keep::Wait(over) => Some(over),
            Keep::Begin(kept, sender) => {
                let over = sender.subscribe();
                let (bus, number) = (Arc::clone(self), number.to_owned());
                self.hub.spawn(async move {
                    tell(&bus, &number, kept).await;
                    drop(sender);
                });
                Some(over)
            }
        }
    }

    /// Has all direct calls that workers have kept in the backing.
    pub(super) async fn store_all(self: &Arc<Self>) {
        let numbers = self.direct.lock().handed();
        let over: Vec<_> = numbers
            .iter()
            .filter_map(|number| self.store(number))
            .collect();
        for mut over in over {
            let _ = over.changed().await;
        }
    }

    /// Has a direct call kept in the backing, wherever it began, so that scripts find it there.
    ///
    /// # Errors
    /// When the Respite where it began does not answer.
    pub(super) async fn bring(self: &Arc<Self>, id: &str) -> Result<(), Failure> {
        let Some((number, home)) = parse_direct(id) else {
            return Ok(());
        };
        if home != self.hub.store.instance() {
            return self.hub.ask_home(&self.name, home, id).await;
        }
        if let Some(mut over) = self.store(number) {
            let _ = over.changed().await;
        }
        Ok(())
    }
}

/// Tells the backing of a direct call.
async fn tell(bus: &Arc<Bus>, number: &str, kept: Kept) {
    let method = &kept.method;
    let id = direct_id(number, &method.name);
    let home = bus.hub.store.instance();
    let meta = method
        .options
        .meta(number, kept.timeout_ms, Some(home), b"");
    let words = vec![
        b"D".to_vec(),
        id.as_bytes().to_vec(),
        kept.token.into_bytes(),
        kept.worker.into_bytes(),
        kept.left.as_millis().to_string().into_bytes(),
        kept.handed.as_millis().to_string().into_bytes(),
        kept.begun.as_micros().to_string().into_bytes(),
        meta,
    ];
    let (order, answer) = Order::asked(Kind::Keep, words);
    bus.submit(order);
    let answer = match answer.await {
        Ok(Ok(answer)) => letter(&answer),
        _ => None,
    };
    match answer {
        Some(b'K') => {
            // In this order, so that whoever does not find it in one place finds it in the other.
            bus.waiting.lock().set_id(&id);
            let meanwhile = bus.direct.lock().kept(number);
            match meanwhile {
                Meanwhile::Nothing => {}
                Meanwhile::Cancelled => bus.submit(Order::gone(&id)),
                Meanwhile::Ended => bus.submit(Order::void(&id)),
            }
        }
        Some(b'M') => {
            if bus.direct.lock().kept(number) == Meanwhile::Nothing {
                let error = "NOMETHOD the method was unregistered";
                bus.complete_direct(&id, Outcome::Failed(error.into()));
            }
        }
        _ => bus.direct.lock().not_kept(number),
    }
}

impl Hub {
    /// Asks the Respite where a call began to have it kept. Nothing happens if that Respite is gone.
    async fn ask_home(&self, bus: &str, home: &str, id: &str) -> Result<(), Failure> {
        self.ready().await;
        let (tx, kept) = oneshot::channel();
        self.asked.lock().entry(id.to_owned()).or_default().push(tx);
        let asked = self
            .store
            .tell(home, &["k", bus, id, self.store.instance()])
            .await;
        let answered = match asked {
            Ok(0) => Ok(()),
            Ok(_) => tokio::time::timeout(HOME_WAIT, kept).await.map_or_else(
                |_| {
                    Err(Failure(
                        "ERR the Respite where the call began does not answer".to_owned(),
                    ))
                },
                |_| Ok(()),
            ),
            Err(failure) => Err(failure),
        };
        let mut asked = self.asked.lock();
        if let Some(waiting) = asked.get_mut(id) {
            waiting.retain(|tx| !tx.is_closed());
            if waiting.is_empty() {
                asked.remove(id);
            }
        }
        answered
    }

    /// Another Respite asks for a direct call.
    pub(super) async fn keep_for(&self, bus: &str, id: &str, asking: &str) {
        if let Some(bus) = self.used_bus(bus)
            && let Some((number, home)) = parse_direct(id)
            && home == self.store.instance()
            && let Some(mut over) = bus.store(number)
        {
            let _ = over.changed().await;
        }
        // If that fails, whoever asks waits in vain and is told so.
        let _ = self.store.tell(asking, &["a", bus, id]).await;
    }

    /// Another Respite has kept a call that was asked for.
    pub(super) fn answered(&self, id: &str) {
        for tx in self.asked.lock().remove(id).unwrap_or_default() {
            let _ = tx.send(());
        }
    }
}
