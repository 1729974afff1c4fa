//! The side of the caller: a call is sent to a Respite that has workers, and its outcome comes from there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout};

use crate::bus::bus::Bus;
use crate::bus::direct::{Begun, PATIENCE, SHORT_PATIENCE};
use crate::bus::error::BusError;
use crate::bus::id::{direct_id, number_of, parse_direct};
use crate::bus::method::{Body, Method};
use crate::bus::outcome::{LAST_MOMENT, Outcome};
use crate::bus::peer::{Choice, Due, Message, RemoteCall, Watch};
use crate::bus::place::{Direct, Place};
use crate::bus::store::{BackingClock, CallStatus, Operation, Order};
use crate::bus::waiting::Role;

/// How often is looked whether it should come back.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A caller that waits. Dropped, it gives the call up.
struct RemoteWait<'a> {
    bus: &'a Arc<Bus>,
    peer: &'a Arc<str>,
    number: String,
    method: &'a str,
    place: Option<Place>,
    is_answered: bool,
}

impl Drop for RemoteWait<'_> {
    fn drop(&mut self) {
        let (bus, number) = (self.bus, &self.number);
        bus.peers.over(self.peer, self.method, self.is_answered);
        let Some(mut place) = self.place.take() else {
            return;
        };
        let stored = bus.waiting.lock().id(number);
        if place.leave() {
            // Whoever ends it counts it.
            match stored {
                Some(id) => bus.submit_from_anywhere(vec![Order::gone(&id)]),
                None => self.cancel(false),
            }
        }
    }
}

impl RemoteWait<'_> {
    fn cancel(&self, is_late: bool) {
        let id = self.id();
        self.bus.send(self.peer, Message::Cancel { id, is_late });
    }

    fn id(&self) -> String {
        direct_id(&self.number, self.method)
    }

    /// Whether a worker waits here that could have the call.
    fn is_wanted_here(&self) -> bool {
        self.bus.parked.lock().wants(self.method)
    }
}

/// A call that is bound to its method.
#[derive(Debug)]
pub(in crate::bus) struct BoundDirect<'a> {
    pub(in crate::bus) method: &'a Method,
    /// The state of the registry that has the method.
    pub(in crate::bus) stamp: &'a str,
    pub(in crate::bus) body: Body,
}

/// Sends a call to a Respite with workers, and waits for what becomes of it.
///
/// # Cancel safety
/// Dropping the future gives the call up.
pub(in crate::bus) async fn call(
    bus: &Arc<Bus>,
    peer: &Choice,
    bound: BoundDirect<'_>,
    (when, clock): (&Begun, BackingClock),
) -> Direct {
    let BoundDirect {
        method,
        stamp,
        body,
    } = bound;
    let deadline = when.deadline();
    let number = bus.shared.new_number_at(&peer.name);
    let place = Place::take(bus, &number, Role::Only);
    let sent = Instant::now();
    let sent_us = clock.earliest_us(sent);
    let left = deadline.saturating_duration_since(sent).as_micros();
    let call = RemoteCall {
        number: number.clone(),
        method: method.name.clone(),
        stamp: stamp.to_owned(),
        sent_us,
        deadline_us: sent_us.saturating_add(u64::try_from(left).unwrap_or(u64::MAX)),
        timeout_ms: when.timeout_ms,
        body: body.into_bytes(),
    };
    bus.peers.sent(&peer.name, &method.name);
    let mut wait = RemoteWait {
        bus,
        peer: &peer.name,
        number,
        method: &method.name,
        place: Some(place),
        is_answered: false,
    };
    if !bus.send(&peer.name, Message::Call(call)) {
        wait.place = None;
        return Direct::Refused;
    }
    bus.tally(&method.name, |tally| tally.call());
    let visibility = Duration::from_millis(method.options.visibility_ms);
    wait_for(wait, Watch::new(sent, deadline, visibility)).await
}

async fn wait_for(mut wait: RemoteWait<'_>, mut watch: Watch) -> Direct {
    let bus = wait.bus;
    // Where several Respites have workers, one of another may be idle.
    let patience = match bus.others() {
        ..=1 => PATIENCE,
        _ => SHORT_PATIENCE,
    };
    let mut look = Instant::now() + patience;
    while let Some(place) = &mut wait.place {
        tokio::select! {
            biased;
            outcome = &mut place.outcome => {
                wait.place = None;
                let Ok(outcome) = outcome else {
                    // It has come back, without being asked for: there are no workers any more.
                    if !watch.is_withdrawn() {
                        bus.peers.disbelieve(wait.peer, wait.method);
                    }
                    return Direct::Returned;
                };
                wait.is_answered = true;
                return over(bus, wait.method, outcome);
            }
            () = sleep_until(look.min(watch.deadline()).into()) => {}
        }
        let stored = bus.waiting.lock().id(&wait.number);
        if let Some(id) = stored
            && let Some(mut place) = wait.place.take()
        {
            place.issued(&id);
            return Direct::Stored(place, id);
        }
        let now = Instant::now();
        look = now + LOOK_EVERY;
        let heard = bus.waiting.lock().heard(&wait.number);
        let due = watch.due(now, heard, wait.is_wanted_here());
        match due {
            Due::Nothing => continue,
            Due::Late => return at_the_deadline(wait).await,
            Due::Look | Due::Lost => {
                if let Some(found) = look_in_backing(&mut wait).await {
                    return found;
                }
            }
            Due::Ask => {}
        }
        if due == Due::Lost {
            wait.place = None;
            return over(bus, wait.method, Outcome::Failed(BusError::PeerLost));
        }
        let has_workers = !bus.parked.lock().is_empty();
        let message = watch.ask(Instant::now(), wait.id(), has_workers);
        bus.send(wait.peer, message);
    }
    Direct::Refused
}

/// An outcome that was not counted elsewhere is counted here.
fn over(bus: &Bus, method: &str, outcome: Outcome) -> Direct {
    if let Outcome::Failed(lost @ BusError::PeerLost) = &outcome {
        bus.tally(method, |tally| tally.error(lost));
    }
    Direct::Over(Ok(outcome))
}

/// The call's time is up; its worker may have been told that it was in time.
async fn at_the_deadline(mut wait: RemoteWait<'_>) -> Direct {
    wait.cancel(true);
    let bus = wait.bus;
    let Some(place) = &mut wait.place else {
        return Direct::Refused;
    };
    let told = timeout(LAST_MOMENT, &mut place.outcome).await;
    if let Ok(Ok(outcome)) = told {
        wait.place = None;
        return over(bus, wait.method, outcome);
    }
    let stored = bus.waiting.lock().id(&wait.number);
    if let Some(mut place) = wait.place.take()
        && let Some(id) = stored
    {
        place.issued(&id);
        return Direct::Stored(place, id);
    }
    Direct::Over(Err(BusError::Deadline))
}

/// Looks whether the backing has been told of the call, or of its outcome.
async fn look_in_backing(wait: &mut RemoteWait<'_>) -> Option<Direct> {
    let (bus, id) = (wait.bus, wait.id());
    let asked = bus.ask(Operation::Look {
        id: id.clone(),
        wait: false,
    });
    match timeout(LAST_MOMENT, asked).await.ok()?.ok()? {
        CallStatus::Pending => {
            let mut place = wait.place.take()?;
            place.issued(&id);
            Some(Direct::Stored(place, id))
        }
        CallStatus::Ended { outcome, is_kept } => {
            wait.place = None;
            if !is_kept {
                bus.taken.lock().push(Order::taken(&id));
            }
            Some(Direct::Over(Ok(outcome)))
        }
        CallStatus::Unknown
        | CallStatus::Later
        | CallStatus::Cancelled(_)
        | CallStatus::Unclear => None,
    }
}

impl Bus {
    /// A call was heard by nobody.
    pub(super) fn not_taken(&self, to: &str, call: &RemoteCall) {
        self.peers.disbelieve(to, &call.method);
        self.waiting.lock().forget(&call.number);
    }

    /// Another Respite says something about its workers, or a call that it got.
    pub(super) fn hear_of_call(self: &Arc<Self>, from: &Arc<str>, message: Message) {
        let id = match &message {
            Message::Offer { method, workers } => {
                let workers = usize::try_from(*workers).unwrap_or(1).min(10_000);
                return self.peers.offer(from, method, workers);
            }
            Message::Outcome { id, .. }
            | Message::Returned { id }
            | Message::Stored { id }
            | Message::Held { id }
            | Message::Lost { id } => id,
            Message::Call(_) | Message::Ask { .. } | Message::Cancel { .. } => return,
        };
        // Nobody else can say it.
        if parse_direct(id).is_none_or(|(_, home)| home != &**from) {
            return;
        }
        let number = number_of(id);
        match &message {
            Message::Outcome { outcome, .. } => self.complete(id, outcome, false),
            Message::Returned { .. } => self.waiting.lock().forget(number),
            Message::Lost { .. } => {
                self.complete(id, &Outcome::Failed(BusError::PeerLost), false);
            }
            Message::Held { .. } => self.waiting.lock().note_heard(number),
            _ => {
                let mut waiting = self.waiting.lock();
                if waiting.has(id) {
                    waiting.set_id(id);
                    drop(waiting);
                    self.submit(Order::look(id));
                }
            }
        }
    }
}
