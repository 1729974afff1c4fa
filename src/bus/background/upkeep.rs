//! The upkeep of the buses in use here: workers that wait are alive, what is due is ended, counters are
//! written, and what a lost hint should have told is looked at.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tracing::debug;

use crate::bus::bus::Bus;
use crate::bus::exchange::{DUE_UPKEEP, exchange};
use crate::bus::fetch::{join, write_patterns};
use crate::bus::hub::Hub;
use crate::bus::store::{Operation, Order, Task, read_more};

/// How often is looked whether a bus has to be tended.
const TICK: Duration = Duration::from_millis(50);
/// How often a bus is tended, at least.
const EVERY: Duration = Duration::from_secs(1);
/// How often what has expired is removed.
const PRUNE: Duration = Duration::from_secs(10);
/// How long a worker can still ask what became of a call that it held.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How often in a row, at most: each time a bounded number is removed.
const PRUNE_ROUNDS: usize = 1000;
/// The most orders that are sent in one go.
const MOST_ORDERS: usize = 500;

/// Tends for as long as the process lives.
pub(in crate::bus) async fn tend(hub: Arc<Hub>) {
    let mut clock = tokio::time::interval(TICK);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pruned = Instant::now();
    // A bus whose node of a cluster does not answer holds up nothing else.
    let (mut busy, mut tended) = (HashSet::new(), FuturesUnordered::new());
    let mut pruning = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            Some(place) = tended.next() => {
                busy.remove(&place);
                continue;
            }
            Some(()) = pruning.next() => continue,
        }
        let every = EVERY.min(hub.shared.worker_ttl() / 3);
        let now = hub.shared.age_ms();
        let due = |bus: &Arc<Bus>| bus.due.load(Ordering::Relaxed) <= now;
        for bus in hub.used_buses().into_iter().filter(due) {
            let place = Arc::as_ptr(&bus).addr();
            if busy.insert(place) {
                let hub = &hub;
                tended.push(async move {
                    tend_bus(hub, &bus, every).await;
                    place
                });
            }
        }
        if pruning.is_empty() && pruned.elapsed() > PRUNE.min(hub.shared.worker_ttl()) {
            pruned = Instant::now();
            let before = pruned.checked_sub(REMEMBERED);
            for bus in hub.used_buses() {
                if let Some(before) = before {
                    bus.held.lock().prune(before);
                }
                bus.direct.lock().prune(pruned);
                pruning.push(async move { prune(&bus).await });
            }
        }
    }
}

async fn tend_bus(hub: &Arc<Hub>, bus: &Arc<Bus>, every: Duration) {
    let start = hub.shared.age_ms();
    let every = u64::try_from(every.as_millis()).unwrap_or(1000);
    let last = bus.tended.load(Ordering::Relaxed);
    let is_full = last == 0 || start.saturating_sub(last) >= every;
    if is_full {
        bus.tended.store(start.max(1), Ordering::Relaxed);
    }
    let mut rest = if is_full {
        everything(hub, bus)
    } else {
        Vec::new()
    };
    let mut due;
    loop {
        let orders = rest.split_off(rest.len().saturating_sub(MOST_ORDERS));
        due = exchange(bus, orders, DUE_UPKEEP).await;
        if rest.is_empty() {
            break;
        }
    }
    if let Err(failure) = bus.flush_tallies().await {
        debug!("the counters of a bus were not written: {failure}");
    }
    let next = due.map_or(every, |due| due.clamp(1, every));
    bus.due.store(start + next, Ordering::Relaxed);
}

/// Looks at all that waits here.
fn everything(hub: &Arc<Hub>, bus: &Arc<Bus>) -> Vec<Order> {
    let mut orders = alive(hub, bus);
    let looks = bus.waiting.lock().ids();
    orders.extend(looks.iter().map(|id| Order::look(id)));
    if !bus.parked.lock().is_empty() {
        orders.push(Order::ready());
    }
    if hub.shared.hears() && bus.lease.is_wanted() {
        orders.push(Order::lease(bus.lease.ask()));
    }
    let queued = bus.direct.lock().queued();
    if bus.said_queued.swap(!queued.is_empty(), Ordering::Relaxed) || !queued.is_empty() {
        orders.push(Order::told(Operation::Queued { counts: queued }));
    }
    orders
}

/// The workers that wait here, or hold calls that they need not be heard of for.
fn alive(hub: &Arc<Hub>, bus: &Arc<Bus>) -> Vec<Order> {
    let now = Instant::now();
    let mut workers: HashMap<String, Vec<String>> = HashMap::new();
    for slot in bus.parked.lock().iter() {
        let patterns = workers.entry(slot.worker.clone()).or_default();
        join(patterns, &slot.patterns);
    }
    for (worker, patterns) in &workers {
        bus.touched.note_waiting(worker, patterns);
    }
    for worker in bus.held.lock().workers(now) {
        workers.entry(worker).or_default();
    }
    bus.touched
        .forget(now.checked_sub(hub.shared.worker_ttl() * 10).unwrap_or(now));
    let touch = |(worker, patterns): (String, Vec<String>)| {
        let patterns = if patterns.is_empty() {
            Vec::new()
        } else {
            write_patterns(&patterns)
        };
        Order::told(Operation::Touch { worker, patterns })
    };
    workers.into_iter().map(touch).collect()
}

async fn prune(bus: &Arc<Bus>) {
    let registry = bus.registry();
    let caching = registry
        .iter()
        .filter(|method| method.options.cache.is_some());
    let names: Vec<&[u8]> = caching.map(|method| method.name.as_bytes()).collect();
    for _ in 0..PRUNE_ROUNDS {
        match bus.run(Task::Prune, &names).await {
            Ok(answer) if read_more(&answer) => {}
            Ok(_) => break,
            Err(failure) => {
                debug!("a bus was not pruned: {failure}");
                break;
            }
        }
    }
}
