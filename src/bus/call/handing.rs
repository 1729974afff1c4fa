//! The caller of a direct call: where it goes, and how its outcome is waited for.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::{sleep_until, timeout};

use crate::bus::arguments::{Caching, CallArgs};
use crate::bus::bus::Bus;
use crate::bus::direct::{Begun, Ended, Look, Offer, PATIENCE, SHORT_PATIENCE, may_be_direct};
use crate::bus::error::BusError;
use crate::bus::outcome::{LAST_MOMENT, fits};
use crate::bus::peer::{Choice, MOST_SENT};
use crate::bus::place::{Direct, Place};
use crate::bus::remote::{self, BoundDirect};
use crate::bus::store::{EndReason, Order};
use crate::bus::waiting::Role;

/// How often a call is begun because the methods changed meanwhile.
const TRIES: usize = 3;

/// A caller that waits. Dropped, it gives the call up.
struct Waits<'a> {
    bus: &'a Arc<Bus>,
    number: String,
    method: &'a str,
    place: Option<Place>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            give_up(
                self.bus,
                place,
                (&self.number, self.method),
                BusError::CallerGone,
            );
        }
    }
}

/// The caller of a call does not wait any more.
fn give_up(bus: &Arc<Bus>, mut place: Place, (number, method): (&str, &str), error: BusError) {
    let ended = bus.direct.lock().cancel(number);
    match ended {
        Ended::Here { unsure, .. } => {
            place.leave();
            bus.tally(method, |tally| tally.error(error));
            bus.void_if(unsure, number, method);
        }
        Ended::Keeping(mut over) => {
            let (own, number, method) = (Arc::clone(bus), number.to_owned(), method.to_owned());
            bus.shared.spawn(async move {
                let _ = over.changed().await;
                give_up(&own, place, (&number, &method), error);
            });
        }
        Ended::TooLate | Ended::Unknown | Ended::Unsure => {
            let stored = bus.waiting.lock().id(number);
            if let Some(id) = stored
                && place.leave()
            {
                let why = match error {
                    BusError::Deadline => EndReason::Deadline,
                    _ => EndReason::Gone,
                };
                bus.submit_from_anywhere(vec![Order::given_up(&id, why)]);
            }
        }
    }
}

/// Calls a method through a worker of this Respite, or of another one that said that it has some, if one can have the call
/// soon.
///
/// # Cancel safety
/// Dropping the future gives the call up.
pub(in crate::bus) async fn call(
    bus: &Arc<Bus>,
    args: &CallArgs,
    begun: Instant,
) -> Result<Direct, BusError> {
    let mut registry = bus.known_registry().await?;
    for _ in 0..TRIES {
        let Some(method) = registry.get(&args.method).cloned() else {
            return Ok(Direct::Refused);
        };
        let shares = method.options.cache.is_some() && args.caching != Caching::Never;
        if shares || !may_be_direct(&method) {
            return Ok(Direct::Refused);
        }
        let here = bus.has_worker_for(&method.name);
        let peer = bus.better_peer(&method.name, here);
        if !here && peer.is_none() {
            return Ok(Direct::Refused);
        }
        bus.lease.want();
        if !bus.lease.holds(&registry.stamp) && bus.take_lease().await? != registry.stamp {
            registry = bus.reload().await?;
            continue;
        }
        let bound = match method.bind(args.given.clone(), &args.payload) {
            Ok(bound) => bound,
            Err(error) => return Ok(Direct::Over(Err(error))),
        };
        if let Err(error) = fits(bound.body.len(), "the arguments and the payload of a call") {
            return Ok(Direct::Over(Err(error)));
        }
        let when = Begun {
            at: begun,
            timeout_ms: args.timeout_ms,
            origin: None,
            sent: None,
        };
        let deadline = when.deadline();
        if Instant::now() >= deadline {
            return Ok(Direct::Over(Err(BusError::Deadline)));
        }
        if let Some(peer) = peer
            && bound.body.len() <= MOST_SENT
            && let Some(clock) = bus.lease.clock(&registry.stamp)
        {
            let bound = BoundDirect {
                method: &method,
                stamp: &registry.stamp,
                body: bound.body,
            };
            return Ok(remote::call(bus, &peer, bound, (&when, clock)).await);
        }
        if !here {
            return Ok(Direct::Refused);
        }
        let number = bus.shared.new_number();
        let mut waits = Waits {
            bus,
            place: Some(Place::take(bus, &number, Role::Only)),
            number,
            method: &method.name,
        };
        let offered = (&method, bound.body);
        match bus.offer(&waits.number, offered, when, &registry.stamp) {
            Offer::Accepted => {
                bus.tally(&method.name, |tally| tally.call());
                return Ok(wait(waits, deadline, &registry.stamp).await);
            }
            Offer::Full => {
                waits.place = None;
                return Ok(Direct::Refused);
            }
            Offer::Lapsed | Offer::Known => waits.place = None,
        }
        registry = bus.registry();
    }
    Ok(Direct::Refused)
}

async fn wait(mut waits: Waits<'_>, deadline: Instant, stamp: &str) -> Direct {
    let bus = waits.bus;
    let patience = if bus.may_wait_here(waits.method) {
        PATIENCE
    } else {
        SHORT_PATIENCE
    };
    let mut look = Instant::now() + patience;
    while let Some(place) = &mut waits.place {
        tokio::select! {
            biased;
            outcome = &mut place.outcome => {
                waits.place = None;
                // The backing may have said it of a call that was not known to be there.
                bus.direct.lock().remove(&waits.number);
                // It was drawn back if nobody says what became of it.
                return outcome.map_or(Direct::Withdrawn, |outcome| Direct::Over(Ok(outcome)));
            }
            () = sleep_until(look.min(deadline).into()) => {}
        }
        // The backing may have it by now, or its outcome may be on its way here.
        let stored = bus.waiting.lock().id(&waits.number);
        if let Some(id) = stored
            && let Some(mut place) = waits.place.take()
        {
            bus.direct.lock().remove(&waits.number);
            place.issued(&id);
            return Direct::Stored(place, id);
        }
        let now = Instant::now();
        if now >= deadline {
            if let Some(ended) = ended_at_last(&mut waits).await {
                return ended;
            }
            if let Some(place) = waits.place.take() {
                give_up(
                    bus,
                    place,
                    (&waits.number, waits.method),
                    BusError::Deadline,
                );
            }
            return Direct::Over(Err(BusError::Deadline));
        }
        look = now + PATIENCE;
        let mut found = bus.direct.lock().look(&waits.number, false);
        // Without the lease the method may be another one by now.
        let may_wait = bus.may_wait_here(waits.method) && bus.lease.holds(stamp);
        if found == Look::Queued && !may_wait {
            found = bus.direct.lock().look(&waits.number, true);
        }
        match found {
            Look::Withdrawn => {
                waits.place = None;
                return Direct::Withdrawn;
            }
            Look::Handed(since) if since + PATIENCE > now => look = since + PATIENCE,
            Look::Handed(_) => drop(bus.store(&waits.number)),
            Look::Queued | Look::Gone => {}
        }
    }
    Direct::Refused
}

/// The call's time is up. What became of it if that was at the last moment, so that the worker was told that it was
/// in time.
async fn ended_at_last(waits: &mut Waits<'_>) -> Option<Direct> {
    let bus = waits.bus;
    if bus.direct.lock().look(&waits.number, false) != Look::Gone {
        return None;
    }
    let stored = bus.waiting.lock().id(&waits.number);
    let mut place = waits.place.take()?;
    if let Some(id) = stored {
        place.issued(&id);
        return Some(Direct::Stored(place, id));
    }
    let outcome = timeout(LAST_MOMENT, &mut place.outcome).await;
    Some(Direct::Over(
        outcome.ok().and_then(Result::ok).ok_or(BusError::Deadline),
    ))
}

impl Bus {
    /// Another Respite where a call is likely to get a worker sooner than here.
    fn better_peer(&self, method: &str, here: bool) -> Option<Choice> {
        if !self.shared.hears() || (here && self.parked.lock().wants(method)) {
            return None;
        }
        let peer = self.peers.choose(method)?;
        let waiting = || self.direct.lock().queued_of(method);
        (!here || peer.is_idle || peer.waiting < waiting()).then_some(peer)
    }
}
