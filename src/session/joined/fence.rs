//! Waits until the cache has caught up with what several nodes have done.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::cache::{Mutant, is_active};
use crate::session::cached::Fence;
use crate::session::mailbox::ToWorker;
use crate::session::shared::Shared;
use crate::upstream::NodeId;

/// Ends when every push has been applied that these nodes caused before.
pub(super) async fn catch_up(shared: &Shared, nodes: &[NodeId], fence: Fence) {
    if fence == Fence::None {
        return;
    }
    if fence == Fence::Unknown {
        shared.cache.flush();
    }
    // Whoever is to catch up holds the sender, and drops it then.
    let (held, caught_up) = oneshot::channel::<()>();
    let held: crate::upstream::Fence = Arc::new(held);
    if fence != Fence::Pushes && !is_active(Mutant::SwapsNotCounted) {
        shared.swaps.check(Arc::clone(&held));
    }
    for node in nodes {
        shared.broadcast(|| ToWorker::Fence(*node, Arc::clone(&held)));
    }
    drop(held);
    let _ = caught_up.await; // nobody sends
}
