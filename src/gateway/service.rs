//! One service: its instances and what was counted of its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::warn;

use super::balance;
use super::budget::Budget;
use super::health::Health;
use super::instance::{Instance, clock_ms};
use crate::config::{Polling, ServerUrl};

/// How long a request waits for the first poll of instances that are new.
const FIRST_POLL: Duration = Duration::from_secs(1);

/// A service. It stays the same over reloads as long as its name does.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    apis: ArcSwap<Vec<String>>,
    instances: ArcSwap<Vec<Arc<Instance>>>,
    /// One ejection, or one change of the instances, at a time; true once the service is gone.
    changing: Mutex<bool>,
    /// Told when a poll was made.
    pub(super) polled: Notify,
    pub(super) budget: Budget,
    pub(super) counts: Counts,
}

/// What happened to the requests of a service.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    /// Sent again after they were sent once.
    pub(super) retries: AtomicU64,
    /// Sent elsewhere because an instance could not be connected to.
    pub(super) reconnects: AtomicU64,
    /// Answered with 503 because no instance was healthy.
    pub(super) unavailable: AtomicU64,
    /// Answered with 502 or 504.
    pub(super) failed: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Service {
    pub(super) fn new(name: &str) -> Arc<Self> {
        Arc::new(Service {
            name: name.to_owned(),
            apis: ArcSwap::default(),
            instances: ArcSwap::default(),
            changing: Mutex::new(false),
            polled: Notify::new(),
            budget: Budget::default(),
            counts: Counts::default(),
        })
    }

    pub(super) fn apis(&self) -> Arc<Vec<String>> {
        self.apis.load_full()
    }

    pub(super) fn set_apis(&self, apis: &[String]) {
        self.apis.store(Arc::new(apis.to_vec()));
    }

    pub(super) fn instances(&self) -> Arc<Vec<Arc<Instance>>> {
        self.instances.load_full()
    }

    /// The instance at a place, however that is written.
    pub(super) fn instance(&self, url: &ServerUrl) -> Option<Arc<Instance>> {
        let instances = self.instances.load();
        instances.iter().find(|other| other.url == *url).cloned()
    }

    /// Makes these its instances. Those that it has already stay as they are, with what is known of
    /// them; `begin` is called for each that is new.
    pub(super) fn set_instances(
        &self,
        wanted: &[(ServerUrl, Polling)],
        mut begin: impl FnMut(&Arc<Instance>),
    ) {
        let gone = self.changing.lock();
        let wanted = if *gone { &[] } else { wanted };
        let old = self.instances.load_full();
        let mut new: Vec<Arc<Instance>> = Vec::with_capacity(wanted.len());
        for (url, polling) in wanted {
            if new.iter().any(|other| other.url == *url) {
                continue;
            }
            let kept = old.iter().find(|other| other.url == *url);
            if let Some(kept) = kept {
                kept.set_polling(polling.clone());
            }
            let instance = kept.map_or_else(
                || {
                    let instance = Instance::new(url.clone(), polling.clone());
                    begin(&instance);
                    instance
                },
                Arc::clone,
            );
            new.push(instance);
        }
        for gone in old
            .iter()
            .filter(|old| !new.iter().any(|new| new.id == old.id))
        {
            gone.retire();
        }
        self.instances.store(Arc::new(new));
        drop(gone);
    }

    /// Takes all instances away, for good: the service is not configured any more.
    pub(super) fn retire(&self) {
        *self.changing.lock() = true;
        self.set_instances(&[], |_| {});
    }

    /// Picks an instance for a request.
    pub(super) fn pick(&self, tried: &[u64]) -> Option<Arc<Instance>> {
        let instances = self.instances.load();
        balance::pick(&instances, tried, clock_ms(), |below| {
            fastrand::usize(..below)
        })
        .cloned()
    }

    /// As [`Service::pick`], for the first time: instances that were never polled are waited for, a
    /// moment, when no other is there.
    pub(super) async fn pick_first(&self) -> Option<Arc<Instance>> {
        if let Some(picked) = self.pick(&[]) {
            return Some(picked);
        }
        let waiting = async {
            loop {
                let polled = self.polled.notified();
                tokio::pin!(polled);
                // From here on no poll is missed.
                polled.as_mut().enable();
                if let Some(picked) = self.pick(&[]) {
                    return Some(picked);
                }
                let hope =
                    |one: &Arc<Instance>| one.health() == Health::Unknown && !one.is_draining();
                if !self.instances.load().iter().any(hope) {
                    return None;
                }
                polled.await;
            }
        };
        tokio::time::timeout(FIRST_POLL, waiting)
            .await
            .ok()
            .flatten()
    }

    /// Counts a failure of an instance, which may eject it.
    pub(super) fn note_failure(&self, instance: &Instance) {
        let in_row = instance.note_failure();
        let changing = self.changing.lock();
        let instances = self.instances.load();
        let ejected = balance::eject(&instances, instance, in_row, clock_ms());
        drop(changing);
        if let Some(length) = ejected {
            warn!(
                "gateway: {} of service {} failed {in_row} times in a row: no requests for {length:?}",
                instance.url, self.name
            );
        }
    }

    /// How many instances can be used, and how many there are.
    pub(super) fn healthy(&self) -> (usize, usize) {
        let instances = self.instances.load();
        let healthy = instances.iter().filter(|one| one.is_healthy()).count();
        (healthy, instances.len())
    }
}
