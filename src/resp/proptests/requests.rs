//! Properties of the request parser.

use proptest::prelude::*;
use redis_protocol::resp2::types::OwnedFrame as Frame2;

use super::{chunks, near_protocol, oracle, sizes};
use crate::resp::{Args, Parsed, ProtocolError, RequestLimits, RequestParser, write_command};

const LIMITS: RequestLimits = RequestLimits {
    bulk_bytes: 1000,
    request_bytes: 4000,
    authenticated: true,
};

type Words = Vec<Vec<u8>>;

/// What a stream of requests amounts to.
#[derive(Debug, PartialEq, Default)]
struct Seen {
    requests: Vec<Words>,
    /// Where each request ends, those that ask for nothing included.
    ends: Vec<usize>,
    error: Option<ProtocolError>,
}

fn words(args: Args<'_>) -> Words {
    args.iter().map(<[u8]>::to_vec).collect()
}

/// Reads a stream as a session does: it appends what arrives to its buffer
/// and drops the requests it has served.
fn read<'a>(arriving: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut seen = Seen::default();
    let mut parser = RequestParser::default();
    let (mut buf, mut dropped) = (Vec::new(), 0);
    for chunk in arriving {
        buf.extend_from_slice(chunk);
        loop {
            let len = match parser.parse(&buf, &LIMITS) {
                Ok(Parsed::Incomplete) => break,
                Ok(Parsed::Nothing { len }) => len,
                Ok(Parsed::Request { len }) => {
                    seen.requests.push(words(parser.args(&buf)));
                    len
                }
                Ok(Parsed::Inline { len, encoded }) => {
                    let inline = words(parser.args(&encoded));
                    let all = Ok(Parsed::Request { len: encoded.len() });
                    assert_eq!(parser.parse(&encoded, &LIMITS), all);
                    assert_eq!(words(parser.args(&encoded)), inline);
                    seen.requests.push(inline);
                    len
                }
                Err(error) => {
                    seen.error = Some(error);
                    return seen;
                }
            };
            assert!(len > 0 && len <= buf.len());
            buf.drain(..len);
            dropped += len;
            seen.ends.push(dropped);
        }
        assert!(parser.needed() == 0 || parser.needed() > buf.len());
        assert!(parser.needed() <= buf.len() + LIMITS.bulk_bytes + 2);
    }
    seen
}

/// Writes a request by hand, every word in quotes.
fn write_inline(words: &[Vec<u8>]) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        line.extend_from_slice(b" \"");
        for &byte in word {
            if byte.is_ascii_alphanumeric() {
                line.push(byte);
            } else {
                line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
            }
        }
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// A request's bytes, and its words unless it asks for nothing.
fn request() -> impl Strategy<Value = (Vec<u8>, Option<Words>)> {
    let some = || prop::collection::vec(oracle::bytes(), 1..6);
    prop_oneof![
        6 => some().prop_map(|words| {
            let mut out = Vec::new();
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            write_command(&mut out, &args);
            (out, Some(words))
        }),
        2 => some().prop_map(|words| (write_inline(&words), Some(words))),
        1 => prop::sample::select(vec![&b"\r\n"[..], b"\n", b"  \n", b"*0\r\n", b"*-1\r\n"])
            .prop_map(|nothing| (nothing.to_vec(), None)),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_requests_sent(
        stream in prop::collection::vec(request(), 0..8),
        sizes in sizes(),
    ) {
        let sent: Vec<u8> = stream.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let seen = read(chunks(&sent, &sizes));
        let ends = stream.iter().scan(0, |end, (bytes, _)| {
            *end += bytes.len();
            Some(*end)
        });
        prop_assert_eq!(seen.error, None);
        prop_assert_eq!(seen.ends, ends.collect::<Vec<_>>());
        let requests: Vec<Words> = stream.into_iter().filter_map(|(_, words)| words).collect();
        prop_assert_eq!(seen.requests, requests);
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_same(bytes in near_protocol(), sizes in sizes()) {
        prop_assert_eq!(read(chunks(&bytes, &sizes)), read(std::iter::once(&bytes[..])));
    }

    #[test]
    fn noise_is_no_trouble(bytes in prop::collection::vec(any::<u8>(), 0..200), sizes in sizes()) {
        prop_assert_eq!(read(chunks(&bytes, &sizes)), read(std::iter::once(&bytes[..])));
    }

    /// Even a caller who breaks the contract cannot make the parser panic.
    #[test]
    fn other_bytes_than_before_are_no_trouble(buffers in prop::collection::vec(near_protocol(), 0..6)) {
        let mut parser = RequestParser::default();
        for buf in buffers {
            let _ = parser.parse(&buf, &LIMITS);
            let _ = parser.args(b"").iter().count();
        }
    }

    #[test]
    fn agrees_with_redis_protocol(words in prop::collection::vec(oracle::bytes(), 1..6)) {
        let frame = Frame2::Array(words.iter().cloned().map(Frame2::BulkString).collect());
        let theirs = oracle::encode2(&frame);
        let mut ours = Vec::new();
        write_command(&mut ours, &words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(&ours, &theirs);
        prop_assert_eq!(read(std::iter::once(&theirs[..])).requests, vec![words]);
    }

    /// What both accept is the same; the parser accepts less (only bulks) and,
    /// where Redis does not look, more.
    #[test]
    fn agrees_with_what_redis_protocol_decodes(bytes in near_protocol()) {
        let mut parser = RequestParser::default();
        if let Ok(Parsed::Request { len }) = parser.parse(&bytes, &LIMITS)
            && let Ok(Some((Frame2::Array(frames), end))) = redis_protocol::resp2::decode::decode(&bytes)
        {
            prop_assert_eq!(len, end);
            let theirs: Vec<Frame2> =
                parser.args(&bytes).iter().map(|arg| Frame2::BulkString(arg.to_vec())).collect();
            prop_assert_eq!(theirs, frames);
        }
    }
}
