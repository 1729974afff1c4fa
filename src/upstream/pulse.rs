//! Asks each master of a cluster every second whether it is there, on a connection of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

use super::backing::Backing;
use super::backing::apart::ask;
use super::connect::ConnectOptions;
use super::error::UpstreamError;
use super::link_key::LinkKey;
use super::monitor::PING_EVERY;
use super::served::BackingFigures;
use super::topology::{NodeId, Topology};
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
                    self.served.forget(*node);
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
        let mut away = Away::default();
        loop {
            let Err(error) = self.ask_master(node, &mut backoff, &mut away).await;
            self.served.set(node, false);
            if !self.is_leaving() {
                away.failed(node, &self.topology(), &error);
            }
            // Another one may have its slots.
            self.doubt();
            sleep(backoff.next()).await;
        }
    }

    async fn ask_master(
        &self,
        node: NodeId,
        backoff: &mut Backoff,
        away: &mut Away,
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
                let said = String::from_utf8_lossy(&pong[1..]).trim_end().to_owned();
                return Err(UpstreamError::Unfit(said));
            }
            self.served.set(node, true);
            away.answers(node, &self.topology());
            backoff.reset();
            sleep(PING_EVERY).await;
        }
    }
}

/// What is told of one master's absence.
#[derive(Debug, Default)]
struct Away {
    /// Attempts in a row that came to nothing.
    failures: u32,
    /// Whose absence was told.
    told: Option<String>,
}

impl Away {
    /// An attempt has come to nothing. The second one is told: the first connection may only have been given up.
    fn failed(&mut self, node: NodeId, topology: &Topology, error: &UpstreamError) {
        if matches!(
            error,
            UpstreamError::NoMaster | UpstreamError::NotMaster { .. }
        ) {
            // The map is about to change.
            return;
        }
        self.failures += 1;
        if self.failures >= 2
            && self.told.is_none()
            && let Some(master) = address_of(node, topology)
        {
            let slots = topology.slots_of(|id| id == node);
            warn!("the master {master} is away, its {slots} slots are not served: {error}");
            self.told = Some(master);
        }
    }

    fn answers(&mut self, node: NodeId, topology: &Topology) {
        self.failures = 0;
        let Some(told) = self.told.take() else {
            return;
        };
        match address_of(node, topology) {
            Some(master) if master != told => {
                info!("the slots of {told} are served again, by {master}");
            }
            _ => info!("the master {told} is back"),
        }
    }
}

fn address_of(node: NodeId, topology: &Topology) -> Option<String> {
    let master = topology.node(node)?.master.as_ref()?;
    Some(master.address.to_string())
}
