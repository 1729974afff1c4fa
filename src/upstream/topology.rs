//! Where the backing's master is.
//!
//! One node for now. Whoever needs the address asks here each time it connects, so that a source
//! which follows a failover has one place to change it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Endpoint;

/// The current address of the master.
#[derive(Debug, Clone)]
pub struct Topology {
    master: Arc<ArcSwap<Endpoint>>,
}

impl Topology {
    /// A backing of one node.
    pub fn single(endpoint: Endpoint) -> Self {
        Topology {
            master: Arc::new(ArcSwap::from_pointee(endpoint)),
        }
    }

    /// The master to connect to now.
    pub fn master(&self) -> Arc<Endpoint> {
        self.master.load_full()
    }
}
