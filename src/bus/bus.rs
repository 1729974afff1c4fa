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

use super::direct::DirectCalls;
use super::hub::Hub;
use super::lane::Lane;
use super::lease::Lease;
use super::name::key_prefix;
use super::order::{Kind, Order};
use super::registry::{MOST_METHODS, Registry, any_matches};
use super::remote::{Peers, Post};
use super::slot::{Park, Parked, Slot};
use super::store::{Failure, Task};
use super::tally::Tally;
use super::touched::TouchedWorkers;
use super::waiting::{Outcome, Waiting};
use crate::tasks::{self, Kind as TaskKind};

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
    pub(super) hub: Arc<Hub>,
    pub(super) parked: Mutex<Parked>,
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
    candidates: Mutex<HashMap<String, String>>,
    /// The workers that were alive when a call found none that it knew.
    workers: Mutex<Arc<Vec<Worker>>>,
    pub(super) touched: TouchedWorkers,
    /// Whether the calls that wait here are before those of the backing.
    turn: AtomicBool,
    /// How many other Respites had workers that wait, when it was looked at last.
    others: AtomicI64,
    pub(super) peers: Peers,
    /// What other Respites are to be told.
    pub(super) post: Post,
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

/// A worker and what it serves.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) patterns: Vec<String>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Bus {
    pub(super) fn new(hub: Arc<Hub>, name: &str, first_peer: Option<IpAddr>) -> Arc<Self> {
        let touched = TouchedWorkers::new(hub.shared_worker_ttl());
        Arc::new(Bus {
            hub,
            touched,
            first_peer,
            name: name.to_owned(),
            key: key_prefix(name) + "m",
            leases: key_prefix(name) + "x",
            parked: Mutex::default(),
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
            post: Post::default(),
            taken: Mutex::default(),
            used: AtomicU64::new(0),
            due: AtomicU64::new(0),
            said_queued: AtomicBool::new(false),
            tended: AtomicU64::new(0),
        })
    }

    /// Runs a script.
    pub(super) async fn run(&self, task: Task, args: &[&[u8]]) -> Result<Value, Failure> {
        self.hub
            .store
            .run(task, (&self.name, &self.key), args)
            .await
    }

    // === orders ===

    /// Sends an order with the next ones of this thread. Needs a runtime.
    pub(super) fn submit(self: &Arc<Self>, order: Order) {
        let lane = self.lane();
        if lane.push(order) {
            let bus = Arc::clone(self);
            tokio::spawn(tasks::keep(TaskKind::Bus, move || {
                super::lane::work(Arc::clone(&bus), Arc::clone(&lane))
            }));
        }
    }

    /// Sends an order and waits for its answer.
    pub(super) async fn ask(
        self: &Arc<Self>,
        kind: Kind,
        words: Vec<Vec<u8>>,
    ) -> Result<Value, Failure> {
        let (order, answer) = Order::asked(kind, words);
        self.submit(order);
        let unasked = || Err(Failure("ERR the bus was not asked".to_owned()));
        answer.await.unwrap_or_else(|_| unasked())
    }

    /// As [`Bus::submit`], from where there may be no runtime, or one that is about to end.
    pub(super) fn submit_from_anywhere(self: &Arc<Self>, orders: Vec<Order>) {
        if orders.is_empty() {
            return;
        }
        let bus = Arc::clone(self);
        self.hub.spawn(async move {
            let lane = Arc::new(Lane::default());
            for order in orders {
                lane.push(order);
            }
            super::lane::work(bus, lane).await;
        });
    }

    fn lane(&self) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        Arc::clone(lanes.entry(thread::current().id()).or_default())
    }

    // === methods ===

    /// What is known of the methods.
    pub(super) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.lock())
    }

    /// Reads the methods again.
    pub(super) async fn reload(&self) -> Result<Arc<Registry>, Failure> {
        let answer = self.run(Task::Registry, &[]).await?;
        let registry = Arc::new(Registry::read(answer));
        *self.registry.lock() = Arc::clone(&registry);
        let mut candidates = self.candidates.lock();
        candidates.retain(|method, _| registry.get(method).is_some());
        Ok(registry)
    }

    /// What is known of the methods, after a first look.
    pub(super) async fn known_registry(&self) -> Result<Arc<Registry>, Failure> {
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
            match call.origin {
                None => self.waiting.lock().forget(&call.number),
                Some((method, origin)) => self.give_back(&call.number, &method.name, &origin),
            }
        }
    }

    /// Removes the leases that end until then; gives how many those were.
    pub(super) async fn end_leases(&self, until: &str) -> Result<i64, Failure> {
        let mut remove = redis::cmd("ZREMRANGEBYSCORE");
        remove.arg(&self.leases).arg("-inf").arg(until);
        self.hub.store.count(&self.leases, &remove).await
    }

    /// Removes the lease of this Respite.
    pub(super) async fn end_own_lease(&self) -> Result<i64, Failure> {
        let mut remove = redis::cmd("ZREM");
        remove.arg(&self.leases).arg(self.hub.store.instance());
        self.hub.store.count(&self.leases, &remove).await
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
        self.others() == 0 && self.hub.hears() && self.is_served_here(method)
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

    // === fetches ===

    /// Looks for calls: here and in the backing, which is left out if it was just seen to have none. Where both
    /// have calls, they take turns.
    pub(super) fn look_for_calls(self: &Arc<Self>, slot: &Arc<Slot>) {
        let first = self.direct.lock().first_wanted(&slot.patterns);
        if let Some(first) = first
            && self.turn.swap(false, Ordering::Relaxed)
        {
            // What the backing has for earlier patterns is before them all the same.
            slot.yields.store(first > 0, Ordering::Relaxed);
            if first == 0
                && let Some(calls) = self.take_direct(slot)
            {
                return slot.give(Ok(calls));
            }
        }
        match self.quiet(slot) {
            Some(news) => self.park(Arc::clone(slot), news),
            None => self.submit(Order::fetch(Arc::clone(slot))),
        }
    }

    /// A fetch got calls of the backing.
    pub(super) fn note_stored(&self, slot: &Slot) {
        self.turn.store(true, Ordering::Relaxed);
        self.touched.note_stored(slot);
    }

    /// The news at the time when such a fetch found nothing, if that was a moment ago and hints come since.
    fn quiet(&self, slot: &Slot) -> Option<u64> {
        let quiet = self.touched.quiet(slot, &self.registry().stamp);
        quiet.filter(|_| self.hub.hears())
    }

    /// Whether a worker that fetches here serves a method.
    pub(super) fn is_served_here(&self, method: &str) -> bool {
        let candidate = self.candidate(method);
        let serving = self.touched.serving(method, &candidate);
        match serving {
            Some(worker) if worker != candidate => {
                self.candidates.lock().insert(method.to_owned(), worker);
                true
            }
            serving => serving.is_some(),
        }
    }

    /// A fetch found nothing in the backing, when its news were these.
    pub(super) fn park(self: &Arc<Self>, slot: Arc<Slot>, seen: u64) {
        let mut parked = self.parked.lock();
        if !parked.concern(&slot, seen)
            && let Some(calls) = self.take_direct(&slot)
        {
            drop(parked);
            return slot.give(Ok(calls));
        }
        let again = Arc::clone(&slot);
        // The call for whose sake it was asked for less has gone meanwhile.
        let outcome = if slot.limited.swap(false, Ordering::Relaxed) && !slot.is_closing() {
            Park::Again
        } else {
            parked.park(slot, seen)
        };
        drop(parked);
        if outcome == Park::Again {
            self.submit(Order::fetch(again));
        }
    }

    /// Calls were queued for a method: wakes as many fetches as can have one.
    pub(super) fn news(self: &Arc<Self>, method: &str, count: usize) {
        let slots = {
            let mut parked = self.parked.lock();
            parked.note(method);
            parked.trim(MOST_METHODS * 2);
            parked.take(method, count)
        };
        for slot in slots {
            self.submit(Order::fetch(slot));
        }
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
    pub(super) async fn flush_tallies(&self) -> Result<(), Failure> {
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
            self.hub.counts.add(&self.name, method, tally);
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
        self.used.store(self.hub.age_ms(), Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A call will be due so soon: the upkeep comes then.
    pub(super) fn due_in(&self, ms: i64) {
        let at = self.hub.age_ms().saturating_add(ms.max(0).cast_unsigned());
        self.due.fetch_min(at.saturating_add(1), Ordering::Relaxed);
    }

    /// Whether nothing has happened on it for so long, and nothing waits.
    pub(super) fn is_idle(&self, for_long: Duration) -> bool {
        let since = self
            .hub
            .age_ms()
            .saturating_sub(self.used.load(Ordering::Relaxed));
        Duration::from_millis(since) >= for_long
            && self.parked.lock().is_empty()
            && self.waiting.lock().is_empty()
            && self.direct.lock().is_empty()
            && self.taken.lock().is_empty()
            && !self.has_tallies()
    }
}
