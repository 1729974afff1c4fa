//! One instance of a service: where it is, how it does, what it has to do at the moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::header::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::health::Health;
use super::history::{History, Poll};
use crate::config::{Polling, Priority, ServerUrl};

/// The weight of the newest response time in the average: one in eight, as TCP's own estimate.
const EWMA_SHIFT: u32 = 3;

/// An instance. What forwarding reads per request is in atomics; the history of polls has a lock.
#[derive(Debug)]
pub(super) struct Instance {
    /// Never used twice in the life of the process.
    pub(super) id: u64,
    pub(super) url: ServerUrl,
    /// What its `Host` header is when the client gave none.
    pub(super) authority: HeaderValue,
    polling: ArcSwap<Polling>,
    /// Told when it is to be polled now.
    pub(super) poll_now: Notify,
    poller: Mutex<Option<AbortHandle>>,
    health: AtomicU8,
    draining: AtomicBool,
    in_flight: AtomicUsize,
    /// Average time to the first byte of a response, in microseconds; 0 before the first.
    ewma_us: AtomicU64,
    successes: AtomicU64,
    failures: AtomicU64,
    failures_in_row: AtomicU32,
    /// The end of its ejection by [`clock_ms`]; 0 when it was never ejected.
    ejected_until: AtomicU64,
    ejections: AtomicU32,
    history: Mutex<History>,
}

/// A request that an instance has to do. Dropping it ends it.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Instance>);

/// Milliseconds of a clock that never goes back; more than 0.
pub(super) fn clock_ms() -> u64 {
    static BASE: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let base = BASE.get_or_init(Instant::now);
    u64::try_from(base.elapsed().as_millis()).map_or(u64::MAX, |ms| ms + 1)
}

impl Instance {
    pub(super) fn new(url: ServerUrl, polling: Polling) -> Arc<Self> {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let authority = HeaderValue::try_from(url.authority());
        Arc::new(Instance {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            authority: authority.unwrap_or(HeaderValue::from_static("")),
            url,
            polling: ArcSwap::from_pointee(polling),
            poll_now: Notify::new(),
            poller: Mutex::default(),
            health: AtomicU8::new(Health::Unknown.to_bits()),
            draining: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            ewma_us: AtomicU64::new(0),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failures_in_row: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            history: Mutex::default(),
        })
    }

    // === polling ===

    pub(super) fn priority(&self) -> Priority {
        self.polling.load().priority
    }

    pub(super) fn polling(&self) -> Arc<Polling> {
        self.polling.load_full()
    }

    /// Polls by these rules from now on; what is known stays.
    pub(super) fn set_polling(&self, polling: Polling) {
        if **self.polling.load() != polling {
            self.polling.store(Arc::new(polling));
            self.poll_now.notify_one();
        }
    }

    /// Keeps the task that polls it, to be ended with it.
    pub(super) fn set_poller(&self, task: AbortHandle) {
        *self.poller.lock() = Some(task);
    }

    /// Ends its polls: it is not part of its service any more.
    pub(super) fn retire(&self) {
        if let Some(task) = self.poller.lock().take() {
            task.abort();
        }
    }

    pub(super) fn note_poll(&self, poll: Poll) {
        let limit = self.polling.load().packet_limit;
        self.history.lock().push(poll, limit);
    }

    pub(super) fn history<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.history.lock())
    }

    // === state ===

    pub(super) fn health(&self) -> Health {
        Health::from_bits(self.health.load(Ordering::Acquire))
    }

    pub(super) fn set_health(&self, health: Health) {
        if health == Health::Up && self.health() == Health::Recovering {
            self.failures_in_row.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
        }
        self.health.store(health.to_bits(), Ordering::Release);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Whether requests may be sent to it, its ejection aside.
    pub(super) fn is_healthy(&self) -> bool {
        self.health() == Health::Up && !self.is_draining()
    }

    /// What is left of its ejection, in milliseconds.
    pub(super) fn ejected_ms(&self, now: u64) -> u64 {
        self.ejected_until
            .load(Ordering::Relaxed)
            .saturating_sub(now)
    }

    /// Ejects it for `base`, longer when it was ejected not long ago, at most ten times as long.
    pub(super) fn eject(&self, now: u64, base: Duration) -> Duration {
        const MOST: u32 = 10;
        let until = self.ejected_until.load(Ordering::Relaxed);
        let base_ms = u64::try_from(base.as_millis()).unwrap_or(u64::MAX);
        let long_ago = until == 0 || now.saturating_sub(until) > base_ms * u64::from(MOST);
        let before = if long_ago {
            0
        } else {
            self.ejections.load(Ordering::Relaxed)
        };
        let times = (before + 1).min(MOST);
        self.ejections.store(times, Ordering::Relaxed);
        self.failures_in_row.store(0, Ordering::Relaxed);
        let until = now + base_ms * u64::from(times);
        self.ejected_until.store(until, Ordering::Relaxed);
        base * times
    }

    // === requests ===

    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn note_success(&self, took: Duration) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        if self.failures_in_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_row.store(0, Ordering::Relaxed);
        }
        // Two threads at once may lose a sample: it is an average.
        let took = u64::try_from(took.as_micros())
            .unwrap_or(u64::MAX)
            .clamp(1, 1 << 40);
        let old = self.ewma_us.load(Ordering::Relaxed);
        let new = match old {
            0 => took,
            old => old - (old >> EWMA_SHIFT) + (took >> EWMA_SHIFT),
        };
        self.ewma_us.store(new.max(1), Ordering::Relaxed);
    }

    /// Counts a failure; returns how many there were in a row.
    pub(super) fn note_failure(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failures_in_row.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn ewma_ms(&self) -> f64 {
        self.ewma_us.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// The name of its state, for people.
    pub(super) fn state(&self) -> &'static str {
        if self.is_draining() {
            "draining"
        } else {
            self.health().name()
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
