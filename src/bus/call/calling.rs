//! The callers' side: `BUS.CALL`, `BUS.CAST`, `BUS.RESULT`, `BUS.CANCEL`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::handing;
use crate::bus::arguments::{Caching, CallArgs, Patience};
use crate::bus::bus::Bus;
use crate::bus::error::BusError;
use crate::bus::id::is_direct;
use crate::bus::method::{BoundCall, Method};
use crate::bus::outcome::{Outcome, PATIENCE, fits};
use crate::bus::place::{Direct, Place};
use crate::bus::store::{
    Answer, CallAnswer, CallMode, CallStatus, EndReason, NewCall, Operation, Order,
};
use crate::bus::waiting::Role;

/// How often a call is sent again because what was known of methods or workers was not true any more.
const TRIES: usize = 8;
/// What became of a call that was sent.
enum Sent {
    /// It is under way, or its outcome is there; for a cast the id is all there is to say.
    Waits(Place, String),
    Queued(String),
    Cached(Vec<u8>),
}

/// Why a call is sent to the backing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    First,
    /// It is counted already.
    Returned,
    /// It waited here for a worker, is counted, and goes on waiting there.
    Again,
    /// Nobody waits for it.
    Cast,
}

/// Calls a method and waits for its outcome.
///
/// # Cancel safety
/// Dropping the future gives the call up.
pub(in crate::bus) async fn call(bus: Arc<Bus>, args: CallArgs) -> Result<Outcome, BusError> {
    bus.shared.ready().await;
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(args.timeout_ms);
    let direct = timeout_at(
        deadline + PATIENCE,
        handing::call(&bus, &args, begun.into()),
    )
    .await;
    let sending = match direct.map_err(|_| BusError::Deadline)?? {
        Direct::Over(outcome) => return outcome,
        Direct::Stored(place, id) => return wait(&bus, place, &id, deadline).await,
        Direct::Refused => Sending::First,
        Direct::Returned => Sending::Returned,
        Direct::Withdrawn => Sending::Again,
    };
    let waited = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let timeout_ms = args.timeout_ms.saturating_sub(waited);
    if timeout_ms == 0 {
        return Err(BusError::Deadline);
    }
    let args = CallArgs { timeout_ms, ..args };
    let sent = timeout_at(deadline + PATIENCE, send(&bus, &args, sending)).await;
    let sent = sent.map_err(|_| BusError::Deadline)??;
    if sending == Sending::First {
        bus.tally(&args.method, |tally| tally.call());
    }
    match sent {
        Sent::Waits(place, id) => wait(&bus, place, &id, deadline).await,
        Sent::Cached(value) => Ok(Outcome::Done(value.into())),
        Sent::Queued(_) => Err(BusError::Deadline),
    }
}

/// Queues a call that nobody waits for; returns its id.
pub(in crate::bus) async fn cast(bus: Arc<Bus>, args: CallArgs) -> Result<String, BusError> {
    let sent = send(&bus, &args, Sending::Cast).await?;
    bus.tally(&args.method, |tally| tally.call());
    match sent {
        Sent::Queued(id) | Sent::Waits(_, id) => Ok(id),
        Sent::Cached(_) => Err(BusError::Interrupted("internal error")),
    }
}

async fn send(bus: &Arc<Bus>, args: &CallArgs, sending: Sending) -> Result<Sent, BusError> {
    let is_cast = sending == Sending::Cast;
    let mut registry = bus.known_registry().await?;
    let mut fresh = false;
    let mut worker = bus.candidate(&args.method);
    for _ in 0..TRIES {
        let Some(method) = registry.get(&args.method).cloned() else {
            if fresh {
                return Err(BusError::NoMethod(args.method.clone()));
            }
            registry = bus.reload().await?;
            fresh = true;
            continue;
        };
        let bound = method.bind(args.given.clone(), &args.payload)?;
        fits(bound.body.len(), "the arguments and the payload of a call")?;
        let key = bound
            .key
            .as_ref()
            .filter(|_| args.caching != Caching::Never);
        let role = if key.is_some() {
            Role::Sharer
        } else {
            Role::Only
        };
        let call = new_call(bus, &worker, &method, args, sending, bound);
        let place = Place::take(bus, &call.number, role);
        let (order, answer) = Order::asked(Operation::Call(Box::new(call)));
        let mut ticket = Ticket {
            bus,
            is_cast,
            answer,
            place: Some(place),
        };
        bus.submit(order);
        let (answer, mut place) = ticket.answer().await?;
        match answer {
            CallAnswer::Queued { id } => {
                if is_cast {
                    place.leave();
                    return Ok(Sent::Queued(id));
                }
                place.issued(&id);
                return Ok(Sent::Waits(place, id));
            }
            CallAnswer::Joined { id: other } => {
                place.leave();
                if is_cast {
                    return Ok(Sent::Queued(other));
                }
                let mut place = Place::take(bus, &other, role);
                place.issued(&other);
                // It may have ended before the place was taken.
                bus.submit(Order::look(&other));
                return Ok(Sent::Waits(place, other));
            }
            CallAnswer::Cached { value, id } => {
                place.leave();
                bus.tally(&args.method, |tally| tally.hit());
                return Ok(if is_cast {
                    Sent::Queued(id)
                } else {
                    Sent::Cached(value)
                });
            }
            CallAnswer::NoWorker => match bus.choose_candidate(&args.method) {
                Some(other) => worker = other,
                None => return Err(BusError::NoWorker(args.method.clone())),
            },
            CallAnswer::Busy => {
                return Err(BusError::Busy {
                    method: args.method.clone(),
                    most: method.options.max_pending,
                });
            }
            CallAnswer::Changed => {
                registry = bus.reload().await?;
                fresh = true;
            }
        }
    }
    Err(BusError::ChangedTooOften)
}

/// How many calls of a method may be pending in the backing. Those that wait here count as well.
fn most_pending(bus: &Bus, method: &Method) -> u64 {
    let here = bus.direct.lock().queued_of(&method.name);
    let here = u64::try_from(here).unwrap_or(u64::MAX);
    method.options.max_pending.saturating_sub(here)
}

fn new_call(
    bus: &Bus,
    worker: &str,
    method: &Method,
    args: &CallArgs,
    sending: Sending,
    bound: BoundCall,
) -> NewCall {
    let (key, mode) = match args.caching {
        _ if sending == Sending::Again => (None, CallMode::Waited),
        Caching::Never => (None, CallMode::Usual),
        Caching::Use => (bound.key, CallMode::Usual),
        Caching::Replace => (bound.key, CallMode::Refresh),
    };
    let key = key.unwrap_or_default();
    let is_cast = sending == Sending::Cast;
    let number = bus.shared.new_number();
    let home = (!is_cast).then(|| bus.shared.store.instance());
    NewCall {
        method: method.name.clone(),
        stamp: method.stamp.clone(),
        worker: worker.to_owned(),
        is_cast,
        timeout_ms: args.timeout_ms,
        most_pending: most_pending(bus, method),
        mode,
        meta: method.options.meta(&number, args.timeout_ms, home, &key),
        number,
        key,
        body: bound.body.into_bytes(),
    }
}

/// A call on its way to the backing. Dropped with an answer that was not read, it gives the call up.
struct Ticket<'a> {
    bus: &'a Arc<Bus>,
    is_cast: bool,
    answer: oneshot::Receiver<Result<Answer, BusError>>,
    place: Option<Place>,
}

impl Ticket<'_> {
    async fn answer(&mut self) -> Result<(CallAnswer, Place), BusError> {
        let unsent = || BusError::Interrupted("the call was not sent");
        let answer = (&mut self.answer).await.unwrap_or_else(|_| Err(unsent()))?;
        let Answer::Call(answer) = answer else {
            return Err(unsent());
        };
        Ok((answer, self.place.take().ok_or_else(unsent)?))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        // From here on the other side knows that nobody is there.
        self.answer.close();
        let Some(mut place) = self.place.take() else {
            return;
        };
        let Ok(Ok(Answer::Call(answer))) = self.answer.try_recv() else {
            return;
        };
        if let Some(id) = answer.issued().filter(|_| !self.is_cast) {
            // Who had the outcome already was counted with it.
            let waited = place.leave();
            if waited || matches!(answer, CallAnswer::Joined { .. }) {
                self.bus.submit_from_anywhere(vec![Order::gone(id)]);
            }
        }
    }
}

async fn wait(
    bus: &Arc<Bus>,
    mut place: Place,
    id: &str,
    deadline: Instant,
) -> Result<Outcome, BusError> {
    tokio::select! {
        outcome = &mut place.outcome => {
            return outcome.map_err(|_| BusError::Interrupted("the call was forgotten"));
        }
        () = sleep_until(deadline) => {}
    }
    if !place.leave() {
        // The outcome came at the last moment.
        return place.outcome.try_recv().map_err(|_| BusError::Deadline);
    }
    let ended = bus.ask::<CallStatus>(Operation::End {
        id: id.to_owned(),
        why: EndReason::Deadline,
    });
    let status = timeout(PATIENCE, ended).await.ok().and_then(Result::ok);
    let outcome = status.and_then(CallStatus::outcome);
    outcome.ok_or(BusError::Deadline)
}

/// Waits for the outcome of a call; none when it has none in time.
///
/// # Cancel safety
/// Nothing is lost when the future is dropped.
pub(in crate::bus) async fn result(
    bus: Arc<Bus>,
    id: String,
    patience: Patience,
) -> Result<Option<Outcome>, BusError> {
    bus.shared.ready().await;
    match patience {
        Patience::Endless => wait_for_result(&bus, &id, patience).await,
        Patience::For(limit) => {
            let end = limit.saturating_add(PATIENCE);
            timeout(end, wait_for_result(&bus, &id, patience))
                .await
                .unwrap_or(Ok(None))
        }
    }
}

async fn wait_for_result(
    bus: &Arc<Bus>,
    id: &str,
    patience: Patience,
) -> Result<Option<Outcome>, BusError> {
    let mut place = Place::take(bus, id, Role::Onlooker);
    let look = || Operation::Look {
        id: id.to_owned(),
        wait: true,
    };
    match ask_about(bus, id, look).await? {
        CallStatus::Unknown => Err(BusError::UnknownCall),
        CallStatus::Pending => {
            place.issued(id);
            Ok(match patience {
                Patience::Endless => (&mut place.outcome).await.ok(),
                Patience::For(limit) => timeout(limit, &mut place.outcome)
                    .await
                    .ok()
                    .and_then(Result::ok),
            })
        }
        status => Ok(status.outcome()),
    }
}

/// Cancels a call; true if it was queued or in flight.
pub(in crate::bus) async fn cancel(bus: Arc<Bus>, id: String) -> Result<bool, BusError> {
    let end = || Operation::End {
        id: id.clone(),
        why: EndReason::Cancelled,
    };
    let status = ask_about(&bus, &id, end).await?;
    Ok(status == CallStatus::Cancelled(true))
}

/// Asks about a call. The backing need not have heard of a direct one.
async fn ask_about(
    bus: &Arc<Bus>,
    id: &str,
    operation: impl Fn() -> Operation,
) -> Result<CallStatus, BusError> {
    let status: CallStatus = bus.ask(operation()).await?;
    if status != CallStatus::Unknown || !is_direct(id) {
        return Ok(status);
    }
    let brought = bus.bring(&[id]).await;
    let status = bus.ask(operation()).await?;
    if status == CallStatus::Unknown {
        brought?;
    }
    Ok(status)
}
