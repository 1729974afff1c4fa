//! Finds the requests in what a client sends, in place.
//!
//! Does what Redis 7.0 does (`processMultibulkBuffer`, `processInlineBuffer`
//! in networking.c), to the byte; it does not know commands.
//!
//! One deliberate difference: Redis notices a line without an end after every
//! read, so what it says about a line over 64 KiB depends on how the bytes
//! arrived. Here such a line is always too big.

use memchr::memchr2;

use super::args::{Args, Range, offset};
use super::error::ProtocolError;
use super::limits::RequestLimits;
use super::{inline, number};

/// Within so many bytes a line must end (`PROTO_INLINE_MAX_SIZE`).
const LINE_MAX: usize = 64 * 1024;

/// The parser keeps room for so many arguments between requests (8 KiB).
const RANGES_KEPT: usize = 1024;

/// What [`RequestParser::parse`] found at the start of the buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// More bytes are needed.
    Incomplete,
    /// A multi-bulk request of `len` bytes; its arguments are in
    /// [`RequestParser::args`] of the same buffer, and there is at least one.
    Request {
        /// The bytes it takes in the buffer.
        len: usize,
    },
    /// An inline request of `len` bytes.
    Inline {
        /// The bytes it takes in the buffer.
        len: usize,
        /// The same request as a multi-bulk one, never empty; its arguments
        /// are in [`RequestParser::args`] of *these* bytes.
        encoded: Vec<u8>,
    },
    /// `len` bytes that ask for nothing: an empty line, `*0`, `*-1`.
    Nothing {
        /// The bytes it takes in the buffer.
        len: usize,
    },
}

/// Where in a request the parser stands.
///
/// ```text
///            '*'          count > 0            length
///   Start ───────▶ Count ──────────▶ Header ◀──────────▶ Bulk
///     │                                       the bytes
///     └─────▶ Inline
///      other
/// ```
///
/// Whatever ends a request, well or badly, leads back to `Start`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    #[default]
    Start,
    Inline,
    Count,
    Header,
    Bulk {
        len: usize,
    },
}

/// Parses the requests of one client, one after the other.
///
/// Remembers how far it got in an incomplete request, so that the work is
/// linear in the bytes received however they are split. Its memory follows
/// from bytes received, never from announced counts.
#[derive(Debug, Default)]
pub struct RequestParser {
    phase: Phase,
    /// Arguments still to come.
    missing: u32,
    /// The first byte that is not understood yet.
    pos: usize,
    /// Up to here the end of the line at `pos` was searched, if that is behind
    /// `pos`.
    searched: usize,
    ranges: Vec<Range>,
}

impl RequestParser {
    /// Parses the request at the start of `buf`.
    ///
    /// After [`Parsed::Incomplete`] the next call must pass the same bytes and
    /// more (they may have moved); after any other result the parser is ready
    /// for the next request. Called with an empty buffer between requests, it
    /// gives back the memory of a request with many arguments.
    ///
    /// # Errors
    ///
    /// The request breaks the protocol or the limits; where the next one would
    /// start is then unknown.
    #[inline]
    pub fn parse(&mut self, buf: &[u8], limits: &RequestLimits) -> Result<Parsed, ProtocolError> {
        if self.phase == Phase::Start {
            if let Some(len) = self.parse_whole(buf, limits) {
                return Ok(Parsed::Request { len });
            }
            self.begin(buf);
        }
        let result = match self.phase {
            Phase::Start => Ok(Parsed::Incomplete),
            Phase::Inline => self.parse_inline(buf, limits),
            Phase::Count | Phase::Header | Phase::Bulk { .. } => self.parse_multibulk(buf, limits),
        };
        if !matches!(result, Ok(Parsed::Incomplete)) {
            self.phase = Phase::Start;
        }
        result
    }

    /// Returns the arguments of the request that was just parsed.
    ///
    /// `buf` is the buffer it was parsed from, or the `encoded` bytes of an
    /// inline request. Valid until the next call of [`parse`](Self::parse).
    #[must_use]
    pub fn args<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        Args::new(buf, &self.ranges)
    }

    /// Returns a lower bound of the bytes that the request at hand takes in
    /// all, 0 if unknown, so that the buffer can be reserved once for a large
    /// argument.
    ///
    /// Counts announced bytes of one argument only; the rest was received.
    #[must_use]
    pub fn needed(&self) -> usize {
        match self.phase {
            Phase::Bulk { len } => self.pos + len + 2,
            _ => 0,
        }
    }

    /// Returns the bytes that the arguments found so far are noted in.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> usize {
        self.ranges.len() * size_of::<Range>()
    }

    /// Tells whether no request is half read.
    #[must_use]
    #[inline]
    pub fn is_between_requests(&self) -> bool {
        self.phase == Phase::Start
    }

    /// Parses what nearly every request is: up to nine short arguments, all of
    /// it there. For anything else it returns `None`, and the exact way begins
    /// at its beginning.
    #[inline]
    fn parse_whole(&mut self, buf: &[u8], limits: &RequestLimits) -> Option<usize> {
        let &[b'*', count @ b'1'..=b'9', b'\r', _, ..] = buf else {
            return None;
        };
        self.ranges.clear();
        if self.ranges.capacity() > RANGES_KEPT {
            return None;
        }
        let mut pos = 4;
        for _ in 0..count - b'0' {
            let digit = |byte: u8| usize::from(byte - b'0');
            let (len, begin) = match *buf.get(pos..)? {
                [b'$', a @ b'1'..=b'9', b'\r', _, ..] => (digit(a), pos + 4),
                [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, ..] => {
                    (digit(a) * 10 + digit(b), pos + 5)
                }
                [
                    b'$',
                    a @ b'1'..=b'9',
                    b @ b'0'..=b'9',
                    c @ b'0'..=b'9',
                    b'\r',
                    _,
                    ..,
                ] => (digit(a) * 100 + digit(b) * 10 + digit(c), pos + 6),
                _ => return None,
            };
            let end = begin + len;
            if len > limits.bulk_bytes || buf.len() < end + 2 {
                return None;
            }
            // Nine such arguments and their headers have less than 10,000 bytes.
            self.ranges.push((begin as u32, end as u32));
            pos = end + 2;
        }
        (pos <= limits.request_bytes).then_some(pos)
    }

    fn begin(&mut self, buf: &[u8]) {
        self.ranges.clear();
        if self.ranges.capacity() > RANGES_KEPT {
            self.ranges.shrink_to(0);
        }
        self.pos = 0;
        self.searched = 0;
        self.missing = 0;
        self.phase = match buf.first() {
            None => Phase::Start,
            Some(b'*') => Phase::Count,
            Some(_) => Phase::Inline,
        };
    }

    fn parse_multibulk(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
    ) -> Result<Parsed, ProtocolError> {
        if self.phase == Phase::Count {
            match self.read_count(buf, limits)? {
                None => return Ok(Parsed::Incomplete),
                Some(0) => return Ok(Parsed::Nothing { len: self.pos }),
                Some(count) => self.missing = count,
            }
            self.phase = Phase::Header;
        }
        loop {
            let len = match self.phase {
                Phase::Bulk { len } => len,
                _ => match self.read_bulk_length(buf, limits)? {
                    None => return Ok(Parsed::Incomplete),
                    Some(len) => len,
                },
            };
            let end = self.pos + len;
            if buf.len() < end + 2 {
                self.phase = Phase::Bulk { len };
                return Ok(Parsed::Incomplete);
            }
            self.ranges.push((offset(self.pos), offset(end)));
            // The two bytes behind it are not looked at, in Redis neither.
            self.pos = end + 2;
            self.phase = Phase::Header;
            self.missing -= 1;
            if self.missing == 0 {
                return Ok(Parsed::Request { len: self.pos });
            }
        }
    }

    /// Reads the number of arguments; 0 stands for a negative one too.
    fn read_count(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
    ) -> Result<Option<u32>, ProtocolError> {
        let (count, next) = if let Some(quick) = number::quick(buf, 1) {
            quick
        } else {
            let Some(line) = self.find_line(buf, b'\r', ProtocolError::TooBigMultibulkCount)?
            else {
                return Ok(None);
            };
            let count = number::string2ll(&line[1..])
                .map(|count| count.max(0))
                .and_then(|count| u32::try_from(count).ok())
                .ok_or(ProtocolError::InvalidMultibulkLength)?;
            (count, line.len() + 2)
        };
        limits.check_count(count)?;
        self.pos = next;
        Ok(Some(count))
    }

    /// Reads the line `$<length>` in front of an argument.
    fn read_bulk_length(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        let quick = match buf.get(self.pos) {
            Some(b'$') => number::quick(buf, self.pos + 1),
            _ => None,
        };
        let (len, next) = if let Some((len, next)) = quick {
            (len as usize, next)
        } else {
            let Some(line) = self.find_line(buf, b'\r', ProtocolError::TooBigBulkCount)? else {
                return Ok(None);
            };
            let [b'$', digits @ ..] = line else {
                return Err(ProtocolError::ExpectedBulk(buf[self.pos]));
            };
            let len = number::string2ll(digits)
                .and_then(|len| usize::try_from(len).ok())
                .ok_or(ProtocolError::InvalidBulkLength)?;
            (len, self.pos + line.len() + 2)
        };
        limits.check_bulk(len)?;
        limits.check_request(next.saturating_add(len).saturating_add(2))?;
        self.pos = next;
        Ok(Some(len))
    }

    fn parse_inline(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
    ) -> Result<Parsed, ProtocolError> {
        let Some(line) = self.find_line(buf, b'\n', ProtocolError::TooBigInline)? else {
            return Ok(Parsed::Incomplete);
        };
        let len = line.len() + 1;
        limits.check_request(len)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok(match inline::encode(line, &mut self.ranges)? {
            Some(encoded) => Parsed::Inline { len, encoded },
            None => Parsed::Nothing { len },
        })
    }

    /// Finds the line that starts at `pos`: up to `end`, which for a `\r` must
    /// be followed by one more byte. A NUL hides what comes behind it, as it
    /// does from the `strchr` in Redis: the line then never ends.
    fn find_line<'a>(
        &mut self,
        buf: &'a [u8],
        end: u8,
        too_big: ProtocolError,
    ) -> Result<Option<&'a [u8]>, ProtocolError> {
        let window = buf.len().min(self.pos + LINE_MAX + 1);
        let from = self.searched.max(self.pos);
        let unseen = buf.get(from..window).unwrap_or_default();
        let stop = memchr2(end, 0, unseen).map(|at| from + at);
        self.searched = stop.unwrap_or(window.max(from));
        match stop {
            Some(at) if buf[at] == end => {
                let whole = end == b'\n' || buf.len() > at + 1;
                Ok(whole.then(|| &buf[self.pos..at]))
            }
            _ if buf.len() > self.pos + LINE_MAX => Err(too_big),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
