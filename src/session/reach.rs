//! Opens connections of a client's own to nodes of a cluster: to one that is named, or to the one that has a slot by
//! then.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::client::Session;
use super::pinned::{Opening, Pinned};
use super::pinning::PINNED_NAME;
use super::shared::WorkerStats;
use super::worker::Worker;
use crate::backoff::Backoff;
use crate::resp::Proto;
use crate::upstream::{ConnectOptions, LinkKey, LoginId, NodeId, Place, PooledConn, UpstreamError};

/// How long one node is tried before it is looked again who has the slot.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Where a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// To the master that has this slot when it is opened.
    Slot(u16),
    /// To this node.
    Node(NodeId),
    /// To this node, or to the next one that can be reached.
    Any(NodeId),
}

impl Session {
    /// A connection to where the command at hand goes.
    pub(super) fn reach(&self, place: Place, key: LinkKey) -> Pinned {
        let to = match self.ways.slot {
            Some(slot) => Destination::Slot(slot),
            None => Destination::Any(key.node),
        };
        let mut pinned = Pinned::undecided(place, key);
        pinned.lead(self.ways.slot, false, |place| {
            let good_for = (key.proto, key.login);
            self.worker.reach(to, good_for, place, Duration::ZERO)
        });
        pinned
    }
}

impl Worker {
    /// Opens a connection, or takes one that is open, `after` a while; tries again for as long as requests are sent on.
    pub(super) fn reach(
        self: &Rc<Self>,
        to: Destination,
        (proto, login): (Proto, LoginId),
        place: Option<Place>,
        after: Duration,
    ) -> Opening {
        let worker = Rc::clone(self);
        let limit = worker.settings().limits.pinned;
        let place = place.or_else(|| worker.pool.place(limit));
        Box::pin(async move {
            let mut place = place.ok_or(UpstreamError::NotReady)?;
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            let backing = &worker.shared.backing;
            let mut topologies = backing.watch_topology();
            let end = Instant::now() + worker.settings().timeouts.failover;
            let mut backoff = Backoff::default();
            let mut error = UpstreamError::NoMaster;
            let mut tries = 0;
            loop {
                let topology = topologies.borrow_and_update().clone();
                let node = match to {
                    Destination::Slot(slot) => topology.owner(slot),
                    Destination::Node(node) => Some(node),
                    Destination::Any(first) => {
                        tries += 1;
                        topology.node_after(first, tries - 1)
                    }
                };
                if let Some(node) = node {
                    let key = LinkKey::new(node, backing.first_db(), proto).as_user(login);
                    place = match worker.pool.take(place, key) {
                        Ok(pooled) => return Ok(pooled),
                        Err(place) => place,
                    };
                    let left = end.saturating_duration_since(Instant::now());
                    let options = ConnectOptions {
                        key,
                        name: PINNED_NAME,
                        timeout: left.min(ATTEMPT),
                    };
                    tokio::select! {
                        opened = backing.connect(options) => match opened {
                            Ok(conn) => {
                                WorkerStats::add(&worker.stats().pins_opened, 1);
                                return Ok(PooledConn::new(conn, place));
                            }
                            Err(failure) if !login.is_own() && failure.is_refusal() => {
                                return Err(failure);
                            }
                            Err(failure) => error = failure,
                        },
                        _ = topologies.changed() => continue,
                    }
                }
                backing.doubt();
                let wait = backoff.next();
                if Instant::now() + wait >= end {
                    return Err(error);
                }
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = topologies.changed() => {}
                }
            }
        })
    }
}
