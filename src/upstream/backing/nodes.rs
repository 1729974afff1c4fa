//! Puts changes of the nodes of a cluster in force: one change at a time, each made from what is known then.

use std::sync::Arc;

use super::Backing;
use crate::config::{Address, Endpoint};
use crate::upstream::topology::{Node, NodeId, Topology};

impl Backing {
    /// Puts another topology in force, if `change` makes one of the present one. Connections to masters that are none any
    /// more are given up first, and what was cached ends before a slot's new owner is asked.
    pub fn update(&self, change: impl FnOnce(&Topology) -> Option<Topology>) {
        let _alone = self.changes.lock();
        let before = self.topology();
        if let Some(after) = change(&before) {
            self.adopt(&before, after);
        }
    }

    fn adopt(&self, before: &Topology, mut after: Topology) {
        let is_kept = |node: &Node| {
            let same = after.node(node.id).map(|now| now.term == node.term);
            same.unwrap_or(false)
        };
        let gone: Vec<_> = before
            .nodes()
            .iter()
            .filter(|node| !is_kept(node))
            .collect();
        if gone.is_empty() && after.same_slots(before) {
            self.topology.send_replace(Arc::new(after));
            return;
        }
        let mut without = before.changing();
        for node in &gone {
            if node.master.is_some() {
                without = without.without_master(node.id);
            }
        }
        after.version = without.version + 1;
        // A node that has left with nobody in its place answers what it was asked.
        let replaced = gone.iter().filter(|node| after.node(node.id).is_some());
        let terms = replaced.map(|node| {
            let term = without.node(node.id).map_or(0, |node| node.term);
            (node.id, term)
        });
        let terms: Vec<_> = terms.collect();
        let named: Vec<NodeId> = after
            .nodes()
            .iter()
            .filter(|node| before.node(node.id).is_none_or(|old| old.term != node.term))
            .map(|node| node.id)
            .collect();
        // In this order: nobody connects to those that are gone, nothing that was told is served any more, nobody
        // hears of it any more.
        self.topology.send_replace(Arc::new(without));
        if let Some(hook) = self.on_switch.get() {
            hook();
        }
        for (node, term) in terms {
            self.open.give_up(node, term);
        }
        self.topology.send_replace(Arc::new(after));
        named.into_iter().for_each(|node| self.reached.note(node));
        self.look_again.notify_one();
    }

    /// A reply says that a slot is with another server. One that the map does not have is asked for first: a reply may be
    /// what a script says, and nobody is logged in to a server for that.
    pub fn moved(&self, slot: u16, address: &Address) {
        self.update(|topology| topology.with_slot(slot, topology.server(address)?));
        self.doubt();
    }

    /// The place of a server that a reply names, if the map has it, as for [`Backing::moved`].
    pub fn node_at(&self, address: &Address) -> Option<NodeId> {
        let mut place = None;
        self.update(|topology| {
            let (after, node) = topology.with_node(topology.server(address)?);
            place = Some(node);
            after
        });
        if place.is_none() {
            self.doubt();
        }
        place
    }

    /// Whether a lost connection to a node is worth a line: of those to a node of a cluster the first one is.
    pub(in crate::upstream) fn tells_of_loss(&self, node: NodeId) -> bool {
        !self.is_cluster || self.served.is_first_lost(node)
    }

    /// The address of a node's master, without its password.
    pub(in crate::upstream) fn address_of(&self, node: NodeId) -> String {
        let topology = self.topology();
        let master = topology.node(node).and_then(|node| node.master.as_ref());
        master.map_or_else(|| "no master".to_owned(), |master| master.to_string())
    }

    /// A node itself lists a server that the map may not have: a master without slots.
    pub fn meet(&self, address: &Address) {
        self.update(|topology| {
            let known = topology
                .nodes()
                .iter()
                .find_map(|node| node.master.as_deref())?;
            let server = Endpoint {
                address: address.clone(),
                ..known.clone()
            };
            topology.with_node(&server).0
        });
    }
}
