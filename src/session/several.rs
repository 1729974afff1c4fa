//! Commands with several keys that are under way behind a cluster. While their slot moves, a node may turn such a command
//! away (`TRYAGAIN`: it has one key and not the other), and take the client's next one on one of these keys. So what
//! a client sends to the same slot behind such a command waits for its reply.

use super::replies::Replies;
use super::request::Request;
use crate::command::{each_key, has_one_key};
use crate::upstream::Ticket;

/// The slots of a client's commands with several keys that are under way.
#[derive(Debug, Default)]
pub(super) struct Several {
    under_way: Vec<(u16, Ticket)>,
    /// Those of commands that are about to be sent.
    next: Vec<u16>,
}

impl Several {
    /// Whether a command for this slot has to wait.
    #[inline]
    pub(super) fn holds(&mut self, slot: Option<u16>, replies: &Replies) -> bool {
        if self.under_way.is_empty() && self.next.is_empty() {
            return false;
        }
        self.under_way
            .retain(|(_, ticket)| replies.is_awaited(*ticket));
        slot.is_some_and(|slot| {
            self.next.contains(&slot) || self.under_way.iter().any(|(held, _)| *held == slot)
        })
    }

    /// A command with several keys of this slot goes with what is sent next.
    pub(super) fn add(&mut self, slot: u16) {
        self.next.push(slot);
    }

    /// What was about to be sent is answered at this place.
    #[inline]
    pub(super) fn sent(&mut self, ticket: Ticket) {
        let next = self.next.drain(..);
        self.under_way.extend(next.map(|slot| (slot, ticket)));
    }
}

/// Whether a command has more than one key.
#[inline]
pub(super) fn has_several_keys(request: Request<'_>) -> bool {
    request.leaf().is_some_and(|row| !has_one_key(row)) && counts_several(request)
}

#[cold]
fn counts_several(request: Request<'_>) -> bool {
    let mut keys = 0;
    if let Some(row) = request.leaf() {
        each_key(row, request.args, |_| keys += 1);
    }
    keys > 1
}
