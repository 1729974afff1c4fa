//! What the sessions of one worker share. Its thread is in `worker_thread`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::census::Census;
use super::fill_links::Fills;
use super::gathers::Gathers;
use super::links::Links;
use super::redirects::Redirects;
use super::replies::Replies;
use super::route::Directions;
use super::settings::Settings;
use super::shared::{Shared, WorkerStats};
use super::subscriptions::Subscriptions;
use crate::cache::Cache;
use crate::upstream::{PinnedPool, Scratch};

/// All sessions of a worker read into one buffer of this size.
const READ_BYTES: usize = 64 * 1024;

/// What the sessions of one worker share. Lives on one thread.
pub(crate) struct Worker {
    /// Its number, from 0.
    pub(crate) index: usize,
    /// What all workers share.
    pub(crate) shared: Arc<Shared>,
    /// Connections to the backing for one client at a time.
    pub(crate) pool: Rc<PinnedPool>,
    /// Buffers that its sessions take turns with.
    pub(crate) scratch: Scratch,
    /// Whether the server is stopping.
    pub(crate) draining: Cell<bool>,
    /// How long a client may be silent while another process takes over.
    pub(super) leaving: Cell<Option<Duration>>,
    /// The cache.
    pub(crate) cache: Arc<Cache>,
    /// Whether reads are served from it, and plain commands guarded for it. See [`caching`](super::caching).
    pub(super) caching: Cell<bool>,
    /// A buffer for keys of the cache.
    pub(crate) full_key: RefCell<Vec<u8>>,
    /// A buffer for the variant of a key that is read.
    pub(super) variant: RefCell<Vec<u8>>,
    pub(super) fills: Fills,
    /// Reads of many keys, parts of which are being fetched.
    pub(super) gathers: Gathers,
    pub(super) directions: Directions,
    /// What the masters of a cluster said of their slots last.
    pub(super) census: RefCell<Option<Rc<Census>>>,
    pub(super) settings: RefCell<Rc<Settings>>,
    pub(super) links: Links,
    /// Channels and patterns that its clients are subscribed to.
    pub(super) subscriptions: Rc<Subscriptions>,
    /// Requests that nodes of a cluster did not take.
    pub(super) redirects: Rc<Redirects>,
    pub(super) sessions: RefCell<HashMap<u64, Rc<Replies>>>,
    /// Databases that the backing is known to have.
    pub(super) databases: RefCell<HashSet<u32>>,
}

impl Worker {
    pub(super) fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Worker {
            index,
            pool: Rc::new(PinnedPool::new(Arc::clone(&shared.pinned))),
            scratch: Rc::new(RefCell::new(vec![0; READ_BYTES])),
            draining: Cell::new(false),
            leaving: Cell::default(),
            cache: Arc::clone(&shared.cache),
            caching: Cell::new(!shared.cache.settings().is_off()),
            full_key: RefCell::default(),
            variant: RefCell::default(),
            fills: Fills::default(),
            gathers: Gathers::default(),
            directions: Directions::new(shared.backing.topology()),
            census: RefCell::default(),
            settings: RefCell::new(Rc::new(Settings::clone(&shared.settings()))),
            links: Links::new(Arc::clone(&shared.dropped_pushes)),
            subscriptions: Rc::new(Subscriptions::new(Arc::clone(&shared.audience))),
            redirects: Rc::default(),
            sessions: RefCell::default(),
            databases: RefCell::new(HashSet::from([shared.backing.first_db()])),
            shared,
        })
    }

    /// The settings in force, without touching what other threads write.
    pub(crate) fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.settings.borrow())
    }

    /// The generation of the settings in force.
    pub(crate) fn generation(&self) -> u64 {
        self.settings.borrow().generation
    }

    /// What this worker counts.
    pub(crate) fn stats(&self) -> &WorkerStats {
        &self.shared.stats[self.index]
    }

    /// The replies of a session that is there.
    pub(super) fn replies(&self, session: u64) -> Option<Rc<Replies>> {
        self.sessions.borrow().get(&session).cloned()
    }

    /// Whether a client of this worker has been in this database.
    pub(crate) fn has_database(&self, db: u32) -> bool {
        self.databases.borrow().contains(&db)
    }

    /// Says that a client of this worker is in this database.
    pub(crate) fn note_database(&self, db: u32) {
        self.databases.borrow_mut().insert(db);
    }
}
