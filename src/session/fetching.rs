//! Which keys are being fetched into the cache for a client.
//!
//! A fetch and a command of the same client go over different connections, and a fetch that fails is made
//! again: a later read of the same key could be answered with something older than the earlier one. So
//! it shares the fetch or waits for it.

use std::collections::VecDeque;

use super::replies::Replies;
use crate::upstream::Ticket;

/// From so many on, what is answered is forgotten.
const TIDY: usize = 64;

/// The fetches that a client waits for, oldest first. Bounded by the replies that may be outstanding.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    fetches: VecDeque<Fetch>,
    tidy_at: usize,
}

/// One of them.
#[derive(Debug)]
struct Fetch {
    ticket: Ticket,
    /// Of the key.
    hash: u64,
    token: u64,
}

impl Fetching {
    /// Notes a fetch whose reply is for `ticket`.
    pub(super) fn note(&mut self, ticket: Ticket, hash: u64, token: u64, replies: &Replies) {
        if self.fetches.len() >= self.tidy_at.max(TIDY) {
            self.fetches.retain(|fetch| replies.is_later(fetch.ticket));
            self.tidy_at = self.fetches.len() * 2;
        }
        self.fetches.push_back(Fetch {
            ticket,
            hash,
            token,
        });
    }

    /// The youngest fetch of a key that is not answered yet.
    #[inline]
    pub(super) fn of(&mut self, hash: impl FnOnce() -> u64, replies: &Replies) -> Option<u64> {
        if self.fetches.is_empty() {
            return None;
        }
        if replies.later() == 0 {
            self.fetches.clear();
            return None;
        }
        let hash = hash();
        let mut of_key = self.fetches.iter().rev().filter(|f| f.hash == hash);
        let found = of_key.find(|fetch| replies.is_later(fetch.ticket));
        found.map(|fetch| fetch.token)
    }
}
