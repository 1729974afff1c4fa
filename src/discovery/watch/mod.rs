//! Waiting for changes: many clients, one reader.
//!
//! A [`Topic`] is what somebody waits for, a service or a whole group. All who wait for it share its
//! reads: one script run answers everybody who asked before it began. The tail ([`tail`]) follows
//! the event streams of all groups that have topics with one blocking read (on a cluster by `hints`), and has the topics
//! read again that an event concerns. While nobody waits, nothing here runs.

mod hints;
mod table;
mod tail;
mod topic;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::error::DiscoveryError;
use super::index::Index;
use super::model::NodeList;
use super::store::Store;
use crate::metrics::{self, Exposition};
use crate::tasks::{self, Kind};
use table::Table;
use topic::Topic;
pub(super) use topic::{Snapshot, Subject};

/// Everything that is waited for.
#[derive(Debug)]
pub(super) struct Watches {
    store: Arc<Store>,
    runtime: Handle,
    table: Table,
    /// The tail has to read from other positions than it does.
    moved: Notify,
}

/// What a wait ended with.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) changed: bool,
    pub(super) snapshot: Arc<Snapshot>,
}

/// Follows the nodes of a service. Ends with its drop.
#[derive(Debug)]
pub struct Subscription {
    watches: Arc<Watches>,
    topic: Arc<Topic>,
    changes: watch::Receiver<Option<Arc<Snapshot>>>,
    /// The read that [`Subscription::next`] gave last.
    told: Option<u64>,
}

impl Watches {
    pub(super) fn new(store: Arc<Store>, runtime: Handle) -> Arc<Self> {
        Arc::new(Watches {
            store,
            runtime,
            table: Table::default(),
            moved: Notify::new(),
        })
    }

    /// Begins to wait for something, for a client of this address; none: for Respite itself.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        group: &str,
        subject: Subject,
        peer: Option<IpAddr>,
    ) -> Result<Subscription, DiscoveryError> {
        let (topic, starts) = self.table.subscribe(group, subject, peer)?;
        if starts {
            let watches = Arc::clone(self);
            let follow = move || tail::follow(Arc::clone(&watches));
            self.runtime.spawn(tasks::keep(Kind::Discovery, follow));
        }
        let changes = topic.changes();
        Ok(Subscription {
            watches: Arc::clone(self),
            topic,
            changes,
            told: None,
        })
    }
}

impl Watches {
    /// Writes what is watched here.
    pub(super) fn write_metrics(&self, out: &mut Exposition) {
        let (groups, waiting) = self.table.counts();
        let topics = self.table.all();
        let services: Vec<usize> = topics
            .iter()
            .filter_map(|topic| topic.live_nodes())
            .collect();
        out.value(&metrics::DISCOVERY_GROUPS, groups);
        out.value(&metrics::DISCOVERY_SERVICES, services.len());
        out.value(&metrics::DISCOVERY_NODES, services.iter().sum::<usize>());
        out.value(&metrics::DISCOVERY_WATCHERS, waiting);
    }
}

impl Subscription {
    /// The nodes now, then again each time they have changed; changes in quick succession come as one.
    /// After a loss of the backing's data it goes on with what is there then.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// When the backing cannot be asked for the first list; the next call asks again. Later it waits until
    /// the backing can be asked.
    pub async fn next(&mut self) -> Result<NodeList, DiscoveryError> {
        let Some(told) = self.told else {
            return self.refresh().await;
        };
        let snapshot = self.later_than(told).await?;
        Ok(self.tell(&snapshot))
    }

    /// The nodes now, whether they have changed or not; [`next`](Subscription::next) goes on from there.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// When the backing cannot be asked.
    pub async fn refresh(&mut self) -> Result<NodeList, DiscoveryError> {
        let snapshot = self.fresh().await?;
        Ok(self.tell(&snapshot))
    }

    fn tell(&mut self, snapshot: &Snapshot) -> NodeList {
        self.told = Some(snapshot.round);
        snapshot.list.clone()
    }

    /// The next list that differs, of those that were read after `round`.
    async fn later_than(&mut self, round: u64) -> Result<Arc<Snapshot>, DiscoveryError> {
        loop {
            if self.changes.changed().await.is_err() {
                return Err(DiscoveryError::Damaged("a topic that nobody keeps"));
            }
            let latest = self.changes.borrow_and_update().clone();
            if let Some(snapshot) = latest.filter(|snapshot| snapshot.round > round) {
                return Ok(snapshot);
            }
        }
    }

    /// A read that began after this call.
    pub(super) async fn fresh(&self) -> Result<Arc<Snapshot>, DiscoveryError> {
        // Apart, so that who waits for a change does not keep the room for it.
        Box::pin(self.topic.fresh(&self.watches)).await
    }

    /// Waits until the subject has changed after `seen`.
    pub(super) async fn wait(&mut self, seen: Index) -> Result<Watched, DiscoveryError> {
        let mut snapshot = self.fresh().await?;
        loop {
            if seen.is_reset_by(snapshot.list.index) {
                return Err(DiscoveryError::IndexReset);
            }
            if snapshot.list.changed > seen.revision() {
                let changed = true;
                return Ok(Watched { changed, snapshot });
            }
            // One that was read before this wait began may be from before `seen`.
            snapshot = self.later_than(snapshot.round).await?;
        }
    }

    /// Waits as [`Subscription::wait`] does, until `deadline` at most.
    pub(super) async fn wait_until(
        &mut self,
        seen: Index,
        deadline: Option<Instant>,
    ) -> Result<Watched, DiscoveryError> {
        let Some(deadline) = deadline else {
            return self.wait(seen).await;
        };
        let waited = tokio::time::timeout_at(deadline.into(), self.wait(seen)).await;
        if let Ok(watched) = waited {
            return watched;
        }
        let snapshot = self.fresh().await?;
        if seen.is_reset_by(snapshot.list.index) {
            return Err(DiscoveryError::IndexReset);
        }
        let changed = snapshot.list.changed > seen.revision();
        Ok(Watched { changed, snapshot })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.watches.table.unsubscribe(&self.topic);
    }
}
