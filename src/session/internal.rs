//! A client inside the process: a session like any other, over a socket pair.
//!
//! So what is read for HTTP obeys the rules of every Redis client: access, limits, coherence.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::listener::deal;
use super::mailbox::Socket;
use super::shared::Shared;

/// The other end of an internal client's connection.
#[derive(Debug)]
pub struct InternalClient {
    /// Where its requests are written and its replies read. It does not block.
    pub stream: UnixStream,
    /// How many of its reads were answered from the cache.
    pub hits: Arc<AtomicU64>,
}

impl Shared {
    /// Opens a client that shows as one at `peer`; no user's rules apply to a `trusted` one. None when
    /// there are as many as there may be.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub fn internal_client(
        self: &Arc<Self>,
        peer: SocketAddr,
        trusted: bool,
    ) -> io::Result<Option<InternalClient>> {
        if self.clients.len() >= self.settings().limits.clients {
            self.clients.reject();
            return Ok(None);
        }
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let hits = Arc::new(AtomicU64::new(0));
        let socket = Socket::Internal(theirs, Arc::clone(&hits), trusted);
        deal(self, socket, peer.to_string(), "internal".to_owned(), None);
        Ok(Some(InternalClient { stream: ours, hits }))
    }
}
