//! A connection on which no reply grows beyond what its reader can keep.
//!
//! For connections whose replies another crate puts together: it keeps all of a reply until it is whole. What is stored at
//! the backing is data that others can write, so a reply is as large as they like. It looks at lengths only.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::resp::ReplyScanner;

/// The most bytes of one reply. What is asked for is smaller: 32 MiB of calls and one more of 64 MiB is what the bus has
/// delivered at once, 64 MiB what discovery reads of a group.
pub(super) const REPLY_BYTES: u64 = 128 * 1024 * 1024;
/// The most bytes of one message of a channel: the names of some hundred calls or methods.
pub(super) const MESSAGE_BYTES: u64 = 4 * 1024 * 1024;
/// The most values of one reply, as each takes more room than its bytes: a list of a hundred thousand groups or shards has
/// two hundred thousand, a full group of nodes as many.
pub(super) const REPLY_VALUES: u64 = 1_000_000;
/// What every error of this kind begins with.
pub(super) const TOO_LARGE: &str = "the reply is larger than";

/// A stream whose reader ends with an error instead of a reply that is too large.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    most: u64,
    scanner: ReplyScanner,
    /// What has come of a line that says a length.
    cut: Vec<u8>,
}

impl<S> Bounded<S> {
    /// Lets replies of `most` bytes pass from now on; nothing of a reply may have been read before.
    pub(super) fn new(stream: S, most: u64) -> Self {
        Bounded {
            stream,
            most,
            scanner: ReplyScanner::default(),
            cut: Vec::new(),
        }
    }

    fn look(&mut self, fresh: &[u8]) -> io::Result<()> {
        if self.cut.is_empty() {
            let seen = check(&mut self.scanner, fresh, self.most)?;
            self.cut.extend_from_slice(&fresh[seen..]);
        } else {
            self.cut.extend_from_slice(fresh);
            let seen = check(&mut self.scanner, &self.cut, self.most)?;
            self.cut.drain(..seen);
        }
        Ok(())
    }
}

/// Follows replies as far as their bytes are there; returns how many bytes are done with.
fn check(scanner: &mut ReplyScanner, bytes: &[u8], most: u64) -> io::Result<usize> {
    let mut at = 0;
    while at < bytes.len() {
        let step = scanner
            .scan(&bytes[at..])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        at += step.consumed;
        let (coming, values) = scanner.announced();
        if (scanner.begun() as u64).saturating_add(coming) > most {
            return Err(too_large(most, "bytes"));
        }
        if values > REPLY_VALUES {
            return Err(too_large(REPLY_VALUES, "values"));
        }
        if step.consumed == 0 {
            break;
        }
    }
    Ok(at)
}

fn too_large(most: u64, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{TOO_LARGE} {most} {what}"),
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let looked = self.look(&buf.filled()[before..]);
        if looked.is_err() {
            buf.set_filled(before);
        }
        Poll::Ready(looked)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands the bytes over in pieces of a size, as reads would bring them.
    fn read(bytes: &[u8], piece: usize) -> Result<(), String> {
        let (mut scanner, mut cut) = (ReplyScanner::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            cut.extend_from_slice(piece);
            let seen = check(&mut scanner, &cut, REPLY_BYTES).map_err(|error| error.to_string())?;
            cut.drain(..seen);
        }
        assert!(cut.is_empty(), "{} bytes were not looked at", cut.len());
        Ok(())
    }

    #[test]
    fn replies_within_the_bounds_pass_one_after_the_other() {
        let some = b"*2\r\n$3\r\nabc\r\n*2\r\n:1\r\n$-1\r\n+OK\r\n".repeat(1000);
        for piece in [1, 7, some.len()] {
            assert_eq!(read(&some, piece), Ok(()));
        }
    }

    #[test]
    fn what_is_announced_is_enough_to_end_it() {
        let bytes = REPLY_BYTES + 1;
        let values = REPLY_VALUES + 1;
        let nested = format!("*11\r\n{}", "*100000\r\n".repeat(10));
        for (reply, what) in [
            (format!("${bytes}\r\n"), "bytes"),
            (format!("*2\r\n$1\r\na\r\n${bytes}\r\n"), "bytes"),
            (format!("*{values}\r\n"), "values"),
            (nested, "values"),
        ] {
            for piece in [1, reply.len()] {
                let refused = read(reply.as_bytes(), piece).expect_err("refused");
                assert!(
                    refused.starts_with(TOO_LARGE) && refused.ends_with(what),
                    "{reply:?}: {refused}"
                );
            }
        }
    }

    #[test]
    fn what_comes_piece_by_piece_is_added_up() {
        let string = format!("$1000000\r\n{}\r\n", "x".repeat(1_000_000));
        let reply = format!("*200\r\n{}", string.repeat(150));
        let refused = read(reply.as_bytes(), 1 << 16).expect_err("refused");
        assert!(refused.starts_with(TOO_LARGE), "{refused}");
    }
}
