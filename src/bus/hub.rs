//! All buses of this Respite, and what keeps them going.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::bus::Bus;
use super::counts::KeptCounts;
use super::held::{Held, HeldCalls};
use super::homes::Asked;
use super::name::rule_key;
use super::order::Order;
use super::store::Store;
use super::touched::WorkerTtl;
use super::{hints, upkeep};
use crate::tasks::{self, Kind};
use crate::upstream::ControlLink;

/// The most buses that are in use at once. Where there are as many, those go that nothing happens on.
const MOST_BUSES: usize = 10_000;
/// The most of these that clients of one address may keep busy.
const MOST_OF_ADDRESS: usize = 5_000;
/// So many go at once, so that they need not be looked for each time.
const FORGOTTEN_AT_ONCE: usize = 1_000;
/// A bus that nothing happened on for so many lives of a worker is forgotten here.
const IDLE: u32 = 2;
/// How long the first commands wait until hints can come; without them the bus works too, only slower.
const HINTS_WAIT: Duration = Duration::from_secs(1);
/// How long stopping waits for what is still to be told to the backing.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The buses.
pub struct Hub {
    pub(super) store: Store,
    /// How long a worker is alive after it was heard of.
    worker_ttl: Arc<WorkerTtl>,
    pub(super) held: Mutex<HeldCalls>,
    /// What was counted since the start, for metrics.
    pub(super) counts: KeptCounts,
    buses: DashMap<String, Arc<Bus>>,
    /// Held by whoever adds a bus: how many there may be is looked at over all of them.
    adding: Mutex<()>,
    /// Where work goes on that no client waits for.
    control: Handle,
    started: AtomicBool,
    /// Whether hints come; none until the first attempt to listen has ended.
    hints: watch::Sender<Option<bool>>,
    /// Whether this Respite stops, and has heard all that others said to it.
    ending: watch::Sender<Ending>,
    next_number: AtomicU64,
    /// The frames that were sealed for other Respites.
    next_frame: AtomicU64,
    /// Tasks of [`Hub::spawn`] that have not ended.
    pending: AtomicUsize,
    /// Those who wait until another Respite has a direct call kept in the backing.
    pub(super) asked: Mutex<Asked>,
    born: Instant,
}

/// How far listening is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Wanted,
    Over,
}

/// Sees to it that there is a place for one more bus, which a client of this address has named first.
fn make_room(buses: &DashMap<String, Arc<Bus>>, peer: Option<IpAddr>) -> Result<(), String> {
    let is_theirs = |bus: &Arc<Bus>| bus.first_peer == peer;
    let full = || buses.len() >= MOST_BUSES;
    let is_enough = || {
        buses.len() >= MOST_OF_ADDRESS
            && buses.iter().filter(|bus| is_theirs(bus)).count() >= MOST_OF_ADDRESS
    };
    if full() {
        forget_idle(buses, |_| true);
    } else if is_enough() {
        forget_idle(buses, is_theirs);
    }
    if full() {
        return Err(format!("ERR more than {MOST_BUSES} buses are in use"));
    }
    if is_enough() {
        return Err(format!(
            "ERR clients of this address use more than {MOST_OF_ADDRESS} buses"
        ));
    }
    Ok(())
}

/// Forgets those of the buses in question that nothing has happened on for the longest time.
fn forget_idle(buses: &DashMap<String, Arc<Bus>>, concerns: impl Fn(&Arc<Bus>) -> bool) {
    // One that somebody still has must not come to be twice.
    let is_idle = |bus: &Arc<Bus>| {
        concerns(bus) && Arc::strong_count(bus) == 1 && bus.is_idle(Duration::ZERO)
    };
    let idle = buses.iter().filter(|bus| is_idle(bus));
    let mut idle: Vec<(u64, String)> = idle
        .map(|bus| (bus.last_used(), bus.key().clone()))
        .collect();
    idle.sort_unstable();
    for (_, name) in idle.into_iter().take(FORGOTTEN_AT_ONCE) {
        buses.remove_if(&name, |_, bus| is_idle(bus));
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// No bus yet. Must be called on the runtime of the control plane, where its tasks run.
    #[must_use]
    pub fn new(link: Arc<ControlLink>, worker_ttl: Duration) -> Arc<Self> {
        Arc::new(Hub {
            store: Store::new(link),
            worker_ttl: WorkerTtl::new(worker_ttl),
            held: Mutex::default(),
            counts: KeptCounts::default(),
            buses: DashMap::new(),
            adding: Mutex::default(),
            control: Handle::current(),
            started: AtomicBool::new(false),
            hints: watch::Sender::new(None),
            ending: watch::Sender::new(Ending::No),
            next_number: AtomicU64::new(0),
            next_frame: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
            asked: Mutex::default(),
            born: Instant::now(),
        })
    }

    /// How long a worker is alive after it was heard of.
    pub(super) fn worker_ttl(&self) -> Duration {
        self.worker_ttl.get()
    }

    /// The same, for those who look at it often.
    pub(super) fn shared_worker_ttl(&self) -> Arc<WorkerTtl> {
        Arc::clone(&self.worker_ttl)
    }

    /// Changes how long a worker is alive after it was heard of.
    pub fn set_worker_ttl(&self, ttl: Duration) {
        self.worker_ttl.set(ttl);
    }

    /// Waits, for a moment, until what clients left behind has been told to the backing.
    pub async fn close(&self) {
        let end = Instant::now() + CLOSE_WAIT;
        self.stop_listening(end).await;
        // Nobody need ask this Respite any more before a registry changes.
        self.set_hints(false);
        let buses = self.buses();
        let used = buses.iter().filter(|bus| bus.lease.is_wanted());
        let leases = join_all(used.map(|bus| bus.end_own_lease()));
        let _ = tokio::time::timeout(CLOSE_WAIT, leases).await;
        while self.pending.load(Ordering::Acquire) > 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Has the others know that nobody hears them any more, and hears what they said before.
    async fn stop_listening(&self, end: Instant) {
        if !self.hears() {
            return;
        }
        self.ending.send_replace(Ending::Wanted);
        let mut ending = self.ending.subscribe();
        let over = ending.wait_for(|ending| *ending == Ending::Over);
        let _ = tokio::time::timeout_at(end.into(), over).await;
    }

    /// Waits until this Respite stops.
    pub(super) async fn stops(&self) {
        let mut ending = self.ending.subscribe();
        let _ = ending.wait_for(|ending| *ending != Ending::No).await;
    }

    /// All that others said was heard.
    pub(super) fn has_heard_all(&self) {
        self.ending.send_replace(Ending::Over);
    }

    /// The key that stands for a bus in key rules.
    #[must_use]
    pub fn rule_key(bus: &str) -> String {
        rule_key(bus)
    }

    /// A bus by its name, for a client of this address.
    ///
    /// # Errors
    /// The error reply when too many are in use.
    pub(super) fn bus(
        self: &Arc<Self>,
        name: &str,
        peer: Option<IpAddr>,
    ) -> Result<Arc<Bus>, String> {
        let bus = match self.used_bus(name) {
            Some(bus) => bus,
            None => self.add(name, peer)?,
        };
        bus.note_use();
        self.start();
        Ok(bus)
    }

    fn add(self: &Arc<Self>, name: &str, peer: Option<IpAddr>) -> Result<Arc<Bus>, String> {
        let _adding = self.adding.lock();
        if let Some(bus) = self.used_bus(name) {
            return Ok(bus);
        }
        make_room(&self.buses, peer)?;
        let bus = Bus::new(Arc::clone(self), name, peer);
        self.buses.insert(name.to_owned(), Arc::clone(&bus));
        Ok(bus)
    }

    /// Begins to listen and to tend, with the first use of a bus.
    fn start(self: &Arc<Self>) {
        if !self.started.swap(true, Ordering::AcqRel) {
            let (listens, tends) = (Arc::clone(self), Arc::clone(self));
            let listening = move || hints::listen(Arc::clone(&listens));
            let tending = move || upkeep::tend(Arc::clone(&tends));
            self.control.spawn(tasks::keep(Kind::Bus, listening));
            self.control.spawn(tasks::keep(Kind::Bus, tending));
        }
    }

    /// A bus that is in use here.
    pub(super) fn used_bus(&self, name: &str) -> Option<Arc<Bus>> {
        self.buses.get(name).map(|bus| Arc::clone(&bus))
    }

    /// A bus by its name for one look at it, which does not make it one in use.
    pub(super) fn looked_at(self: &Arc<Self>, name: &str) -> Arc<Bus> {
        let used = self.used_bus(name);
        used.unwrap_or_else(|| Bus::new(Arc::clone(self), name, None))
    }

    /// The buses in use; those that nothing happens on are forgotten.
    pub(super) fn used_buses(&self) -> Vec<Arc<Bus>> {
        let idle = self.worker_ttl() * IDLE;
        // One that somebody still has (a command, or a call that a worker holds) must not come to be twice.
        self.buses
            .retain(|_, bus| Arc::strong_count(bus) > 1 || !bus.is_idle(idle));
        self.buses()
    }

    /// The buses in use, and those that nothing happens on and that are not forgotten yet.
    pub(super) fn buses(&self) -> Vec<Arc<Bus>> {
        self.buses.iter().map(|bus| Arc::clone(&bus)).collect()
    }

    /// A number for a call, which no other Respite gives.
    pub(super) fn new_number(&self) -> String {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number:x}", self.store.instance())
    }

    /// A number for a call whose worker is at another Respite.
    pub(super) fn new_number_at(&self, peer: &str) -> String {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        format!("{peer}-{}-{number:x}", self.store.instance())
    }

    /// A number for a frame, which this process gives to no other one.
    pub(super) fn new_frame(&self) -> u64 {
        self.next_frame.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs a task that does not depend on any client.
    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        struct Pending(Arc<Hub>);
        impl Drop for Pending {
            fn drop(&mut self) {
                self.0.pending.fetch_sub(1, Ordering::Release);
            }
        }
        self.pending.fetch_add(1, Ordering::Acquire);
        let pending = Pending(Arc::clone(self));
        self.control.spawn(tasks::named(Kind::Bus, async move {
            let _pending = pending;
            task.await;
        }));
    }

    /// Waits until the first attempt to listen has ended. Nobody waits when hints are lost later.
    pub(super) async fn ready(&self) {
        if self.hints.borrow().is_some() {
            return;
        }
        let mut hints = self.hints.subscribe();
        let _ = tokio::time::timeout(HINTS_WAIT, hints.wait_for(Option::is_some)).await;
    }

    /// Says whether hints come now.
    pub(super) fn set_hints(&self, come: bool) {
        self.hints.send_replace(Some(come));
        if !come {
            for bus in self.buses() {
                bus.let_go();
            }
        }
    }

    /// Whether hints come now.
    pub(super) fn hears(&self) -> bool {
        *self.hints.borrow() == Some(true)
    }

    /// A client is gone: what it held is lost.
    pub(super) fn client_gone(&self, client: u64) {
        let calls = self.held.lock().remove_client(client);
        let mut orders: HashMap<String, (Arc<Bus>, Vec<Order>)> = HashMap::new();
        for (
            id,
            Held {
                bus, token, worker, ..
            },
        ) in calls
        {
            if bus.lose(&id, &token, &worker) {
                continue;
            }
            let name = bus.name.clone();
            let entry = orders.entry(name).or_insert_with(|| (bus, Vec::new()));
            entry.1.push(Order::lost(&id, &token, false));
        }
        for (bus, orders) in orders.into_values() {
            bus.submit_from_anywhere(orders);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;
    use crate::upstream::Backing;

    fn hub() -> Arc<Hub> {
        let endpoint: Endpoint = "redis://localhost".parse().expect("a URL");
        let backing = Backing::new(endpoint, None);
        let second = Duration::from_secs(1);
        let hub = Hub::new(ControlLink::new(backing, second, second), second);
        // No backing is asked here.
        hub.started.store(true, Ordering::Relaxed);
        hub
    }

    #[tokio::test]
    async fn names_that_nothing_happens_on_make_room_and_busy_ones_are_of_many() {
        let hub = hub();
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().ok());
        for n in 0..2 * MOST_BUSES {
            hub.bus(&format!("idle-{n}"), one).expect("a place");
        }
        assert!(hub.buses().len() <= MOST_OF_ADDRESS);
        let busy: Vec<_> = (0..MOST_OF_ADDRESS)
            .map(|n| hub.bus(&format!("busy-{n}"), one).expect("a place"))
            .collect();
        let refused = hub.bus("more", one).expect_err("enough");
        assert!(
            refused.starts_with("ERR clients of this address use"),
            "{refused}"
        );
        hub.bus("busy-0", one).expect("it is there");
        hub.bus("more", other).expect("a place of its own");
        assert_eq!(busy.len(), MOST_OF_ADDRESS);
    }
}
