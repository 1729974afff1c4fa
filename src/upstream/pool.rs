//! Connections of the backing for one session at a time, kept open in between.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};

use super::connect::Conn;
use crate::resp::Proto;

/// A connection that nobody wanted for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// The pinned connections of all workers together, against `limits.pinned`.
#[derive(Debug, Default)]
pub struct PinnedCount(AtomicUsize);

/// A place among the pinned connections; dropping it frees the place.
#[derive(Debug)]
pub struct Place(Arc<PinnedCount>);

/// A pooled connection with its place.
#[derive(Debug)]
pub struct PooledConn {
    /// The connection.
    pub conn: Conn,
    _place: Place,
}

/// The idle pinned connections of one worker.
#[derive(Debug)]
pub struct PinnedPool {
    idle: RefCell<Vec<(PooledConn, Instant)>>,
    count: Arc<PinnedCount>,
}

// === impl PinnedCount ===

impl PinnedCount {
    /// Connections that exist or are being opened.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl PooledConn ===

impl PooledConn {
    /// Puts a fresh connection in its place.
    pub fn new(conn: Conn, place: Place) -> Self {
        PooledConn {
            conn,
            _place: place,
        }
    }

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

    /// Takes an idle connection, best one that is in the wanted state already.
    pub fn take(&self, proto: Proto, db: u32) -> Option<PooledConn> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let fits = |(pooled, _): &(PooledConn, _)| {
                (pooled.conn.proto == proto, pooled.conn.db == db) == (true, true)
            };
            let at = idle
                .iter()
                .rposition(fits)
                .or_else(|| idle.len().checked_sub(1))?;
            let (mut pooled, _) = idle.swap_remove(at);
            if !pooled.is_spoilt() {
                return Some(pooled);
            }
        }
    }

    /// Takes a place for a new connection, unless `limit` of them are taken.
    pub fn place(&self, limit: usize) -> Option<Place> {
        let taken = self
            .count
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < limit).then_some(n + 1)
            });
        taken.ok().map(|_| Place(Arc::clone(&self.count)))
    }

    /// Puts back a connection that carries no state but its database and protocol version.
    pub fn put(&self, pooled: PooledConn) {
        self.idle.borrow_mut().push((pooled, Instant::now()));
    }

    /// Closes what was idle for too long.
    pub fn tick(&self, now: Instant) {
        self.idle
            .borrow_mut()
            .retain(|(_, since)| now.duration_since(*since) < IDLE);
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}
