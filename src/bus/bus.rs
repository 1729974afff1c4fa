//! One bus as this Respite sees it: what waits here, and the ways to the backing.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::watch;

use super::counters::Tally;
use super::direct::DirectCalls;
use super::error::BusError;
use super::fetch::{HeldCalls, Parked, TouchedWorkers, Worker};
use super::method::{MOST_METHODS, Method, Registry, any_matches};
use super::name::key_prefix;
use super::outcome::Outcome;
use super::peer::{Outbox, Peers};
use super::shared::Shared;
use super::store::{Lane, Lease, Order, Task, read_registry};
use super::waiting::Waiting;

/// A bus has few threads that count at the same time.
const TALLY_SHARDS: usize = 4;
/// Counters are written when there are so many words of them.
const MOST_COUNTED: usize = 10_000;

/// A bus.
pub(super) struct Bus {
    pub(super) name: String,
    /// The address of the client that named it first.
    pub(super) first_peer: Option<IpAddr>,
    /// The key of the registry, which the others are derived from.
    key: String,
    /// The key of the leases on it.
    leases: String,
    pub(super) shared: Arc<Shared>,
    pub(super) parked: Mutex<Parked>,
    /// What workers hold that fetched here.
    pub(super) held: Mutex<HeldCalls>,
    pub(super) waiting: Mutex<Waiting>,
    /// Locked after `parked` if both are.
    pub(super) direct: Mutex<DirectCalls>,
    registry: Mutex<Arc<Registry>>,
    pub(super) lease: Lease,
    lanes: Mutex<HashMap<ThreadId, Arc<Lane>>>,
    tallies: DashMap<String, Tally>,
    /// Ends when those that were taken last are written.
    writing: Mutex<Option<watch::Receiver<()>>>,
    /// A worker that was alive, by method.
    pub(super) candidates: Mutex<HashMap<String, String>>,
    /// The workers that were alive when a call found none that it knew.
    workers: Mutex<Arc<Vec<Worker>>>,
    pub(super) touched: TouchedWorkers,
    /// Whether the calls that wait here are before those of the backing.
    pub(super) turn: AtomicBool,
    /// How many other Respites had workers that wait, when it was looked at last.
    others: AtomicI64,
    pub(super) peers: Peers,
    /// What other Respites are to be told.
    pub(super) post: Outbox,
    /// What is to be told with the next orders: callers have their outcome, workers are lost.
    pub(super) taken: Mutex<Vec<Order>>,
    /// When it was used last, and when it is to be tended next, in milliseconds of the hub's life.
    used: AtomicU64,
    pub(super) due: AtomicU64,
    /// Whether the backing was told that direct calls wait here.
    pub(super) said_queued: AtomicBool,
    /// When all that waits was looked at last.
    pub(super) tended: AtomicU64,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Bus {
    pub(super) fn new(shared: Arc<Shared>, name: &str, first_peer: Option<IpAddr>) -> Arc<Self> {
        let touched = TouchedWorkers::new(shared.shared_worker_ttl());
        Arc::new(Bus {
            shared,
            touched,
            first_peer,
            name: name.to_owned(),
            key: key_prefix(name) + "m",
            leases: key_prefix(name) + "x",
            parked: Mutex::default(),
            held: Mutex::default(),
            waiting: Mutex::default(),
            direct: Mutex::default(),
            registry: Mutex::default(),
            lease: Lease::default(),
            lanes: Mutex::default(),
            tallies: DashMap::with_shard_amount(TALLY_SHARDS),
            writing: Mutex::default(),
            candidates: Mutex::default(),
            workers: Mutex::default(),
            turn: AtomicBool::new(false),
            others: AtomicI64::new(i64::MAX),
            peers: Peers::default(),
            post: Outbox::default(),
            taken: Mutex::default(),
            used: AtomicU64::new(0),
            due: AtomicU64::new(0),
            said_queued: AtomicBool::new(false),
            tended: AtomicU64::new(0),
        })
    }

    /// Runs a script.
    pub(super) async fn run(&self, task: Task, args: &[&[u8]]) -> Result<Value, BusError> {
        self.shared
            .store
            .run(task, (&self.name, &self.key), args)
            .await
    }

    /// The orders of this thread.
    pub(super) fn lane(&self) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        Arc::clone(lanes.entry(thread::current().id()).or_default())
    }

    // === methods ===

    /// What is known of the methods.
    pub(super) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.lock())
    }

    /// Reads the methods again.
    pub(super) async fn reload(&self) -> Result<Arc<Registry>, BusError> {
        let answer = self.run(Task::Registry, &[]).await?;
        let registry = Arc::new(read_registry(answer));
        *self.registry.lock() = Arc::clone(&registry);
        let mut candidates = self.candidates.lock();
        candidates.retain(|method, _| registry.get(method).is_some());
        Ok(registry)
    }

    /// What is known of the methods, after a first look.
    pub(super) async fn known_registry(&self) -> Result<Arc<Registry>, BusError> {
        let registry = self.registry();
        if registry.stamp.is_empty() {
            return self.reload().await;
        }
        Ok(registry)
    }

    /// The registry changes: no call begins here any more with what was known of it, and those that wait for a
    /// worker go through the backing.
    pub(super) fn let_go(self: &Arc<Self>) {
        let waiting = {
            let mut direct = self.direct.lock();
            self.lease.let_go();
            direct.drain()
        };
        for call in waiting {
            self.begin_anew(&call.number, &call.method, call.origin);
        }
    }

    /// A call that no worker has had goes through the backing: its caller, here or at that Respite, is told.
    pub(super) fn begin_anew(
        self: &Arc<Self>,
        number: &str,
        method: &Method,
        origin: Option<Arc<str>>,
    ) {
        match origin {
            None => self.waiting.lock().forget(number),
            Some(origin) => self.give_back(number, &method.name, &origin),
        }
    }

    /// Removes the leases that end until then; gives how many those were.
    pub(super) async fn end_leases(&self, until: &str) -> Result<i64, BusError> {
        let mut remove = redis::cmd("ZREMRANGEBYSCORE");
        remove.arg(&self.leases).arg("-inf").arg(until);
        self.shared.store.count(&self.leases, &remove).await
    }

    /// Removes the lease of this Respite.
    pub(super) async fn end_own_lease(&self) -> Result<i64, BusError> {
        let mut remove = redis::cmd("ZREM");
        remove.arg(&self.leases).arg(self.shared.store.instance());
        self.shared.store.count(&self.leases, &remove).await
    }

    // === workers ===

    /// Other Respites have workers that wait, so many.
    pub(super) fn note_others(&self, count: i64) {
        self.others.store(count, Ordering::Relaxed);
    }

    /// Other Respites that had workers that wait, when it was looked at last.
    pub(super) fn others(&self) -> i64 {
        self.others.load(Ordering::Relaxed)
    }

    /// Whether a call may wait here for a worker, as no other Respite has one for it and this one has.
    pub(super) fn may_wait_here(&self, method: &str) -> bool {
        self.others() == 0 && self.shared.hears() && self.is_served_here(method)
    }

    /// A worker that may serve a method; empty when none is known.
    pub(super) fn candidate(&self, method: &str) -> String {
        self.candidates
            .lock()
            .get(method)
            .cloned()
            .unwrap_or_default()
    }

    /// Looks for a worker among those that the backing just listed; none: nobody alive serves it.
    pub(super) fn choose_candidate(&self, method: &str) -> Option<String> {
        let workers = Arc::clone(&self.workers.lock());
        let serves = |worker: &&Worker| any_matches(&worker.patterns, method);
        let serving: Vec<&Worker> = workers.iter().filter(serves).collect();
        let chosen = fastrand::choice(serving)?.name.clone();
        self.candidates
            .lock()
            .insert(method.to_owned(), chosen.clone());
        Some(chosen)
    }

    pub(super) fn set_workers(&self, workers: Vec<Worker>) {
        *self.workers.lock() = Arc::new(workers);
    }

    // === outcomes ===

    /// Hands an outcome to all who wait for it here; unless others may ask for it, the backing need not keep
    /// it then.
    pub(super) fn complete(&self, id: &str, outcome: &Outcome, is_theirs: bool) {
        let taken = self.waiting.lock().complete(id, outcome);
        if let Some(taken) = taken.filter(|_| is_theirs) {
            self.taken.lock().push(taken);
        }
    }

    // === counters ===

    pub(super) fn tally(&self, method: &str, count: impl FnOnce(&mut Tally)) {
        if let Some(mut tally) = self.tallies.get_mut(method) {
            return count(&mut tally);
        }
        if self.tallies.len() < MOST_METHODS * 2 {
            count(&mut self.tallies.entry(method.to_owned()).or_default());
        }
    }

    /// Adds what was counted here to the counters in the backing, all of it when this returns.
    pub(super) async fn flush_tallies(&self) -> Result<(), BusError> {
        let (_written, writing) = watch::channel(());
        let before = self.writing.lock().replace(writing);
        if let Some(mut before) = before {
            // Its sender is dropped when that is over, however it ends.
            let _ = before.changed().await;
        }
        let mut tallies = Vec::new();
        self.tallies.retain(|method, tally| {
            tallies.push((method.clone(), std::mem::take(tally)));
            false
        });
        if tallies.is_empty() {
            return Ok(());
        }
        for (method, tally) in &tallies {
            let add = |counts: &mut _| tally.add_to(counts);
            self.shared.counts.add(&self.name, method, add);
        }
        let mut words = Vec::new();
        let mut tallies = tallies.into_iter().peekable();
        while let Some((method, tally)) = tallies.next() {
            tally.write(&method, &mut words);
            if words.len() > MOST_COUNTED || tallies.peek().is_none() {
                let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                self.run(Task::Count, &args).await?;
                words.clear();
            }
        }
        Ok(())
    }

    pub(super) fn has_tallies(&self) -> bool {
        !self.tallies.is_empty()
    }

    // === life ===

    pub(super) fn note_use(&self) {
        self.used.store(self.shared.age_ms(), Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A call will be due so soon: the upkeep comes then.
    pub(super) fn due_in(&self, ms: i64) {
        let at = self
            .shared
            .age_ms()
            .saturating_add(ms.max(0).cast_unsigned());
        self.due.fetch_min(at.saturating_add(1), Ordering::Relaxed);
    }

    /// Whether nothing has happened on it for so long, and nothing waits.
    pub(super) fn is_idle(&self, for_long: Duration) -> bool {
        let since = self
            .shared
            .age_ms()
            .saturating_sub(self.used.load(Ordering::Relaxed));
        Duration::from_millis(since) >= for_long
            && self.parked.lock().is_empty()
            && self.held.lock().is_empty()
            && self.waiting.lock().is_empty()
            && self.direct.lock().is_empty()
            && self.taken.lock().is_empty()
            && !self.has_tallies()
    }
}
