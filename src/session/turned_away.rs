//! Leads a connection of a client's own to another node of a cluster, when the one that it leads to turns a request
//! away: the slot has moved, or nobody serves it now.

use std::time::Duration;

use super::client::Session;
use super::reach::Destination;
use super::redirects::{AGAIN, whither};
use super::state::Broken;
use crate::command::with_less_time;
use crate::resp::{Parsed, RequestLimits, RequestParser};
use crate::upstream::{UpstreamError, Whither};

impl Session {
    /// Follows the reply that has turned a request away, if one has.
    #[inline]
    pub(super) fn lead_on(&mut self) -> bool {
        match self.pinned.as_mut().and_then(|p| p.take_turned_away()) {
            None => false,
            Some(reply) => {
                self.lead_to(&reply);
                true
            }
        }
    }

    /// The connection is lost. True when another one stands in for it, because nothing that was asked can have been
    /// executed.
    pub(super) fn outlives_loss(&mut self, error: &UpstreamError) -> bool {
        let Some(pinned) = &mut self.pinned else {
            return false;
        };
        if pinned.can_be_resubscribed() {
            return self.worker.resubscribe(pinned, error);
        }
        if !pinned.holds_exec() || pinned.is_watching() {
            return false;
        }
        self.lead_to(b"");
        true
    }

    /// Whether the client is closed with the connection of its own that is lost. Behind a cluster one node is lost,
    /// and the client goes on with the others.
    pub(super) fn closes_with_pinned(&self) -> bool {
        self.replies.closes_on_loss() && !self.worker.directions.is_divided()
    }

    #[cold]
    fn lead_to(&mut self, reply: &[u8]) {
        let worker = std::rc::Rc::clone(&self.worker);
        let Some(pinned) = &mut self.pinned else {
            return;
        };
        let before = pinned.turned_away_for();
        if before.is_some_and(|since| since > worker.settings().timeouts.failover)
            || !pinned.can_be_led()
        {
            return self.give_up_own(reply);
        }
        let backing = &worker.shared.backing;
        backing.note_redirect(reply);
        let here = match pinned.slot() {
            Some(slot) => Destination::Slot(slot),
            None => Destination::Node(pinned.node()),
        };
        let mut after = before.map_or(Duration::ZERO, |_| AGAIN);
        let mut asking = false;
        let to = match whither(reply) {
            Some(Whither::Moved(slot, address)) => {
                backing.moved(slot, &address);
                Destination::Slot(slot)
            }
            Some(Whither::Ask(_, address)) => {
                asking = true;
                backing.node_at(&address).map_or(here, Destination::Node)
            }
            _ if reply.starts_with(b"-UNBLOCKED the stream") => here,
            _ => {
                backing.doubt();
                after = AGAIN;
                here
            }
        };
        if pinned.is_watching() && !pinned.lose_watch() {
            self.state.watch_lost = true;
        }
        if pinned.is_blocked() {
            let table = &worker.settings().table;
            pinned.change_front(|request, waited| {
                let mut parser = RequestParser::default();
                match parser.parse(request, &RequestLimits::TRUSTED) {
                    Ok(Parsed::Request { .. }) => {
                        with_less_time(table, parser.args(request), waited)
                    }
                    _ => None,
                }
            });
        }
        if pinned.is_subscriber() {
            pinned.resubscribe();
        }
        let slot = match to {
            Destination::Slot(slot) => Some(slot),
            Destination::Node(_) | Destination::Any(_) => None,
        };
        let good_for = pinned.good_for();
        pinned.lead(slot, asking, |place| {
            worker.reach(to, good_for, place, after)
        });
    }

    /// Tells the client that nobody takes what it asked for.
    fn give_up_own(&mut self, reply: &[u8]) {
        let Some(mut pinned) = self.pinned.take() else {
            return;
        };
        let said = String::from_utf8_lossy(reply.strip_prefix(b"-").unwrap_or(reply));
        let text = match said.trim_end() {
            down if down.starts_with("CLUSTERDOWN ") => down.to_owned(),
            "" => "UPSTREAM no node could be reached that serves it; not executed".to_owned(),
            said => format!("UPSTREAM no node has served it ({said}); not executed"),
        };
        if pinned.is_watching() {
            self.state.watch_lost = true;
        }
        if pinned.in_multi() {
            self.state.broken = Some(Broken::Lost);
        }
        pinned.give_up(&text, &self.replies);
        self.forget_pinned();
    }
}
