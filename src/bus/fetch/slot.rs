//! Fetches: each a slot that calls are put into, parked while there are none.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::bus::error::BusError;
use crate::bus::method::{Body, Registry, any_matches};
use crate::bus::name::is_literal;

/// A worker that wants calls.
#[derive(Debug)]
pub(in crate::bus) struct Slot {
    pub(in crate::bus) worker: String,
    pub(in crate::bus) patterns: Vec<String>,
    pub(in crate::bus) count: usize,
    /// Whether a pattern needs the registry.
    pub(in crate::bus) globs: bool,
    tx: Mutex<Option<oneshot::Sender<Result<Delivery, BusError>>>>,
    /// The fetch's time is up.
    closing: AtomicBool,
    /// It has waited before: a failure is not the end then.
    pub(in crate::bus) waited: AtomicBool,
    /// It was asked for less than its patterns, as a call waits for it here.
    pub(in crate::bus) limited: AtomicBool,
    /// It is the turn of the calls that wait here.
    pub(in crate::bus) yields: AtomicBool,
    /// What the patterns match, for a state of the registry.
    methods: Mutex<(String, Arc<Vec<String>>)>,
}

/// A call on its way to a worker.
#[derive(Debug, Clone, Default)]
pub(in crate::bus) struct Delivered {
    pub(in crate::bus) id: String,
    pub(in crate::bus) method: String,
    pub(in crate::bus) deadline_ms: i64,
    pub(in crate::bus) attempt: i64,
    pub(in crate::bus) body: Body,
    /// Negative when it was delivered before.
    pub(in crate::bus) queued_us: i64,
    pub(in crate::bus) token: String,
    pub(in crate::bus) visibility_ms: i64,
}

/// Where calls come from that are on their way to a worker.
pub(in crate::bus) trait TakesBack: fmt::Debug + Send + Sync {
    /// Has calls delivered again that no worker has seen.
    fn take_back(self: Arc<Self>, calls: Vec<Delivered>);
}

/// Calls that were fetched. Dropped before a worker got them, they go back into their queue.
#[derive(Debug)]
pub(in crate::bus) struct Delivery {
    from: Arc<dyn TakesBack>,
    calls: Vec<Delivered>,
}

/// The fetches that wait, and the news that may concern them.
#[derive(Debug, Default)]
pub(in crate::bus) struct Parked {
    slots: VecDeque<Arc<Slot>>,
    /// Counts what was queued.
    news: u64,
    /// When something was queued for a method, by that count.
    last: HashMap<String, u64>,
}

/// What became of a fetch that found nothing.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) enum Park {
    Waits,
    /// Something was queued meanwhile.
    Again,
    Over,
}

impl Slot {
    pub(in crate::bus) fn new(
        worker: String,
        patterns: Vec<String>,
        count: usize,
    ) -> (Arc<Self>, oneshot::Receiver<Result<Delivery, BusError>>) {
        let (tx, rx) = oneshot::channel();
        let globs = patterns.iter().any(|pattern| !is_literal(pattern));
        let slot = Slot {
            worker,
            patterns,
            count,
            globs,
            tx: Mutex::new(Some(tx)),
            closing: AtomicBool::new(false),
            waited: AtomicBool::new(false),
            limited: AtomicBool::new(false),
            yields: AtomicBool::new(false),
            methods: Mutex::default(),
        };
        (Arc::new(slot), rx)
    }

    /// Whether nobody wants the calls any more.
    pub(in crate::bus) fn is_closed(&self) -> bool {
        self.tx
            .lock()
            .as_ref()
            .is_none_or(oneshot::Sender::is_closed)
    }

    /// Whether its time is up, or nobody wants the calls.
    pub(in crate::bus) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire) || self.is_closed()
    }

    /// Ends the fetch; dropping what it cannot take puts calls back.
    pub(in crate::bus) fn give(&self, result: Result<Delivery, BusError>) {
        if let Some(tx) = self.tx.lock().take() {
            // The worker has gone: what is handed back puts itself back.
            drop(tx.send(result));
        }
    }

    /// What the patterns match, in their order.
    pub(in crate::bus) fn methods(&self, registry: &Registry) -> Arc<Vec<String>> {
        let mut methods = self.methods.lock();
        if methods.1.is_empty() || (self.globs && methods.0 != registry.stamp) {
            *methods = (
                registry.stamp.clone(),
                Arc::new(registry.matching(&self.patterns)),
            );
        }
        Arc::clone(&methods.1)
    }
}

impl Parked {
    /// Parks a fetch that found nothing, unless something came since `seen`.
    pub(in crate::bus) fn park(&mut self, slot: Arc<Slot>, seen: u64) -> Park {
        if slot.is_closing() {
            slot.tx.lock().take();
            return Park::Over;
        }
        if self.concern(&slot, seen) {
            return Park::Again;
        }
        slot.waited.store(true, Ordering::Relaxed);
        self.slots.push_back(slot);
        Park::Waits
    }

    /// Whether something was queued for a fetch since `seen`.
    pub(in crate::bus) fn concern(&self, slot: &Slot, seen: u64) -> bool {
        let concerns =
            |method: &String, at: &u64| *at > seen && any_matches(&slot.patterns, method);
        self.news > seen && self.last.iter().any(|(method, at)| concerns(method, at))
    }

    pub(in crate::bus) fn news(&self) -> u64 {
        self.news
    }

    /// Notes that calls were queued for a method.
    pub(in crate::bus) fn note(&mut self, method: &str) {
        self.news += 1;
        match self.last.get_mut(method) {
            Some(at) => *at = self.news,
            None => {
                self.last.insert(method.to_owned(), self.news);
            }
        }
    }

    /// Forgets methods that nothing was queued for in a long time.
    pub(in crate::bus) fn trim(&mut self, most: usize) {
        if self.last.len() > most {
            self.last.clear();
        }
    }

    /// Whether a fetch that waits wants this method.
    pub(in crate::bus) fn wants(&self, method: &str) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| any_matches(&slot.patterns, method) && !slot.is_closed())
    }

    /// Takes up to `most` fetches that want this method, the longest waiting first.
    pub(in crate::bus) fn take(&mut self, method: &str, most: usize) -> Vec<Arc<Slot>> {
        let mut taken = Vec::new();
        let mut at = 0;
        while at < self.slots.len() && taken.len() < most {
            if !any_matches(&self.slots[at].patterns, method) {
                at += 1;
            } else if let Some(slot) = self.slots.remove(at)
                && !slot.is_closed()
            {
                taken.push(slot);
            }
        }
        taken
    }

    /// Ends the wait of a fetch; true if it was waiting, so that nothing more comes for it.
    pub(in crate::bus) fn leave(&mut self, slot: &Arc<Slot>) -> bool {
        slot.closing.store(true, Ordering::Release);
        let at = self.slots.iter().position(|other| Arc::ptr_eq(other, slot));
        at.and_then(|at| self.slots.remove(at)).is_some()
    }

    pub(in crate::bus) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(in crate::bus) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(in crate::bus) fn iter(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.slots.iter()
    }
}

impl Delivery {
    /// Calls on their way from whoever takes them back.
    pub(in crate::bus) fn new<T: TakesBack + 'static>(
        from: &Arc<T>,
        calls: Vec<Delivered>,
    ) -> Self {
        let from: Arc<T> = Arc::clone(from);
        Delivery { from, calls }
    }

    pub(in crate::bus) fn calls(&self) -> &[Delivered] {
        &self.calls
    }

    /// The calls are the worker's now.
    pub(in crate::bus) fn accept(mut self) -> Vec<Delivered> {
        std::mem::take(&mut self.calls)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.calls.is_empty() {
            Arc::clone(&self.from).take_back(std::mem::take(&mut self.calls));
        }
    }
}
