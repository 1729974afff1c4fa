//! One thing that is waited for, and its reads, which all who wait share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::debug;

use super::Watches;
use crate::backoff::Backoff;
use crate::discovery::error::DiscoveryError;
use crate::discovery::model::NodeList;
use crate::tasks::{self, Kind};

/// The waits before a read that failed is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_millis(500);

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::discovery) enum Subject {
    /// The nodes of one service.
    Service(Arc<str>),
    /// Those of all services of the group.
    Group,
}

/// A list of nodes that was read for all who wait.
#[derive(Debug)]
pub(in crate::discovery) struct Snapshot {
    /// The number of the read.
    pub(super) round: u64,
    pub(in crate::discovery) list: NodeList,
    /// The nodes as they go to clients, in RESP2 and RESP3.
    pub(in crate::discovery) encoded: [OnceLock<Vec<u8>>; 2],
}

/// One subject of one group.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) group: Arc<str>,
    pub(super) subject: Subject,
    /// The latest list that differs from the one before: for those who wait for changes.
    changes: watch::Sender<Option<Arc<Snapshot>>>,
    /// How the last read ended: for those who wait for a read.
    rounds: watch::Sender<Round>,
    reading: Mutex<Reading>,
}

/// The read that is under way.
#[derive(Debug, Default)]
struct Reading {
    /// A task reads.
    runs: bool,
    /// The number of the latest read that was begun.
    begun: u64,
    /// A read that must begin yet.
    wanted: u64,
    /// An event tells that what was read is out of date; so it is until a read succeeds.
    stale: bool,
}

#[derive(Debug, Default)]
struct Round {
    number: u64,
    outcome: Option<Result<Arc<Snapshot>, DiscoveryError>>,
}

impl Topic {
    pub(super) fn new(group: Arc<str>, subject: Subject) -> Arc<Self> {
        Arc::new(Topic {
            group,
            subject,
            changes: watch::Sender::default(),
            rounds: watch::Sender::default(),
            reading: Mutex::default(),
        })
    }

    pub(super) fn changes(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.changes.subscribe()
    }

    /// The live nodes of the service, as far as they are known; none for a whole group.
    pub(super) fn live_nodes(&self) -> Option<usize> {
        let Subject::Service(_) = &self.subject else {
            return None;
        };
        let latest = self.changes.borrow().clone();
        let nodes = latest.iter().flat_map(|snapshot| &snapshot.list.nodes);
        Some(nodes.filter(|node| node.live).count())
    }

    /// Waits for a read that begins after this call.
    pub(super) async fn fresh(
        self: &Arc<Self>,
        watches: &Arc<Watches>,
    ) -> Result<Arc<Snapshot>, DiscoveryError> {
        let mut rounds = self.rounds.subscribe();
        let number = self.request(watches, false);
        let read = rounds.wait_for(|round| round.number >= number).await;
        let outcome = read.ok().and_then(|round| round.outcome.clone());
        outcome.unwrap_or(Err(DiscoveryError::Damaged("a read without an outcome")))
    }

    /// Has the topic read again because something has happened.
    pub(super) fn out_of_date(self: &Arc<Self>, watches: &Arc<Watches>) {
        self.request(watches, true);
    }

    /// Asks for a read and returns its number.
    fn request(self: &Arc<Self>, watches: &Arc<Watches>, stale: bool) -> u64 {
        let mut reading = self.reading.lock();
        reading.stale |= stale;
        reading.wanted = reading.begun + 1;
        if !reading.runs {
            reading.runs = true;
            let (topic, own) = (Arc::clone(self), Arc::clone(watches));
            let read = move || Arc::clone(&topic).read(Arc::clone(&own));
            watches.runtime.spawn(tasks::keep(Kind::Discovery, read));
        }
        reading.wanted
    }

    /// Reads for as long as it is wanted.
    async fn read(self: Arc<Self>, watches: Arc<Watches>) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        while let Some(number) = self.begin() {
            let unread = Unread(&self);
            let service = match &self.subject {
                Subject::Service(service) => Some(&**service),
                Subject::Group => None,
            };
            let outcome = watches.store.nodes(&self.group, service).await;
            match &outcome {
                Ok(list) => {
                    backoff.reset();
                    watches.learn(&self.group, list.index);
                }
                Err(error) => {
                    debug!(group = %self.group, "cannot read the nodes: {error}");
                    self.reading.lock().stale = true;
                }
            }
            let failed = outcome.is_err();
            self.publish(number, outcome);
            drop(unread);
            if failed {
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }

    /// The number of the read to begin; none when no read is wanted.
    fn begin(&self) -> Option<u64> {
        let mut reading = self.reading.lock();
        let waited_for = self.changes.receiver_count() > 0;
        if reading.wanted <= reading.begun && !(reading.stale && waited_for) {
            reading.runs = false;
            return None;
        }
        reading.begun += 1;
        reading.stale = false;
        Some(reading.begun)
    }

    fn publish(&self, round: u64, outcome: Result<NodeList, DiscoveryError>) {
        let outcome = outcome.map(|list| {
            Arc::new(Snapshot {
                round,
                list,
                encoded: [const { OnceLock::new() }; 2],
            })
        });
        if let Ok(snapshot) = &outcome {
            self.changes.send_if_modified(|latest| {
                let new = &snapshot.list;
                let differs = latest.as_ref().is_none_or(|latest| {
                    latest.list.changed != new.changed
                        || latest.list.index.is_reset_by(new.index)
                        || !latest.list.index.same_epoch(new.index)
                });
                if differs {
                    *latest = Some(Arc::clone(snapshot));
                }
                differs
            });
        }
        self.rounds.send_replace(Round {
            number: round,
            outcome: Some(outcome),
        });
    }
}

/// A read that has begun. A panic leaves it to the next.
struct Unread<'a>(&'a Topic);

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut reading = self.0.reading.lock();
            reading.wanted = reading.begun + 1;
        }
    }
}
