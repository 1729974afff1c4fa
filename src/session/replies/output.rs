//! Bytes on their way to the client. Large amounts are kept in pieces, so that they grow and go
//! without being copied, and what was written is let go.

use std::collections::VecDeque;
use std::ops::Deref;

use bytes::Bytes;

use crate::spare;

/// From this size on, a piece is complete and the next one begins.
const PIECE_BYTES: usize = 256 * 1024;
/// Up to here a piece grows as it needs to.
const SMALL_BYTES: usize = 64 * 1024;
/// Beyond this it is replaced by a large one.
const GROWN_BYTES: usize = 32 * 1024;
/// A write buffer that grew beyond this is given back when it is empty.
const KEEP_BYTES: usize = 4 * 1024;

/// Bytes that are complete.
#[derive(Debug)]
enum Piece {
    Own(Vec<u8>),
    /// Others wait for the same bytes.
    Shared(Bytes),
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

/// A queue of bytes.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Complete pieces, none of them empty.
    full: VecDeque<Piece>,
    full_bytes: usize,
    /// What comes behind them.
    tail: Vec<u8>,
    /// Bytes of the first piece that were written.
    written: usize,
    /// Bytes of the last piece that was given back.
    usual: usize,
}

impl Output {
    /// Bytes that are kept.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.full_bytes + self.tail.len()
    }

    /// Bytes that were not written yet.
    #[inline]
    pub(super) fn unwritten(&self) -> usize {
        self.bytes() - self.written
    }

    /// The bytes that are to be written next; empty when there are none.
    pub(super) fn first(&self) -> &[u8] {
        let first = self.full.front().map_or(&*self.tail, |piece| piece);
        &first[self.written..]
    }

    /// Notes that `n` bytes of the first piece were written.
    pub(super) fn advance(&mut self, n: usize) {
        self.written += n;
        match self.full.front() {
            Some(piece) if self.written == piece.len() => {
                self.full_bytes -= piece.len();
                self.written = 0;
                if let Some(Piece::Own(bytes)) = self.full.pop_front() {
                    spare::give(bytes);
                }
            }
            None if self.written == self.tail.len() => {
                self.written = 0;
                if self.tail.capacity() > KEEP_BYTES {
                    self.usual = self.tail.len();
                    spare::give(std::mem::take(&mut self.tail));
                } else {
                    self.tail.clear();
                }
            }
            _ => {}
        }
    }

    /// Lets `write` append to the end.
    #[inline]
    pub(super) fn write<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        if self.usual > KEEP_BYTES && self.tail.capacity() == 0 {
            self.begin_as_usual();
        }
        let result = write(&mut self.tail);
        if self.tail.len() >= GROWN_BYTES {
            self.grown();
        }
        result
    }

    /// Appends a copy.
    #[inline]
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let len = self.tail.len() + bytes.len();
        if len > SMALL_BYTES && len > self.tail.capacity() {
            self.begin(bytes.len());
        }
        self.write(|tail| tail.extend_from_slice(bytes));
    }

    /// Ends a piece, or goes on in a buffer that need not grow any more.
    #[cold]
    #[inline(never)]
    fn grown(&mut self) {
        if self.tail.len() >= PIECE_BYTES {
            self.complete();
        } else if self.tail.capacity() < PIECE_BYTES {
            let mut large = spare::take(PIECE_BYTES);
            large.extend_from_slice(&self.tail);
            spare::give(std::mem::replace(&mut self.tail, large));
        }
    }

    /// Begins with as much room as was needed before, so that nothing has to grow.
    #[cold]
    fn begin_as_usual(&mut self) {
        self.tail = spare::take(match self.usual {
            ..GROWN_BYTES => spare::MEDIUM,
            _ => PIECE_BYTES,
        });
    }

    /// Begins a piece of a size that is not changed any more: what grows leaves holes behind that
    /// the allocator keeps.
    #[cold]
    fn begin(&mut self, bytes: usize) {
        if !self.tail.is_empty() {
            self.complete();
        }
        self.tail = spare::take(bytes.max(PIECE_BYTES));
    }

    /// Takes bytes over; large ones are not copied.
    pub(super) fn append(&mut self, bytes: &mut Vec<u8>) {
        if bytes.len() < PIECE_BYTES {
            return self.write(|tail| tail.append(bytes));
        }
        if !self.tail.is_empty() {
            self.complete();
        }
        self.tail = std::mem::take(bytes);
        self.complete();
    }

    /// Takes bytes over that others have as well.
    pub(super) fn append_shared(&mut self, bytes: Bytes) {
        if !self.tail.is_empty() {
            self.complete();
        }
        self.full_bytes += bytes.len();
        if !bytes.is_empty() {
            self.full.push_back(Piece::Shared(bytes));
        }
    }

    fn complete(&mut self) {
        self.full_bytes += self.tail.len();
        self.full
            .push_back(Piece::Own(std::mem::take(&mut self.tail)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came_whatever_their_pieces() {
        let mut output = Output::default();
        let mut all = Vec::new();
        let mut gone = Vec::new();
        for n in 0..60_usize {
            let bytes = vec![n as u8; [1, 100, PIECE_BYTES, 3 * PIECE_BYTES / 2][n % 4]];
            all.extend_from_slice(&bytes);
            match n % 5 {
                0 => output.extend(&bytes),
                1 => output.append_shared(bytes.clone().into()),
                _ => output.append(&mut bytes.clone()),
            }
            let part = output.first().len() / 2;
            gone.extend_from_slice(&output.first()[..part]);
            output.advance(part);
            assert_eq!(output.unwritten() + gone.len(), all.len());
        }
        while !output.first().is_empty() {
            let part = output.first().len().min(70_000);
            gone.extend_from_slice(&output.first()[..part]);
            output.advance(part);
        }
        assert!(gone == all, "other bytes came out");
        assert_eq!((output.bytes(), output.tail.capacity()), (0, 0));
    }

    #[test]
    fn what_is_as_long_as_before_has_its_room_from_the_start() {
        let mut output = Output::default();
        for (len, room) in [
            (10, KEEP_BYTES),
            (2 * KEEP_BYTES, 4 * KEEP_BYTES),
            (2 * KEEP_BYTES, spare::MEDIUM),
            (GROWN_BYTES, PIECE_BYTES),
            (10, PIECE_BYTES),
            (10, KEEP_BYTES),
        ] {
            output.extend(&vec![b'x'; len]);
            assert!(output.tail.capacity() <= room, "{len}");
            assert!(output.tail.capacity() > room / 4 || room == KEEP_BYTES);
            output.advance(len);
            assert_eq!(output.bytes(), 0);
        }
    }
}
