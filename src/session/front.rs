//! The client's side of a session: its socket, what it has sent, and whether it is still there.
//!
//! It knows bytes and where a request ends, not what one means.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::held::Held;
use super::input::{Input, READ_AHEAD};
use crate::resp::RequestParser;
use crate::spare;
use crate::stream::Stream;

/// Bytes that are read at once at the least.
const LEAST_ROOM: usize = 4096;

/// What a session knows of its client's connection.
pub(super) struct Front {
    pub(super) stream: Stream,
    pub(super) input: Input,
    pub(super) parser: RequestParser,
    /// The client sends nothing more.
    pub(super) eof: bool,
    /// No more requests are taken; what is owed is still delivered.
    pub(super) closing: bool,
    /// While a large input is handled: all of it, so that what is sent on need not be copied.
    pub(super) shared: Option<Bytes>,
    /// The bytes of the request before, if that was large: the next one is likely to be as well.
    pub(super) large: Option<usize>,
    /// The request at the front of the input has to wait for something.
    pub(super) waiting: bool,
    /// When it was last seen to wait for a reply.
    pub(super) busy: Instant,
    /// What the others know of the bytes that are kept for this client.
    pub(super) held: Held,
}

impl Front {
    pub(super) fn new(stream: Stream, held: Held) -> Self {
        Front {
            stream,
            input: Input::default(),
            parser: RequestParser::default(),
            eof: false,
            closing: false,
            shared: None,
            large: None,
            waiting: false,
            busy: Instant::now(),
            held,
        }
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.input.held() + self.parser.bytes()
    }

    /// Whether more is read now, when `ahead` bytes may wait. A request that is not whole yet is always
    /// read on: its own limits bound it.
    pub(super) fn reads_on(&self, ahead: usize) -> bool {
        let enough = self.waiting && self.input.len() >= ahead;
        !self.eof && !self.closing && !enough
    }

    /// A part of the input that is handled now, to be kept without copying it: if it is large, and most of that input.
    pub(super) fn share(&self, part: &[u8]) -> Option<Bytes> {
        most_of(self.shared.as_ref()?, part)
    }

    /// Reads into `scratch`; returns how many bytes, none when the client sends nothing more.
    pub(super) fn poll_read(
        &mut self,
        scratch: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(scratch);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let n = buf.filled().len();
                self.eof = n == 0;
                Poll::Ready(Ok(n))
            }
        }
    }

    /// Whether what comes next is read into a buffer of its own: behind a part of a request, or because it is likely to be
    /// large.
    pub(super) fn reads_into_own(&self) -> bool {
        !self.input.is_empty() || self.large.is_some()
    }

    /// Reads on behind what is there of a request; false when the client sends nothing more.
    pub(super) fn poll_read_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let before = self.input.len();
        if let Some(bytes) = self.large.filter(|_| before == 0) {
            // A little more: a buffer that is filled is read into again.
            self.input.expect(bytes + LEAST_ROOM);
        }
        let room = self.room_for(before).saturating_sub(before);
        let whole = self.parser.needed();
        let buf = (self.input).room(room.clamp(LEAST_ROOM, READ_AHEAD), whole);
        let read = poll_read_buf(Pin::new(&mut self.stream), cx, buf);
        match read {
            Poll::Ready(Ok(0)) => self.eof = true,
            Poll::Ready(Ok(n)) if before == 0 && n < LEAST_ROOM => {
                self.large = None;
                self.input.fit();
            }
            _ => {}
        }
        if self.input.is_empty() {
            self.input.let_go();
        }
        read.map_ok(|n| n > 0)
    }

    /// Keeps what of `fresh` is not done with.
    pub(super) fn keep(&mut self, fresh: &[u8]) {
        if !fresh.is_empty() && !self.closing {
            let room = self.room_for(fresh.len());
            self.input.push(fresh, room);
        }
    }

    /// The buffer for the request at hand, when `have` bytes of it are here: it grows with what
    /// came, not to what was announced.
    fn room_for(&self, have: usize) -> usize {
        let ahead = have.clamp(LEAST_ROOM, READ_AHEAD);
        self.parser.needed().min(have + ahead).max(have)
    }
}

/// A part as a piece of the whole that it is most of. With a smaller one more would be kept than is counted.
fn most_of(whole: &Bytes, part: &[u8]) -> Option<Bytes> {
    if part.len() < spare::LEAST || part.len() < whole.len() / 2 {
        return None;
    }
    let (all, wanted) = (whole.as_ptr_range(), part.as_ptr_range());
    let within = all.start <= wanted.start && wanted.end <= all.end;
    within.then(|| whole.slice_ref(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_most_of_what_it_keeps() {
        let whole = Bytes::from(vec![0; 4 * spare::LEAST]);
        let kept = |bytes: usize| most_of(&whole, &whole[8..8 + bytes]);
        let half = kept(2 * spare::LEAST).expect("it is half of it");
        assert_eq!(half.as_ptr(), whole[8..].as_ptr());
        assert_eq!(kept(2 * spare::LEAST - 1), None);
        let small = Bytes::from(vec![0; spare::LEAST]);
        assert_eq!(most_of(&small, &small[1..]), None);
        assert_eq!(most_of(&small, &whole[..spare::LEAST]), None, "another's");
    }
}
