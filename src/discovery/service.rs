//! What the rest of Respite asks of discovery.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::error::DiscoveryError;
use super::store::Store;
use super::watch::{Subject, Subscription, Watches};
use crate::metrics::Exposition;
use crate::tasks::{self, Kind};
use crate::upstream::ControlLink;

/// Service discovery on one backing. Names are taken as they are: groups, services and nodes are 1 to
/// 255 bytes without control characters, and others are simply not found.
#[derive(Debug)]
pub struct Discovery {
    pub(super) store: Arc<Store>,
    pub(super) watches: Arc<Watches>,
}

impl Discovery {
    /// Begins; `runtime` is where reading and upkeep go on.
    #[must_use]
    pub fn start(link: Arc<ControlLink>, runtime: &Handle) -> Arc<Self> {
        let store = Store::new(link);
        let presence = Arc::clone(store.presence());
        let keep = move || Arc::clone(&presence).keep();
        runtime.spawn(tasks::keep(Kind::Discovery, keep));
        let watches = Watches::new(Arc::clone(&store), runtime.clone());
        Arc::new(Discovery { store, watches })
    }

    /// Writes the metrics of what is watched here. Does not ask the backing.
    pub fn write_metrics(&self, out: &mut Exposition) {
        self.watches.write_metrics(out);
    }

    /// Follows the nodes of a service, known or not. Costs a shared read of the event stream,
    /// whoever else follows.
    ///
    /// # Errors
    /// When too many groups are followed already.
    pub fn subscribe(&self, group: &str, service: &str) -> Result<Subscription, DiscoveryError> {
        let subject = Subject::Service(Arc::from(service));
        self.watches.subscribe(group, subject, None)
    }
}
