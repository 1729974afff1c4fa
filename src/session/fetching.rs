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
    /// Reads of many keys. Each has a place in `fetches` as well, of a key that nobody has.
    many: Vec<FetchMany>,
    /// Bytes that those keep.
    many_bytes: usize,
}

/// A read of many keys that is under way.
#[derive(Debug)]
struct FetchMany {
    ticket: Ticket,
    /// Of its keys, in order.
    hashes: Box<[u64]>,
    /// That are kept for it.
    bytes: usize,
}

/// The hash in the place of a read of many keys. If a key has it, its reads wait for no reason.
const NO_KEY: u64 = 0;
/// The token of no fetch: who reads a key of a read of many waits until that is answered.
const NO_FETCH: u64 = 0;

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
        self.of_some(hash, replies)
    }

    /// Apart, so that a hit while nothing is fetched costs no call.
    #[inline(never)]
    fn of_some(&mut self, hash: impl FnOnce() -> u64, replies: &Replies) -> Option<u64> {
        if replies.later() == 0 {
            self.fetches.clear();
            self.many.clear();
            self.many_bytes = 0;
            return None;
        }
        let hash = hash();
        let mut of_key = self.fetches.iter().rev().filter(|f| f.hash == hash);
        let found = of_key.find(|fetch| replies.is_later(fetch.ticket));
        match found {
            Some(fetch) => Some(fetch.token),
            None if !self.many.is_empty() => self.of_many(hash, replies),
            None => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn of_many(&self, hash: u64, replies: &Replies) -> Option<u64> {
        let mut many = self.many.iter();
        let has = |fetch: &FetchMany| {
            replies.is_later(fetch.ticket) && fetch.hashes.binary_search(&hash).is_ok()
        };
        many.any(has).then_some(NO_FETCH)
    }

    /// Whether one of these keys is being fetched.
    pub(super) fn has_any(&self, mut hashes: impl Iterator<Item = u64>, replies: &Replies) -> bool {
        if self.fetches.is_empty() || replies.later() == 0 {
            return false;
        }
        hashes.any(|hash| {
            let mut fetches = self.fetches.iter();
            fetches.any(|fetch| fetch.hash == hash && replies.is_later(fetch.ticket))
                || self.of_many(hash, replies).is_some()
        })
    }

    /// Notes a read of many keys whose reply is for `ticket`.
    /// `bytes` are those of its request.
    pub(super) fn note_many(
        &mut self,
        ticket: Ticket,
        mut hashes: Vec<u64>,
        bytes: usize,
        replies: &Replies,
    ) {
        hashes.sort_unstable();
        let bytes = bytes + hashes.len() * size_of::<u64>();
        self.many_bytes += bytes;
        self.note(ticket, NO_KEY, NO_FETCH, replies);
        self.many.push(FetchMany {
            ticket,
            hashes: hashes.into(),
            bytes,
        });
    }

    /// Bytes that are kept for reads of many keys, while there are any.
    #[inline]
    pub(super) fn bytes(&self, replies: &Replies) -> usize {
        match self.many_bytes {
            0 => 0,
            _ if replies.later() == 0 => 0,
            bytes => bytes,
        }
    }

    /// How many reads of many keys are under way.
    pub(super) fn many(&mut self, replies: &Replies) -> usize {
        self.many.retain(|fetch| replies.is_later(fetch.ticket));
        self.many_bytes = self.many.iter().map(|fetch| fetch.bytes).sum();
        self.many.len()
    }
}
