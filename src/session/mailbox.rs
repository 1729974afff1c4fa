//! What a worker is told, by other workers, by listeners and by the control runtime.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_rustls::TlsAcceptor;

use super::registry::ClientEntry;
use crate::cache::Waiter;
use crate::upstream::{Fence, NodeId, Ticket};

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
    /// Use the cache from now on, and drop this when what was sent without guards is answered; none: use it no more.
    Caching(Option<Fence>),
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
    /// Close the clients that wait for a reply: it may be lost.
    CutOff,
    /// Close the clients that are silent for so long, with nothing under way: they connect to this process's successor.
    Leave(Duration),
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

/// What a fetch into the cache brought for somebody who waits for it.
#[derive(Debug)]
pub struct Fetched {
    pub(super) db: u32,
    pub(super) key: Box<[u8]>,
    /// The request; none for `GET`.
    pub(super) request: Option<Box<[u8]>>,
    /// When the backing could begin with the fetch.
    pub(super) begun: Option<Instant>,
    /// The reply; none when the fetch failed.
    pub(super) reply: Option<Bytes>,
}
