//! One bus as this Respite sees it: what waits here, and the ways to the backing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::Value;

use super::arguments::MOST_PATTERNS;
use super::direct::DirectCalls;
use super::hub::Hub;
use super::lane::Lane;
use super::name::key_prefix;
use super::order::Order;
use super::registry::{MOST_METHODS, Registry, any_matches};
use super::slot::{Park, Parked, Slot};
use super::store::{Failure, Task};
use super::tally::Tally;
use super::waiting::{Outcome, Waiting};
use crate::resp::write_command;

/// A worker is noted as heard of so often for each time that it stays alive.
const TOUCHES: u32 = 30;
/// No more workers are remembered than that; all are noted again then.
const MOST_TOUCHED: usize = 10_000;
/// No more of them are looked at for one that serves a method.
const MOST_LOOKED_AT: usize = 64;
/// Counters are written when there are so many words of them.
const MOST_COUNTED: usize = 10_000;

/// A bus.
pub(super) struct Bus {
    pub(super) name: String,
    /// The key of the registry, which the others are derived from.
    key: String,
    /// The key of the states of its methods.
    states: String,
    pub(super) hub: Arc<Hub>,
    pub(super) parked: Mutex<Parked>,
    pub(super) waiting: Mutex<Waiting>,
    /// Locked after `parked` if both are.
    pub(super) direct: Mutex<DirectCalls>,
    registry: Mutex<Arc<Registry>>,
    lanes: Mutex<HashMap<ThreadId, Arc<Lane>>>,
    tallies: Mutex<HashMap<String, Tally>>,
    /// A worker that was alive, by method.
    candidates: Mutex<HashMap<String, String>>,
    /// The workers that were alive when a call found none that it knew.
    workers: Mutex<Arc<Vec<Worker>>>,
    touched: Mutex<HashMap<String, Touched>>,
    /// Whether the calls that wait here are before those of the backing.
    turn: AtomicBool,
    /// Whether no other Respite had workers that wait, when it was looked at last.
    alone: AtomicBool,
    /// What is to be told with the next orders: callers have their outcome, workers are lost.
    pub(super) taken: Mutex<Vec<Order>>,
    /// When it was used last, and when it is to be tended next, in milliseconds of the hub's life.
    used: AtomicU64,
    pub(super) due: AtomicU64,
    /// When all that waits was looked at last.
    pub(super) tended: AtomicU64,
}

/// A worker and what it serves.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) patterns: Vec<String>,
}

/// What a worker serves, as it was noted last. Its connections may each want something else.
#[derive(Debug)]
struct Touched {
    at: Instant,
    noted: Vec<String>,
    /// What it asked for since: that is what is noted next.
    seen: Vec<String>,
    /// A fetch that found nothing since.
    quiet: Option<Quiet>,
}

/// A fetch that found nothing in the backing.
#[derive(Debug)]
struct Quiet {
    patterns: Vec<String>,
    /// The registry that it knew, and the news.
    stamp: String,
    news: u64,
}

impl Touched {
    /// Adds what a fetch asks for; true when it has to be noted.
    fn ask(&mut self, patterns: &[String], now: Instant, every: Duration) -> bool {
        join(&mut self.seen, patterns);
        let is_due = now.duration_since(self.at) >= every;
        if is_due {
            self.at = now;
            self.noted = std::mem::replace(&mut self.seen, patterns.to_vec());
        }
        join(&mut self.noted, patterns) || is_due
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Bus {
    pub(super) fn new(hub: Arc<Hub>, name: &str) -> Arc<Self> {
        Arc::new(Bus {
            name: name.to_owned(),
            key: key_prefix(name) + "m",
            states: key_prefix(name) + "g",
            hub,
            parked: Mutex::default(),
            waiting: Mutex::default(),
            direct: Mutex::default(),
            registry: Mutex::default(),
            lanes: Mutex::default(),
            tallies: Mutex::default(),
            candidates: Mutex::default(),
            workers: Mutex::default(),
            touched: Mutex::default(),
            turn: AtomicBool::new(false),
            alone: AtomicBool::new(false),
            taken: Mutex::default(),
            used: AtomicU64::new(0),
            due: AtomicU64::new(0),
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
            tokio::spawn(super::lane::work(Arc::clone(self), lane));
        }
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

    /// The state of the registry, as it is in the backing.
    pub(super) async fn stamp(&self) -> Result<String, Failure> {
        self.hub.store.stamp(&self.states).await
    }

    // === workers ===

    /// Other Respites have workers that wait, so many.
    pub(super) fn note_others(&self, count: i64) {
        self.alone.store(count == 0, Ordering::Relaxed);
    }

    /// Whether a call may wait here for a worker, as no other Respite has one for it and this one has.
    pub(super) fn may_wait_here(&self, method: &str) -> bool {
        self.alone.load(Ordering::Relaxed) && self.hub.hears() && self.is_served_here(method)
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

    /// The patterns to be noted with a worker's fetch: empty when it was noted a moment ago.
    pub(super) fn touch(&self, worker: &str, patterns: &[String]) -> Vec<u8> {
        let (now, every) = (Instant::now(), self.hub.worker_ttl / TOUCHES);
        let mut touched = self.touched.lock();
        let Some(known) = touched.get_mut(worker) else {
            remember(&mut touched, worker, patterns, now);
            return write_patterns(patterns);
        };
        if known.ask(patterns, now, every) {
            return write_patterns(&known.noted);
        }
        Vec::new()
    }

    /// A worker that waits here is noted with all that it waits for.
    pub(super) fn note_waiting(&self, worker: &str, patterns: &[String]) {
        remember(&mut self.touched.lock(), worker, patterns, Instant::now());
    }

    /// What was noted before is to be noted again.
    pub(super) fn forget_touched(&self, before: Instant) {
        self.touched
            .lock()
            .retain(|_, touched| touched.at >= before);
    }

    /// How long a worker is alive after it was noted: what is not noted at once counts as well.
    pub(super) fn worker_ms(&self) -> u64 {
        let ttl = self.hub.worker_ttl;
        u64::try_from((ttl + ttl / TOUCHES).as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    // === fetches ===

    /// Looks for calls: here and in the backing, which is left out if it was just seen to have none. Where both
    /// have calls, they take turns.
    pub(super) fn look_for_calls(self: &Arc<Self>, slot: &Arc<Slot>) {
        let here = self.turn.swap(false, Ordering::Relaxed)
            && self.direct.lock().first_wanted(&slot.patterns) == Some(0);
        if let Some(calls) = here.then(|| self.take_direct(slot)).flatten() {
            return slot.give(Ok(calls));
        }
        match self.quiet(slot) {
            Some(news) => self.park(Arc::clone(slot), news),
            None => self.submit(Order::fetch(Arc::clone(slot))),
        }
    }

    /// A fetch got calls of the backing.
    pub(super) fn note_stored(&self, slot: &Slot) {
        self.turn.store(true, Ordering::Relaxed);
        if let Some(known) = self.touched.lock().get_mut(&slot.worker) {
            known.quiet = None;
        }
    }

    /// The news at the time when such a fetch found nothing, if that was a moment ago.
    fn quiet(&self, slot: &Slot) -> Option<u64> {
        if !self.hub.hears() {
            return None;
        }
        let stamp = self.registry().stamp.clone();
        let touched = self.touched.lock();
        let known = touched.get(&slot.worker)?;
        let quiet = known.quiet.as_ref()?;
        let holds = known.at.elapsed() < self.hub.worker_ttl / TOUCHES
            && quiet.patterns == slot.patterns
            && (!slot.globs || quiet.stamp == stamp);
        holds.then_some(quiet.news)
    }

    /// A fetch found nothing in the backing, whose news were these when it was asked.
    pub(super) fn note_quiet(&self, slot: &Slot, stamp: String, news: u64) {
        if let Some(known) = self.touched.lock().get_mut(&slot.worker) {
            known.quiet = Some(Quiet {
                patterns: slot.patterns.clone(),
                stamp,
                news,
            });
        }
    }

    /// Whether a worker that fetches here serves a method, as far as a look at a few tells.
    pub(super) fn is_served_here(&self, method: &str) -> bool {
        let candidate = self.candidate(method);
        let touched = self.touched.lock();
        let serves = |known: &Touched| {
            known.at.elapsed() < self.hub.worker_ttl && any_matches(&known.noted, method)
        };
        if touched.get(&candidate).is_some_and(serves) {
            return true;
        }
        let found = touched.iter().take(MOST_LOOKED_AT);
        let found = found
            .filter(|(_, known)| serves(known))
            .map(|(name, _)| name.clone())
            .next();
        drop(touched);
        let served = found.is_some();
        if let Some(worker) = found {
            self.candidates.lock().insert(method.to_owned(), worker);
        }
        served
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
        let outcome = parked.park(slot, seen);
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
        let mut tallies = self.tallies.lock();
        if let Some(tally) = tallies.get_mut(method) {
            return count(tally);
        }
        if tallies.len() < MOST_METHODS * 2 {
            count(tallies.entry(method.to_owned()).or_default());
        }
    }

    /// Adds what was counted here to the counters in the backing.
    pub(super) async fn flush_tallies(&self) -> Result<(), Failure> {
        let tallies = std::mem::take(&mut *self.tallies.lock());
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
        !self.tallies.lock().is_empty()
    }

    // === life ===

    pub(super) fn note_use(&self) {
        self.used.store(self.hub.age_ms(), Ordering::Relaxed);
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
        Duration::from_millis(since) > for_long
            && self.parked.lock().is_empty()
            && self.waiting.lock().is_empty()
            && self.direct.lock().is_empty()
            && self.taken.lock().is_empty()
            && !self.has_tallies()
    }
}

fn remember(
    touched: &mut HashMap<String, Touched>,
    worker: &str,
    patterns: &[String],
    at: Instant,
) {
    if touched.len() >= MOST_TOUCHED {
        touched.clear();
    }
    let (noted, seen) = (patterns.to_vec(), patterns.to_vec());
    let quiet = None;
    touched.insert(
        worker.to_owned(),
        Touched {
            at,
            noted,
            seen,
            quiet,
        },
    );
}

/// Adds what is not there yet; true if there was any.
pub(super) fn join(all: &mut Vec<String>, more: &[String]) -> bool {
    let before = all.len();
    for pattern in more {
        if all.len() < MOST_PATTERNS && !all.contains(pattern) {
            all.push(pattern.clone());
        }
    }
    all.len() > before
}

/// Writes patterns in the one way in which the backing keeps them.
pub(super) fn write_patterns(patterns: &[String]) -> Vec<u8> {
    let words: Vec<&[u8]> = patterns.iter().map(String::as_bytes).collect();
    let mut encoded = Vec::new();
    write_command(&mut encoded, &words);
    encoded
}
