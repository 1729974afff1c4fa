//! Sends the parts of a command that is split, each the client's ordinary way to the node of its slot, all of them
//! at once, and brings their joined reply to the place that the command has taken.
//!
//! So a client's order holds: what it sent a node before is in front of the part, what it sends later behind it.
//! A part is sent on as any request is when its slot has moved.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Context;

use super::split::{Layout, Parts, has_several_slots, split};
use crate::command::{Joining, Many, Row, Spread, arity_error};
use crate::session::client::Session;
use crate::session::dispatch::{Flow, SHARED_BYTES};
use crate::session::gathers::Gather;
use crate::session::judging::login_of;
use crate::session::nodes::CROSS_SLOT;
use crate::session::replies::{Replies, Then};
use crate::session::request::Request;
use crate::session::settings::Settings;
use crate::session::shared::WorkerStats;
use crate::session::worker::Worker;
use crate::upstream::{Failure, LinkKey, ReplySink, SlowReply, Ticket};

/// What the keys of one slot may have.
const LARGE_PART: &str = "ERR the keys and values of one slot have more than 1 MiB in this command";
/// Bytes that a request may have of which the parts are sent at once: as much as a link holds.
const MOST_BYTES: usize = 64 * 1024 * 1024;
const LARGE: &str = "ERR a command with keys in several slots may have 64 MiB";
const TOO_MUCH: &str = "ERR the values have more than limits.client_output_bytes";

/// A command whose parts are under way.
struct Split {
    /// The client's.
    replies: Rc<Replies>,
    /// Who waits for the joined reply.
    sink: Rc<dyn ReplySink>,
    place: Ticket,
    layout: Layout,
    joining: Joining,
    writes: bool,
    /// Bytes that the replies may have.
    most: usize,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    replies: Vec<Vec<u8>>,
    left: usize,
    bytes: usize,
    failed: Option<Failure>,
}

impl State {
    fn of(parts: usize) -> RefCell<Self> {
        RefCell::new(State {
            replies: vec![Vec::new(); parts],
            left: parts,
            ..State::default()
        })
    }
}

/// Takes the reply of one part.
struct OnePart {
    split: Rc<Split>,
    at: usize,
}

/// How many arguments there are for each key of a command that may be split.
fn step_of(row: &Row) -> Option<usize> {
    match (row.spread, &row.keys) {
        (Spread::BySlot(_), keys) => keys.step(),
        _ => None,
    }
}

impl Session {
    /// Whether a command that may be split has to be.
    pub(super) fn must_split(row: &Row, request: Request<'_>) -> bool {
        let step = step_of(row);
        request.arity_ok() && step.is_some_and(|step| has_several_slots(request.args, step))
    }

    /// Splits a command whose keys are in several slots.
    pub(super) fn split(
        &mut self,
        joining: Joining,
        request: Request<'_>,
        settings: &Settings,
        cx: &Context<'_>,
    ) -> Option<Flow> {
        let row = request.leaf()?;
        let step = step_of(row)?;
        if row.is_write() && !settings.split_writes {
            return Some(self.answer_error(CROSS_SLOT));
        }
        if request.raw.len() > MOST_BYTES {
            return Some(self.answer_error(LARGE));
        }
        let Some(parts) = split(request.args, step) else {
            return Some(self.answer_error(arity_error(row)));
        };
        if parts
            .parts
            .iter()
            .any(|part| part.request.len() > SHARED_BYTES)
        {
            return Some(self.answer_error(LARGE_PART));
        }
        Some(self.send_parts(parts, joining, request, settings, cx))
    }

    fn send_parts(
        &mut self,
        mut parts: Parts,
        joining: Joining,
        request: Request<'_>,
        settings: &Settings,
        cx: &Context<'_>,
    ) -> Flow {
        let worker = Rc::clone(&self.worker);
        let layout = parts.layout();
        let node_of = |slot| worker.directions.node_of_slot(slot);
        let mut nodes: Vec<_> = parts.parts.iter().map(|part| node_of(part.slot)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let mut slots = parts.parts.iter().map(|part| part.slot);
        if slots.any(|slot| self.ways.several.holds(Some(slot), &self.replies)) {
            return Flow::Wait;
        }
        for node in &nodes {
            if !self.route_to_link(*node, request.only_reads(), cx) {
                return Flow::Wait;
            }
        }
        let cover = std::mem::take(&mut self.coherence.cover);
        let then = self.fenced(Then::Pass, cover.fence, self.is_silent());
        let place = self.replies.expect(1, then, cover.guard);
        let sink = Rc::clone(&self.replies) as Rc<dyn ReplySink>;
        let split = Rc::new(Split {
            replies: Rc::clone(&self.replies),
            sink,
            place,
            joining,
            writes: !request.only_reads(),
            most: settings.limits.client_output_bytes,
            state: State::of(parts.parts.len()),
            layout,
        });
        let count = parts.parts.len() as u64;
        for slot in split.layout.with_several_keys(&parts.parts) {
            self.ways.several.add(slot);
        }
        self.ways.several.sent(place);
        for (at, part) in parts.parts.into_iter().enumerate() {
            let sink = Rc::new(OnePart {
                split: Rc::clone(&split),
                at,
            });
            self.ways
                .send_part(node_of(part.slot), &part.request, sink, place);
        }
        WorkerStats::add(&self.worker.stats().forwarded, count);
        self.front.closing |= self.replies.is_ending();
        Flow::Done
    }
}

impl Worker {
    /// Has the nodes asked for what a read of many keys waits for; false when one node can be asked for all of it.
    pub(in crate::session) fn ask_parts_anew(
        self: &Rc<Self>,
        gather: &Gather,
        replies: &Rc<Replies>,
    ) -> bool {
        let args = gather.request.as_args();
        if !self.directions.is_divided() || !has_several_slots(args, 1) {
            return false;
        }
        let Some(mut parts) = split(args, 1) else {
            return false;
        };
        let (db, proto) = (gather.db, gather.waiter.proto);
        let login = login_of(replies);
        let split = Rc::new(Split {
            replies: Rc::clone(replies),
            sink: self.guarded(Rc::clone(replies), db, args.iter().skip(1)),
            place: Ticket(gather.waiter.ticket),
            joining: match gather.many {
                Many::Values => Joining::Elements,
                Many::Existing => Joining::Sum,
            },
            writes: false,
            most: self.settings().limits.client_output_bytes,
            state: State::of(parts.parts.len()),
            layout: parts.layout(),
        });
        for (at, part) in parts.parts.into_iter().enumerate() {
            let split = Rc::clone(&split);
            let node = self.directions.node_of_slot(part.slot);
            let link = self.link(LinkKey::new(node, db, proto).as_user(login));
            link.push(&part.request, 1, Rc::new(OnePart { split, at }), Ticket(0));
        }
        true
    }
}

// === impl Split ===

impl Split {
    /// A part has its reply, or will have none.
    fn ended(&self, failure: Option<Failure>) {
        let mut state = self.state.borrow_mut();
        state.failed = state.failed.take().or(failure);
        state.left -= 1;
        if state.left > 0 {
            return;
        }
        let replies = std::mem::take(&mut state.replies);
        let failed = state.failed.take();
        self.replies.hold_parts(state.bytes, 0);
        state.bytes = 0;
        drop(state);
        match failed {
            Some(failure) => self.sink.lost(self.place, &failure, 1),
            None => {
                let reply = self.layout.join(self.joining, &replies, self.writes);
                self.sink.deliver(self.place, &reply, 1);
            }
        }
    }

    fn forget(&self, at: usize) {
        let mut state = self.state.borrow_mut();
        let (before, begun) = (state.bytes, std::mem::take(&mut state.replies[at]));
        state.bytes -= begun.len();
        self.replies.hold_parts(before, state.bytes);
    }

    fn take(&self, at: usize, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        if state.failed.is_none() && state.bytes + bytes.len() > self.most {
            state.failed = Some(Failure {
                text: TOO_MUCH.to_owned(),
                refusal: true,
                logged_out: false,
            });
            state
                .replies
                .iter_mut()
                .for_each(|reply| *reply = Vec::new());
            self.replies.hold_parts(state.bytes, 0);
            state.bytes = 0;
        }
        if state.failed.is_some() {
            return;
        }
        let before = state.bytes;
        state.bytes += bytes.len();
        state.replies[at].extend_from_slice(bytes);
        self.replies.hold_parts(before, state.bytes);
    }
}

// === impl OnePart ===

impl ReplySink for OnePart {
    fn deliver(&self, _ticket: Ticket, bytes: &[u8], replies: u32) {
        self.split.take(self.at, bytes);
        if replies > 0 {
            self.split.ended(None);
        }
    }

    fn slow(&self, _ticket: Ticket, reply: SlowReply<'_>) {
        self.split.sink.slow(self.split.place, reply);
    }

    fn abort(&self) {
        // Nothing of it has been shown: it comes again from the beginning, or is lost.
        self.split.forget(self.at);
    }

    fn lost(&self, _ticket: Ticket, failure: &Failure, _replies: u32) {
        self.split.ended(Some(failure.clone()));
    }

    fn ends_with_loss(&self) -> bool {
        self.split.replies.closes_on_loss()
    }

    fn identity(&self) -> *const () {
        self.split.replies.identity()
    }

    fn redirecting(&self, begins: bool) {
        self.split.replies.redirecting(begins);
    }
}
