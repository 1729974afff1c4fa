//! What a client has sent and what is not done with yet.

use bytes::Bytes;

use crate::spare;

/// Input that is read ahead while the session waits for something.
pub(super) const READ_AHEAD: usize = 1024 * 1024;
/// A buffer that grew beyond this is given back when less than half of it is used.
const KEEP_BYTES: usize = 1024 * 1024;
/// From so much on, room is made for all that was announced.
const LARGE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes in the order in which they came. Taking some off the front does not move the rest each
/// time.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    taken: usize,
}

impl Input {
    /// What is not done with.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes `n` bytes off the front.
    pub(super) fn take(&mut self, n: usize) {
        self.taken += n;
        if self.is_empty() {
            self.let_go();
        } else if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
            if self.bytes.capacity() > KEEP_BYTES && self.bytes.len() < self.bytes.capacity() / 2 {
                self.bytes.shrink_to(KEEP_BYTES);
            }
        }
    }

    /// Gives the buffer back; nothing is in it.
    pub(super) fn let_go(&mut self) {
        spare::give(std::mem::take(self).bytes);
    }

    /// Appends bytes, with room for `whole` bytes in all.
    pub(super) fn push(&mut self, bytes: &[u8], whole: usize) {
        let more = whole.saturating_sub(self.len()).max(bytes.len());
        if more >= spare::LEAST && self.bytes.capacity() == 0 {
            self.bytes = spare::take(more);
        }
        self.bytes.reserve_exact(more);
        self.bytes.extend_from_slice(bytes);
    }

    /// The buffer, to read `more` bytes behind what is there, of a request of `whole` bytes: it grows to twice what has
    /// come, and to all that was announced once that is much.
    pub(super) fn room(&mut self, more: usize, whole: usize) -> &mut Vec<u8> {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity - len < more {
            let rest = whole.saturating_sub(self.len());
            let is_large = self.len() >= LARGE_BYTES;
            if !(is_large && rest > more && self.bytes.try_reserve_exact(rest).is_ok()) {
                self.bytes.reserve_exact(rest.clamp(more, len.max(more)));
            }
        }
        &mut self.bytes
    }

    /// All of it as bytes that can be shared; it is empty until [`Input::restore`].
    pub(super) fn share(&mut self) -> Bytes {
        let bytes = spare::lend(std::mem::take(&mut self.bytes));
        bytes.slice(std::mem::take(&mut self.taken)..)
    }

    /// Takes back what is not done with.
    pub(super) fn restore(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.push(bytes, bytes.len());
        }
    }

    /// Has room for so much, while it is empty.
    pub(super) fn expect(&mut self, bytes: usize) {
        if self.bytes.capacity() < bytes && self.bytes.is_empty() {
            spare::give(std::mem::replace(&mut self.bytes, spare::take(bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut input = Input::default();
        input.push(b"abcdef", 10);
        input.take(2);
        assert_eq!((input.rest(), input.len()), (b"cdef".as_slice(), 4));
        input.take(2);
        input.room(3, 0).extend_from_slice(b"ghi");
        assert_eq!(input.rest(), b"efghi");
        input.take(5);
        assert!(input.is_empty() && input.bytes.capacity() == 0);
    }

    #[test]
    fn a_request_that_is_large_has_room_at_once_when_much_of_it_has_come() {
        const MIB: usize = 1024 * 1024;
        let (mut input, whole) = (Input::default(), 100 * MIB);
        let mut moved = Vec::new();
        while input.len() < whole {
            let before = input.bytes.as_ptr();
            let room = input.room(MIB.min(whole - input.len()), whole);
            if room.as_ptr() != before {
                moved.push(room.len() / MIB);
            }
            room.extend_from_slice(&vec![b'x'; MIB]);
            assert!(input.bytes.capacity() <= (2 * input.len()).max(LARGE_BYTES + whole));
        }
        // Never at its end, and never more than is needed.
        assert!(moved.iter().all(|at| *at <= 16), "{moved:?}");
        assert_eq!(input.bytes.capacity(), whole);
    }

    #[test]
    fn what_is_shared_is_restored() {
        let mut input = Input::default();
        input.push(b"abcdef", 10);
        input.take(2);
        let shared = input.share();
        assert_eq!((&shared[..], input.is_empty()), (b"cdef".as_slice(), true));
        input.restore(&shared[1..]);
        assert_eq!(input.rest(), b"def");
    }
}
