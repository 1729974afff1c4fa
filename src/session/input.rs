//! What a client has sent and what is not done with yet.

/// Input that is read ahead while the session waits for something.
pub(super) const READ_AHEAD: usize = 1024 * 1024;
/// A buffer that grew beyond this is given back when less than half of it is used.
const KEEP_BYTES: usize = 1024 * 1024;

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
            *self = Input::default();
        } else if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
            if self.bytes.capacity() > KEEP_BYTES && self.bytes.len() < self.bytes.capacity() / 2 {
                self.bytes.shrink_to(KEEP_BYTES);
            }
        }
    }

    /// Appends bytes, with room for `whole` bytes in all.
    pub(super) fn push(&mut self, bytes: &[u8], whole: usize) {
        self.bytes
            .reserve_exact(whole.saturating_sub(self.len()).max(bytes.len()));
        self.bytes.extend_from_slice(bytes);
    }

    /// The buffer, to read `more` bytes behind what is there.
    pub(super) fn room(&mut self, more: usize) -> &mut Vec<u8> {
        self.bytes.reserve(more);
        &mut self.bytes
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
        input.room(3).extend_from_slice(b"ghi");
        assert_eq!(input.rest(), b"efghi");
        input.take(5);
        assert!(input.is_empty() && input.bytes.capacity() == 0);
    }
}
