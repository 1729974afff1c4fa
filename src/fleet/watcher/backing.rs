//! Finds the backing itself.

use std::sync::Arc;

use super::super::target::{Target, check_id};
use super::{TargetSink, Watcher, Watching};
use crate::config::{Address, Endpoint};
use crate::upstream::{Backing, Topology};

/// The name and kind of this watcher, and the id of a backing without host and port.
pub(in super::super) const BACKING: &str = "backing";

/// Emits the backing's master, and the replicas and sentinels that belong to it. An id is `HOST:PORT`, or `backing` on a unix socket.
#[derive(Debug)]
pub struct BackingWatcher {
    backing: Arc<Backing>,
}

impl BackingWatcher {
    /// Watches this backing.
    #[must_use]
    pub fn new(backing: Arc<Backing>) -> Self {
        BackingWatcher { backing }
    }
}

impl Watcher for BackingWatcher {
    fn name(&self) -> String {
        BACKING.to_owned()
    }

    fn kind(&self) -> &'static str {
        BACKING
    }

    fn watch(self: Arc<Self>, sink: TargetSink) -> Watching {
        Box::pin(async move {
            let mut topologies = self.backing.watch_topology();
            loop {
                let topology = Arc::clone(&topologies.borrow_and_update());
                sink.set(targets(&topology));
                if topologies.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        })
    }
}

/// All servers of a topology. The masters come first: of two with one id the first wins.
fn targets(topology: &Topology) -> Vec<Target> {
    let nodes = topology.nodes().iter();
    let masters = nodes.filter_map(|node| node.master.as_deref());
    let all = masters.chain(&topology.replicas).chain(&topology.sentinels);
    all.map(|endpoint| Target {
        id: shard_id(endpoint),
        endpoint: endpoint.clone(),
        labels: Default::default(),
    })
    .collect()
}

/// The id of the backing at this address.
pub(in super::super) fn shard_id(endpoint: &Endpoint) -> String {
    match &endpoint.address {
        address @ Address::Tcp { .. } => Some(address.to_string())
            .filter(|id| check_id(id).is_ok())
            .unwrap_or_else(|| BACKING.to_owned()),
        Address::Unix(_) => BACKING.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backing_is_called_after_its_address() {
        let long = format!("redis://{0}.{0}.{0}.{0}", "x".repeat(63));
        for (url, id) in [
            ("redis://u:p@h:1/2", "h:1"),
            ("rediss://[::1]", "[::1]:6379"),
            ("unix:///run/redis.sock", "backing"),
            (long.as_str(), "backing"),
        ] {
            assert_eq!(shard_id(&url.parse().expect(url)), id);
        }
    }
}
