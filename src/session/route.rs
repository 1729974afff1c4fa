//! Where a command goes: to which node of the backing, and over which connection to it.
//!
//! ```text
//!   its row and keys, the topology ──▶ Route ──▶ node ──▶ way: the link that carries the client's
//!                                                         commands to that node now
//! ```
//!
//! A client's commands to one node keep their order because they take one link, and another only when
//! that one owes nothing. Ways to several nodes are used at once. What a command needs besides (a
//! connection of its own, a family) says its row: [`Handling`](crate::command::Handling).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;

use super::batch::Run;
use super::links::{Lane, Needs};
use super::replies::{NOBODY, Replies, Then};
use super::request::Request;
use super::run::Session;
use super::worker::Worker;
use crate::cache::Guard;
use crate::command::{Effects, first_key, slot_of};
use crate::upstream::{HOME, Link, LinkKey, NodeId, ReplySink, Ticket, Topology};

/// Where a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// To the node that has this slot.
    Slot(u16),
    /// To this node.
    Node(NodeId),
    /// To any node.
    Any,
    /// To the master of every node.
    EveryMaster,
}

/// What a worker knows of the topology.
#[derive(Debug)]
pub(super) struct Directions {
    topology: RefCell<Arc<Topology>>,
    /// The node that has all keys, if there is one: it need not be looked for.
    sole: Cell<Option<NodeId>>,
}

/// How a session's commands get to where they go.
pub(super) struct Ways {
    /// The node that the command at hand goes to.
    pub(super) to: NodeId,
    /// The shared links that carry its requests, one for each node.
    open: Vec<Way>,
    /// The client calls scripts: all its commands go with them, in its order.
    pub(super) scripts: bool,
}

/// The link that carries a session's commands to one node.
struct Way {
    key: LinkKey,
    link: Link,
    lane: Lane,
    /// It was chosen for a client that calls scripts.
    scripts: bool,
    /// Of the last batch that went this way.
    last: Ticket,
}

// === impl Route ===

impl Route {
    /// The node that it ends at. What is for every master goes to the first: there is no other, so far.
    fn node(self, topology: &Topology) -> NodeId {
        match self {
            Route::Node(node) => node,
            Route::Slot(slot) => topology.owner(slot).unwrap_or(HOME),
            Route::Any | Route::EveryMaster => HOME,
        }
    }
}

// === impl Directions ===

impl Directions {
    pub(super) fn new(topology: Arc<Topology>) -> Self {
        Directions {
            sole: Cell::new(topology.sole()),
            topology: RefCell::new(topology),
        }
    }

    /// Follows a change.
    pub(super) fn set(&self, topology: Arc<Topology>) {
        self.sole.set(topology.sole());
        *self.topology.borrow_mut() = topology;
    }

    /// Where a command goes.
    #[inline]
    fn route(&self, request: Request<'_>) -> Route {
        match self.sole.get() {
            Some(node) => Route::Node(node),
            None => Self::route_by_key(request),
        }
    }

    fn route_by_key(request: Request<'_>) -> Route {
        if request.effects().contains(Effects::EVERY_MASTER) {
            return Route::EveryMaster;
        }
        let key = request.leaf().and_then(|row| first_key(row, request.args));
        key.map_or(Route::Any, |key| Route::Slot(slot_of(key)))
    }

    /// The node that has a key.
    #[inline]
    pub(super) fn node_of_key(&self, key: &[u8]) -> NodeId {
        match self.sole.get() {
            Some(node) => node,
            None => self.node(Route::Slot(slot_of(key))),
        }
    }

    #[inline]
    fn node(&self, route: Route) -> NodeId {
        match route {
            Route::Node(node) => node,
            other => other.node(&self.topology.borrow()),
        }
    }
}

// === impl Session ===

impl Session {
    /// The node that a command goes to: that of the connection of its own, while the session has one.
    #[inline]
    pub(super) fn node_of(&self, request: Request<'_>) -> NodeId {
        match &self.pinned {
            Some(pinned) => pinned.node(),
            None => {
                let directions = &self.worker.directions;
                directions.node(directions.route(request))
            }
        }
    }

    /// Whether the link of the run, or the one that is found for it, takes a request too.
    pub(super) fn joins_run(
        &mut self,
        run: &mut Run,
        request: Request<'_>,
        cx: &Context<'_>,
    ) -> bool {
        let (node, reads) = (self.node_of(request), request.only_reads());
        if run.requests > 0 {
            return run.node == node && self.ways.takes_on(node, reads);
        }
        run.node = node;
        self.route_to_link(node, reads, cx)
    }

    /// Finds the way to a node for the next request. False when that has to wait: replies are
    /// outstanding on the present link, or it is full. `reads` says that the request only reads.
    #[inline]
    pub(super) fn route_to_link(&mut self, node: NodeId, reads: bool, cx: &Context<'_>) -> bool {
        let needs = Needs {
            key: LinkKey::new(node, self.state.db, self.state.proto),
            scripts: self.ways.scripts,
            reads,
        };
        self.ways.find(needs, &self.worker, &self.replies, cx)
    }
}

// === impl Ways ===

impl Default for Ways {
    fn default() -> Self {
        Ways {
            to: HOME,
            open: Vec::new(),
            scripts: false,
        }
    }
}

impl Ways {
    /// Finds the way for what is needed; false when it cannot be taken now, `cx` is woken once it may.
    fn find(&mut self, needs: Needs, worker: &Worker, replies: &Replies, cx: &Context<'_>) -> bool {
        let node = needs.key.node;
        let known = self.open.iter().position(|way| way.key.node == node);
        if let Some(way) = known.map(|at| &self.open[at]) {
            let waits = replies.is_awaited(way.last);
            if way.suits(needs, waits) {
                return way.link.poll_room(cx);
            }
            if waits {
                return false;
            }
        }
        let (link, lane) = worker.choose_link(needs);
        let room = link.poll_room(cx);
        let way = Way {
            key: needs.key,
            link,
            lane,
            scripts: needs.scripts,
            last: NOBODY,
        };
        match known {
            Some(at) => self.open[at] = way,
            None => self.open.push(way),
        }
        room
    }

    /// Sends a batch over the way to a node that was found last, and owes `replies` what it asks for.
    pub(super) fn send(
        &mut self,
        node: NodeId,
        bytes: &[u8],
        requests: u32,
        replies: &Rc<Replies>,
        (then, guard): (Then, Option<Guard>),
    ) {
        let mut ways = self.open.iter_mut();
        let Some(way) = ways.find(|way| way.key.node == node) else {
            return;
        };
        way.last = replies.expect(requests, then, guard);
        let sink = Rc::clone(replies) as Rc<dyn ReplySink>;
        way.link.push(bytes, requests, sink, way.last);
    }

    /// Whether a command may follow a run to a node.
    fn takes_on(&self, node: NodeId, reads: bool) -> bool {
        let mut ways = self.open.iter().filter(|way| way.key.node == node);
        ways.any(|way| way.lane != Lane::Reads || reads)
    }

    /// The client has a connection of its own, or begins anew.
    pub(super) fn leave(&mut self) {
        self.open.clear();
    }
}

// === impl Way ===

impl Way {
    /// Whether the next request may take it, while replies are outstanding on it (`waits`) or not.
    fn suits(&self, needs: Needs, waits: bool) -> bool {
        self.key == needs.key
            && self.scripts == needs.scripts
            && match waits {
                true => self.lane != Lane::Reads || needs.reads,
                false => self.lane == Lane::Plain && !self.scripts && self.link.is_usable(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Table;
    use crate::resp::ArgVec;

    fn route(words: &[&str], directions: &Directions) -> (Route, NodeId) {
        let args: ArgVec = words.iter().map(|word| word.as_bytes()).collect();
        let table = Table::shipped();
        let route = directions.route(Request::new(args.as_args(), b"", &table));
        (route, directions.node(route))
    }

    #[test]
    fn one_node_gets_everything() {
        let directions = Directions::new(Arc::new(Topology::unknown()));
        for words in [&["GET", "foo"][..], &["FLUSHALL"], &["PUBLISH", "a", "b"]] {
            assert_eq!(route(words, &directions), (Route::Node(HOME), HOME));
        }
    }

    #[test]
    fn several_nodes_get_what_is_theirs() {
        let three = Topology::divided(&[5460, 10_922, 16_383]);
        let directions = Directions::new(Arc::new(three));
        // The slots of `foo`, `hello` and `bar`.
        for (words, slot, node) in [
            (&["GET", "foo"][..], 12_182, 2),
            (&["SET", "{hello}x", "1"], 866, 0),
            (&["XREAD", "COUNT", "1", "STREAMS", "bar", "0"], 5061, 0),
            (&["OBJECT", "ENCODING", "foo"], 12_182, 2),
        ] {
            let expected = (Route::Slot(slot), NodeId(node));
            assert_eq!(route(words, &directions), expected, "{words:?}");
        }
        for words in [&["FLUSHALL"][..], &["DBSIZE"], &["SCRIPT", "LOAD", "x"]] {
            assert_eq!(route(words, &directions), (Route::EveryMaster, HOME));
        }
        assert_eq!(route(&["TIME"], &directions), (Route::Any, HOME));
        assert_eq!(directions.node_of_key(b"foo"), NodeId(2));
        directions.set(Arc::new(Topology::unknown()));
        assert_eq!(directions.node_of_key(b"foo"), HOME);
    }
}
