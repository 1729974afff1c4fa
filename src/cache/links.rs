//! What the fill links to each node can do, all together: the mode in force there follows from it.
//!
//! It knows no link by itself; each tells when it comes and goes. A node that does not track leaves
//! the others as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

/// The links of all nodes, by the nodes' numbers. A node stays once it was read from.
#[derive(Debug, Default)]
pub(super) struct Links {
    nodes: ArcSwap<Vec<(u32, Arc<NodeLinks>)>>,
}

/// Links to one node that are connected.
#[derive(Debug, Default)]
pub(super) struct NodeLinks {
    tracking: AtomicUsize,
    without: AtomicUsize,
    /// The backing has refused to track, and no link has tracked since.
    refused: AtomicBool,
}

impl Links {
    /// The links to a node.
    pub(super) fn of(&self, node: u32) -> Arc<NodeLinks> {
        if let Some(links) = self.known(node) {
            return links;
        }
        let new = Arc::new(NodeLinks::default());
        self.nodes.rcu(|nodes| {
            let mut nodes = Vec::clone(nodes);
            if !nodes.iter().any(|(known, _)| *known == node) {
                nodes.push((node, Arc::clone(&new)));
            }
            nodes
        });
        self.known(node).unwrap_or(new)
    }

    fn known(&self, node: u32) -> Option<Arc<NodeLinks>> {
        let nodes = self.nodes.load();
        let mut found = nodes.iter().filter(|(known, _)| *known == node);
        found.next().map(|(_, links)| Arc::clone(links))
    }

    /// Whether the links to a node do not hear what changes, some of them.
    pub(super) fn deaf_at(&self, node: u32) -> bool {
        let nodes = self.nodes.load();
        nodes
            .iter()
            .any(|(known, links)| *known == node && links.deaf())
    }

    pub(super) fn deaf_anywhere(&self) -> bool {
        self.nodes.load().iter().any(|(_, links)| links.deaf())
    }
}

impl NodeLinks {
    /// A link is connected.
    pub(super) fn up(&self, tracks: bool) {
        self.count(tracks).fetch_add(1, Ordering::SeqCst);
        if tracks && self.without.load(Ordering::SeqCst) == 0 {
            self.refused.store(false, Ordering::SeqCst);
        }
    }

    /// Its connection is gone.
    pub(super) fn down(&self, tracks: bool) {
        self.count(tracks).fetch_sub(1, Ordering::SeqCst);
    }

    /// Notes that the node has refused to track; true when that is news.
    pub(super) fn refuse(&self) -> bool {
        !self.refused.swap(true, Ordering::SeqCst)
    }

    /// Whether some link does not hear what changes; with no link there, whether the last one did not.
    fn deaf(&self) -> bool {
        self.without.load(Ordering::SeqCst) > 0
            || self.refused.load(Ordering::SeqCst) && self.tracking.load(Ordering::SeqCst) == 0
    }

    fn count(&self, tracks: bool) -> &AtomicUsize {
        if tracks {
            &self.tracking
        } else {
            &self.without
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_link_without_tracking_is_enough_and_another_with_it_changes_nothing() {
        let links = NodeLinks::default();
        links.up(true);
        assert!(!links.deaf());
        links.refused.store(true, Ordering::SeqCst);
        links.up(false);
        assert!(links.deaf());
        links.up(true);
        assert!(links.deaf());
        links.down(false);
        assert!(!links.deaf(), "the others track");
    }

    #[test]
    fn while_no_link_is_there_the_last_answer_counts() {
        let links = NodeLinks::default();
        links.refused.store(true, Ordering::SeqCst);
        links.up(false);
        links.down(false);
        assert!(links.deaf());
        links.up(true);
        assert!(!links.deaf());
    }

    #[test]
    fn a_node_that_refuses_leaves_the_others_as_they_are() {
        let links = Links::default();
        links.of(1).up(true);
        assert!(links.of(2).refuse() && !links.of(2).refuse());
        links.of(2).up(false);
        assert!(links.deaf_at(2) && links.deaf_anywhere() && !links.deaf_at(1));
        // Nothing was ever read from it.
        assert!(!links.deaf_at(3));
        links.of(2).down(false);
        links.of(2).up(true);
        assert!(!links.deaf_at(2) && !links.deaf_anywhere());
    }
}
