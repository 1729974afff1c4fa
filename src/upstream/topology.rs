//! Which servers are behind and who has which keys, as an immutable value that is replaced as a whole.
//!
//! It knows no socket. Who finds out about a change ([`sentinel`](super::sentinel), a reload) makes a new
//! value; [`Backing`](super::Backing) puts it in force, and whoever watches it follows.

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::Endpoint;

/// A place for a master among the servers behind. Who has it may become another server (a failover); the
/// place stays, and so does what is queued for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// The node for whatever is not about a key of a client's, and the only one of a backing that is no
/// cluster.
pub const HOME: NodeId = NodeId(0);

/// A node, and who has it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name in all topologies of the backing.
    pub id: NodeId,
    /// The server that is the master now; none while it is not known which one that is.
    pub master: Option<Arc<Endpoint>>,
    /// Since when it is, or since when there is none.
    pub since: SystemTime,
    /// Grows each time that a master is given up: connections that were opened in an older term are void.
    pub term: u64,
}

/// The servers behind.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Grows with each change.
    pub version: u64,
    nodes: Vec<Node>,
    slots: SlotMap,
    /// The replicas that are known.
    pub replicas: Vec<Endpoint>,
    /// The sentinels that are known.
    pub sentinels: Vec<Endpoint>,
}

/// Which node has which slots: ranges that follow each other, by the last slot of each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SlotMap(Vec<(u16, NodeId)>);

// === impl Topology ===

impl Topology {
    /// A backing of one server.
    #[must_use]
    pub fn single(endpoint: Endpoint) -> Self {
        Self::unknown().with_master(HOME, endpoint)
    }

    /// A backing of one node of which nothing is known yet.
    #[must_use]
    pub fn unknown() -> Self {
        let home = Node {
            id: HOME,
            master: None,
            since: SystemTime::now(),
            term: 0,
        };
        Topology {
            version: 0,
            nodes: vec![home],
            slots: SlotMap(vec![(u16::MAX, HOME)]),
            replicas: Vec::new(),
            sentinels: Vec::new(),
        }
    }

    /// A node, while it belongs to the backing.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that has a slot.
    #[must_use]
    pub fn owner(&self, slot: u16) -> Option<NodeId> {
        let SlotMap(ranges) = &self.slots;
        let at = ranges.partition_point(|(last, _)| *last < slot);
        ranges.get(at).map(|(_, node)| *node)
    }

    /// The node that has every slot, if there is one: no key need be looked at.
    #[must_use]
    pub fn sole(&self) -> Option<NodeId> {
        match self.slots.0.as_slice() {
            [(_, node)] => Some(*node),
            _ => None,
        }
    }

    /// The same servers, with a node that has no master.
    #[must_use]
    pub fn without_master(&self, id: NodeId) -> Self {
        self.changed(id, |node| {
            node.term += 1;
            node.master = None;
        })
    }

    /// The same servers, with this master of a node that had none.
    #[must_use]
    pub fn with_master(&self, id: NodeId, master: Endpoint) -> Self {
        let mut changed = self.changed(id, |node| {
            debug_assert!(node.master.is_none(), "the one before has to be given up");
            node.master = Some(Arc::new(master));
        });
        changed.forget_masters();
        changed
    }

    /// The same nodes with these other servers; none when that is no change.
    #[must_use]
    pub fn with_others(&self, replicas: &[Endpoint], sentinels: &[Endpoint]) -> Option<Self> {
        let mut changed = Topology {
            version: self.version + 1,
            replicas: replicas.to_vec(),
            sentinels: sentinels.to_vec(),
            ..self.clone()
        };
        changed.forget_masters();
        let same = changed.replicas == self.replicas && changed.sentinels == self.sentinels;
        (!same).then_some(changed)
    }

    fn changed(&self, id: NodeId, change: impl FnOnce(&mut Node)) -> Self {
        let mut changed = self.clone();
        changed.version += 1;
        if let Some(node) = changed.nodes.iter_mut().find(|node| node.id == id) {
            node.since = SystemTime::now();
            change(node);
        }
        changed
    }

    /// Takes masters off the replicas: a server that was promoted is called both for a while.
    fn forget_masters(&mut self) {
        let masters: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|node| node.master.clone())
            .collect();
        let is_master = |replica: &Endpoint| masters.iter().any(|m| m.address == replica.address);
        self.replicas.retain(|replica| !is_master(replica));
    }

    /// Nodes without masters that share the slots, each up to the last one given.
    #[cfg(test)]
    pub(crate) fn divided(lasts: &[u16]) -> Self {
        let home = Self::unknown().nodes.remove(0);
        let ids = || (0..).map(NodeId);
        Topology {
            nodes: ids()
                .zip(lasts)
                .map(|(id, _)| Node { id, ..home.clone() })
                .collect(),
            slots: SlotMap(lasts.iter().copied().zip(ids()).collect()),
            ..Self::unknown()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Endpoint {
        url.parse().expect("a URL")
    }

    #[test]
    fn every_slot_has_its_owner() {
        let one = Topology::unknown();
        assert_eq!((one.sole(), one.owner(16_383)), (Some(HOME), Some(HOME)));
        let three = Topology::divided(&[5460, 10_922, 16_383]);
        assert_eq!(three.sole(), None);
        for (slot, node) in [
            (0, 0),
            (5460, 0),
            (5461, 1),
            (10_922, 1),
            (10_923, 2),
            (16_383, 2),
        ] {
            assert_eq!(three.owner(slot), Some(NodeId(node)), "{slot}");
        }
        // Not covered by anybody.
        assert_eq!(Topology::divided(&[100]).owner(101), None);
    }

    #[test]
    fn a_master_that_is_given_up_ends_its_term_and_no_other() {
        let two = Topology::divided(&[8191, 16_383]);
        let both = two.with_master(HOME, server("redis://a"));
        let both = both.with_master(NodeId(1), server("redis://b"));
        let one = both.without_master(HOME);
        let term = |topology: &Topology, id| topology.node(id).map(|node| node.term);
        assert_eq!((term(&both, HOME), term(&one, HOME)), (Some(0), Some(1)));
        assert_eq!(term(&one, NodeId(1)), Some(0));
        assert!(one.version > both.version);
        assert!(one.node(HOME).is_some_and(|node| node.master.is_none()));
        assert!(
            one.node(NodeId(1))
                .is_some_and(|node| node.master.is_some())
        );
        assert!(one.node(NodeId(2)).is_none());
    }

    #[test]
    fn a_server_that_was_promoted_is_no_replica() {
        let before = Topology::unknown();
        let replicas = [server("redis://a"), server("redis://b")];
        let before = before.with_others(&replicas, &[]).expect("a change");
        let after = before.with_master(HOME, server("redis://a"));
        assert_eq!(after.replicas, [server("redis://b")]);
        // The sentinels may name it once more.
        assert!(after.with_others(&replicas, &[]).is_none());
    }
}
