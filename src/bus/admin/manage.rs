//! Methods and what is known of a bus: registering, listing, counters, the dead list, cleaning up.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bus::bus::Bus;
use crate::bus::counters::Totals;
use crate::bus::error::BusError;
use crate::bus::method::{Given, MOST_METHODS, Method, Options, any_matches};
use crate::bus::store::{
    CleanedUp, DeadRow, Holder, Inspected, Order, Registered, Revived, Task, Unregistered,
    WorkerRow, read_dead, read_removed,
};
use crate::resp::Glob;

/// How many calls one script ends at most, so that the backing is not held up.
const AT_ONCE: &[u8] = b"1000";
/// And how many it reads whole for that.
const READ_AT_ONCE: &[u8] = b"100";

/// A method with what is going on.
#[derive(Debug)]
pub(in crate::bus) struct MethodRow {
    pub(in crate::bus) method: Arc<Method>,
    pub(in crate::bus) queued: i64,
    pub(in crate::bus) in_flight: i64,
    pub(in crate::bus) workers: usize,
    pub(in crate::bus) totals: Totals,
}

/// What `inspect.lua` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Methods,
    Stats,
    Workers,
}

impl View {
    fn word(self) -> &'static [u8] {
        match self {
            View::Methods => b"methods",
            View::Stats => b"stats",
            View::Workers => b"workers",
        }
    }
}

/// Registers a method; returns its generation.
pub(in crate::bus) async fn register(
    bus: Arc<Bus>,
    method: String,
    options: Options,
) -> Result<i64, BusError> {
    let most = MOST_METHODS.to_string();
    let args: [&[u8]; 3] = [method.as_bytes(), &options.encode(), most.as_bytes()];
    let registered = Registered::decode(bus.run(Task::Register, &args).await?);
    let Some(generation) = registered.generation else {
        return Err(BusError::TooManyMethods(MOST_METHODS));
    };
    if registered.has_changed {
        changed(&bus, &registered.holders).await?;
    } else if bus.registry().stamp.is_empty() {
        bus.reload().await?;
    }
    Ok(generation)
}

/// The registry has changed: nobody goes on with what was known of it.
async fn changed(bus: &Arc<Bus>, holders: &[Holder]) -> Result<(), BusError> {
    bus.let_go();
    bus.shared.have_let_go(&bus.name, holders).await;
    bus.reload().await?;
    Ok(())
}

/// Takes a method off the bus; what it has pending fails.
pub(in crate::bus) async fn unregister(bus: Arc<Bus>, method: String) -> Result<bool, BusError> {
    bus.store_all().await;
    let (mut was, mut first) = (false, true);
    loop {
        let goes: &[u8] = if first { b"1" } else { b"0" };
        let args = [method.as_bytes(), READ_AT_ONCE, goes];
        let unregistered = Unregistered::decode(bus.run(Task::Unregister, &args).await?);
        was |= unregistered.was;
        look_at(&bus, &unregistered.ended);
        if first {
            changed(&bus, &unregistered.holders).await?;
            // Those that began meanwhile.
            bus.store_all().await;
        } else if !unregistered.more {
            return Ok(was);
        }
        first = false;
    }
}

/// Removes everything that the bus has in the backing; returns how many keys those were.
pub(in crate::bus) async fn cleanup(bus: Arc<Bus>) -> Result<i64, BusError> {
    bus.store_all().await;
    let mut removed = 0;
    loop {
        let cleaned = CleanedUp::decode(bus.run(Task::Cleanup, &[AT_ONCE]).await?);
        removed += cleaned.removed;
        look_at(&bus, &cleaned.ended);
        if !cleaned.more {
            changed(&bus, &cleaned.holders).await?;
            let leases = bus.end_leases(&cleaned.last_lease).await?;
            return Ok(removed + leases.min(1));
        }
    }
}

/// Calls that somebody here waits for have ended.
fn look_at(bus: &Arc<Bus>, ended: &[String]) {
    for id in ended {
        if bus.waiting.lock().has(id) {
            bus.submit(Order::look(id));
        }
    }
}

/// Lists the methods that a glob matches, or one with its counters.
pub(in crate::bus) async fn methods(
    bus: Arc<Bus>,
    glob: Option<Glob>,
) -> Result<Vec<MethodRow>, BusError> {
    let registry = bus.reload().await?;
    let wanted = |method: &&Arc<Method>| {
        glob.as_ref()
            .is_none_or(|glob| glob.is_match(method.name.as_bytes()))
    };
    inspect(
        &bus,
        registry.iter().filter(wanted).cloned().collect(),
        View::Methods,
    )
    .await
}

/// Lists methods with their counters.
pub(in crate::bus) async fn stats(
    bus: Arc<Bus>,
    method: Option<String>,
) -> Result<Vec<MethodRow>, BusError> {
    bus.flush_tallies().await?;
    let registry = bus.reload().await?;
    let chosen: Vec<Arc<Method>> = match method {
        None => registry.iter().cloned().collect(),
        Some(method) => registry.get(&method).cloned().into_iter().collect(),
    };
    inspect(&bus, chosen, View::Stats).await
}

async fn inspect(
    bus: &Arc<Bus>,
    chosen: Vec<Arc<Method>>,
    view: View,
) -> Result<Vec<MethodRow>, BusError> {
    if view == View::Stats {
        bus.store_all().await;
    }
    let ttl = bus.touched.alive_ms().to_string();
    let mut args: Vec<&[u8]> = vec![ttl.as_bytes(), view.word()];
    args.extend(chosen.iter().map(|method| method.name.as_bytes()));
    let Inspected { methods, workers } = Inspected::decode(bus.run(Task::Inspect, &args).await?);
    let here: HashMap<Arc<str>, usize> = bus.direct.lock().queued().into_iter().collect();
    let rows = chosen.into_iter().zip(methods).map(|(method, state)| {
        let here = here.get(method.name.as_str()).copied().unwrap_or(0);
        let serves = |worker: &&WorkerRow| any_matches(&worker.patterns, &method.name);
        MethodRow {
            queued: state.queued + i64::try_from(here).unwrap_or(0),
            in_flight: state.in_flight,
            workers: workers.iter().filter(serves).count(),
            totals: state.totals,
            method,
        }
    });
    Ok(rows.collect())
}

/// Lists the workers that are alive.
pub(in crate::bus) async fn workers(bus: Arc<Bus>) -> Result<Vec<WorkerRow>, BusError> {
    bus.store_all().await;
    let ttl = bus.touched.alive_ms().to_string();
    let answer = bus
        .run(Task::Inspect, &[ttl.as_bytes(), View::Workers.word()])
        .await?;
    let mut workers = Inspected::decode(answer).workers;
    workers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(workers)
}

/// Removes cached results: all, or that of one call; returns how many.
pub(in crate::bus) async fn uncache(
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
    Ok(read_removed(&bus.run(Task::Uncache, &args).await?))
}

/// Lists dead calls, the newest first.
pub(in crate::bus) async fn dead(
    bus: Arc<Bus>,
    method: String,
    count: u64,
) -> Result<Vec<DeadRow>, BusError> {
    let count = count.to_string();
    let answer = bus
        .run(Task::Dead, &[method.as_bytes(), count.as_bytes()])
        .await?;
    Ok(read_dead(answer, &method))
}

/// Puts a dead call back into its queue; false when there is no such.
pub(in crate::bus) async fn revive(bus: Arc<Bus>, id: String) -> Result<bool, BusError> {
    let revived = Revived::decode(bus.run(Task::Revive, &[id.as_bytes()]).await?);
    if let Some(method) = &revived.method {
        bus.news(method, 1);
    }
    Ok(revived.was)
}
