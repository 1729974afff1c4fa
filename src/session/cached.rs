//! How a session uses the cache: reads from it, and keeps it true to what its commands do.

use std::sync::Arc;

use super::dispatch::Request;
use super::replies::Then;
use super::run::Session;
use super::shared::Shared;
use super::worker::ToWorker;
use crate::cache::{Cache, Guard, Mutant, is_active};
use crate::command::{
    Effects, Handling, Pin, each_key, has_block_option, other_database, sort_reads_others,
};
use crate::config::CacheMode;
use crate::upstream::{NodeId, Ticket};

/// A transaction with more keys than this protects all keys.
const MOST_QUEUED_KEYS: usize = 1000;
/// As does one whose keys have more bytes than this in all.
const MOST_QUEUED_BYTES: usize = 1024 * 1024;
/// A client that has selected more databases than this without a confirmation protects all keys.
const MOST_SELECTED: usize = 16;

/// What a command needs so that the cache stays true: keys to protect until its reply is in, and
/// whether the reply has to wait for a fence.
#[derive(Debug, Default)]
pub(super) struct Cover {
    pub(super) guard: Option<Guard>,
    pub(super) fence: Fence,
}

/// What a reply has to wait for before it is shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fence {
    /// Nothing.
    #[default]
    None,
    /// Every push that was caused before it: the command changes keys in ways that are pushed.
    Pushes,
    /// That, and whether databases were exchanged.
    Scripts,
    /// That, and the cache is emptied: nothing is known of the command.
    Unknown,
}

/// The keys that a transaction may change or show: those of the commands that are queued in it, and
/// those that are watched, since an `EXEC` that aborts shows that they have changed.
#[derive(Debug, Default)]
pub(super) struct QueuedKeys {
    keys: Vec<(u32, Box<[u8]>)>,
    /// Bytes of the keys.
    bytes: usize,
    all: bool,
    fence: Fence,
}

/// Keeps a reply back until every fill link has caught up.
struct HeldReply {
    shared: Arc<Shared>,
    worker: usize,
    session: u64,
    ticket: Ticket,
}

impl Drop for HeldReply {
    fn drop(&mut self) {
        let message = ToWorker::Release {
            session: self.session,
            ticket: self.ticket,
        };
        self.shared.tell(self.worker, message);
    }
}

impl Session {
    /// The cache, unless it is off.
    pub(super) fn cache(&self) -> Option<&Arc<Cache>> {
        self.worker.cache.as_ref()
    }

    /// Whether the client's own commands may change what the cache holds before its next read.
    pub(super) fn writes_pending(&mut self) -> bool {
        if self.replies.outstanding() == 0 && self.replies.held() == 0 {
            self.wrote = false;
        }
        self.wrote
    }

    /// What a command that goes to the backing now needs.
    pub(super) fn cover(&mut self, request: Request<'_>) -> Cover {
        let Some(cache) = self.cache().cloned() else {
            return Cover::default();
        };
        let dbs = self.databases();
        if request.handling() == Handling::Pin(Pin::Exec) {
            let queued = std::mem::take(&mut self.queued);
            return queued.cover(&cache, self.to);
        }
        let mut cover = Cover::default();
        let mut guard = Guard::new(Arc::clone(&cache));
        let tracking = cache.mode_at(self.to.0) == CacheMode::Tracking;
        if tracking && may_block(request) {
            // It may be under way for long: better to wait for a fence at its end.
            cover.fence = Fence::Pushes;
        } else if changes_every_key(request) || self.selected.len() > MOST_SELECTED {
            guard.protect_all();
        } else {
            dbs.iter().for_each(|db| {
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

    /// The databases that the next command may work on: more than one while the backing has not
    /// said yet whether it took a `SELECT`.
    fn databases(&self) -> Vec<u32> {
        let mut dbs = self.selected.clone();
        dbs.push(self.state.db);
        dbs.dedup();
        dbs
    }

    /// Notes a database that the next commands may work on.
    pub(super) fn note_selected(&mut self, db: u32) {
        if self.selected.len() <= MOST_SELECTED && !self.selected.contains(&db) {
            self.selected.push(db);
        }
    }

    /// Notes the keys of a command that is queued in a transaction, or watched for one.
    pub(super) fn note_queued(&mut self, request: Request<'_>) {
        let dbs = self.databases();
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

    /// What becomes of a reply that `fence` is for: kept back until the cache has caught up with what
    /// the command did. A client that wants no reply may still ask what the command did, so that
    /// nobody sees it changes nothing.
    pub(super) fn hold(&self, fence: Fence) -> super::replies::Hold {
        let (worker, node) = (self.worker.index, self.to);
        let shared = Arc::clone(&self.worker.shared);
        let session = self.state.entry.id;
        // A `MULTI` before it may be refused: then it is executed, else only queued.
        let queueing = self.pinned.as_ref().is_some_and(|pinned| pinned.in_multi());
        Box::new(move |ticket, reply| {
            if queueing && reply == b"+QUEUED\r\n" {
                return false;
            }
            if fence == Fence::Unknown && !reply.starts_with(b"-ERR unknown command") {
                shared.cache.flush();
            }
            let held = HeldReply {
                shared: Arc::clone(&shared),
                worker,
                session,
                ticket,
            };
            let held: Arc<dyn Send + Sync> = Arc::new(held);
            if fence != Fence::Pushes && !is_active(Mutant::SwapsNotCounted) {
                shared.swaps.check(Arc::clone(&held));
            }
            shared.broadcast(|| ToWorker::Fence(node, Arc::clone(&held)));
            true
        })
    }
}

impl Session {
    /// What becomes of a reply that is to wait for `fence`, and that nobody sees if `silent`.
    pub(super) fn fenced(&self, then: Then, fence: Fence, silent: bool) -> Then {
        match (then, fence) {
            (_, Fence::None) if silent => Then::Drop,
            (_, fence) if silent && !is_active(Mutant::SilentIsUnfenced) => {
                Then::HoldAndDrop(self.hold(fence))
            }
            _ if silent => Then::Drop,
            (Then::Pass, Fence::None) => Then::Pass,
            (Then::Pass, fence) => Then::Hold(self.hold(fence)),
            (then, _) => then,
        }
    }
}

impl QueuedKeys {
    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn cover(self, cache: &Arc<Cache>, node: NodeId) -> Cover {
        let mut guard = Guard::new(Arc::clone(cache));
        let fenced = self.fence != Fence::None;
        let tracking = cache.mode_at(node.0) == CacheMode::Tracking;
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

/// Calls `protect` for each key that a command names, in the database where it has it.
pub(super) fn protect_keys(request: Request<'_>, db: u32, mut protect: impl FnMut(u32, &[u8])) {
    let Some(row) = request.leaf() else { return };
    if is_active(Mutant::BypassReadKeepsEntry) && row.is_readonly() {
        return;
    }
    let mut last = None;
    each_key(row, request.args, |key| {
        protect(db, key.key);
        last = Some(key.key);
    });
    if let (Some(other), Some(key)) = (other_database(row.effects, request.args), last) {
        protect(other, key);
    }
}

/// Whether a command may touch keys that it does not name: what it changes is pushed, and what it
/// shows may be newer than what is here, so its reply has to wait for the pushes.
pub(super) fn touches_unknown_keys(request: Request<'_>) -> bool {
    let effects = request.effects();
    if is_active(Mutant::UnnamedReadIsUnfenced) {
        return effects.contains(Effects::WRITES_UNKNOWN);
    }
    effects.intersects(Effects::WRITES_UNKNOWN | Effects::READS_UNKNOWN)
        || (effects.contains(Effects::READS_BY_OPTION)
            && (request.leaf()).is_some_and(|row| sort_reads_others(row, request.args)))
}

/// What the reply of a command waits for that touches keys which it does not name.
fn fence_of(request: Request<'_>) -> Fence {
    match request.effects().contains(Effects::UNKNOWN) {
        true => Fence::Unknown,
        false => Fence::Scripts,
    }
}

/// Whether every key may be another after a command.
pub(super) fn changes_every_key(request: Request<'_>) -> bool {
    request.effects().intersects(Effects::EVERY_KEY)
}

fn may_block(request: Request<'_>) -> bool {
    let effects = request.effects();
    effects.contains(Effects::BLOCKS)
        || (effects.contains(Effects::BLOCKS_BY_OPTION) && has_block_option(request.args))
}

/// Whether a run of forwarded commands may take this one up, as far as the cache is concerned.
pub(super) fn needs_care(request: Request<'_>) -> bool {
    let effects = request.effects();
    effects.intersects(Effects::BEYOND_ITS_KEYS.difference(Effects::READS_BY_OPTION))
        || touches_unknown_keys(request)
}
