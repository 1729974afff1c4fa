//! Which commands need a connection of the client's own behind a cluster, and to which node.
//!
//! A transaction, and what is watched for it, is in one slot: its `MULTI` waits for the first key, and what has none is
//! queued here until then. Whatever else a client asks goes to its node over the shared links meanwhile.

use std::task::Context;

use super::client::Session;
use super::dispatch::Flow;
use super::pinned::Pinned;
use super::reach::Destination;
use super::request::Request;
use super::route::published_in_slot;
use super::settings::Settings;
use crate::command::{Flags, Handling, Local, Pin, each_key, slot_of};
use crate::resp::Proto;
use crate::upstream::HOME;

pub(super) const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";
const TOO_LARGE: &str =
    "UPSTREAM the transaction is too large to be sent to another node; it is not executed";
const FOR_ALL: &str = "ERR Respite cannot run a command of all nodes of a cluster in a transaction";

/// The slots of a command's keys, or channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slots {
    None,
    One(u16),
    Several,
}

impl Slots {
    pub(super) fn of(request: Request<'_>) -> Self {
        let mut slots = Slots::None;
        if let Some(row) = request.leaf() {
            each_key(row, request.args, |key| slots.add(key.key));
        }
        if let Some(channel) = published_in_slot(request) {
            slots.add(channel);
        }
        slots
    }

    pub(super) fn add(&mut self, name: &[u8]) {
        let slot = slot_of(name);
        *self = match *self {
            Slots::None => Slots::One(slot),
            Slots::One(same) if same == slot => return,
            _ => Slots::Several,
        };
    }
}

impl Session {
    /// A command that needs a connection of the client's own, or has to wait until that is free. None for any other.
    #[cold]
    pub(super) fn route_to_own(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Option<Flow> {
        if self.is_in_multi() {
            return Some(self.route_transaction(request, settings, cx));
        }
        self.park();
        if self.pinned.is_some() {
            return Some(Flow::Wait);
        }
        let subscribed = self.parked.iter().any(Pinned::is_subscriber);
        if subscribed && self.state.proto == Proto::Resp2 {
            // It may do nothing else.
            let Handling::Pin(Pin::Subscribe(kind) | Pin::Unsubscribe(kind)) = request.handling()
            else {
                let local = matches!(request.handling(), Handling::Local(_));
                return Some(match self.take_up(Pinned::is_subscriber) {
                    // A node that does not have the key would say so first.
                    Some(true) if !local && request.leaf().is_some() => {
                        self.refuse_subscriber(request, cx)
                    }
                    Some(true) => self.route_pinned(request, settings, cx),
                    _ => Flow::Wait,
                });
            };
            return Some(self.subscribe(kind, request, settings, cx));
        }
        let Handling::Pin(pin) = request.handling() else {
            return None;
        };
        if !request.arity_ok() {
            return None;
        }
        match pin {
            Pin::Multi => Some(self.begin_transaction(request, settings, cx)),
            Pin::Watch => self.watch(request, cx),
            Pin::Exec | Pin::Discard | Pin::Unwatch => {
                self.state.watch_lost &= pin != Pin::Unwatch;
                match self.take_up(Pinned::is_watching)? {
                    true => Some(self.send_pinned(pin, request, cx)),
                    false => Some(Flow::Wait),
                }
            }
            Pin::Subscribe(kind) | Pin::Unsubscribe(kind) => {
                Some(self.subscribe(kind, request, settings, cx))
            }
            Pin::Wait => Some(self.wait_for_replicas(request, settings)),
            _ => None,
        }
    }

    /// `MULTI`: the connection that watches for it, or one that waits for the first key.
    fn begin_transaction(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        match self.take_up(Pinned::is_watching) {
            Some(false) => return Flow::Wait,
            Some(true) => {}
            None if self.replies.outstanding() > 0 => return Flow::Wait,
            None => {
                let limit = settings.limits.pinned;
                let Some(place) = self.worker.pool.place(limit) else {
                    self.note_refused(Pin::Multi);
                    return self.answer_error(format!(
                        "ERR no connection of its own for this client: {limit} are in use (limits.pinned)"
                    ));
                };
                let key = self.link_key(HOME);
                self.own(Pinned::undecided(place, key));
            }
        }
        self.send_pinned(Pin::Multi, request, cx)
    }

    /// `WATCH`: none when a connection has to be taken for it.
    fn watch(&mut self, request: Request<'_>, cx: &mut Context<'_>) -> Option<Flow> {
        let watched = self.parked.iter().find(|pinned| pinned.is_watching());
        let fits = match (Slots::of(request), watched) {
            (Slots::Several, _) => false,
            (Slots::One(slot), Some(watched)) => watched.slot() == Some(slot),
            _ => true,
        };
        if !fits {
            self.note_refused(Pin::Watch);
            return Some(self.answer_error(CROSS_SLOT));
        }
        match self.take_up(Pinned::is_watching)? {
            true => Some(self.send_pinned(Pin::Watch, request, cx)),
            false => Some(Flow::Wait),
        }
    }

    /// Any command between `MULTI` and `EXEC`.
    fn route_transaction(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let Some(pinned) = &self.pinned else {
            return Flow::Wait;
        };
        if request.leaf().is_some_and(|row| row.spread.is_for_all()) {
            return self.refuse_with(FOR_ALL);
        }
        match (Slots::of(request), pinned.slot()) {
            (Slots::Several, _) => return self.refuse_with(CROSS_SLOT),
            (Slots::One(slot), Some(other)) if slot != other => {
                return self.refuse_with(CROSS_SLOT);
            }
            (Slots::One(_), None) if !pinned.can_be_led() => return self.refuse_with(TOO_LARGE),
            (Slots::One(slot), None) => self.decide(Destination::Slot(slot)),
            (Slots::None, _)
                if pinned.is_undecided()
                    && (pinned.is_kept_in_full() || !is_queued_anywhere(request)) =>
            {
                self.decide(Destination::Any(HOME));
            }
            _ => {}
        }
        self.route_multi(request, settings, cx)
    }

    /// Leads the transaction at hand to a node, with what was queued of it elsewhere.
    fn decide(&mut self, to: Destination) {
        let Some(pinned) = &mut self.pinned else {
            return;
        };
        let slot = match to {
            Destination::Slot(slot) => Some(slot),
            Destination::Node(_) | Destination::Any(_) => None,
        };
        let (worker, good_for) = (&self.worker, pinned.good_for());
        let now = std::time::Duration::ZERO;
        pinned.lead(slot, false, |place| worker.reach(to, good_for, place, now));
    }
}

/// Whether every node queues a command without keys. What may be refused is sent to one, which has the words for it.
fn is_queued_anywhere(request: Request<'_>) -> bool {
    let row = request.leaf();
    row.is_some_and(|row| !row.flags.contains(Flags::NO_MULTI))
        && request.arity_ok()
        && match request.handling() {
            Handling::Forward => true,
            Handling::Local(Local::Node) => false,
            Handling::Local(local) => local != Local::Client || request.sub.is_some(),
            Handling::Pin(pin) => matches!(pin, Pin::Discard | Pin::Unwatch | Pin::Script),
            Handling::Family(_) => false,
        }
}
