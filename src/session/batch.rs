//! What a session has read and handles at once.

use std::sync::Arc;
use std::time::Instant;

use super::cached::protect_keys;
use super::key_read::KeyRead;
use super::plain::Plain;
use super::request::Request;
use super::settings::Settings;
use crate::cache::{Cache, Guard, Mutant, is_active};
use crate::command::{Effects, Many};
use crate::upstream::{HOME, NodeId};

/// Requests that follow each other to one node, on a shared link: `bytes` of the input from `start`.
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) requests: u32,
    /// Where it goes.
    pub(super) node: NodeId,
    /// Its way carries reads alone.
    pub(super) only_reads: bool,
    pub(super) guard: Option<Guard>,
    pub(super) wrote: bool,
}

/// What was read of a client's requests, and how far it is handled.
pub(super) struct Batch<'a> {
    pub(super) input: &'a [u8],
    /// Where the next request begins.
    pub(super) pos: usize,
    pub(super) settings: &'a Settings,
    pub(super) now: Instant,
    /// Reads that were answered from the cache.
    pub(super) hits: u64,
    pub(super) run: Run,
    /// Whether somebody is shown what clients send.
    pub(super) monitored: bool,
    /// Which plain reads may use the cache; looked at again after anything else.
    pub(super) reads: Option<Plain>,
}

/// What became of the request at the front of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is answered, or its answer is on the way.
    Done {
        /// The bytes that it took.
        len: usize,
    },
    /// It has to wait.
    Wait,
    /// More bytes are needed, or nothing more is taken.
    Incomplete,
}

impl Default for Run {
    fn default() -> Self {
        Run {
            start: 0,
            end: 0,
            requests: 0,
            node: HOME,
            only_reads: false,
            guard: None,
            wrote: false,
        }
    }
}

impl Run {
    /// Keeps the cache true to a request that is about to join.
    pub(super) fn protect(&mut self, request: Request<'_>, db: u32, cache: &Arc<Cache>) {
        if let Some(read) = KeyRead::of(request).filter(|read| read.other().is_none()) {
            return self.pass(read, db, cache);
        }
        let many = request
            .row
            .and_then(|row| row.readable?.many(request.args.len()));
        if many == Some(Many::Values) {
            let at = self.requests;
            return self.guard(cache).pass_many(at, db, request.args.tail(1));
        }
        self.wrote |= !request.effects().contains(Effects::READ_ONLY);
        let guard = self.guard(cache);
        protect_keys(request, db, |db, key| guard.protect(db, key));
    }

    /// The same, of a read that the cache could answer at another time.
    pub(super) fn pass(&mut self, read: KeyRead<'_>, db: u32, cache: &Arc<Cache>) {
        let at = self.requests;
        match read.other() {
            None => self.guard(cache).pass(at, db, read.key),
            Some(_) if is_active(Mutant::BypassReadKeepsEntry) => {}
            Some(_) => self.guard(cache).protect(db, read.key),
        }
    }

    fn guard(&mut self, cache: &Arc<Cache>) -> &mut Guard {
        self.guard
            .get_or_insert_with(|| Guard::new(Arc::clone(cache)))
    }

    /// Takes up a request of `len` bytes that begins at `pos`.
    pub(super) fn add(&mut self, pos: usize, len: usize) {
        if self.requests == 0 {
            self.start = pos;
        }
        self.requests += 1;
        self.end = pos + len;
    }
}
