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

use bytes::Bytes;
use smallvec::SmallVec;

use super::links::{Lane, Needs};
use super::replies::{NOBODY, Replies, Then};
use super::request::Request;
use super::several::Several;
use super::written::Written;
use crate::cache::{Guard, Mutant, is_active};
use crate::command::{first_key, slot_of};
use crate::resp::Args;
use crate::upstream::{Failure, HOME, Link, LinkKey, NodeId, ReplySink, Ticket, Topology};

/// Where a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// To the node that has this slot.
    Slot(u16),
    /// To this node.
    Node(NodeId),
    /// To any node.
    Any,
    /// To the masters of several nodes, or all.
    Masters,
}

/// What a worker knows of the topology.
#[derive(Debug)]
pub(super) struct Directions {
    topology: RefCell<Arc<Topology>>,
    /// The node that has all keys, if there is one: it need not be looked for.
    sole: Cell<Option<NodeId>>,
    /// Grows when slots have other nodes.
    map: Cell<u64>,
}

/// How a session's commands get to where they go.
pub(super) struct Ways {
    /// The node that the command at hand goes to.
    pub(super) to: NodeId,
    /// The slot of its first key, where that matters.
    pub(super) slot: Option<u16>,
    /// The shared links that carry its requests, one for each node.
    open: Vec<Way>,
    /// The client calls scripts: all its commands go with them, in its order.
    pub(super) scripts: bool,
    /// The map of slots by which they were chosen.
    map: u64,
    /// The slots that the client has written to, behind a cluster.
    pub(super) written: Written,
    /// Its commands with several keys that are under way there.
    pub(super) several: Several,
    /// The command at hand has several keys, and may be for a cluster.
    pub(super) has_several: bool,
}

/// Takes a reply that nobody wants.
pub(super) struct Unheard;

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
    /// The node that it ends at.
    fn node(self, topology: &Topology) -> NodeId {
        match self {
            Route::Node(node) => node,
            Route::Slot(slot) => topology.owner(slot).unwrap_or(HOME),
            Route::Any | Route::Masters => HOME,
        }
    }

    /// The slot, if one decides.
    pub(super) fn slot(self) -> Option<u16> {
        match self {
            Route::Slot(slot) => Some(slot),
            _ => None,
        }
    }
}

// === impl Directions ===

impl Directions {
    pub(super) fn new(topology: Arc<Topology>) -> Self {
        Directions {
            sole: Cell::new(topology.sole()),
            map: Cell::new(1),
            topology: RefCell::new(topology),
        }
    }

    /// Whether keys are divided among several nodes.
    #[inline]
    pub(super) fn is_divided(&self) -> bool {
        self.sole.get().is_none()
    }

    /// Whether commands go where this topology says, and no other is on its way.
    pub(super) fn follow(&self, topology: &Topology) -> bool {
        !topology.changing && self.topology.borrow().version == topology.version
    }

    /// Follows a change.
    pub(super) fn set(&self, topology: Arc<Topology>) {
        self.sole.set(topology.sole());
        if !topology.same_slots(&self.topology.borrow()) {
            self.map.set(self.map.get() + 1);
        }
        *self.topology.borrow_mut() = topology;
    }

    /// Where a command goes.
    #[inline]
    pub(super) fn route(&self, request: Request<'_>) -> Route {
        match self.sole.get() {
            Some(node) => Route::Node(node),
            None => Self::route_by_key(request),
        }
    }

    /// The slot that decides where a command goes in a cluster, if one does.
    pub(super) fn slot_of(request: Request<'_>) -> Option<u16> {
        Self::route_by_key(request).slot()
    }

    fn route_by_key(request: Request<'_>) -> Route {
        let row = request.leaf();
        if row.is_some_and(|row| row.spread.is_for_all()) {
            return Route::Masters;
        }
        let key = row.and_then(|row| first_key(row, request.args));
        let key = key.or_else(|| published_in_slot(request));
        key.map_or(Route::Any, |key| Route::Slot(slot_of(key)))
    }

    /// The node that has all keys, if there is one.
    #[inline]
    pub(super) fn sole(&self) -> Option<NodeId> {
        self.sole.get()
    }

    /// Where a command on a key goes.
    #[inline]
    pub(super) fn route_of_key(&self, key: &[u8]) -> Route {
        match self.sole.get() {
            Some(node) => Route::Node(node),
            None => Route::Slot(slot_of(key)),
        }
    }

    /// The node that has a key.
    #[inline]
    pub(super) fn node_of_key(&self, key: &[u8]) -> NodeId {
        self.node(self.route_of_key(key))
    }

    /// The nodes that have these keys.
    pub(super) fn nodes_of(&self, keys: Args<'_>) -> SmallVec<[NodeId; 4]> {
        if let Some(node) = self.sole.get() {
            return SmallVec::from_slice(&[node]);
        }
        let mut nodes = SmallVec::new();
        for key in keys.iter() {
            let node = self.node_of_key(key);
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        nodes
    }

    /// The node that has a slot.
    pub(super) fn node_of_slot(&self, slot: u16) -> NodeId {
        self.node(Route::Slot(slot))
    }

    #[inline]
    pub(super) fn node(&self, route: Route) -> NodeId {
        match route {
            Route::Node(node) => node,
            other => other.node(&self.topology.borrow()),
        }
    }
}

/// The channel that decides where a message goes: it is no key.
pub(super) fn published_in_slot<'a>(request: Request<'a>) -> Option<&'a [u8]> {
    let row = request.leaf().filter(|row| &*row.name == "spublish");
    row.and_then(|_| request.args.get(1))
}

// === impl Ways ===

impl Default for Ways {
    fn default() -> Self {
        Ways {
            to: HOME,
            slot: None,
            open: Vec::new(),
            scripts: false,
            map: 0,
            written: Written::default(),
            several: Several::default(),
            has_several: false,
        }
    }
}

impl Ways {
    /// Notes a write that goes there.
    #[inline]
    pub(super) fn note_written(&mut self, route: Route) {
        match route {
            Route::Slot(slot) => self.written.note(slot),
            Route::Any => {}
            Route::Node(_) | Route::Masters => self.written.note_all(),
        }
    }

    /// Whether a request may be sent by the map of slots as it is now. Where slots have moved, requests that are on
    /// their way would be overtaken by those that go straight to the new node; so these wait.
    pub(super) fn may_follow(&mut self, directions: &Directions, replies: &Replies) -> bool {
        if directions.sole.get().is_some() || is_active(Mutant::RedirectsOvertaken) {
            return true;
        }
        let map = directions.map.get();
        let current = self.map == map || replies.outstanding() == 0;
        if current {
            self.map = map;
        }
        current && !replies.is_redirecting()
    }

    /// Finds the way for what is needed; false when it cannot be taken now, `cx` is woken once it may.
    pub(super) fn find(
        &mut self,
        needs: Needs,
        choose: impl FnOnce(Needs) -> (Link, Lane),
        replies: &Replies,
        cx: &Context<'_>,
    ) -> bool {
        let node = needs.key.node;
        let known = self.open.iter().position(|way| way.key.node == node);
        if let Some(way) = known.map(|at| &self.open[at]) {
            if way.stays(needs) {
                return way.link.poll_room(cx);
            }
            if replies.is_awaited(way.last) {
                return way.takes(needs) && way.link.poll_room(cx);
            }
        }
        let (link, lane) = choose(needs);
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

    /// Sends a batch over the way to a node that was found last, and owes `replies` what it asks for. What is `shared`
    /// are the same bytes.
    pub(super) fn send(
        &mut self,
        node: NodeId,
        (bytes, shared): (&[u8], Option<Bytes>),
        requests: u32,
        replies: &Rc<Replies>,
        (then, guard): (Then, Option<Guard>),
    ) {
        let mut ways = self.open.iter_mut();
        let Some(way) = ways.find(|way| way.key.node == node) else {
            return;
        };
        way.last = replies.expect(requests, then, guard);
        self.several.sent(way.last);
        let sink = Rc::clone(replies) as Rc<dyn ReplySink>;
        way.link
            .push_shared((bytes, shared), requests, sink, way.last);
    }

    /// Sends a request of Respite's own over the way to a node that was found before, in front of the client's next.
    pub(super) fn send_before(&self, node: NodeId, request: impl FnOnce(&Link) -> Option<Vec<u8>>) {
        let way = self.open.iter().find(|way| way.key.node == node);
        if let Some(way) = way
            && let Some(bytes) = request(&way.link)
        {
            way.link.push(&bytes, 1, Rc::new(Unheard), NOBODY);
        }
    }

    /// Sends a part of a request over the way to a node that was found before. Its reply goes to `sink`; `place` is
    /// answered when all parts are.
    pub(super) fn send_part(
        &mut self,
        node: NodeId,
        bytes: &[u8],
        sink: Rc<dyn ReplySink>,
        place: Ticket,
    ) {
        let mut ways = self.open.iter_mut();
        if let Some(way) = ways.find(|way| way.key.node == node) {
            way.last = place;
            way.link.push(bytes, 1, sink, place);
        }
    }

    /// Whether the way to a node carries reads alone.
    #[inline]
    pub(super) fn only_reads(&self, node: NodeId) -> bool {
        let mut ways = self.open.iter().filter(|way| way.key.node == node);
        ways.any(|way| way.lane == Lane::Reads)
    }

    /// The client has a connection of its own, or begins anew.
    pub(super) fn leave(&mut self) {
        self.open.clear();
    }
}

// === impl Unheard ===

impl ReplySink for Unheard {
    fn deliver(&self, _: Ticket, _: &[u8], _: u32) {}

    fn abort(&self) {}

    fn lost(&self, _: Ticket, _: &Failure, _: u32) {}

    fn ends_with_loss(&self) -> bool {
        false
    }

    fn is_for_node(&self) -> bool {
        true
    }
}

// === impl Way ===

impl Way {
    /// Whether it is the right one, whatever is outstanding on it.
    #[inline]
    fn stays(&self, needs: Needs) -> bool {
        self.key == needs.key && self.lane == Lane::Plain && !needs.scripts && self.link.is_usable()
    }

    /// Whether it takes one more request while replies are outstanding on it.
    fn takes(&self, needs: Needs) -> bool {
        let lane = self.lane != Lane::Reads || needs.reads;
        self.key == needs.key && self.scripts == needs.scripts && lane
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use tokio::task::LocalSet;

    use super::*;
    use crate::command::Table;
    use crate::resp::{ArgVec, Proto};
    use crate::upstream::{Backing, LinkLimits, spawn_link};

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
        for words in [&["TIME"][..], &["PUBLISH", "a", "b"]] {
            assert_eq!(route(words, &directions), (Route::Any, HOME));
        }
        for words in [&["FLUSHALL"][..], &["DBSIZE"], &["SCRIPT", "LOAD", "x"]] {
            assert_eq!(route(words, &directions), (Route::Masters, HOME));
        }
        assert_eq!(directions.node_of_key(b"foo"), NodeId(2));
        directions.set(Arc::new(Topology::unknown()));
        assert_eq!(directions.node_of_key(b"foo"), HOME);
    }

    /// A link that nobody connects.
    fn link(needs: Needs) -> (Link, Lane) {
        let backing = Backing::new("redis://127.0.0.1:1".parse().expect("a URL"), None);
        let limits = LinkLimits {
            in_flight: 100,
            connect: Duration::from_secs(1),
            wait: Duration::from_secs(1),
            reply: None,
            slow: Duration::from_secs(1),
        };
        let scratch = Rc::new(RefCell::new(Vec::new()));
        let link = spawn_link(backing, needs.key, limits, Rc::new(|_| false), scratch);
        (link, Lane::Plain)
    }

    #[test]
    fn a_way_is_left_when_it_owes_nothing_and_others_are_taken_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let replies = Rc::new(Replies::new(1000));
            let cx = Context::from_waker(Waker::noop());
            let mut ways = Ways::default();
            let needs = |node, db| Needs {
                key: LinkKey::new(NodeId(node), db, Proto::Resp2),
                scripts: false,
                reads: false,
            };
            let ask = b"*1\r\n$4\r\nPING\r\n";
            let send = |ways: &mut Ways, node, db| {
                let found = ways.find(needs(node, db), link, &replies, &cx);
                if found {
                    ways.send(NodeId(node), (ask, None), 1, &replies, (Then::Pass, None));
                }
                found
            };
            assert!(send(&mut ways, 0, 0) && send(&mut ways, 0, 0));
            // Another connection to the same node would overtake.
            assert!(!send(&mut ways, 0, 1));
            assert!(send(&mut ways, 1, 0));
            let (first, second) = (Ticket(0), Ticket(1));
            replies.deliver(first, b"a", 1);
            assert!(!send(&mut ways, 0, 1));
            replies.deliver(second, b"b", 1);
            assert!(send(&mut ways, 0, 1));
            assert_eq!((replies.outstanding(), ways.open.len()), (2, 2));
        });
    }
}
