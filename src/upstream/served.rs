//! What is known of a cluster's nodes besides the topology: which masters answer, what nodes have said of requests
//! that were not for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::topology::{Node, NodeId, Topology};
use crate::slot::SLOTS;

/// What nodes say of requests that are not for them, or not now.
const KINDS: [&str; 6] = [
    "moved",
    "ask",
    "tryagain",
    "clusterdown",
    "loading",
    "masterdown",
];

/// Connections to one node that are lost together are told of once.
const TOGETHER: Duration = Duration::from_secs(1);

/// What is counted and known besides the topology.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// The masters that answered last.
    up: Mutex<BTreeSet<NodeId>>,
    /// When a lost connection to a node was told of last.
    lost: Mutex<BTreeMap<NodeId, Instant>>,
    /// By kind.
    redirects: [AtomicU64; KINDS.len()],
    refreshes: AtomicU64,
}

/// The servers behind, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackingFigures {
    /// Masters that have slots.
    pub masters: usize,
    /// Of these, those that answer.
    pub masters_up: usize,
    /// Addresses of the others.
    pub away: Vec<String>,
    /// Replicas that are known.
    pub replicas: usize,
    /// Slots whose master answers; all of them where there are none.
    pub slots_served: usize,
    /// Grows with each change of who has what.
    pub map_version: u64,
    /// Times that a node told who has what.
    pub map_refreshes: u64,
    /// What nodes have said of requests that were not for them, by kind, so many times.
    pub redirects: Vec<(&'static str, u64)>,
}

impl Served {
    /// A node has told who has what.
    pub(super) fn note_refresh(&self) {
        self.refreshes.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a node did not take a request, by what it said: an error reply, with or without its `-`.
    pub(super) fn note_redirect(&self, reply: &[u8]) {
        let reply = reply.strip_prefix(b"-").unwrap_or(reply);
        let word = reply.split(|byte| *byte == b' ').next().unwrap_or_default();
        let mut kinds = KINDS.iter().zip(&self.redirects);
        let counted = kinds.find(|(kind, _)| word.eq_ignore_ascii_case(kind.as_bytes()));
        if let Some((_, count)) = counted {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether every slot has a master that answers.
    pub(super) fn is_all(&self, topology: &Topology) -> bool {
        let up = self.up.lock();
        topology.slots_of(|node| up.contains(&node)) == usize::from(SLOTS)
    }

    /// All of it in numbers; `is_up` says so of a backing that is no cluster.
    pub(super) fn figures(&self, topology: &Topology, is_up: Option<bool>) -> BackingFigures {
        let up = self.up.lock();
        let answers = |node: NodeId| is_up.unwrap_or_else(|| up.contains(&node));
        let nodes = topology.nodes().iter();
        let masters = nodes.filter(|node| topology.has_slots(node.id));
        let address = |node: &Node| Some(node.master.as_ref()?.address.to_string());
        let away = masters.clone().filter(|node| !answers(node.id));
        let counts = KINDS.into_iter().zip(&self.redirects);
        BackingFigures {
            masters: masters.clone().count(),
            masters_up: masters.filter(|node| answers(node.id)).count(),
            away: away.filter_map(address).collect(),
            replicas: topology.replicas.len(),
            slots_served: topology.slots_of(answers),
            map_version: topology.version,
            map_refreshes: self.refreshes.load(Ordering::Relaxed),
            redirects: counts
                .map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
                .collect(),
        }
    }

    /// Notes whether a master answers.
    pub(super) fn set(&self, node: NodeId, is_up: bool) {
        let mut up = self.up.lock();
        if is_up {
            up.insert(node);
        } else {
            up.remove(&node);
        }
    }

    /// Forgets a node that has no slots any more.
    pub(super) fn forget(&self, node: NodeId) {
        self.set(node, false);
        self.lost.lock().remove(&node);
    }

    /// A connection to a node is lost. False when another one was just now.
    pub(super) fn is_first_lost(&self, node: NodeId) -> bool {
        let now = Instant::now();
        let before = self.lost.lock().insert(node, now);
        before.is_none_or(|before| now.duration_since(before) > TOGETHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_answer_serves_no_slots() {
        let three = Topology::divided(&[5460, 10_922, 16_383]);
        let served = Served::default();
        assert!(!served.is_all(&three));
        for node in 0..3 {
            served.set(NodeId(node), true);
        }
        assert!(served.is_all(&three));
        // One that has no slots says nothing.
        served.set(NodeId(7), true);
        served.set(NodeId(1), false);
        let figures = served.figures(&three, None);
        assert_eq!((figures.masters, figures.masters_up), (3, 2));
        assert_eq!(figures.slots_served, 16_384 - 5462);
        assert!(served.is_first_lost(NodeId(1)) && !served.is_first_lost(NodeId(1)));
        assert!(served.is_first_lost(NodeId(2)));
        // Slots that nobody has are not served.
        assert!(!served.is_all(&Topology::divided(&[100])));
        let one = served.figures(&Topology::unknown(), Some(true));
        assert_eq!(
            (one.masters, one.masters_up, one.slots_served),
            (1, 1, 16_384)
        );
    }

    #[test]
    fn what_nodes_say_is_counted_by_kind() {
        let served = Served::default();
        for said in ["-MOVED 1 a:1", "MOVED 2 a:1", "-TRYAGAIN x", "-ERR MOVED"] {
            served.note_redirect(said.as_bytes());
        }
        let counted = served.figures(&Topology::unknown(), None).redirects;
        let nonzero: Vec<_> = counted.into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(nonzero, [("moved", 2), ("tryagain", 1)]);
    }
}
