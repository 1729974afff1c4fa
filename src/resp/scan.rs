//! Finds where replies end, without decoding them.
//!
//! Works on whatever part of a reply has arrived, so that a large reply can be
//! passed on while it comes in. Does not check what a value says, only how
//! long it is.

use memchr::memchr_iter;

use super::error::ReplyError;
use super::number::{Length, read_length};

/// The most frequent reply.
const OK: &[u8] = b"+OK\r\n";

/// What [`ReplyScanner::scan`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scanned {
    /// The bytes that belong to the reply and need not be shown again.
    pub consumed: usize,
    /// Whether the reply ends with them.
    pub complete: bool,
}

/// Finds the ends of the replies of one upstream connection.
///
/// An attribute and the value behind it are one reply. After an error the
/// position in the stream is lost and the scanner is of no more use.
#[derive(Clone, Debug, Default)]
pub struct ReplyScanner {
    /// Values of the reply at hand that have not ended, however deep they
    /// stand; 0 between replies.
    open: u64,
    /// What is left of the value at hand.
    rest: Rest,
    /// The bytes consumed of the reply at hand; 0 between replies.
    begun: usize,
    /// The values that the aggregates of the reply at hand have announced.
    announced: u64,
}

/// What of a value is still to come.
#[derive(Clone, Copy, Debug, Default)]
enum Rest {
    /// All of it.
    #[default]
    Whole,
    /// So many bytes, the last two of them a line end.
    Bytes(u64),
    /// Everything up to a line end.
    Line,
}

impl ReplyScanner {
    /// Tells whether nothing of a reply has been consumed yet.
    #[must_use]
    pub const fn at_start(&self) -> bool {
        self.open == 0
    }

    /// Tells how many bytes of the reply at hand have been consumed; 0 between
    /// replies.
    #[must_use]
    pub const fn begun(&self) -> usize {
        self.begun
    }

    /// Tells what the reply at hand has announced: the bytes of the string that is coming, and the values of all aggregates so
    /// far. Nothing between replies.
    #[must_use]
    pub const fn announced(&self) -> (u64, u64) {
        match self.rest {
            Rest::Bytes(left) => (left, self.announced),
            Rest::Whole | Rest::Line => (0, self.announced),
        }
    }

    /// Consumes bytes of one reply, from where the last call ended.
    ///
    /// The caller may drop or pass on the bytes consumed even if the reply is
    /// not complete; a first line that is cut off at the end of `buf` is not
    /// consumed. After a complete reply the scanner is ready for the next.
    ///
    /// # Errors
    ///
    /// The bytes are not a reply.
    #[inline]
    pub fn scan(&mut self, buf: &[u8]) -> Result<Scanned, ReplyError> {
        let mut pos = 0;
        loop {
            let (taken, ended) = self.scan_part(&buf[pos..])?;
            pos += taken;
            if ended && self.open == 0 {
                self.begun = 0;
                self.announced = 0;
                return Ok(Scanned {
                    consumed: pos,
                    complete: true,
                });
            }
            if taken == 0 || pos == buf.len() {
                self.begun += pos;
                return Ok(Scanned {
                    consumed: pos,
                    complete: false,
                });
            }
        }
    }

    /// Consumes up to `max` whole replies, and bytes of the one behind them;
    /// returns the bytes consumed and the replies completed.
    ///
    /// With `stop_at_push` it returns in front of a push that is not part of
    /// another reply; a push is otherwise a reply like any.
    ///
    /// # Errors
    ///
    /// The bytes are not replies. The whole replies in front of what is wrong
    /// are returned first, the error by the next call: so call until nothing is
    /// consumed.
    pub fn scan_many(
        &mut self,
        buf: &[u8],
        max: usize,
        stop_at_push: bool,
    ) -> Result<(usize, usize), ReplyError> {
        let mut pos = 0;
        let mut replies = 0;
        while replies < max && pos < buf.len() {
            let rest = &buf[pos..];
            if self.at_start() {
                if rest.starts_with(OK) {
                    pos += OK.len();
                    replies += 1;
                    continue;
                }
                if stop_at_push && rest[0] == b'>' {
                    break;
                }
            }
            let scanned = match self.scan(rest) {
                Ok(scanned) => scanned,
                // The next call starts with what is wrong and says so.
                Err(_) if replies > 0 => {
                    *self = Self::default();
                    break;
                }
                Err(error) => return Err(error),
            };
            pos += scanned.consumed;
            if !scanned.complete {
                break;
            }
            replies += 1;
        }
        Ok((pos, replies))
    }

    /// Consumes bytes of one value, or the first line of an aggregate; returns
    /// how many, and whether what was begun has ended with them.
    #[inline]
    fn scan_part(&mut self, buf: &[u8]) -> Result<(usize, bool), ReplyError> {
        match self.rest {
            Rest::Whole => self.scan_value(buf),
            Rest::Bytes(left) => self.scan_bytes(buf, 0, left),
            Rest::Line => Ok(self.scan_line(buf, 0)),
        }
    }

    #[inline]
    fn scan_value(&mut self, buf: &[u8]) -> Result<(usize, bool), ReplyError> {
        let Some((&kind, behind)) = buf.split_first() else {
            return Ok((0, false));
        };
        if matches!(kind, b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(') {
            return Ok(self.scan_line(buf, 1));
        }
        if !matches!(kind, b'$' | b'*' | b'!' | b'=' | b'%' | b'~' | b'>' | b'|') {
            return Err(match kind {
                b';' | b'.' => ReplyError::Streamed,
                other => ReplyError::UnknownType(other),
            });
        }
        let Some((length, line)) = read_length(behind)? else {
            return Ok((0, false));
        };
        let taken = 1 + line;
        let is_extra = if kind == b'>' && self.open > 0 && !matches!(length, Length::Of(0)) {
            match is_extra_push(&buf[taken..]) {
                Some(is_extra) => is_extra,
                None => return Ok((0, false)),
            }
        } else {
            kind == b'|'
        };
        let count = match length {
            Length::Of(count) => count,
            Length::Null if matches!(kind, b'$' | b'*') => {
                self.end_value();
                return Ok((taken, true));
            }
            Length::Null => return Err(ReplyError::InvalidLength),
        };
        let inner = match kind {
            b'$' | b'!' | b'=' => return self.scan_bytes(buf, taken, count + 2),
            b'%' | b'|' => count.checked_mul(2),
            _ => Some(count),
        };
        // An aggregate ends where its last value does; an attribute is none, and some pushes are not.
        let others = self.open.max(1) - u64::from(!is_extra);
        self.open = inner
            .and_then(|inner| others.checked_add(inner))
            .ok_or(ReplyError::InvalidLength)?;
        self.announced = self.announced.saturating_add(inner.unwrap_or(0));
        Ok((taken, true))
    }

    /// Consumes a value's last `left` bytes from `from` on.
    #[inline]
    fn scan_bytes(
        &mut self,
        buf: &[u8],
        from: usize,
        left: u64,
    ) -> Result<(usize, bool), ReplyError> {
        let here = buf.len() - from;
        let ends = u64::try_from(here).is_ok_and(|here| here >= left);
        let taken = if ends {
            usize::try_from(left).unwrap_or(here)
        } else {
            here
        };
        let left = left - taken as u64;
        // How much of the line end is among the bytes taken.
        let tail = &buf[from..from + taken];
        let want: &[u8] = match left {
            0 => b"\r\n",
            1 => b"\r",
            _ => b"",
        };
        // A short tail has only the end of what is wanted.
        let want = &want[want.len().saturating_sub(tail.len())..];
        if !tail.ends_with(want) {
            return Err(ReplyError::MissingLineEnd);
        }
        if left == 0 {
            self.end_value();
        } else {
            self.open = self.open.max(1);
            self.rest = Rest::Bytes(left);
        }
        Ok((from + taken, left == 0))
    }

    /// Consumes a value up to its line end, searched from `from` on. A `\r` at
    /// the end of `buf` is left for the next call.
    #[inline]
    fn scan_line(&mut self, buf: &[u8], from: usize) -> (usize, bool) {
        for at in memchr_iter(b'\n', &buf[from..]) {
            let at = from + at;
            if at > from && buf[at - 1] == b'\r' {
                self.end_value();
                return (at + 1, true);
            }
        }
        let cut = buf.len() > from && buf.ends_with(b"\r");
        let taken = buf.len() - usize::from(cut);
        if taken > 0 {
            self.open = self.open.max(1);
            self.rest = Rest::Line;
        }
        (taken, false)
    }

    #[inline]
    fn end_value(&mut self) {
        self.open = self.open.max(1) - 1;
        self.rest = Rest::Whole;
    }
}

/// Whether a push inside another reply, of which this is what follows its first line, is none of that reply's values:
/// Redis 7.0 writes messages that `PUBLISH` sends to its own client into the reply of `EXEC`. Confirmations
/// of subscriptions are values. None when more bytes are needed.
#[must_use]
pub fn is_extra_push(body: &[u8]) -> Option<bool> {
    const EXTRA: [&[u8]; 4] = [
        b"$7\r\nmessage\r\n",
        b"$8\r\npmessage\r\n",
        b"$8\r\nsmessage\r\n",
        b"$10\r\ninvalidate\r\n",
    ];
    if EXTRA.iter().any(|kind| body.starts_with(kind)) {
        return Some(true);
    }
    let may_become = EXTRA.iter().any(|kind| kind.starts_with(body));
    (!may_become).then_some(false)
}

#[cfg(test)]
mod tests;
