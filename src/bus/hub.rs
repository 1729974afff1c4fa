//! All buses of this Respite, and what keeps them going.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use futures_util::future::join_all;
use parking_lot::Mutex;

use super::bus::Bus;
use super::error::BusError;
use super::name::rule_key;
use super::shared::Shared;
use super::store::Order;
use crate::upstream::ControlLink;

/// The most buses that are in use at once. Where there are as many, those go that nothing happens on.
const MOST_BUSES: usize = 10_000;
/// The most of these that clients of one address may keep busy.
const MOST_OF_ADDRESS: usize = 5_000;
/// So many go at once, so that they need not be looked for each time.
const FORGOTTEN_AT_ONCE: usize = 1_000;
/// A bus that nothing happened on for so many lives of a worker is forgotten here.
const IDLE: u32 = 2;
/// How long stopping waits for what is still to be told to the backing.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// The buses.
pub struct Hub {
    pub(super) shared: Arc<Shared>,
    buses: DashMap<String, Arc<Bus>>,
    /// Held by whoever adds a bus: how many there may be is looked at over all of them.
    adding: Mutex<()>,
    started: AtomicBool,
}

/// Sees to it that there is a place for one more bus, which a client of this address has named first.
fn make_room(buses: &DashMap<String, Arc<Bus>>, peer: Option<IpAddr>) -> Result<(), BusError> {
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
        return Err(BusError::TooManyBuses(MOST_BUSES));
    }
    if is_enough() {
        return Err(BusError::TooManyBusesOfAddress(MOST_OF_ADDRESS));
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
            shared: Shared::new(link, worker_ttl),
            buses: DashMap::new(),
            adding: Mutex::default(),
            started: AtomicBool::new(false),
        })
    }

    /// True for the first who asks: he has listening and tending begin.
    pub(super) fn begins(&self) -> bool {
        !self.started.swap(true, Ordering::AcqRel)
    }

    /// Changes how long a worker is alive after it was heard of.
    pub fn set_worker_ttl(&self, ttl: Duration) {
        self.shared.set_worker_ttl(ttl);
    }

    /// Waits, for a moment, until what clients left behind has been told to the backing.
    pub async fn close(&self) {
        let end = Instant::now() + CLOSE_WAIT;
        self.shared.stop_listening(end).await;
        // Nobody need ask this Respite any more before a registry changes.
        self.set_hints(false);
        let buses = self.buses();
        let used = buses.iter().filter(|bus| bus.lease.is_wanted());
        let leases = join_all(used.map(|bus| bus.end_own_lease()));
        let _ = tokio::time::timeout(CLOSE_WAIT, leases).await;
        while self.shared.is_busy() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
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
    ) -> Result<Arc<Bus>, BusError> {
        let bus = match self.used_bus(name) {
            Some(bus) => bus,
            None => self.add(name, peer)?,
        };
        bus.note_use();
        Ok(bus)
    }

    fn add(self: &Arc<Self>, name: &str, peer: Option<IpAddr>) -> Result<Arc<Bus>, BusError> {
        let _adding = self.adding.lock();
        if let Some(bus) = self.used_bus(name) {
            return Ok(bus);
        }
        make_room(&self.buses, peer)?;
        let bus = Bus::new(Arc::clone(&self.shared), name, peer);
        self.buses.insert(name.to_owned(), Arc::clone(&bus));
        Ok(bus)
    }

    /// A bus that is in use here.
    pub(super) fn used_bus(&self, name: &str) -> Option<Arc<Bus>> {
        self.buses.get(name).map(|bus| Arc::clone(&bus))
    }

    /// A bus by its name for one look at it, which does not make it one in use.
    pub(super) fn looked_at(self: &Arc<Self>, name: &str) -> Arc<Bus> {
        let used = self.used_bus(name);
        used.unwrap_or_else(|| Bus::new(Arc::clone(&self.shared), name, None))
    }

    /// The buses in use; those that nothing happens on are forgotten.
    pub(super) fn used_buses(&self) -> Vec<Arc<Bus>> {
        let idle = self.shared.worker_ttl() * IDLE;
        // One that somebody still has (a command, or a call that a worker holds) must not come to be twice.
        self.buses
            .retain(|_, bus| Arc::strong_count(bus) > 1 || !bus.is_idle(idle));
        self.buses()
    }

    /// The buses in use, and those that nothing happens on and that are not forgotten yet.
    pub(super) fn buses(&self) -> Vec<Arc<Bus>> {
        self.buses.iter().map(|bus| Arc::clone(&bus)).collect()
    }

    /// Says whether hints come now.
    pub(super) fn set_hints(&self, come: bool) {
        self.shared.set_hears(come);
        if !come {
            for bus in self.buses() {
                bus.let_go();
            }
        }
    }

    /// A client is gone: what it held is lost.
    pub(super) fn client_gone(&self, client: u64) {
        for name in self.shared.forget_holder(client) {
            let Some(bus) = self.used_bus(&name) else {
                continue;
            };
            let calls = bus.held.lock().remove_client(client);
            let kept = calls
                .into_iter()
                .filter(|(id, held)| !bus.lose(id, &held.token, &held.worker));
            let orders = kept.map(|(id, held)| Order::lost(&id, &held.token, false));
            bus.submit_from_anywhere(orders.collect());
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
        Hub::new(ControlLink::new(backing, second, second), second)
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
        assert_eq!(refused, BusError::TooManyBusesOfAddress(MOST_OF_ADDRESS));
        hub.bus("busy-0", one).expect("it is there");
        hub.bus("more", other).expect("a place of its own");
        assert_eq!(busy.len(), MOST_OF_ADDRESS);
    }
}
