//! Waiting for the next try, but no longer than until somebody else's try succeeds.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::topology::NodeId;

/// Counts for each node the connections that were opened to it and the masters that were named for it.
#[derive(Default)]
pub(super) struct Reached(watch::Sender<HashMap<NodeId, u64>>);

/// A way to hear of the next one of a node.
pub(super) struct ReachedNode {
    counts: watch::Receiver<HashMap<NodeId, u64>>,
    node: NodeId,
    seen: u64,
}

// === impl Reached ===

impl Reached {
    /// Counts one.
    pub(super) fn note(&self, node: NodeId) {
        self.0
            .send_modify(|counts| *counts.entry(node).or_default() += 1);
    }

    /// Hears of those to come.
    pub(super) fn of(&self, node: NodeId) -> ReachedNode {
        let counts = self.0.subscribe();
        let mut reached = ReachedNode {
            counts,
            node,
            seen: 0,
        };
        reached.seen = reached.count();
        reached
    }
}

// === impl ReachedNode ===

impl ReachedNode {
    /// How many there have been.
    pub(super) fn count(&self) -> u64 {
        self.counts.borrow().get(&self.node).copied().unwrap_or(0)
    }
}

/// Waits, but only until a connection is opened, or a master named, that `reached` has not seen. Whether there was one.
pub(super) async fn sleep_unless_reached(wait: Duration, reached: &mut ReachedNode) -> bool {
    let (node, seen) = (reached.node, reached.seen);
    let more = reached
        .counts
        .wait_for(|counts| counts.get(&node).is_some_and(|count| *count > seen));
    let more = tokio::select! {
        () = sleep(wait) => false,
        // The sender lives in the backing, as long as anybody connects to it.
        more = more => more.is_ok(),
    };
    reached.seen = reached.count();
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_does_not_end_the_wait_for_another() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let all = Reached::default();
            let [mut one, mut other] = [1, 2].map(|id| all.of(NodeId(id)));
            all.note(NodeId(1));
            let wait = Duration::from_secs(9);
            assert!(sleep_unless_reached(wait, &mut one).await);
            assert!(!sleep_unless_reached(wait, &mut other).await);
            // It has been heard of.
            assert!(!sleep_unless_reached(wait, &mut one).await);
        });
    }
}
