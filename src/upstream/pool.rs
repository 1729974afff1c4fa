//! Connections of the backing for one session at a time, kept open in between.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};

use super::connect::Conn;
use super::link_key::LinkKey;
use super::topology::Topology;

/// A connection that nobody wanted for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// The same for one that is logged in as a user of the backing: there may be many users.
const USER_IDLE: Duration = Duration::from_secs(10);

/// The pinned connections of all workers together.
#[derive(Debug, Default)]
pub struct PinnedCount {
    /// Those that a session has: `limits.pinned` is about these. Idle ones belong to a worker and
    /// must not keep the sessions of another one waiting.
    used: AtomicUsize,
    /// Those that exist, used or idle.
    open: AtomicUsize,
    /// Those that wait for the next session.
    idle: AtomicUsize,
}

/// A place among the used connections; dropping it frees the place.
#[derive(Debug)]
pub struct Place(Arc<PinnedCount>);

/// Counts a connection for as long as it is open.
#[derive(Debug)]
struct Opened(Arc<PinnedCount>);

/// A connection that a session has, with its place.
#[derive(Debug)]
pub struct PooledConn {
    /// The connection.
    pub conn: Conn,
    opened: Opened,
    place: Place,
}

/// Counts a connection for as long as it waits for the next session.
#[derive(Debug)]
struct Waiting(Arc<PinnedCount>);

/// A connection that waits for the next session.
#[derive(Debug)]
struct Idle {
    conn: Conn,
    opened: Opened,
    since: Instant,
    _counted: Waiting,
}

/// The idle pinned connections of one worker.
#[derive(Debug)]
pub struct PinnedPool {
    idle: RefCell<Vec<Idle>>,
    count: Arc<PinnedCount>,
}

// === impl PinnedCount ===

impl PinnedCount {
    /// Connections that sessions have, those that are being opened included.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Connections that wait for the next session.
    pub fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl PooledConn ===

impl PooledConn {
    /// Puts a fresh connection in its place.
    pub fn new(conn: Conn, place: Place) -> Self {
        place.0.open.fetch_add(1, Ordering::Relaxed);
        PooledConn {
            conn,
            opened: Opened(Arc::clone(&place.0)),
            place,
        }
    }

    /// Closes the connection; its place is for another one.
    pub fn into_place(self) -> Place {
        self.place
    }
}

// === impl Idle ===

impl Idle {
    /// Whether the backing has closed it or said something that nobody asked for.
    fn is_spoilt(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut buf = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        !matches!(
            Pin::new(&mut self.conn.stream).poll_read(&mut cx, &mut buf),
            Poll::Pending
        )
    }
}

// === impl PinnedPool ===

impl PinnedPool {
    /// An empty pool that counts in `count`.
    pub fn new(count: Arc<PinnedCount>) -> Self {
        PinnedPool {
            idle: RefCell::new(Vec::new()),
            count,
        }
    }

    /// Takes an idle connection to the node for `place`, best one that is in the wanted state already.
    ///
    /// # Errors
    /// Gives the place back when there is none.
    pub fn take(&self, place: Place, key: LinkKey) -> Result<PooledConn, Place> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let fits = |idle: &Idle| idle.conn.key == key;
            // Never one of another user's.
            let goes =
                |idle: &Idle| (idle.conn.key.node, idle.conn.key.login) == (key.node, key.login);
            let mut all = idle.iter();
            let at = all.clone().rposition(fits).or_else(|| all.rposition(goes));
            let Some(at) = at else { return Err(place) };
            let mut taken = idle.swap_remove(at);
            if !taken.is_spoilt() && !taken.conn.stream.is_outdated() {
                let Idle { conn, opened, .. } = taken;
                return Ok(PooledConn {
                    conn,
                    opened,
                    place,
                });
            }
        }
    }

    /// Takes a place for a session's connection, unless `limit` of them are taken.
    pub fn place(&self, limit: usize) -> Option<Place> {
        let taken = self
            .count
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < limit).then_some(n + 1)
            });
        taken.ok().map(|_| Place(Arc::clone(&self.count)))
    }

    /// Puts back a connection that carries no state but its database and protocol version. It is
    /// closed instead when more than `limit` are open, because idle ones sit with other workers.
    pub fn put(&self, pooled: PooledConn, limit: usize) {
        let PooledConn {
            conn,
            opened,
            place,
        } = pooled;
        drop(place);
        if self.count.open.load(Ordering::Relaxed) <= limit {
            self.count.idle.fetch_add(1, Ordering::Relaxed);
            self.idle.borrow_mut().push(Idle {
                conn,
                opened,
                since: Instant::now(),
                _counted: Waiting(Arc::clone(&self.count)),
            });
        }
    }

    /// Closes what was idle for too long.
    pub fn tick(&self, now: Instant) {
        self.idle.borrow_mut().retain(|idle| {
            let most = match idle.conn.key.login.is_own() {
                true => IDLE,
                false => USER_IDLE,
            };
            now.duration_since(idle.since) < most
        });
    }

    /// Closes the connections to nodes that are not there any more.
    pub fn keep(&self, topology: &Topology) {
        let stays = |idle: &Idle| topology.node(idle.conn.key.node).is_some();
        self.idle.borrow_mut().retain(stays);
    }
}
