//! Subscriptions behind a cluster. Channels and patterns are subscribed to at any node, those of slots at the slot's
//! master, on a connection for each slot. When a node is lost, or a slot has moved, the client is subscribed at another
//! one, and hears of nothing: what was published meanwhile is lost, as when a node of a cluster fails.

use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use tracing::debug;

use super::client::Session;
use super::dispatch::Flow;
use super::nodes::{CROSS_SLOT, Slots};
use super::pinned::Pinned;
use super::reach::Destination;
use super::redirects::{AGAIN, whither};
use super::request::Request;
use super::settings::Settings;
use super::worker::Worker;
use crate::command::{Channel, Handling, Pin};
use crate::upstream::{NodeId, UpstreamError, Whither};

impl Session {
    /// Any command that changes subscriptions.
    pub(super) fn subscribe(
        &mut self,
        kind: Channel,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let Handling::Pin(pin) = request.handling() else {
            return Flow::Wait;
        };
        let slot = match kind {
            Channel::Exact | Channel::Pattern => None,
            Channel::Shard if request.args.len() == 1 => {
                return self.unsubscribe_slots(pin, request, settings, cx);
            }
            Channel::Shard => {
                let mut slots = Slots::None;
                request.args.iter().skip(1).for_each(|name| slots.add(name));
                match slots {
                    Slots::One(slot) => Some(slot),
                    _ => return self.answer_error(CROSS_SLOT),
                }
            }
        };
        self.ways.slot = slot;
        match self.take_up(|pinned| pinned.is_subscribed_in(slot)) {
            Some(true) => self.send_pinned(pin, request, cx),
            Some(false) => Flow::Wait,
            None => match self.take_connection(settings) {
                Ok(true) => self.send_pinned(pin, request, cx),
                Ok(false) => Flow::Wait,
                Err(text) => self.answer_error(text),
            },
        }
    }

    /// `SUNSUBSCRIBE` from all: on one connection after the other.
    fn unsubscribe_slots(
        &mut self,
        pin: Pin,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let of_slot = |pinned: &Pinned| pinned.slot_channels() > 0;
        let last = self.parked.iter().filter(|pinned| of_slot(pinned)).count() <= 1;
        let taken = match self.take_up(of_slot) {
            Some(taken) => taken,
            None => match self.take_connection(settings) {
                Ok(taken) => taken,
                Err(text) => return self.answer_error(text),
            },
        };
        if !taken {
            return Flow::Wait;
        }
        match (self.send_pinned(pin, request, cx), last) {
            (sent, true) => sent,
            // The command is for the others, too.
            (_, false) => Flow::Wait,
        }
    }

    /// Follows what a node has said of the channels on the present connection.
    #[inline]
    pub(super) fn follow_channels(&mut self) -> bool {
        match &mut self.pinned {
            Some(pinned) => self.worker.follow_channels(pinned),
            None => false,
        }
    }
}

impl Worker {
    /// Subscribes again where the slot is now, when a node has ended subscriptions to its channels, or does not have it.
    pub(super) fn follow_channels(self: &Rc<Self>, pinned: &mut Pinned) -> bool {
        let turned = match pinned.is_resubscribing() {
            true => pinned.take_turned_away(),
            false => None,
        };
        if !pinned.takes_ended() && turned.is_none() {
            return false;
        }
        if let Some(Whither::Moved(slot, address)) = turned.and_then(|reply| whither(&reply)) {
            self.shared.backing.moved(slot, &address);
        }
        let moved = UpstreamError::Lost("the slot has another node".into());
        self.resubscribe(pinned, &moved)
    }

    /// Subscribes a connection that is lost again elsewhere. False when that has been tried for long enough.
    pub(super) fn resubscribe(self: &Rc<Self>, pinned: &mut Pinned, error: &UpstreamError) -> bool {
        let before = pinned.turned_away_for();
        if before.is_some_and(|since| since > self.settings().timeouts.failover) {
            return false;
        }
        debug!("subscribed elsewhere: {error}");
        self.shared.backing.doubt();
        let slot = pinned.slot();
        let to = match slot {
            Some(slot) => Destination::Slot(slot),
            None => Destination::Any(NodeId(pinned.node().0 + 1)),
        };
        let after = before.map_or(Duration::ZERO, |_| AGAIN);
        let good_for = pinned.good_for();
        pinned.resubscribe();
        pinned.lead(slot, false, |place| self.reach(to, good_for, place, after));
        true
    }
}
