//! Reads a connection and finds where its replies and pushes end, for whoever uses them.
//!
//! What is whole is used where it was read; only what has not come whole is kept. It does not know
//! what a frame means, nor who waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::error::UpstreamError;
use crate::resp::{ReplyError, ReplyScanner};
use crate::stream::Stream;

/// Reads before other tasks get their turn.
const READS_PER_TURN: usize = 8;
/// A read often ends in the middle of a frame: the buffer for that stays unless it is larger.
const KEEP_BYTES: usize = 4 * 1024;
/// What a read makes room for at least where a reply is read into a buffer of its own.
const READ_BYTES: usize = 4 * 1024;

/// What has come on one connection, frame by frame.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    /// Bytes that came and are not done with.
    held: Vec<u8>,
    /// How many of them the scanner has seen.
    scanned: usize,
    scanner: ReplyScanner,
}

/// The bytes of one read, with what was kept of those before.
pub(crate) struct Frames<'a> {
    scanner: &'a mut ReplyScanner,
    data: &'a [u8],
    /// What is in front of it is done with.
    start: usize,
    /// What is in front of it the scanner has seen.
    pos: usize,
}

/// The reads of one turn of a task.
#[derive(Debug)]
pub(crate) struct Turn {
    left: usize,
}

// === impl FrameReader ===

impl FrameReader {
    /// A reader with room for a reply of so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        FrameReader {
            held: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Has `apply` use what `fresh` has made whole, and keeps the rest. What was used in front of an
    /// error is done with.
    ///
    /// # Errors
    /// What `apply` says.
    pub(crate) fn feed(
        &mut self,
        fresh: &[u8],
        apply: impl FnOnce(&mut Frames<'_>) -> Result<(), UpstreamError>,
    ) -> Result<(), UpstreamError> {
        if self.held.is_empty() {
            let mut frames = Frames::new(fresh, 0, &mut self.scanner);
            let applied = apply(&mut frames);
            let (start, pos) = (frames.start, frames.pos);
            self.held.extend_from_slice(&fresh[start..]);
            self.scanned = pos - start;
            return applied;
        }
        self.held.extend_from_slice(fresh);
        let mut frames = Frames::new(&self.held, self.scanned, &mut self.scanner);
        let applied = apply(&mut frames);
        let (start, pos) = (frames.start, frames.pos);
        self.held.drain(..start);
        self.scanned = pos - start;
        if self.held.is_empty() && self.held.capacity() > KEEP_BYTES {
            self.held = Vec::new();
        }
        applied
    }

    /// Reads one whole reply of at most `most` bytes, and leaves what follows it for the next.
    ///
    /// # Cancel safety
    /// Nothing is lost: what has come is there for the next call.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no reply or too long.
    pub(super) async fn reply(
        &mut self,
        stream: &mut Stream,
        most: usize,
    ) -> Result<Vec<u8>, UpstreamError> {
        loop {
            let step = self.scanner.scan(&self.held[self.scanned..]);
            let step = step.map_err(broken)?;
            self.scanned += step.consumed;
            if step.complete {
                let rest = self.held.split_off(self.scanned);
                self.scanned = 0;
                return Ok(std::mem::replace(&mut self.held, rest));
            }
            if self.held.len() > most || announced(&self.held).is_some_and(|len| len > most) {
                let text = format!("the reply is longer than {most} bytes");
                return Err(UpstreamError::Protocol(text));
            }
            self.held.reserve(READ_BYTES);
            let read = stream.read_buf(&mut self.held).await;
            if read.map_err(|error| UpstreamError::lost(&error))? == 0 {
                return Err(UpstreamError::closed());
            }
        }
    }

    /// Whether everything that came is done with.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.held.len()
    }

    /// The whole frames that are kept.
    pub(super) fn whole(&self) -> &[u8] {
        &self.held[..self.scanned.saturating_sub(self.scanner.begun())]
    }
}

// === impl Frames ===

impl<'a> Frames<'a> {
    fn new(data: &'a [u8], pos: usize, scanner: &'a mut ReplyScanner) -> Self {
        Frames {
            scanner,
            data,
            start: 0,
            pos,
        }
    }

    /// Whether there is nothing that was not scanned.
    #[inline]
    pub(crate) fn is_scanned(&self) -> bool {
        self.pos == self.data.len()
    }

    /// Whether what comes next is the beginning of a push.
    #[inline]
    pub(super) fn at_push(&self) -> bool {
        self.scanner.at_start() && self.data.get(self.pos) == Some(&b'>')
    }

    /// Scans on in the frame at hand; says whether it ends here.
    ///
    /// # Errors
    /// When it is no frame.
    #[inline]
    pub(crate) fn scan(&mut self) -> Result<bool, UpstreamError> {
        let scanned = self.scanner.scan(&self.data[self.pos..]);
        let scanned = scanned.map_err(broken)?;
        self.pos += scanned.consumed;
        Ok(scanned.complete)
    }

    /// Scans up to `most` replies, and on in the one behind them, but no push. Says whether that moved
    /// anything, and how many replies have ended.
    ///
    /// # Errors
    /// When what comes first is no reply.
    #[inline]
    pub(super) fn scan_replies(&mut self, most: u32) -> Result<(bool, u32), UpstreamError> {
        let rest = &self.data[self.pos..];
        let scanned = self.scanner.scan_many(rest, most as usize, true);
        let (used, replies) = scanned.map_err(broken)?;
        self.pos += used;
        Ok((used > 0, replies as u32))
    }

    /// What was scanned and is not done with.
    #[inline]
    pub(crate) fn seen(&self) -> &'a [u8] {
        &self.data[self.start..self.pos]
    }

    /// How many bytes of the frame at hand were scanned, those that are done with included.
    pub(super) fn begun(&self) -> usize {
        self.scanner.begun()
    }

    /// Is done with what was scanned.
    #[inline]
    pub(crate) fn take(&mut self) -> &'a [u8] {
        let seen = self.seen();
        self.start = self.pos;
        seen
    }

    /// Is done with the first `n` bytes of what was scanned.
    pub(super) fn take_first(&mut self, n: usize) {
        debug_assert!(n <= self.pos - self.start);
        self.start += n;
    }
}

// === impl Turn ===

impl Default for Turn {
    fn default() -> Self {
        Turn {
            left: READS_PER_TURN,
        }
    }
}

impl Turn {
    /// Reads what is there into `buf`; nothing when there is no more, or others have their turn first.
    ///
    /// # Errors
    /// When the connection is lost or closed.
    #[inline]
    pub(crate) fn read<'b>(
        &mut self,
        stream: &mut Stream,
        buf: &'b mut [u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<&'b [u8]>, UpstreamError> {
        if self.left == 0 {
            cx.waker().wake_by_ref();
            return Ok(None);
        }
        self.left -= 1;
        let mut read = ReadBuf::new(buf);
        match Pin::new(stream).poll_read(cx, &mut read) {
            Poll::Pending => Ok(None),
            Poll::Ready(Err(error)) => Err(UpstreamError::lost(&error)),
            Poll::Ready(Ok(())) => match read.filled().len() {
                0 => Err(UpstreamError::closed()),
                n => Ok(Some(&buf[..n])),
            },
        }
    }
}

fn broken(error: ReplyError) -> UpstreamError {
    UpstreamError::Protocol(error.to_string())
}

/// The length that the first line of a string says it has.
fn announced(reply: &[u8]) -> Option<usize> {
    let digits = reply.strip_prefix(b"$")?;
    let digits = &digits[..memchr::memchr(b'\r', digits)?];
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: &[u8] = b"+OK\r\n$5\r\nvalue\r\n>2\r\n+a\r\n$1\r\nb\r\n*2\r\n:1\r\n$-1\r\n";

    /// Feeds both parts, and notes each whole frame.
    fn frames(parts: [&[u8]; 2]) -> (Vec<Vec<u8>>, FrameReader) {
        let mut reader = FrameReader::default();
        let mut found = Vec::new();
        for part in parts {
            let fed = reader.feed(part, |frames| {
                while !frames.is_scanned() && frames.scan()? {
                    found.push(frames.take().to_vec());
                }
                Ok(())
            });
            fed.expect("frames");
        }
        (found, reader)
    }

    #[test]
    fn every_split_gives_the_same_frames() {
        let (whole, _) = frames([REPLIES, b""]);
        assert_eq!((whole.len(), whole.concat()), (4, REPLIES.to_vec()));
        for at in 0..REPLIES.len() {
            let (first, second) = REPLIES.split_at(at);
            let (found, reader) = frames([first, second]);
            assert_eq!(found, whole, "split at {at}");
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn what_is_taken_in_part_is_not_kept() {
        let mut reader = FrameReader::default();
        let fed = reader.feed(b"+OK\r\n$9\r\nabc", |frames| {
            assert_eq!(frames.scan_replies(2)?, (true, 1));
            assert_eq!((frames.begun(), frames.seen().len()), (7, 12));
            frames.take_first(5);
            Ok(())
        });
        fed.expect("replies");
        assert_eq!((reader.bytes(), reader.whole()), (7, &b""[..]));
        let fed = reader.feed(b"defghi\r\n>", |frames| {
            assert_eq!(frames.scan_replies(1)?, (true, 1));
            assert_eq!(frames.take(), b"$9\r\nabcdefghi\r\n");
            assert!(frames.at_push());
            Ok(())
        });
        fed.expect("a reply");
        assert_eq!(reader.bytes(), 1);
    }

    #[test]
    fn what_was_whole_in_front_of_an_error_is_kept() {
        let mut reader = FrameReader::default();
        let fed = reader.feed(b":1\r\n?", |frames| {
            while frames.scan_replies(9)?.0 {}
            Ok(())
        });
        assert!(matches!(fed, Err(UpstreamError::Protocol(_))));
        assert_eq!(reader.whole(), b":1\r\n");
    }

    #[test]
    fn a_string_announces_its_length() {
        assert_eq!(announced(b"$52428800\r\nab"), Some(52_428_800));
        for reply in [&b"$5"[..], b"$-1\r\n", b"+OK\r\n", b"", b"$\r\n"] {
            assert_eq!(announced(reply), None);
        }
    }
}
