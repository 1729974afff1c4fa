//! Writes replies in the version that the client speaks.

use std::io::Write as _;

use super::encode::{write_bulk, write_header};
use super::proto::Proto;

/// The most characters of a double: sign, point, 17 digits, exponent, and for
/// 0.0001 and above four zeros in front.
const DOUBLE_TEXT_MAX: usize = 32;

/// Appends replies to a buffer.
///
/// What RESP2 has no type for is written as Redis writes it to a RESP2 client.
#[derive(Debug)]
pub struct ReplyWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    proto: Proto,
}

impl<'a> ReplyWriter<'a> {
    /// Makes a writer that appends to `out` in version `proto`.
    #[must_use]
    pub const fn new(out: &'a mut Vec<u8>, proto: Proto) -> Self {
        let start = out.len();
        Self { out, start, proto }
    }

    /// Returns the version it writes.
    #[must_use]
    pub const fn proto(&self) -> Proto {
        self.proto
    }

    /// Returns the bytes written by this writer.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Tells whether nothing was written by this writer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes that are replies already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes the status `OK`.
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// Writes a status; a line end in it becomes a space.
    pub fn simple(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'+', text.as_ref());
    }

    /// Writes an error, given with its code and without the `-`.
    ///
    /// Line ends at its sides are dropped, others become spaces, as Redis'
    /// `addReplyErrorFormat` does.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let mut text = text.as_ref();
        while let [b'\r' | b'\n', rest @ ..] | [rest @ .., b'\r' | b'\n'] = text {
            text = rest;
        }
        self.line(b'-', text);
    }

    /// Writes an integer.
    pub fn integer(&mut self, number: i64) {
        self.out.push(b':');
        self.raw(itoa::Buffer::new().format(number).as_bytes());
        self.raw(b"\r\n");
    }

    /// Writes a string.
    pub fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        write_bulk(self.out, bytes.as_ref());
    }

    /// Writes that there is no value (RESP2: a null bulk).
    pub fn null(&mut self) {
        match self.proto {
            Proto::Resp2 => self.raw(b"$-1\r\n"),
            Proto::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// Writes that there is no list (RESP2: a null array).
    pub fn null_array(&mut self) {
        match self.proto {
            Proto::Resp2 => self.raw(b"*-1\r\n"),
            Proto::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// Begins a list; its `count` values are written next.
    pub fn array(&mut self, count: usize) {
        write_header(self.out, b'*', count);
    }

    /// Begins a map; its `count` keys are written next, each followed by its
    /// value (RESP2: an array of both).
    pub fn map(&mut self, count: usize) {
        match self.proto {
            Proto::Resp2 => self.array(count * 2),
            Proto::Resp3 => write_header(self.out, b'%', count),
        }
    }

    /// Begins a set; its `count` values are written next (RESP2: an array).
    pub fn set(&mut self, count: usize) {
        self.list(b'~', count);
    }

    /// Begins a push; its `count` values are written next (RESP2: an array).
    pub fn push(&mut self, count: usize) {
        self.list(b'>', count);
    }

    /// Writes a truth value (RESP2: 1 or 0).
    pub fn boolean(&mut self, value: bool) {
        match self.proto {
            Proto::Resp2 => self.integer(i64::from(value)),
            Proto::Resp3 => self.raw(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// Writes a floating-point number (RESP2: a string): the shortest digits
    /// that read back as the same number, laid out as C's `%.17g` does.
    pub fn double(&mut self, number: f64) {
        let mut text = [0; DOUBLE_TEXT_MAX];
        let text = format_double(number, &mut text);
        match self.proto {
            Proto::Resp2 => write_bulk(self.out, text),
            Proto::Resp3 => {
                self.out.push(b',');
                self.raw(text);
                self.raw(b"\r\n");
            }
        }
    }

    /// Writes a string of type `tag`, such as `txt` (RESP2: the string alone).
    ///
    /// A tag has three bytes: what is more is cut, what is less filled up with
    /// spaces, as in Redis.
    pub fn verbatim(&mut self, tag: &str, bytes: &[u8]) {
        self.verbatim_pieces(tag, &[bytes]);
    }

    /// Writes a string of type `tag` that is given in pieces.
    pub fn verbatim_pieces(&mut self, tag: &str, pieces: &[&[u8]]) {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.out.reserve(len + 32);
        match self.proto {
            Proto::Resp2 => write_header(self.out, b'$', len),
            Proto::Resp3 => {
                write_header(self.out, b'=', len + 4);
                let mut prefix = *b"   :";
                for (to, from) in prefix[..3].iter_mut().zip(tag.bytes()) {
                    *to = from;
                }
                self.raw(&prefix);
            }
        }
        for piece in pieces {
            self.raw(piece);
        }
        self.raw(b"\r\n");
    }

    fn list(&mut self, kind: u8, count: usize) {
        match self.proto {
            Proto::Resp2 => self.array(count),
            Proto::Resp3 => write_header(self.out, kind, count),
        }
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        let from = self.out.len();
        self.raw(text);
        for byte in &mut self.out[from..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.raw(b"\r\n");
    }
}

/// Formats `number` into `buf`.
fn format_double(number: f64, buf: &mut [u8; DOUBLE_TEXT_MAX]) -> &[u8] {
    const WHOLE: &str = "DOUBLE_TEXT_MAX holds every double";
    if number.is_nan() {
        return b"nan";
    }
    if number.is_infinite() {
        return if number > 0.0 { b"inf" } else { b"-inf" };
    }
    // Where %g of 17 digits changes to an exponent.
    let plain = number == 0.0 || (1e-4..1e17).contains(&number.abs());
    let mut free = &mut buf[..];
    if plain {
        write!(free, "{number}").expect(WHOLE);
        let left = free.len();
        return &buf[..DOUBLE_TEXT_MAX - left];
    }
    write!(free, "{number:e}").expect(WHOLE);
    let left = free.len();
    exponent_as_c(buf, DOUBLE_TEXT_MAX - left)
}

/// Turns Rust's `1e7`, `len` bytes in `buf`, into C's `1e+07`.
fn exponent_as_c(buf: &mut [u8; DOUBLE_TEXT_MAX], len: usize) -> &[u8] {
    let Some(e) = memchr::memchr(b'e', &buf[..len]) else {
        return &buf[..len];
    };
    let mut at = e + 1;
    let mut end = len;
    if buf[at] != b'-' {
        buf.copy_within(at..end, at + 1);
        buf[at] = b'+';
        end += 1;
    }
    at += 1;
    if end - at == 1 {
        buf[at + 1] = buf[at];
        buf[at] = b'0';
        end += 1;
    }
    &buf[..end]
}

#[cfg(test)]
mod tests;
