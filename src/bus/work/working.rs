//! The workers' side: `BUS.FETCH`, `BUS.REPLY`, `BUS.FAIL`, `BUS.BEAT`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::bus::arguments::{FetchArgs, Patience};
use crate::bus::bus::Bus;
use crate::bus::direct::Standing;
use crate::bus::error::BusError;
use crate::bus::fetch::{Delivered, Slot};
use crate::bus::id::is_direct;
use crate::bus::outcome::{PATIENCE, Work, fits};
use crate::bus::store::{BeatAnswer, Operation, ReplyAnswer};

/// The most calls that one order asks about.
const MOST_ASKED: usize = 1000;

/// Takes a fetch off the list when it ends, however it ends.
struct Leave<'a> {
    bus: &'a Arc<Bus>,
    slot: Arc<Slot>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.bus.parked.lock().leave(&self.slot);
    }
}

/// Waits for calls; none at the timeout. What is returned is held by the client from then on.
///
/// # Cancel safety
/// Calls that were on their way when the future is dropped go back into their queue.
pub(in crate::bus) async fn fetch(
    bus: Arc<Bus>,
    client: u64,
    args: FetchArgs,
) -> Result<Option<Vec<Delivered>>, BusError> {
    bus.shared.ready().await;
    let (slot, mut delivery) = Slot::new(args.worker, args.patterns, args.count);
    let leave = Leave {
        bus: &bus,
        slot: Arc::clone(&slot),
    };
    if slot.globs {
        bus.known_registry().await?;
    }
    bus.look_for_calls(&slot);
    let time_is_up = async {
        match args.patience {
            Patience::For(limit) => sleep(limit).await,
            Patience::Endless => std::future::pending().await,
        }
    };
    let delivered = tokio::select! {
        biased;
        delivered = &mut delivery => delivered,
        () = time_is_up => {
            if bus.parked.lock().leave(&slot) {
                return Ok(None);
            }
            // It is being looked for calls at this moment. What comes later still goes back.
            match timeout(PATIENCE, &mut delivery).await {
                Ok(delivered) => delivered,
                Err(_) => return Ok(None),
            }
        }
    };
    drop(leave);
    let Ok(delivered) = delivered else {
        return Ok(None);
    };
    let calls = delivered?.accept();
    let now = Instant::now();
    let after = |ms: i64| now + Duration::from_millis(ms.max(0).cast_unsigned());
    for call in calls.iter().filter(|call| call.queued_us >= 0) {
        bus.tally(&call.method, |tally| tally.queued(call.queued_us));
    }
    bus.shared.note_holder(client, &bus.name);
    let mut held = bus.held.lock();
    for call in &calls {
        let who = (slot.worker.as_str(), call.token.as_str());
        let (visible, deadline) = (after(call.visibility_ms), after(call.deadline_ms));
        held.add(client, &call.id, who, visible, deadline);
    }
    drop(held);
    let soonest = calls
        .iter()
        .map(|call| call.visibility_ms.min(call.deadline_ms))
        .min();
    bus.due_in(soonest.unwrap_or(i64::MAX));
    Ok(Some(calls))
}

/// Ends a call, or this delivery of it; false when it is too late for that.
pub(in crate::bus) async fn reply(
    bus: Arc<Bus>,
    id: String,
    token: String,
    work: Work,
) -> Result<bool, BusError> {
    if let Work::Done(payload) = &work {
        fits(payload.len(), "a result")?;
    }
    if let Some(accepted) = bus.end_direct(&id, &token, &work).await {
        bus.held.lock().remove_delivery(&id, &token);
        return Ok(accepted);
    }
    // The backing need not have heard of a direct call.
    let again = is_direct(&id).then(|| work.clone());
    let mut accepted = ask_to_end(&bus, &id, &token, work).await?;
    if let Some(work) = again.filter(|_| !accepted) {
        let brought = bus.bring(&[&id]).await;
        accepted = ask_to_end(&bus, &id, &token, work).await?;
        if !accepted {
            brought?;
        }
    }
    bus.held.lock().remove_delivery(&id, &token);
    Ok(accepted)
}

async fn ask_to_end(bus: &Arc<Bus>, id: &str, token: &str, work: Work) -> Result<bool, BusError> {
    let reply = Operation::Reply {
        id: id.to_owned(),
        token: token.to_owned(),
        work,
    };
    let answer: ReplyAnswer = bus.ask(reply).await?;
    Ok(answer.accepted)
}

/// Notes that a worker is there and extends its calls; returns the calls that it need not work on any more,
/// because they are lost, or because nobody waits for them.
pub(in crate::bus) async fn beat(
    bus: Arc<Bus>,
    worker: String,
    extend: Vec<String>,
) -> Result<(Vec<String>, Vec<String>), BusError> {
    let mut asked = bus.held.lock().of_worker(&worker);
    let extended: HashSet<&String> = extend.iter().collect();
    asked.retain(|id| !extended.contains(id));
    let mut told = Vec::new();
    let mut is_told = |id: &String| {
        let is_cancelled = bus.standing(id, &worker) == Some(Standing::Cancelled);
        if is_cancelled {
            told.push(id.clone());
        }
        is_cancelled
    };
    let extend: Vec<String> = extend.into_iter().filter(|id| !is_told(id)).collect();
    asked.retain(|id| !is_told(id) && bus.standing(id, &worker).is_none());
    let (mut lost, mut cancelled) = beat_once(&bus, &worker, &extend, true).await?;
    cancelled.extend(told);
    // The backing need not have heard of direct calls.
    let (unheard, gone): (Vec<String>, Vec<String>) =
        lost.into_iter().partition(|id| is_direct(id));
    lost = gone;
    if !unheard.is_empty() {
        let ids: Vec<&str> = unheard.iter().map(String::as_str).collect();
        let brought = bus.bring(&ids).await;
        let (more_lost, more_cancelled) = beat_once(&bus, &worker, &unheard, true).await?;
        cancelled.extend(more_cancelled);
        // What a Respite that does not answer has is not known to be lost.
        if brought.is_ok() {
            lost.extend(more_lost);
        }
    }
    for ids in asked.chunks(MOST_ASKED) {
        let (more_lost, more_cancelled) = beat_once(&bus, &worker, ids, false).await?;
        lost.extend(more_lost);
        cancelled.extend(more_cancelled);
    }
    let mut held = bus.held.lock();
    for id in lost.iter().chain(&cancelled) {
        held.remove(id);
    }
    drop(held);
    Ok((lost, cancelled))
}

async fn beat_once(
    bus: &Arc<Bus>,
    worker: &str,
    ids: &[String],
    extend: bool,
) -> Result<(Vec<String>, Vec<String>), BusError> {
    let beat = Operation::Beat {
        worker: worker.to_owned(),
        ids: ids.to_vec(),
        extend,
    };
    let BeatAnswer {
        lost,
        cancelled,
        visibility_ms,
    } = bus.ask(beat).await?;
    let mut held = bus.held.lock();
    let now = Instant::now();
    for (id, ms) in ids.iter().zip(visibility_ms) {
        if ms > 0 {
            held.extend(id, now + Duration::from_millis(ms));
        }
    }
    Ok((lost, cancelled))
}
