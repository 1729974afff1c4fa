//! Recognizes the most frequent request of all at a glance.

use super::args::Range;
use super::number;

/// Longer keys take the ordinary way.
const KEY_MAX: usize = 512;
/// No plain `GET` is longer than this.
pub const PLAIN_GET_MAX: usize = KEY_MAX + 32;

const HEAD: &[u8; 8] = b"*2\r\n$3\r\n";
/// Where the digits of the key's length begin.
const LENGTH_AT: usize = 14;

/// A whole `GET` at the start of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlainGet {
    key: Range,
    /// The bytes it takes in the buffer.
    pub len: usize,
}

impl PlainGet {
    /// Returns the key; `buf` is the buffer that it was found in.
    #[must_use]
    #[inline]
    pub fn key<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        &buf[self.key.0 as usize..self.key.1 as usize]
    }
}

/// Finds a whole `GET` with a short key, spelt as all clients spell it, at the start of `buf`.
///
/// Where it finds one, [`RequestParser`](super::RequestParser) finds the same; where it finds none,
/// there may still be one.
#[must_use]
#[inline]
pub fn plain_get(buf: &[u8]) -> Option<PlainGet> {
    let (head, rest) = buf.split_first_chunk()?;
    let [g, e, t, b'\r', b'\n', b'$', ..] = rest else {
        return None;
    };
    if head != HEAD || [g | 0x20, e | 0x20, t | 0x20] != *b"get" {
        return None;
    }
    let (key, start) = number::quick(buf, LENGTH_AT)?;
    let end = start + key as usize;
    let len = end + 2;
    let is_whole = key as usize <= KEY_MAX && buf.len() >= len;
    is_whole.then(|| PlainGet {
        key: (super::args::offset(start), super::args::offset(end)),
        len,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Parsed, RequestLimits, RequestParser};
    use super::*;

    #[test]
    fn finds_whole_gets_only() {
        let get = b"*2\r\n$3\r\nGeT\r\n$3\r\nabc\r\n";
        let found = plain_get(get).expect("a whole GET");
        assert_eq!((found.key(get), found.len), (b"abc".as_slice(), get.len()));
        for cut in 0..get.len() {
            assert_eq!(plain_get(&get[..cut]), None, "cut at {cut}");
        }
        let others: [&[u8]; 4] = [
            b"*2\r\n$3\r\nDEL\r\n$3\r\nabc\r\n",
            b"*3\r\n$3\r\nGET\r\n$3\r\nabc\r\n",
            b"*2\r\n$4\r\nGETS\r\n$3\r\nabc\r\n",
            b"*2\r\n$3\r\nG\x05T\r\n$3\r\nabc\r\n",
        ];
        for other in others {
            assert_eq!(plain_get(other), None);
        }
        let long = [b"*2\r\n$3\r\nGET\r\n$600\r\n".as_slice(), &[b'x'; 602]].concat();
        assert_eq!(plain_get(&long), None);
    }

    proptest! {
        #[test]
        fn agrees_with_the_parser(
            key in prop::collection::vec(any::<u8>(), 0..40),
            rest in prop::collection::vec(any::<u8>(), 0..10),
            spoilt in prop::option::of((0_usize..30, any::<u8>())),
        ) {
            let mut request = format!("*2\r\n$3\r\nget\r\n${}\r\n", key.len()).into_bytes();
            request.extend_from_slice(&key);
            request.extend_from_slice(b"\r\n");
            if let Some((at, byte)) = spoilt
                && let Some(place) = request.get_mut(at)
            {
                *place = byte;
            }
            request.extend_from_slice(&rest);
            if let Some(found) = plain_get(&request) {
                let mut parser = RequestParser::default();
                let limits = RequestLimits {
                    bulk_bytes: PLAIN_GET_MAX,
                    request_bytes: PLAIN_GET_MAX,
                    authenticated: true,
                };
                let parsed = parser.parse(&request, &limits);
                prop_assert_eq!(parsed, Ok(Parsed::Request { len: found.len }));
                let args = parser.args(&request);
                prop_assert_eq!(args.len(), 2);
                prop_assert!(args[0].eq_ignore_ascii_case(b"GET"));
                prop_assert_eq!(&args[1], found.key(&request));
            }
        }
    }
}
