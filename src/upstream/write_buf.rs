//! Request bytes on their way to a server, kept until nobody needs them any more.
//!
//! Bytes are addressed by their offset in the life of the connection. They stay after they were
//! written so that unanswered reads can be sent again; [`WriteBuf::release`] lets go of them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::error::UpstreamError;
use crate::resp::write_command;
use crate::spare;
use crate::stream::Stream;

/// Small pushes share a chunk of this size; a larger push has a chunk of its own.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that one write may gather.
const MAX_SLICES: usize = 16;
/// Where nothing is sent twice, a larger chunk is given back as soon as it is written: there may be
/// many such connections.
const KEEP_BYTES: usize = 4 * 1024;

/// The bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct WriteBuf {
    chunks: VecDeque<Chunk>,
    base: u64,
    written: u64,
    end: u64,
    /// Written to the stream, but it may still hold some of it.
    unflushed: bool,
}

/// Bytes that lie together.
#[derive(Debug)]
enum Chunk {
    Own(Vec<u8>),
    /// As they came, so that what is large need not be copied.
    Shared(Bytes),
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Chunk::Own(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
        }
    }

    fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Bytes of memory; of what is shared all counts as much as is too large to be kept.
    fn capacity(&self) -> usize {
        match self {
            Chunk::Own(bytes) => bytes.capacity(),
            Chunk::Shared(_) => usize::MAX,
        }
    }
}

impl WriteBuf {
    /// Appends `bytes`, contiguously; returns their first offset.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> u64 {
        let start = self.end;
        match self.chunks.back_mut() {
            Some(Chunk::Own(last))
                if last.len() + bytes.len() <= CHUNK_BYTES
                    || last.is_empty() && bytes.len() <= last.capacity() =>
            {
                last.extend_from_slice(bytes);
            }
            _ => {
                let mut chunk = self.begin(bytes.len());
                chunk.extend_from_slice(bytes);
                self.chunks.push_back(Chunk::Own(chunk));
            }
        }
        self.end += bytes.len() as u64;
        start
    }

    /// Appends `bytes` without copying them; returns their first offset.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) -> u64 {
        let start = self.end;
        self.end += bytes.len() as u64;
        self.chunks.push_back(Chunk::Shared(bytes));
        start
    }

    /// Appends a command.
    pub(crate) fn command(&mut self, words: &[&[u8]]) {
        let full = |last: &Chunk| last.len() >= CHUNK_BYTES || matches!(last, Chunk::Shared(_));
        if self.chunks.back().is_none_or(full) {
            let chunk = self.begin(0);
            self.chunks.push_back(Chunk::Own(chunk));
        }
        if let Some(Chunk::Own(last)) = self.chunks.back_mut() {
            let before = last.len();
            write_command(last, words);
            self.end += (last.len() - before) as u64;
        }
    }

    /// A buffer for the next chunk, with room for so much: behind others much more is to come.
    fn begin(&self, bytes: usize) -> Vec<u8> {
        let room = match self.chunks.is_empty() {
            true => bytes,
            false => bytes.max(CHUNK_BYTES),
        };
        match room < spare::LEAST {
            true => Vec::with_capacity(room),
            false => spare::take(room),
        }
    }

    /// Writes what is there. `Pending` when not all of it is taken now: the task is woken then.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(crate) fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UpstreamError>> {
        if !self.has_unwritten() && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        while self.has_unwritten() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let n = self.unwritten(&mut slices);
            let written = match &slices[..n] {
                [one] => Pin::new(&mut *stream).poll_write(cx, one),
                several => Pin::new(&mut *stream).poll_write_vectored(cx, several),
            };
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(UpstreamError::closed())),
                Poll::Ready(Ok(n)) => {
                    self.advance(n);
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(UpstreamError::lost(&error))),
            }
        }
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(UpstreamError::lost(&error))),
            Poll::Ready(Ok(())) => self.unflushed = false,
            Poll::Pending => {}
        }
        match self.has_unwritten() || self.unflushed {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn send(mut self, stream: &mut Stream) -> Result<(), UpstreamError> {
        poll_fn(|cx| self.poll_write(stream, cx)).await
    }

    /// Offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Offset behind the last byte that was written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that are held, written or not.
    pub(crate) fn held(&self) -> usize {
        (self.end - self.base) as usize
    }

    /// Bytes that are to be written.
    pub(crate) fn unwritten_bytes(&self) -> usize {
        (self.end - self.written) as usize
    }

    /// Whether there is something to write.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.written < self.end
    }

    /// Fills `slices` with what is to be written next; returns how many.
    pub(crate) fn unwritten<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut offset = self.base;
        let mut filled = 0;
        for chunk in &self.chunks {
            let chunk_end = offset + chunk.len() as u64;
            if chunk_end > self.written {
                if filled == slices.len() {
                    break;
                }
                let from = self.written.saturating_sub(offset) as usize;
                slices[filled] = IoSlice::new(&chunk.as_slice()[from..]);
                filled += 1;
            }
            offset = chunk_end;
        }
        filled
    }

    /// Notes that `n` more bytes were written.
    pub(crate) fn advance(&mut self, n: usize) {
        self.written += n as u64;
        debug_assert!(self.written <= self.end);
    }

    /// Notes that nothing before `offset` is needed any more; unwritten bytes before it are
    /// dropped, which is only right when a new connection has seen none of them.
    pub(crate) fn release(&mut self, offset: u64) {
        self.written = self.written.max(offset);
        let mut chunks = self.chunks.len();
        while let Some(first) = self.chunks.front_mut() {
            let first_end = self.base + first.len() as u64;
            if first_end > offset {
                return;
            }
            self.base = first_end;
            if chunks == 1 && first.capacity() <= 2 * CHUNK_BYTES {
                if let Chunk::Own(bytes) = first {
                    bytes.clear();
                }
                return;
            }
            if let Some(Chunk::Own(bytes)) = self.chunks.pop_front() {
                spare::give(bytes);
            }
            chunks -= 1;
        }
    }

    /// Lets go of what was written, where nothing is sent twice.
    pub(crate) fn release_written(&mut self) {
        self.release(self.written);
        if self.held() == 0
            && self
                .chunks
                .back()
                .is_some_and(|c| c.capacity() > KEEP_BYTES)
        {
            for chunk in self.chunks.drain(..) {
                if let Chunk::Own(bytes) = chunk {
                    spare::give(bytes);
                }
            }
        }
    }

    /// The bytes pushed at `start`, as one slice of `len`.
    pub(crate) fn bytes(&self, start: u64, len: usize) -> &[u8] {
        let mut offset = self.base;
        for chunk in &self.chunks {
            let chunk_end = offset + chunk.len() as u64;
            if start < chunk_end {
                let from = start.saturating_sub(offset) as usize;
                let chunk = chunk.as_slice();
                return chunk.get(from..from + len).unwrap_or_default();
            }
            offset = chunk_end;
        }
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwritten(queue: &WriteBuf) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let n = queue.unwritten(&mut slices);
        slices[..n]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    #[test]
    fn keeps_bytes_until_they_are_released() {
        let mut queue = WriteBuf::default();
        let first = queue.push(b"one");
        let second = queue.push(b"second");
        assert_eq!(unwritten(&queue), b"onesecond");
        queue.advance(5);
        assert_eq!(unwritten(&queue), b"cond");
        assert_eq!(queue.bytes(first, 3), b"one");
        queue.advance(4);
        assert!(!queue.has_unwritten());
        assert_eq!(queue.bytes(second, 6), b"second");
        queue.release(9);
        assert_eq!(queue.held(), 0);
        let third = queue.push(b"x");
        assert_eq!((third, queue.bytes(third, 1)), (9, b"x".as_slice()));
    }

    #[test]
    fn large_pushes_are_whole_and_dropped_when_released() {
        let mut queue = WriteBuf::default();
        let large = vec![b'x'; 3 * CHUNK_BYTES];
        queue.push(b"small");
        let at = queue.push(&large);
        let after = queue.push(b"tail");
        assert_eq!(queue.bytes(at, large.len()), large);
        queue.advance(5 + large.len());
        queue.release(after);
        assert_eq!(queue.held(), 4);
        assert_eq!(unwritten(&queue), b"tail");
    }

    #[test]
    fn what_is_behind_others_does_not_grow() {
        let mut queue = WriteBuf::default();
        let small = vec![b'x'; 4 * 1024];
        let before = queue.push(&small);
        assert_eq!(queue.chunks[0].capacity(), small.len());
        while queue.chunks.len() < 2 {
            queue.push(&small);
        }
        assert!(queue.chunks[1].capacity() >= CHUNK_BYTES);
        while queue.chunks.len() < 3 {
            queue.command(&[b"SET", b"k", &small]);
        }
        assert!(queue.chunks[2].capacity() >= CHUNK_BYTES);
        assert_eq!(queue.bytes(before, small.len()), small);
    }

    #[test]
    fn shared_bytes_keep_their_place_and_are_not_copied() {
        let mut queue = WriteBuf::default();
        let large = Bytes::from(vec![b'x'; 10]);
        queue.push(b"before");
        queue.push_shared(large.clone());
        queue.command(&[b"PING"]);
        let all = [b"before", &large[..], b"*1\r\n$4\r\nPING\r\n"].concat();
        assert_eq!(unwritten(&queue), all);
        assert_eq!(queue.bytes(6, 10).as_ptr(), large.as_ptr());
        assert!(!large.is_unique());
        queue.advance(all.len());
        queue.release_written();
        assert!(large.is_unique() && queue.held() == 0);
    }

    #[test]
    fn releasing_unwritten_bytes_drops_them() {
        let mut queue = WriteBuf::default();
        queue.push(b"gone");
        let kept = queue.push(b"kept");
        queue.release(kept);
        assert_eq!(unwritten(&queue), b"kept");
    }
}
