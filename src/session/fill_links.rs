//! The fill links of a worker: which are open, and when they are closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::Lease;
use crate::upstream::{Fence, FillLink, LinkKey, NodeId, Topology};

/// A fill link whose database no client here has read from for so long is closed. It costs the backing
/// several commands a second, and what it brought costs memory there as here.
const FILL_IDLE: Duration = Duration::from_secs(10);

/// The fill links of one worker.
#[derive(Default)]
pub(crate) struct Fills {
    pub(super) links: RefCell<HashMap<LinkKey, Fill>>,
}

/// A fill link, and what says whether that may be served which it brings.
pub(super) struct Fill {
    pub(super) link: FillLink,
    pub(super) lease: Arc<Lease>,
}

impl Fills {
    /// Has every link to a node drop `fence` when it has caught up.
    pub(super) fn fence(&self, node: NodeId, fence: &Fence) {
        for (key, fill) in &*self.links.borrow() {
            if key.node == node {
                fill.link.fence(Arc::clone(fence));
            }
        }
    }

    /// Closes the links to nodes that are not there any more.
    pub(super) fn keep(&self, topology: &Topology) {
        self.links.borrow_mut().retain(|key, fill| {
            let stays = topology.node(key.node).is_some();
            if !stays {
                fill.link.close();
            }
            stays
        });
    }

    /// Closes all links.
    pub(super) fn close(&self) {
        for (_, fill) in self.links.borrow_mut().drain() {
            fill.link.close();
        }
    }

    /// Closes the links that nobody uses.
    pub(super) fn tick(&self, now: Instant) {
        self.links.borrow_mut().retain(|_, fill| {
            let keep = now.saturating_duration_since(fill.link.last_used(now)) <= FILL_IDLE;
            if !keep {
                fill.link.close();
            }
            keep
        });
    }
}
