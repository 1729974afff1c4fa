//! What all buses of this Respite share: the way to the backing, numbers, tasks, and whether others can be heard.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::counters::KeptCounts;
use super::fetch::WorkerTtl;
use super::store::Store;
use crate::tasks::{self, Kind};
use crate::upstream::ControlLink;

/// How long the first commands wait until hints can come; without them the bus works too, only slower.
const HINTS_WAIT: Duration = Duration::from_secs(1);

/// Those who wait for an answer, by the id of the call or of the question: the bus that it is about, and they.
pub(super) type Asked = HashMap<String, (String, Vec<oneshot::Sender<()>>)>;

/// What the buses share.
pub(super) struct Shared {
    pub(super) store: Store,
    /// How long a worker is alive after it was heard of.
    worker_ttl: Arc<WorkerTtl>,
    /// What was counted since the start, for metrics.
    pub(super) counts: KeptCounts,
    /// Where work goes on that no client waits for.
    control: Handle,
    /// Whether hints come; none until the first attempt to listen has ended.
    hints: watch::Sender<Option<bool>>,
    /// Whether this Respite stops, and has heard all that others said to it.
    ending: watch::Sender<Ending>,
    next_number: AtomicU64,
    /// The frames that were sealed for other Respites.
    next_frame: AtomicU64,
    /// Tasks of [`Shared::spawn`] that have not ended.
    pending: AtomicUsize,
    /// Those who wait until another Respite has a direct call kept in the backing.
    pub(super) asked: Mutex<Asked>,
    /// The buses whose calls each client may hold.
    holders: Mutex<HashMap<u64, HashSet<String>>>,
    born: Instant,
}

/// How far listening is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Wanted,
    Over,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Must be called on the runtime of the control plane, where its tasks run.
    pub(super) fn new(link: Arc<ControlLink>, worker_ttl: Duration) -> Arc<Self> {
        Arc::new(Shared {
            store: Store::new(link),
            worker_ttl: WorkerTtl::new(worker_ttl),
            counts: KeptCounts::default(),
            control: Handle::current(),
            hints: watch::Sender::new(None),
            ending: watch::Sender::new(Ending::No),
            next_number: AtomicU64::new(0),
            next_frame: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
            asked: Mutex::default(),
            holders: Mutex::default(),
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
    pub(super) fn set_worker_ttl(&self, ttl: Duration) {
        self.worker_ttl.set(ttl);
    }

    /// A client holds calls of a bus.
    pub(super) fn note_holder(&self, client: u64, bus: &str) {
        let mut holders = self.holders.lock();
        let buses = holders.entry(client).or_default();
        if !buses.contains(bus) {
            buses.insert(bus.to_owned());
        }
    }

    /// The buses whose calls a client may have held.
    pub(super) fn forget_holder(&self, client: u64) -> HashSet<String> {
        self.holders.lock().remove(&client).unwrap_or_default()
    }

    /// Whether tasks of [`Shared::spawn`] run.
    pub(super) fn is_busy(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    /// Has a task go on for ever.
    pub(super) fn keep<T>(&self, task: impl Fn() -> T + Send + 'static)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        self.control.spawn(tasks::keep(Kind::Bus, task));
    }

    /// Has the others know that nobody hears them any more, and hears what they said before.
    pub(super) async fn stop_listening(&self, end: Instant) {
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
        struct Pending(Arc<Shared>);
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
    pub(super) fn set_hears(&self, hears: bool) {
        self.hints.send_replace(Some(hears));
    }

    /// Whether hints come now.
    pub(super) fn hears(&self) -> bool {
        *self.hints.borrow() == Some(true)
    }
}
