//! Reads a reply that must be understood.
//!
//! Borrows from the buffer. Not for the relayed replies, whose ends
//! [`ReplyScanner`](super::ReplyScanner) finds without any of this.

use memchr::memchr_iter;

use super::error::ReplyError;
use super::number::{Length, read_length, string2ll};
use super::scan::is_extra_push;

/// How deep aggregates may stand inside one another, so that a reply cannot
/// exhaust the stack.
const DEPTH_MAX: usize = 128;

/// The type of a verbatim string and the colon behind it.
const VERBATIM_TAG: usize = 4;

/// A reply, or a value inside one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// A status such as `OK`.
    Simple(&'a [u8]),
    /// An error of one line, its code in front.
    Error(&'a [u8]),
    /// A number.
    Integer(i64),
    /// A string.
    Bulk(&'a [u8]),
    /// No value, in any of its spellings.
    Null,
    /// A list.
    Array(Vec<Self>),
    /// Pairs, in the order sent.
    Map(Vec<(Self, Self)>),
    /// A set, in the order sent.
    Set(Vec<Self>),
    /// What the server sends unasked; the first value names its kind.
    Push(Vec<Self>),
    /// A floating-point number, as text.
    Double(&'a [u8]),
    /// A truth value.
    Boolean(bool),
    /// An integer of any size, as text.
    BigNumber(&'a [u8]),
    /// An error of any bytes, its code in front.
    BulkError(&'a [u8]),
    /// A string with its type in front: three letters and a colon.
    Verbatim(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Returns the bytes of a status or a string; of a verbatim string those
    /// behind its type.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Simple(bytes) | Self::Bulk(bytes) => Some(bytes),
            Self::Verbatim(bytes) => bytes.get(VERBATIM_TAG..),
            _ => None,
        }
    }

    /// Returns the text of a status or a string that is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// Returns the number, also of a string that spells one as RESP2 replies
    /// often do.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            Self::Integer(number) => Some(number),
            _ => string2ll(self.as_bytes()?),
        }
    }

    /// Returns the values of an array, a set or a push.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the text of an error.
    #[must_use]
    pub const fn as_error(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Error(text) | Self::BulkError(text) => Some(text),
            _ => None,
        }
    }

    /// Tells whether it is an error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.as_error().is_some()
    }

    /// Tells whether there is no value.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Reads the reply at the start of `buf`; returns it and how many bytes it
/// took, or `None` if it is not there yet as a whole.
///
/// Attributes are left out. Starts anew at each call: a reply that comes in
/// many parts is gathered with the help of a
/// [`ReplyScanner`](super::ReplyScanner) first.
///
/// # Errors
///
/// The bytes are not a reply, or one nested over 128 deep.
pub fn parse_reply(buf: &[u8]) -> Result<Option<(Value<'_>, usize)>, ReplyError> {
    let mut reader = Reader { buf, pos: 0 };
    let value = reader.value(DEPTH_MAX)?;
    Ok(value.map(|value| (value, reader.pos)))
}

/// Reads values one after the other; `None` means that bytes are missing.
struct Reader<'a> {
    buf: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Option<Value<'a>>, ReplyError> {
        let mut within = depth < DEPTH_MAX;
        loop {
            let skipped = match self.buf.get(self.pos) {
                Some(b'|') => self.attribute(depth)?.map(|()| true),
                Some(b'>') if within => self.extra_push(depth)?,
                _ => break,
            };
            match skipped {
                None => return Ok(None),
                Some(false) => break,
                Some(true) => within = true,
            }
        }
        let Some(&kind) = self.buf.get(self.pos) else {
            return Ok(None);
        };
        self.pos += 1;
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => self.line_value(kind),
            b'$' | b'!' | b'=' => self.bulk_value(kind),
            b'*' | b'~' | b'>' | b'%' => self.aggregate(kind, depth),
            b';' | b'.' => Err(ReplyError::Streamed),
            other => Err(ReplyError::UnknownType(other)),
        }
    }

    /// Skips a push that is none of the values of the reply around it; false, with nothing skipped, when it is one.
    fn extra_push(&mut self, depth: usize) -> Result<Option<bool>, ReplyError> {
        let begin = self.pos;
        self.pos += 1;
        let is_extra = match self.length()? {
            None => None,
            Some(Length::Of(0)) => Some(false),
            Some(_) => is_extra_push(&self.buf[self.pos..]),
        };
        match is_extra {
            Some(true) => {
                self.pos = begin + 1;
                Ok(self.aggregate(b'>', depth)?.map(|_| true))
            }
            other => {
                self.pos = begin;
                Ok(other)
            }
        }
    }

    /// Skips an attribute.
    fn attribute(&mut self, depth: usize) -> Result<Option<()>, ReplyError> {
        self.pos += 1;
        let Some(length) = self.length()? else {
            return Ok(None);
        };
        let Length::Of(pairs) = length else {
            return Err(ReplyError::InvalidLength);
        };
        Ok(self.pairs(pairs, inner(depth)?)?.map(drop))
    }

    fn aggregate(&mut self, kind: u8, depth: usize) -> Result<Option<Value<'a>>, ReplyError> {
        let Some(length) = self.length()? else {
            return Ok(None);
        };
        let count = match length {
            Length::Of(count) => count,
            Length::Null if kind == b'*' => return Ok(Some(Value::Null)),
            Length::Null => return Err(ReplyError::InvalidLength),
        };
        let depth = inner(depth)?;
        Ok(match kind {
            b'%' => self.pairs(count, depth)?.map(Value::Map),
            b'~' => self.values(count, depth)?.map(Value::Set),
            b'>' => self.values(count, depth)?.map(Value::Push),
            _ => self.values(count, depth)?.map(Value::Array),
        })
    }

    // The counts are the peer's word: the vectors grow with values read.

    fn values(&mut self, count: u64, depth: usize) -> Result<Option<Vec<Value<'a>>>, ReplyError> {
        let mut values = Vec::new();
        for _ in 0..count {
            let Some(value) = self.value(depth)? else {
                return Ok(None);
            };
            values.push(value);
        }
        Ok(Some(values))
    }

    fn pairs(
        &mut self,
        count: u64,
        depth: usize,
    ) -> Result<Option<Vec<(Value<'a>, Value<'a>)>>, ReplyError> {
        // As in the scanner, which counts the single values.
        count.checked_mul(2).ok_or(ReplyError::InvalidLength)?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let Some(key) = self.value(depth)? else {
                return Ok(None);
            };
            let Some(value) = self.value(depth)? else {
                return Ok(None);
            };
            pairs.push((key, value));
        }
        Ok(Some(pairs))
    }

    fn bulk_value(&mut self, kind: u8) -> Result<Option<Value<'a>>, ReplyError> {
        let Some(length) = self.length()? else {
            return Ok(None);
        };
        let len = match length {
            Length::Of(len) => usize::try_from(len).map_err(|_| ReplyError::InvalidLength)?,
            Length::Null if kind == b'$' => return Ok(Some(Value::Null)),
            Length::Null => return Err(ReplyError::InvalidLength),
        };
        let rest = &self.buf[self.pos..];
        if rest.len() < len.saturating_add(2) {
            return Ok(None);
        }
        let (bytes, behind) = rest.split_at(len);
        if !behind.starts_with(b"\r\n") {
            return Err(ReplyError::MissingLineEnd);
        }
        self.pos += len + 2;
        match kind {
            b'$' => Ok(Some(Value::Bulk(bytes))),
            b'!' => Ok(Some(Value::BulkError(bytes))),
            _ if bytes.get(VERBATIM_TAG - 1) == Some(&b':') => Ok(Some(Value::Verbatim(bytes))),
            _ => Err(ReplyError::InvalidValue),
        }
    }

    fn line_value(&mut self, kind: u8) -> Result<Option<Value<'a>>, ReplyError> {
        let Some(line) = self.line() else {
            return Ok(None);
        };
        Ok(Some(match kind {
            b'+' => Value::Simple(line),
            b'-' => Value::Error(line),
            b',' => Value::Double(line),
            b'(' => Value::BigNumber(line),
            b':' => Value::Integer(integer(line).ok_or(ReplyError::InvalidValue)?),
            b'#' if line == b"t" => Value::Boolean(true),
            b'#' if line == b"f" => Value::Boolean(false),
            b'_' if line.is_empty() => Value::Null,
            _ => return Err(ReplyError::InvalidValue),
        }))
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.buf[self.pos..];
        let end = memchr_iter(b'\n', rest).find(|&at| at > 0 && rest[at - 1] == b'\r')?;
        self.pos += end + 1;
        Some(&rest[..end - 1])
    }

    fn length(&mut self) -> Result<Option<Length>, ReplyError> {
        Ok(read_length(&self.buf[self.pos..])?.map(|(length, taken)| {
            self.pos += taken;
            length
        }))
    }
}

/// The depth left inside an aggregate.
fn inner(depth: usize) -> Result<usize, ReplyError> {
    depth.checked_sub(1).ok_or(ReplyError::TooDeep)
}

/// Unlike a length, an integer may have a `+` (the RESP specification).
fn integer(text: &[u8]) -> Option<i64> {
    match text {
        [b'+', digits @ ..] if digits.first() != Some(&b'-') => string2ll(digits),
        text => string2ll(text),
    }
}

#[cfg(test)]
mod tests;
