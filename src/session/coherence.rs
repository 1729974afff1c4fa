//! What a session knows of its client so that the cache stays true to it: what the client reads through
//! the cache now, and what its commands may change.
//!
//! It does not know where commands go, and asks the cache for nothing but guards.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cached::{
    Cover, Fence, changes_every_key, fence_of, may_block, protect_keys, touches_unknown_keys,
};
use super::fetching::Fetching;
use super::replies::Replies;
use super::request::Request;
use super::worker::Worker;
use crate::cache::{Cache, Guard, Mutant, is_active};
use crate::command::{Handling, Pin};
use crate::config::CacheMode;
use crate::upstream::{FillLink, NodeId, Ticket};

/// A transaction with more keys than this protects all keys.
const MOST_QUEUED_KEYS: usize = 1000;
/// As does one whose keys have more bytes than this in all.
const MOST_QUEUED_BYTES: usize = 1024 * 1024;
/// Reads of many keys, parts of which are fetched for one client at a time: each keeps its request and its keys.
const MOST_MANY: usize = 32;
/// Links to so many other nodes are kept at hand for a client that reads from several.
const ASIDE: usize = 64;
/// For so many packets a client is taken for one that writes and reads in one packet.
const MIXED: u8 = 16;
/// Of the reads that such a client misses one in so many is fetched.
const FETCH_EVERY: u8 = 8;
/// A client that has selected more databases than this without a confirmation protects all keys.
const MOST_SELECTED: usize = 16;

/// What is known of one client.
#[derive(Default)]
pub(super) struct Coherence {
    /// The link that fetches for the cache, and from which database of which node.
    fill: Option<(NodeId, u32, FillLink)>,
    /// Those of other nodes, from the same database.
    fills_aside: Vec<(NodeId, u32, FillLink)>,
    /// The keys that are being fetched for the client.
    fetching: Fetching,
    /// What the command at hand needs.
    pub(super) cover: Cover,
    /// The command at hand will be refused: what it needs, it needs when its reply says otherwise.
    pub(super) late: bool,
    /// The keys of the commands in the transaction at hand.
    queued: QueuedKeys,
    /// Databases that were asked for and not confirmed yet, those of a transaction included.
    selected: Vec<u32>,
    /// A command that is not answered yet may have written.
    pub(super) wrote: bool,
    /// Not zero for some packets after one of several commands that wrote.
    mixed: u8,
    /// Reads that were in a hurry.
    hurried: u8,
    /// Where the hits of a client inside the process are counted.
    pub(super) hits: Option<Arc<AtomicU64>>,
}

/// The keys that a transaction may change or show: those of the commands that are queued in it, and
/// those that are watched, since an `EXEC` that aborts shows that they have changed.
#[derive(Debug, Default)]
struct QueuedKeys {
    keys: Vec<(u32, Box<[u8]>)>,
    /// Bytes of the keys.
    bytes: usize,
    all: bool,
    fence: Fence,
}

impl Coherence {
    /// Of a client whose hits are counted in `hits`.
    pub(super) fn new(hits: Option<Arc<AtomicU64>>) -> Self {
        Coherence {
            hits,
            ..Self::default()
        }
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self, replies: &Replies) -> usize {
        self.queued.bytes + self.fetching.bytes(replies)
    }

    // === reads ===

    /// Counts a hit, for a client inside the process.
    #[inline]
    pub(super) fn count_hit(&self) {
        if let Some(hits) = &self.hits {
            hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the client's own commands may change what the cache holds before its next read.
    #[inline]
    pub(super) fn writes_pending(&mut self, replies: &Replies) -> bool {
        if self.wrote && replies.outstanding() == 0 && replies.held() == 0 {
            self.wrote = false;
        }
        self.wrote
    }

    /// Commands of the client have been handled, which came together.
    #[inline]
    pub(super) fn note_packet(&mut self, commands: u64) {
        self.mixed = match commands > 1 && self.wrote {
            true => MIXED,
            false => self.mixed.saturating_sub(1),
        };
    }

    /// Whether a read that is missed, and has other commands behind it in its packet, is likely to have a write behind it,
    /// which would wait for the fetch. One in so many is fetched all the same.
    #[inline]
    pub(super) fn is_in_a_hurry(&mut self) -> bool {
        if self.mixed == 0 {
            return false;
        }
        self.hurried = self.hurried.wrapping_add(1);
        !self.hurried.is_multiple_of(FETCH_EVERY)
    }

    /// Sees to it that there is a link that fetches for the client from a database of a node.
    #[inline]
    pub(super) fn want_fill(&mut self, node: NodeId, db: u32, worker: &Rc<Worker>) {
        match &self.fill {
            Some(fill) if (fill.0, fill.1) == (node, db) => {}
            _ => {
                self.fill_from(node, db, worker);
            }
        }
    }

    /// The link that fetches for the client from a database of a node.
    #[inline(never)]
    pub(super) fn fill_from(&mut self, node: NodeId, db: u32, worker: &Rc<Worker>) -> &FillLink {
        if self
            .fill
            .as_ref()
            .is_some_and(|fill| (fill.0, fill.1) != (node, db))
        {
            self.put_fill_aside(node, db);
        }
        let open = || (node, db, worker.fill_link(node, db));
        &self.fill.get_or_insert_with(open).2
    }

    /// The same link, if it is open.
    pub(super) fn open_fill(
        &mut self,
        node: NodeId,
        db: u32,
        worker: &Worker,
    ) -> Option<&FillLink> {
        if self
            .fill
            .as_ref()
            .is_none_or(|fill| (fill.0, fill.1) != (node, db))
        {
            self.put_fill_aside(node, db);
        }
        if self.fill.is_none() {
            let open = worker.open_fill_link(node, db);
            self.fill = open.map(|link| (node, db, link));
        }
        self.fill()
    }

    /// The client reads from another node, or from another database.
    fn put_fill_aside(&mut self, node: NodeId, db: u32) {
        let aside = &mut self.fills_aside;
        let wanted = aside.iter().position(|fill| (fill.0, fill.1) == (node, db));
        let next = wanted.map(|at| aside.swap_remove(at));
        if self.fill.as_ref().is_some_and(|fill| fill.1 != db) || aside.len() >= ASIDE {
            aside.clear();
        } else {
            aside.extend(self.fill.take());
        }
        self.fill = next;
    }

    /// As [`Coherence::fill_from`], for a read of many keys: apart from it, so that a hit has the one to itself.
    #[cold]
    pub(super) fn fill_for_many(&mut self, node: NodeId, db: u32, worker: &Rc<Worker>) -> FillLink {
        self.fill_from(node, db, worker).clone()
    }

    /// The link that was asked for last.
    pub(super) fn fill(&self) -> Option<&FillLink> {
        self.fill.as_ref().map(|(_, _, fill)| fill)
    }

    /// The client reads nothing through the cache for a while.
    pub(super) fn leave_fill(&mut self) {
        self.fill = None;
        self.fills_aside.clear();
    }

    /// The fetch of a key that this client still waits for.
    #[inline]
    pub(super) fn own_fetch(
        &mut self,
        key: &[u8],
        cache: &Cache,
        replies: &Replies,
    ) -> Option<u64> {
        if is_active(Mutant::ReadPassesOwnFetch) {
            return None;
        }
        // Another database's key of that name is taken for the same: it waits for nothing, once.
        self.fetching.of(|| cache.hash(key), replies)
    }

    /// Notes that a key is fetched for the client.
    pub(super) fn note_fetch(
        &mut self,
        ticket: Ticket,
        key: &[u8],
        token: u64,
        cache: &Cache,
        replies: &Replies,
    ) {
        self.fetching.note(ticket, cache.hash(key), token, replies);
    }

    /// Whether the client waits for a fetch of one of these keys, or for as many reads of many keys as it may.
    pub(super) fn must_wait(
        &mut self,
        hashes: impl Iterator<Item = u64>,
        replies: &Replies,
    ) -> bool {
        self.fetching.many(replies) >= MOST_MANY
            || !is_active(Mutant::ReadPassesOwnFetch) && self.fetching.has_any(hashes, replies)
    }

    /// Notes that many keys are fetched for the client, of these hashes.
    pub(super) fn note_many(
        &mut self,
        ticket: Ticket,
        hashes: Vec<u64>,
        bytes: usize,
        replies: &Replies,
    ) {
        self.fetching.note_many(ticket, hashes, bytes, replies);
    }

    // === commands ===

    /// What a command that goes to a node now needs.
    pub(super) fn cover(
        &mut self,
        request: Request<'_>,
        db: u32,
        node: NodeId,
        cache: &Arc<Cache>,
    ) -> Cover {
        let tracking = cache.mode_at(node.0) == CacheMode::Tracking;
        if request.handling() == Handling::Pin(Pin::Exec) {
            let queued = std::mem::take(&mut self.queued);
            return queued.cover(cache, tracking);
        }
        let mut cover = Cover::default();
        let mut guard = Guard::new(Arc::clone(cache));
        if tracking && may_block(request) {
            // It may be under way for long: better to wait for a fence at its end.
            cover.fence = Fence::Pushes;
        } else if changes_every_key(request) || self.selected.len() > MOST_SELECTED {
            guard.protect_all();
        } else {
            self.databases(db).iter().for_each(|db| {
                protect_keys(request, *db, |db, key| guard.protect(db, key));
            });
        }
        if touches_unknown_keys(request) {
            if tracking {
                cover.fence = fence_of(request);
            } else {
                guard.protect_all();
            }
        }
        if is_active(Mutant::NoFence) {
            cover.fence = Fence::None;
        }
        cover.guard = (!guard.is_empty()).then_some(guard);
        cover
    }

    /// The databases that the next command may work on besides `db`: more than one while the backing has
    /// not said yet whether it took a `SELECT`.
    fn databases(&self, db: u32) -> Vec<u32> {
        let mut dbs = self.selected.clone();
        dbs.push(db);
        dbs.dedup();
        dbs
    }

    /// Notes a database that the next commands may work on.
    pub(super) fn note_selected(&mut self, db: u32) {
        if self.selected.len() <= MOST_SELECTED && !self.selected.contains(&db) {
            self.selected.push(db);
        }
    }

    /// The database that the client believes to be in, when the backing has not confirmed it yet.
    pub(super) fn last_selected(&self) -> Option<u32> {
        self.selected.last().copied()
    }

    /// The backing has said which database is selected.
    pub(super) fn confirm_selected(&mut self) {
        self.selected.clear();
    }

    /// Nothing is queued or watched.
    pub(super) fn forget_queued(&mut self) {
        self.queued = QueuedKeys::default();
    }

    /// Notes the keys of a command that is queued in a transaction, or watched for one.
    pub(super) fn note_queued(&mut self, request: Request<'_>, db: u32) {
        let dbs = self.databases(db);
        let queued = &mut self.queued;
        queued.all |= changes_every_key(request) || self.selected.len() > MOST_SELECTED;
        if touches_unknown_keys(request) {
            queued.fence = queued.fence.max(fence_of(request));
        }
        for db in dbs {
            protect_keys(request, db, |db, key| {
                let bytes = queued.bytes + key.len();
                if queued.keys.len() < MOST_QUEUED_KEYS && bytes <= MOST_QUEUED_BYTES {
                    queued.keys.push((db, key.into()));
                    queued.bytes = bytes;
                } else {
                    queued.all = true;
                }
            });
        }
    }
}

impl QueuedKeys {
    fn cover(self, cache: &Arc<Cache>, tracking: bool) -> Cover {
        let mut guard = Guard::new(Arc::clone(cache));
        let fenced = self.fence != Fence::None;
        if self.all || (fenced && !tracking) {
            guard.protect_all();
        }
        for (db, key) in &self.keys {
            guard.protect(*db, key);
        }
        Cover {
            guard: (!guard.is_empty()).then_some(guard),
            fence: match tracking && !is_active(Mutant::NoFence) {
                true => self.fence,
                false => Fence::None,
            },
        }
    }
}
