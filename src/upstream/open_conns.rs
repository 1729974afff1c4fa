//! The open connections to the masters, so that all of one node's can be given up at once.
//!
//! Who reads or writes one then finds it closed, whatever thread it is on and whatever it waits for. What
//! the server had sent before is still read.

use std::collections::HashMap;
use std::net::Shutdown;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::{fmt, io};

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::topology::NodeId;
use crate::stream::Stream;

/// The connections of one backing.
#[derive(Default)]
pub(super) struct OpenConns {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The present term of each node that had more than one.
    terms: HashMap<NodeId, u64>,
    next: u64,
    /// A second descriptor of each socket, only to shut it down.
    sockets: HashMap<u64, (NodeId, OwnedFd)>,
    /// Set when those that are open now should be replaced as soon as they are not in use.
    outdated: Arc<AtomicBool>,
}

/// A connection that is given up when the master becomes another one.
pub struct MasterStream {
    stream: Stream,
    entry: Entry,
}

/// A place among the open connections.
struct Entry {
    conns: Arc<OpenConns>,
    id: u64,
    outdated: Arc<AtomicBool>,
}

// === impl OpenConns ===

impl OpenConns {
    /// Adds a connection to `node` that was opened in `term`; none when that is over.
    pub(super) fn add(
        self: &Arc<Self>,
        stream: Stream,
        node: NodeId,
        term: u64,
    ) -> io::Result<Option<MasterStream>> {
        let socket = stream.try_clone_fd()?;
        let mut inner = self.inner.lock();
        if inner.terms.get(&node).is_some_and(|now| *now != term) {
            return Ok(None);
        }
        let id = inner.next;
        inner.next += 1;
        inner.sockets.insert(id, (node, socket));
        let outdated = Arc::clone(&inner.outdated);
        drop(inner);
        let entry = Entry {
            conns: Arc::clone(self),
            id,
            outdated,
        };
        Ok(Some(MasterStream { stream, entry }))
    }

    /// Says that the connections that are open should be replaced when they are not in use.
    pub(super) fn outdate(&self) {
        let before = std::mem::take(&mut self.inner.lock().outdated);
        before.store(true, Ordering::Relaxed);
    }

    /// Gives up every connection to a node that was opened before this term.
    pub(super) fn give_up(&self, node: NodeId, term: u64) {
        let mut inner = self.inner.lock();
        inner.terms.insert(node, term);
        let old = inner.sockets.extract_if(|_, (to, _)| *to == node);
        for (_, (_, socket)) in old {
            // One that the server has closed already cannot be shut down, and need not be.
            let _ = SockRef::from(&socket).shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.conns.inner.lock().sockets.remove(&self.id);
    }
}

// === impl MasterStream ===

impl MasterStream {
    /// Whether the connection should be replaced when it is not in use, since others are opened with another login.
    pub fn is_outdated(&self) -> bool {
        self.entry.outdated.load(Ordering::Relaxed)
    }

    /// What [`MasterStream::is_outdated`] looks at.
    pub(super) fn outdated(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.entry.outdated)
    }
}

impl fmt::Debug for MasterStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl Deref for MasterStream {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl DerefMut for MasterStream {
    fn deref_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

impl AsyncRead for MasterStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for MasterStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
