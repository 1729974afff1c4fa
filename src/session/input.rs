//! What a client has sent and what is not done with yet.

use bytes::Bytes;

use crate::spare;

/// Input that is read ahead while the session waits for something.
pub(super) const READ_AHEAD: usize = 1024 * 1024;
/// With so many bytes behind a large request another one has begun.
const BEGUN: usize = 4096;
/// A buffer that grew beyond this is given back when less than half of it is used.
const KEEP_BYTES: usize = 1024 * 1024;
/// From so much on, room is made for all that was announced.
const LARGE_BYTES: usize = 16 * 1024 * 1024;

/// All of an input, while it is handled.
pub(super) struct Loan(spare::Shared, usize);

impl Loan {
    /// The bytes, which may be kept.
    pub(super) fn bytes(&self) -> Bytes {
        self.0.bytes().slice(self.1..)
    }
}

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

    /// All of it, to be handled without being copied; it is empty until [`Input::restore`].
    pub(super) fn lend(&mut self) -> Loan {
        let taken = std::mem::take(&mut self.taken);
        Loan(spare::Shared::of(std::mem::take(&mut self.bytes)), taken)
    }

    /// Takes back what is not done with, `used` bytes in, with room for another request of that size if one has begun.
    /// True if somebody has kept a part of it.
    pub(super) fn restore(&mut self, loan: Loan, used: usize) -> bool {
        let Loan(shared, taken) = loan;
        let kept = match shared.take_back() {
            Ok(bytes) => {
                self.bytes = bytes;
                self.taken = taken;
                self.take(used);
                return false;
            }
            Err(shared) => shared,
        };
        let rest = &kept.as_slice()[taken + used..];
        if !rest.is_empty() {
            let is_begun = rest.len() >= BEGUN && used <= spare::MOST;
            let room = if is_begun {
                used.max(rest.len())
            } else {
                rest.len()
            };
            self.push(rest, room);
        }
        true
    }

    /// Bytes that are kept for it: a large buffer counts as a whole.
    pub(super) fn held(&self) -> usize {
        match self.bytes.capacity() {
            ..spare::LEAST => self.len(),
            all => all,
        }
    }

    /// Whether it is large, and most of its buffer is used.
    pub(super) fn is_large(&self) -> bool {
        self.len() >= spare::LEAST && self.bytes.capacity() <= 2 * self.len()
    }

    /// Keeps what is there in a buffer of its size.
    pub(super) fn fit(&mut self) {
        let rest = self.rest().to_vec();
        self.let_go();
        self.bytes = rest;
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
    fn what_is_lent_is_restored() {
        let mut input = Input::default();
        input.push(b"abcdef", 10);
        input.take(2);
        let place = input.bytes.as_ptr();
        let loan = input.lend();
        assert_eq!(
            (&loan.bytes()[..], input.is_empty()),
            (b"cdef".as_slice(), true)
        );
        assert!(!input.restore(loan, 1), "nobody has it");
        assert_eq!(
            (input.rest(), input.bytes.as_ptr()),
            (b"def".as_slice(), place)
        );
        let loan = input.lend();
        let kept = loan.bytes().slice(..2);
        assert!(input.restore(loan, 2), "it was kept");
        assert_eq!(
            (&kept[..], input.rest()),
            (b"de".as_slice(), b"f".as_slice())
        );
    }

    #[test]
    fn a_few_bytes_do_not_hold_a_large_buffer() {
        let mut input = Input::default();
        input.expect(spare::LEAST);
        input.room(1, 0).extend_from_slice(b"abc");
        assert!(input.held() >= spare::LEAST && !input.is_large());
        input.take(1);
        input.fit();
        assert_eq!((input.rest(), input.held()), (b"bc".as_slice(), 2));
    }
}
