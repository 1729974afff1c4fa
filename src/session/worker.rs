//! One worker: an OS thread with a runtime of its own, its sessions, and what they share.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;
use tracing::error;

use super::fills::{Fetched, Fills};
use super::links::Links;
use super::registry::{ClientEntry, Wish};
use super::replies::Replies;
use super::route::Directions;
use super::run;
use super::shared::{Settings, Shared, WorkerStats};
use crate::cache::{Cache, Waiter};
use crate::upstream::{Fence, NodeId, PinnedPool, Scratch, Ticket};

/// All sessions of a worker read into one buffer of this size.
const READ_BYTES: usize = 64 * 1024;
/// How often a worker looks at the clock.
const TICK: Duration = Duration::from_millis(100);

/// Whom a client's commands count for before it logs in, as `CLIENT LIST` has it.
const NOBODY: &str = "default";

/// A message to a worker.
pub enum ToWorker {
    /// Serve this client.
    Serve(NewClient),
    /// Look at this client again: it was killed, or something it waited for has changed.
    Wake(u64),
    /// Look at all clients again.
    WakeAll,
    /// The settings were replaced.
    Refresh,
    /// Drop this when every push that this node has caused before now has been applied.
    Fence(NodeId, Fence),
    /// A reply that was kept back for a fence may go.
    Release {
        /// The session.
        session: u64,
        /// Which of its replies.
        ticket: Ticket,
    },
    /// A fetch that another worker's link made for a client of this worker.
    Filled(Waiter, Fetched),
    /// Finish what is in flight and close.
    Drain,
    /// Close at once and end.
    Stop,
}

/// A client that a worker is to serve.
pub struct NewClient {
    /// Its socket.
    pub socket: Socket,
    /// Its place in the registry.
    pub entry: Arc<ClientEntry>,
    /// TLS, when the listener wants it.
    pub tls: Option<TlsAcceptor>,
}

/// Where a client's bytes come from.
pub enum Socket {
    /// A connection that a listener accepted.
    Tcp(std::net::TcpStream),
    /// A client inside the process, where its hits in the cache are counted, and whether no user's
    /// rules apply to it.
    Internal(std::os::unix::net::UnixStream, Arc<AtomicU64>, bool),
}

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
    /// The cache, unless it is off.
    pub(crate) cache: Option<Arc<Cache>>,
    /// A buffer for keys of the cache.
    pub(crate) full_key: RefCell<Vec<u8>>,
    /// A buffer for the variant of a key that is read.
    pub(super) variant: RefCell<Vec<u8>>,
    pub(super) fills: Fills,
    pub(super) directions: Directions,
    settings: RefCell<Rc<Settings>>,
    pub(super) links: Links,
    sessions: RefCell<HashMap<u64, Rc<Replies>>>,
    /// Databases that the backing is known to have.
    databases: RefCell<HashSet<u32>>,
}

/// Starts a worker's thread.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    index: usize,
    shared: Arc<Shared>,
) -> io::Result<(UnboundedSender<ToWorker>, JoinHandle<()>)> {
    let (mailbox, messages) = unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, Worker::new(index, shared).run(messages));
        })?;
    Ok((mailbox, thread))
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Worker {
            index,
            pool: Rc::new(PinnedPool::new(Arc::clone(&shared.pinned))),
            scratch: Rc::new(RefCell::new(vec![0; READ_BYTES])),
            draining: Cell::new(false),
            cache: Some(Arc::clone(&shared.cache)).filter(|cache| !cache.settings().is_off()),
            full_key: RefCell::default(),
            variant: RefCell::default(),
            fills: Fills::default(),
            directions: Directions::new(shared.backing.topology()),
            settings: RefCell::new(Rc::new(Settings::clone(&shared.settings()))),
            links: Links::new(Arc::clone(&shared.dropped_pushes)),
            sessions: RefCell::default(),
            databases: RefCell::new(HashSet::from([shared.backing.first_db()])),
            shared,
        })
    }

    async fn run(self: Rc<Self>, mut messages: UnboundedReceiver<ToWorker>) {
        let mut clock = tokio::time::interval(TICK);
        tokio::task::spawn_local(Rc::clone(&self).follow());
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(ToWorker::Stop) | None => break,
                    Some(message) => self.handle(message),
                },
                _ = clock.tick() => self.tick(),
            }
        }
        self.sessions.borrow_mut().clear();
    }

    /// Follows the topology. A task of its own, since what the worker itself waits for is looked at each
    /// turn.
    async fn follow(self: Rc<Self>) {
        let mut topologies = self.shared.backing.watch_topology();
        // It may have changed since the worker was made.
        topologies.mark_changed();
        while topologies.changed().await.is_ok() {
            let topology = Arc::clone(&topologies.borrow_and_update());
            self.links.keep(&topology);
            self.fills.keep(&topology);
            self.pool.keep(&topology);
            self.directions.set(topology);
        }
    }

    fn handle(self: &Rc<Self>, message: ToWorker) {
        match message {
            ToWorker::Serve(client) => self.serve(client),
            ToWorker::Wake(id) => {
                if let Some(replies) = self.sessions.borrow().get(&id) {
                    replies.wake();
                }
            }
            ToWorker::WakeAll => self.wake_all(),
            ToWorker::Refresh => self.refresh(),
            ToWorker::Fence(node, fence) => self.fills.fence(node, &fence),
            ToWorker::Release { session, ticket } => {
                if let Some(replies) = self.sessions.borrow().get(&session) {
                    replies.release(ticket);
                }
            }
            ToWorker::Filled(waiter, fetched) => self.deliver_fetched(waiter, &fetched),
            ToWorker::Drain => {
                self.draining.set(true);
                self.wake_all();
            }
            ToWorker::Stop => {}
        }
    }

    fn serve(self: &Rc<Self>, client: NewClient) {
        let settings = self.settings();
        let times = self.shared.latency.times(self.index, NOBODY);
        let replies = Rc::new(Replies::new(settings.limits.client_output_bytes));
        replies.set_times(times);
        let id = client.entry.id;
        self.sessions.borrow_mut().insert(id, Rc::clone(&replies));
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            // The guard also removes a session whose task panicked.
            let _registered = Registered {
                worker: Rc::clone(&worker),
                id,
            };
            run::serve(worker, client, replies).await;
        });
    }

    fn wake_all(&self) {
        self.sessions
            .borrow()
            .values()
            .for_each(|replies| replies.wake());
    }

    fn refresh(&self) {
        let new = self.shared.settings();
        let old = self.settings();
        if new.hello != old.hello {
            let first = self.shared.backing.first_db();
            *self.databases.borrow_mut() = HashSet::from([first]);
        }
        self.links.set_limits(&new);
        let output = new.limits.client_output_bytes;
        self.sessions
            .borrow()
            .values()
            .for_each(|replies| replies.set_limit(output));
        *self.settings.borrow_mut() = Rc::new(Settings::clone(&new));
        self.wake_all();
    }

    fn tick(&self) {
        let now = Instant::now();
        self.pool.tick(now);
        self.tick_links(now);
        self.fills.tick(now);
        if self.index == 0 {
            self.shared.cache.sweep();
        }
        // Sessions that have something to do with the clock look at it themselves.
        for replies in self.sessions.borrow().values() {
            if replies.watches_clock() {
                replies.wake();
            }
        }
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

/// Takes a session off the lists when it ends, however it ends.
struct Registered {
    worker: Rc<Worker>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if thread::panicking() {
            error!(client = self.id, "a session panicked");
        }
        self.worker.sessions.borrow_mut().remove(&self.id);
        for wish in self.worker.shared.clients.remove(self.id) {
            if let Wish::Keep { worker, session } = wish {
                self.worker.shared.tell(worker, ToWorker::Wake(session));
            }
        }
        self.worker.stats().clients.fetch_sub(1, Ordering::Relaxed);
    }
}
