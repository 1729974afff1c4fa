//! A session asks where its next command goes (`route`), and finds the way there.

use std::task::Context;

use super::batch::Run;
use super::client::Session;
use super::links::Needs;
use super::nodes::Slots;
use super::request::Request;
use super::route::Route;
use super::several::has_several_keys;
use crate::command::{Effects, Row};
use crate::upstream::{LinkKey, NodeId};

impl Session {
    /// Notes where the command at hand goes: to the node of the connection of its own, while the session has one.
    #[inline]
    pub(super) fn aim(&mut self, request: Request<'_>) {
        let directions = &self.worker.directions;
        let route = directions.route(request);
        if directions.is_divided() && may_write(request) {
            self.ways.note_written(match Slots::of(request) {
                Slots::Several => Route::Masters,
                _ => route,
            });
        }
        self.ways.slot = route.slot();
        self.ways.has_several = directions.is_divided() && has_several_keys(request);
        self.ways.to = match &self.pinned {
            Some(pinned) => pinned.node(),
            None => directions.node(route),
        };
    }

    /// Whether the link of the run, or the one that is found for it, takes a request too. The session has
    /// no connection of its own.
    #[inline]
    pub(super) fn joins_run(
        &mut self,
        run: &mut Run,
        request: Request<'_>,
        (route, node): (Route, NodeId),
        cx: &Context<'_>,
    ) -> bool {
        let divided = self.worker.directions.is_divided();
        if divided && self.ways.several.holds(route.slot(), &self.replies) {
            return false;
        }
        if divided && may_write(request) {
            self.ways.note_written(route);
        }
        let joins = if run.requests > 0 {
            run.node == node && (!run.only_reads || request.only_reads())
        } else {
            let found = self.route_to_link(node, request.only_reads(), cx);
            run.node = node;
            run.only_reads = self.ways.only_reads(node);
            found
        };
        if joins
            && divided
            && let Some(slot) = route.slot()
            && has_several_keys(request)
        {
            self.ways.several.add(slot);
        }
        joins
    }

    /// Finds the way for the command at hand, which is sent next. False when that has to wait.
    pub(super) fn route_at_hand(&mut self, node: NodeId, reads: bool, cx: &Context<'_>) -> bool {
        let slot = self.ways.slot;
        if self.ways.several.holds(slot, &self.replies) || !self.route_to_link(node, reads, cx) {
            return false;
        }
        if let (true, Some(slot)) = (self.ways.has_several, slot) {
            self.ways.several.add(slot);
        }
        true
    }

    /// What a connection to a node has to be good for.
    #[inline]
    pub(super) fn link_key(&self, node: NodeId) -> LinkKey {
        LinkKey::new(node, self.state.db, self.state.proto).as_user(self.state.login())
    }

    /// Finds the way to a node for the next request. False when that has to wait: replies are
    /// outstanding on the present link, or it is full. `reads` says that the request only reads.
    #[inline]
    pub(super) fn route_to_link(&mut self, node: NodeId, reads: bool, cx: &Context<'_>) -> bool {
        let needs = Needs {
            key: self.link_key(node),
            scripts: self.ways.scripts,
            reads,
        };
        if !self.ways.may_follow(&self.worker.directions, &self.replies) {
            return false;
        }
        let choose = |needs| self.worker.choose_link(needs);
        self.ways.find(needs, choose, &self.replies, cx)
    }
}

/// Whether a command may change something that replicas have to hear of.
fn may_write(request: Request<'_>) -> bool {
    const CHANGES: Effects = Effects::REPLICATES.union(Effects::WRITES_UNKNOWN);
    request.leaf().is_none_or(Row::is_write) || request.effects().intersects(CHANGES)
}
