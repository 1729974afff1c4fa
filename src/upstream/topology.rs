//! Which servers are behind and who has which keys, as an immutable value that is replaced as a whole.
//!
//! It knows no socket. Who finds out about a change ([`sentinel`](super::sentinel), a reload) makes a new
//! value; [`Backing`](super::Backing) puts it in force, and whoever watches it follows.

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{Address, Endpoint, Secret};
use crate::slot::SLOTS;

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
    /// Slots or masters are about to become others': the topology that follows at once says so.
    pub changing: bool,
    nodes: Vec<Node>,
    /// The place that a new node gets. None is given twice: links to a node that has gone are kept for a while.
    next: u32,
    slots: SlotMap,
    /// The replicas that are known.
    pub replicas: Vec<Endpoint>,
    /// The sentinels that are known.
    pub sentinels: Vec<Endpoint>,
}

/// Which node has which slots: ranges that follow each other, by the last slot of each; none: nobody has them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SlotMap(Vec<(u16, Option<NodeId>)>);

/// A master of a cluster as one of its nodes describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// The master.
    pub master: Endpoint,
    /// The ranges of slots that it has, first and last.
    pub slots: Vec<(u16, u16)>,
    /// Its replicas.
    pub replicas: Vec<Endpoint>,
}

/// The last slot of a cluster.
pub const LAST_SLOT: u16 = SLOTS - 1;

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
            changing: false,
            nodes: vec![home],
            next: 1,
            slots: SlotMap(vec![(u16::MAX, Some(HOME))]),
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

    /// A server that is a master or a replica.
    #[must_use]
    pub fn server(&self, address: &Address) -> Option<&Endpoint> {
        let masters = self.nodes.iter().filter_map(|node| node.master.as_deref());
        let mut servers = masters.chain(&self.replicas);
        servers.find(|server| server.address == *address)
    }

    /// The node that has a slot.
    #[must_use]
    pub fn owner(&self, slot: u16) -> Option<NodeId> {
        let SlotMap(ranges) = &self.slots;
        let at = ranges.partition_point(|(last, _)| *last < slot);
        ranges.get(at).and_then(|(_, node)| *node)
    }

    /// Whether a node has any slot.
    #[must_use]
    pub fn has_slots(&self, id: NodeId) -> bool {
        let SlotMap(ranges) = &self.slots;
        ranges.iter().any(|(_, node)| *node == Some(id))
    }

    /// The node that has every slot, if there is one: no key need be looked at.
    #[must_use]
    pub fn sole(&self) -> Option<NodeId> {
        match self.slots.0.as_slice() {
            [(_, node)] => *node,
            _ => None,
        }
    }

    /// The same servers and slots, about to change.
    #[must_use]
    pub(super) fn changing(&self) -> Self {
        Topology {
            version: self.version + 1,
            changing: true,
            ..self.clone()
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

    /// The same servers, all of them with another login.
    #[must_use]
    pub fn with_logins(&self, user: Option<&String>, password: Option<&Secret>) -> Self {
        let mut changed = Topology {
            version: self.version + 1,
            ..self.clone()
        };
        let log_in = |server: &mut Endpoint| {
            server.user = user.cloned();
            server.password = password.cloned();
        };
        let masters = changed.nodes.iter_mut();
        masters
            .filter_map(|node| node.master.as_mut())
            .for_each(|master| log_in(Arc::make_mut(master)));
        changed.replicas.iter_mut().for_each(log_in);
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

    /// The cluster of these masters; none when that is no change. A master that is known keeps its place. One that
    /// is new takes the place whose slots it has taken over from a master that is none any more, or a place of its own.
    #[must_use]
    pub fn clustered(&self, shards: &[Shard]) -> Option<Self> {
        let mut changed = Topology {
            version: self.version + 1,
            nodes: Vec::new(),
            replicas: shards.iter().flat_map(|s| s.replicas.clone()).collect(),
            ..self.clone()
        };
        let places = self.places(shards);
        let used = places.iter().map(|id| id.0 + 1);
        changed.next = used.chain([self.next]).max().unwrap_or(0);
        for (shard, id) in shards.iter().zip(&places) {
            let known = self.node(*id);
            let same = known.is_some_and(|node| node.has(&shard.master));
            changed.nodes.push(match known {
                Some(node) if same => node.clone(),
                _ => Node {
                    id: *id,
                    master: Some(Arc::new(shard.master.clone())),
                    since: SystemTime::now(),
                    // As when one master is given up, and then another one named.
                    term: known.map_or(0, |node| node.term + u64::from(node.master.is_some())),
                },
            });
        }
        changed.nodes.sort_by_key(|node| node.id);
        changed.slots = SlotMap::of(shards, &places);
        changed.forget_masters();
        let masters = |topology: &Topology| -> Vec<_> {
            let nodes = topology.nodes.iter();
            nodes.map(|node| (node.id, node.master.clone())).collect()
        };
        let same = changed.slots == self.slots
            && masters(&changed) == masters(self)
            && changed.replicas == self.replicas;
        (!same).then_some(changed)
    }

    /// The place of each master.
    fn places(&self, shards: &[Shard]) -> Vec<NodeId> {
        let known = |shard: &Shard| self.nodes.iter().find(|node| node.has(&shard.master));
        let mut places: Vec<Option<NodeId>> = shards
            .iter()
            .map(|s| known(s).map(|node| node.id))
            .collect();
        let mut next = self.next;
        for at in 0..shards.len() {
            if places[at].is_some() {
                continue;
            }
            let free = |node: &&Node| !places.contains(&Some(node.id));
            let taken = |node: &&Node| -> usize {
                let slots = shards[at]
                    .slots
                    .iter()
                    .flat_map(|(first, last)| *first..=*last);
                slots
                    .filter(|slot| self.owner(*slot) == Some(node.id))
                    .count()
            };
            let heir = self.nodes.iter().filter(free).max_by_key(taken);
            let heir = heir.filter(|node| taken(node) > 0 || node.master.is_none());
            places[at] = Some(heir.map_or(NodeId(next), |node| node.id));
            next += u32::from(heir.is_none());
        }
        // Somebody has to be there for what is about no key.
        if !places.contains(&Some(HOME))
            && let Some(first) = places.iter_mut().min()
        {
            *first = Some(HOME);
        }
        places.into_iter().flatten().collect()
    }

    /// The same cluster, in which this slot belongs to a server that may be new; none when that is no change.
    #[must_use]
    pub fn with_slot(&self, slot: u16, master: &Endpoint) -> Option<Self> {
        let (changed, id) = self.with_node(master);
        if changed.is_none() && self.owner(slot) == Some(id) {
            return None;
        }
        let mut changed = changed.unwrap_or_else(|| self.clone());
        changed.version = self.version + 1;
        let mut owners: Vec<_> = (0..=LAST_SLOT).map(|slot| self.owner(slot)).collect();
        owners[usize::from(slot)] = Some(id);
        changed.slots = SlotMap::from_owners(&owners);
        Some(changed)
    }

    /// The place of a server, in a topology with it if it is new.
    #[must_use]
    pub fn with_node(&self, server: &Endpoint) -> (Option<Self>, NodeId) {
        if let Some(known) = self.nodes.iter().find(|node| node.has(server)) {
            return (None, known.id);
        }
        let id = NodeId(self.next);
        let mut changed = self.clone();
        changed.next += 1;
        changed.version += 1;
        changed.nodes.push(Node {
            id,
            master: Some(Arc::new(server.clone())),
            since: SystemTime::now(),
            term: 0,
        });
        changed.forget_masters();
        (Some(changed), id)
    }

    /// The node so many places behind another one, in a circle, among those that have a master.
    #[must_use]
    pub fn node_after(&self, first: NodeId, places: usize) -> Option<NodeId> {
        let all = self.nodes.iter().filter(|node| node.master.is_some());
        let mut ids: Vec<_> = all.map(|node| node.id).collect();
        let at = ids.iter().position(|id| *id >= first).unwrap_or(0);
        ids.rotate_left(at);
        ids.iter().cycle().nth(places).copied()
    }

    /// How many slots somebody has.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.slots_of(|_| true)
    }

    /// How many slots these nodes have.
    #[must_use]
    pub fn slots_of(&self, is_one: impl Fn(NodeId) -> bool) -> usize {
        let SlotMap(ranges) = &self.slots;
        let (mut first, mut count) = (0, 0);
        for (last, node) in ranges {
            let next = usize::from((*last).min(LAST_SLOT)) + 1;
            if node.is_some_and(&is_one) {
                count += next.saturating_sub(first);
            }
            first = next;
        }
        count
    }

    /// Whether both have the same slots at the same places.
    #[must_use]
    pub fn same_slots(&self, other: &Self) -> bool {
        self.slots == other.slots
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
            slots: SlotMap(lasts.iter().copied().zip(ids().map(Some)).collect()),
            ..Self::unknown()
        }
    }
}

// === impl Node ===

impl Node {
    fn has(&self, master: &Endpoint) -> bool {
        let own = self.master.as_ref();
        own.is_some_and(|own| own.address == master.address)
    }
}

// === impl SlotMap ===

impl SlotMap {
    fn of(shards: &[Shard], places: &[NodeId]) -> Self {
        let mut owners = vec![None; usize::from(LAST_SLOT) + 1];
        for (shard, id) in shards.iter().zip(places) {
            for (first, last) in &shard.slots {
                let range = usize::from(*first)..=usize::from((*last).min(LAST_SLOT));
                owners
                    .get_mut(range)
                    .into_iter()
                    .flatten()
                    .for_each(|owner| *owner = Some(*id));
            }
        }
        Self::from_owners(&owners)
    }

    fn from_owners(owners: &[Option<NodeId>]) -> Self {
        let mut ranges: Vec<(u16, Option<NodeId>)> = Vec::new();
        for (slot, owner) in (0..).zip(owners) {
            match ranges.last_mut() {
                Some((last, before)) if before == owner => *last = slot,
                _ => ranges.push((slot, *owner)),
            }
        }
        SlotMap(ranges)
    }
}

#[cfg(test)]
mod tests;
