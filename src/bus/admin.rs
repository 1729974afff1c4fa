//! Methods and what is known of a bus: registering, listing, counters, the dead list, cleaning up.

use std::collections::HashMap;
use std::sync::Arc;

use redis::Value;

use super::binding::Given;
use super::body::Body;
use super::bus::Bus;
use super::error::BusError;
use super::method::{Method, Options};
use super::registry::{MOST_METHODS, any_matches};
use super::slot::Delivered;
use super::store::Task;
use super::tally::Totals;
use super::touched::read_patterns;
use super::value::{bytes, list, next, number, text};
use crate::resp::Glob;

/// How many calls one script ends at most, so that the backing is not held up.
const AT_ONCE: &[u8] = b"1000";
/// And how many it reads whole for that.
const READ_AT_ONCE: &[u8] = b"100";

/// A method with what is going on.
#[derive(Debug)]
pub(super) struct MethodRow {
    pub(super) method: Arc<Method>,
    pub(super) queued: i64,
    pub(super) in_flight: i64,
    pub(super) workers: usize,
    pub(super) totals: Totals,
}

/// A worker that is alive.
#[derive(Debug)]
pub(super) struct WorkerRow {
    pub(super) name: String,
    pub(super) patterns: Vec<String>,
    pub(super) last_seen_ms: i64,
    pub(super) in_flight: i64,
}

/// A call on the dead list.
#[derive(Debug)]
pub(super) struct DeadRow {
    pub(super) call: Delivered,
    pub(super) code: String,
    pub(super) message: String,
}

/// Registers a method; returns its generation.
pub(super) async fn register(
    bus: Arc<Bus>,
    method: String,
    options: Options,
) -> Result<i64, BusError> {
    let most = MOST_METHODS.to_string();
    let args: [&[u8]; 3] = [method.as_bytes(), &options.encode(), most.as_bytes()];
    let mut answer = list(bus.run(Task::Register, &args).await?).into_iter();
    let generation = number(&next(&mut answer));
    if generation < 0 {
        return Err(BusError::TooManyMethods(MOST_METHODS));
    }
    if number(&next(&mut answer)) == 1 {
        changed(&bus, next(&mut answer)).await?;
    } else if bus.registry().stamp.is_empty() {
        bus.reload().await?;
    }
    Ok(generation)
}

/// The registry has changed: nobody goes on with what was known of it.
async fn changed(bus: &Arc<Bus>, holders: Value) -> Result<(), BusError> {
    bus.let_go();
    bus.shared.have_let_go(&bus.name, holders).await;
    bus.reload().await?;
    Ok(())
}

/// Takes a method off the bus; what it has pending fails.
pub(super) async fn unregister(bus: Arc<Bus>, method: String) -> Result<bool, BusError> {
    bus.store_all().await;
    let (mut was, mut first) = (false, true);
    loop {
        let goes: &[u8] = if first { b"1" } else { b"0" };
        let args = [method.as_bytes(), READ_AT_ONCE, goes];
        let mut parts = list(bus.run(Task::Unregister, &args).await?).into_iter();
        was |= number(&next(&mut parts)) == 1;
        let more = number(&next(&mut parts)) == 1;
        look_at(&bus, next(&mut parts));
        if first {
            changed(&bus, parts.nth(1).unwrap_or(Value::Nil)).await?;
            // Those that began meanwhile.
            bus.store_all().await;
        } else if !more {
            return Ok(was);
        }
        first = false;
    }
}

/// Removes everything that the bus has in the backing; returns how many keys those were.
pub(super) async fn cleanup(bus: Arc<Bus>) -> Result<i64, BusError> {
    bus.store_all().await;
    let mut removed = 0;
    loop {
        let answer = bus.run(Task::Cleanup, &[AT_ONCE]).await?;
        let mut parts = list(answer).into_iter();
        removed += number(&next(&mut parts));
        let more = number(&next(&mut parts)) == 1;
        look_at(&bus, next(&mut parts));
        if !more {
            let (holders, last) = (next(&mut parts), text(next(&mut parts)));
            changed(&bus, holders).await?;
            return Ok(removed + bus.end_leases(&last).await?.min(1));
        }
    }
}

/// Calls that somebody here waits for have ended.
fn look_at(bus: &Arc<Bus>, ended: Value) {
    for id in list(ended).into_iter().map(text) {
        if bus.waiting.lock().has(&id) {
            bus.submit(super::order::Order::look(&id));
        }
    }
}

/// Lists the methods that a glob matches, or one with its counters.
pub(super) async fn methods(bus: Arc<Bus>, glob: Option<Glob>) -> Result<Vec<MethodRow>, BusError> {
    let registry = bus.reload().await?;
    let wanted = |method: &&Arc<Method>| {
        glob.as_ref()
            .is_none_or(|glob| glob.is_match(method.name.as_bytes()))
    };
    inspect(
        &bus,
        registry.iter().filter(wanted).cloned().collect(),
        "methods",
    )
    .await
}

/// Lists methods with their counters.
pub(super) async fn stats(
    bus: Arc<Bus>,
    method: Option<String>,
) -> Result<Vec<MethodRow>, BusError> {
    bus.flush_tallies().await?;
    let registry = bus.reload().await?;
    let chosen: Vec<Arc<Method>> = match method {
        None => registry.iter().cloned().collect(),
        Some(method) => registry.get(&method).cloned().into_iter().collect(),
    };
    inspect(&bus, chosen, "stats").await
}

async fn inspect(
    bus: &Arc<Bus>,
    chosen: Vec<Arc<Method>>,
    what: &str,
) -> Result<Vec<MethodRow>, BusError> {
    if what == "stats" {
        bus.store_all().await;
    }
    let ttl = bus.touched.alive_ms().to_string();
    let mut args: Vec<&[u8]> = vec![ttl.as_bytes(), what.as_bytes()];
    args.extend(chosen.iter().map(|method| method.name.as_bytes()));
    let mut parts = list(bus.run(Task::Inspect, &args).await?).into_iter();
    let rows = list(next(&mut parts));
    let workers: Vec<WorkerRow> = list(next(&mut parts)).into_iter().map(worker_row).collect();
    let here: HashMap<Arc<str>, usize> = bus.direct.lock().queued().into_iter().collect();
    let rows = chosen.into_iter().zip(rows).map(|(method, row)| {
        let mut row = list(row).into_iter();
        let (queued, in_flight) = (number(&next(&mut row)), number(&next(&mut row)));
        let here = here.get(method.name.as_str()).copied().unwrap_or(0);
        let queued = queued + i64::try_from(here).unwrap_or(0);
        let mut fields = list(next(&mut row)).into_iter();
        let fields = std::iter::from_fn(|| Some((text(fields.next()?), bytes(next(&mut fields)))));
        let totals = Totals::read(fields);
        let serves = |worker: &&WorkerRow| any_matches(&worker.patterns, &method.name);
        MethodRow {
            queued,
            in_flight,
            workers: workers.iter().filter(serves).count(),
            totals,
            method,
        }
    });
    Ok(rows.collect())
}

/// Lists the workers that are alive.
pub(super) async fn workers(bus: Arc<Bus>) -> Result<Vec<WorkerRow>, BusError> {
    bus.store_all().await;
    let ttl = bus.touched.alive_ms().to_string();
    let answer = bus
        .run(Task::Inspect, &[ttl.as_bytes(), b"workers"])
        .await?;
    let mut parts = list(answer).into_iter();
    next(&mut parts);
    let mut workers: Vec<WorkerRow> = list(next(&mut parts)).into_iter().map(worker_row).collect();
    workers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(workers)
}

fn worker_row(row: Value) -> WorkerRow {
    let mut row = list(row).into_iter();
    WorkerRow {
        name: text(next(&mut row)),
        last_seen_ms: number(&next(&mut row)),
        patterns: read_patterns(&bytes(next(&mut row))),
        in_flight: number(&next(&mut row)),
    }
}

/// Removes cached results: all, or that of one call; returns how many.
pub(super) async fn uncache(
    bus: Arc<Bus>,
    method: String,
    given: Option<Given>,
) -> Result<i64, BusError> {
    let registry = bus.reload().await?;
    let Some(registered) = registry.get(&method) else {
        return Err(BusError::NoMethod(method));
    };
    let key = match given {
        None => None,
        Some(given) => match registered.bind(given, b"")?.key {
            Some(key) => Some(key),
            None => return Ok(0),
        },
    };
    let args: [&[u8]; 3] = match &key {
        None => [method.as_bytes(), b"all", b""],
        Some(key) => [method.as_bytes(), b"one", key],
    };
    Ok(number(&bus.run(Task::Uncache, &args).await?))
}

/// Lists dead calls, the newest first.
pub(super) async fn dead(
    bus: Arc<Bus>,
    method: String,
    count: u64,
) -> Result<Vec<DeadRow>, BusError> {
    let count = count.to_string();
    let answer = bus
        .run(Task::Dead, &[method.as_bytes(), count.as_bytes()])
        .await?;
    let rows = list(answer).into_iter().map(|row| {
        let mut row = list(row).into_iter();
        let call = Delivered {
            id: text(next(&mut row)),
            body: Body::read(bytes(next(&mut row))),
            method: method.clone(),
            ..Delivered::default()
        };
        DeadRow {
            code: text(next(&mut row)),
            message: text(next(&mut row)),
            call: Delivered {
                attempt: number(&next(&mut row)),
                ..call
            },
        }
    });
    Ok(rows.collect())
}

/// Puts a dead call back into its queue; false when there is no such.
pub(super) async fn revive(bus: Arc<Bus>, id: String) -> Result<bool, BusError> {
    let answer = bus.run(Task::Revive, &[id.as_bytes()]).await?;
    let mut parts = list(answer).into_iter();
    let revived = number(&next(&mut parts)) == 1;
    if let Some(method) = list(next(&mut parts)).into_iter().next() {
        bus.news(&text(method), 1);
    }
    Ok(revived)
}
