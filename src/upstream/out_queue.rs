//! Request bytes on their way to the backing, kept until they are answered.
//!
//! Bytes are addressed by their offset in the life of the connection. They stay after they were
//! written so that unanswered reads can be sent again; [`OutQueue::release`] lets go of them.

use std::collections::VecDeque;
use std::io::IoSlice;

/// Small pushes share a chunk of this size; a larger push has a chunk of its own.
const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct OutQueue {
    chunks: VecDeque<Vec<u8>>,
    base: u64,
    written: u64,
    end: u64,
}

impl OutQueue {
    /// Appends `bytes`, contiguously; returns their first offset.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> u64 {
        let start = self.end;
        match self.chunks.back_mut() {
            Some(last) if last.len() + bytes.len() <= CHUNK_BYTES => last.extend_from_slice(bytes),
            _ => self.chunks.push_back(bytes.to_vec()),
        }
        self.end += bytes.len() as u64;
        start
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
                slices[filled] = IoSlice::new(&chunk[from..]);
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
                first.clear();
                return;
            }
            self.chunks.pop_front();
            chunks -= 1;
        }
    }

    /// The bytes pushed at `start`, as one slice of `len`.
    pub(crate) fn bytes(&self, start: u64, len: usize) -> &[u8] {
        let mut offset = self.base;
        for chunk in &self.chunks {
            let chunk_end = offset + chunk.len() as u64;
            if start < chunk_end {
                let from = start.saturating_sub(offset) as usize;
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

    fn unwritten(queue: &OutQueue) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let n = queue.unwritten(&mut slices);
        slices[..n]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    #[test]
    fn keeps_bytes_until_they_are_released() {
        let mut queue = OutQueue::default();
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
        let mut queue = OutQueue::default();
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
    fn releasing_unwritten_bytes_drops_them() {
        let mut queue = OutQueue::default();
        queue.push(b"gone");
        let kept = queue.push(b"kept");
        queue.release(kept);
        assert_eq!(unwritten(&queue), b"kept");
    }
}
