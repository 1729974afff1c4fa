//! Asks each master of a cluster every second whether it is there, on a connection of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::backing::{Backing, ask};
use super::connect::ConnectOptions;
use super::error::UpstreamError;
use super::link_key::LinkKey;
use super::monitor::PING_EVERY;
use super::served::BackingFigures;
use super::topology::NodeId;
use crate::backoff::Backoff;
use crate::resp::Proto;
use crate::tasks::{self, Kind};

/// How long a master may take to answer, or to be connected to.
const LIMIT: Duration = Duration::from_secs(1);

impl Backing {
    /// Notes that a node did not take a request, by what it said.
    pub fn note_redirect(&self, reply: &[u8]) {
        self.served.note_redirect(reply);
    }

    /// The servers behind, in numbers.
    #[must_use]
    pub fn figures(&self) -> BackingFigures {
        let alone = (!self.is_cluster()).then(|| self.is_ready());
        self.served.figures(&self.topology(), alone)
    }

    /// Asks each master of a cluster again and again whether it is there, for ever.
    pub async fn watch_masters(self: Arc<Self>) {
        let mut topologies = self.watch_topology();
        let mut watched: HashMap<NodeId, JoinHandle<()>> = HashMap::new();
        loop {
            let topology = Arc::clone(&topologies.borrow_and_update());
            let ids = topology.nodes().iter().map(|node| node.id);
            let wanted: Vec<NodeId> = ids.filter(|id| topology.has_slots(*id)).collect();
            watched.retain(|node, watching| {
                let stays = wanted.contains(node);
                if !stays {
                    watching.abort();
                    self.served.set(*node, false);
                }
                stays
            });
            for node in wanted {
                watched.entry(node).or_insert_with(|| {
                    let backing = Arc::clone(&self);
                    let watching = move || Arc::clone(&backing).watch_master(node);
                    tokio::spawn(tasks::keep(Kind::Backing, watching))
                });
            }
            if topologies.changed().await.is_err() {
                return;
            }
        }
    }

    async fn watch_master(self: Arc<Self>, node: NodeId) {
        let mut backoff = Backoff::new(Duration::from_millis(50), PING_EVERY);
        loop {
            let Err(_) = self.ask_master(node, &mut backoff).await;
            self.served.set(node, false);
            // Another one may have its slots.
            self.doubt();
            sleep(backoff.next()).await;
        }
    }

    async fn ask_master(
        &self,
        node: NodeId,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, UpstreamError> {
        let options = ConnectOptions {
            key: LinkKey::new(node, 0, Proto::Resp3),
            name: "respite-pulse",
            timeout: LIMIT,
        };
        let mut conn = self.open(options).await?;
        loop {
            let pong = ask(&mut conn, &[b"PING"], LIMIT).await?;
            if pong.starts_with(b"-") {
                return Err(UpstreamError::NotReady);
            }
            self.served.set(node, true);
            backoff.reset();
            sleep(PING_EVERY).await;
        }
    }
}
