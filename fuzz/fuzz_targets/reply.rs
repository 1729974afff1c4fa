//! An upstream's bytes, split anywhere, end where they end in one piece, where
//! the parser says and where redis-protocol says; `cargo fuzz run reply`.
//!
//! The first byte is the size of the chunks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_protocol::{resp2, resp3};
use respite::parts::{ReplyError, ReplyScanner, parse_reply};

/// Scans the stream as a link does; returns where its replies end.
fn scan(stream: &[u8], chunk: usize) -> (Vec<usize>, Option<ReplyError>) {
    let mut scanner = ReplyScanner::default();
    let (mut buf, mut dropped, mut ends) = (Vec::new(), 0, Vec::new());
    for chunk in stream.chunks(chunk) {
        buf.extend_from_slice(chunk);
        loop {
            match scanner.scan(&buf) {
                Ok(scanned) => {
                    dropped += scanned.consumed;
                    buf.drain(..scanned.consumed);
                    if !scanned.complete {
                        break;
                    }
                    ends.push(dropped);
                }
                Err(error) => return (ends, Some(error)),
            }
        }
        // A line end, or a first line that is cut off; of a push within a reply also the word that names its kind.
        const KIND: &[u8] = b"$10\r\ninvalidate\r\n";
        assert!(buf.len() < 24 + KIND.len());
    }
    (ends, None)
}

/// Counts the replies of the stream, `max` at a time.
fn count(stream: &[u8], max: usize) -> (usize, Option<ReplyError>) {
    let mut scanner = ReplyScanner::default();
    let (mut pos, mut count) = (0, 0);
    loop {
        match scanner.scan_many(&stream[pos..], max, false) {
            Ok((0, _)) => return (count, None),
            Ok((consumed, replies)) => {
                pos += consumed;
                count += replies;
            }
            Err(error) => return (count, Some(error)),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&chunk, stream)) = data.split_first() else {
        return;
    };
    let chunk = usize::from(chunk).max(1);
    let (ends, error) = scan(stream, stream.len().max(1));
    assert_eq!(scan(stream, chunk), (ends.clone(), error));
    assert_eq!(count(stream, chunk), (ends.len(), error));

    let mut start = 0;
    for end in ends {
        let reply = &stream[start..end];
        match parse_reply(reply) {
            Ok(parsed) => assert_eq!(parsed.map(|(_, len)| len), Some(reply.len())),
            Err(ReplyError::InvalidValue | ReplyError::TooDeep) => return,
            Err(other) => panic!("the scanner missed: {other}"),
        }
        // Only now: redis-protocol follows any count and any depth.
        if let Ok(Some((_, len))) = resp2::decode::decode(reply) {
            assert_eq!(len, reply.len());
        }
        // A push within a reply is one of its values there, whatever it says.
        let may_hold_push = reply[1..].contains(&b'>');
        if !may_hold_push && let Ok(Some((_, len))) = resp3::decode::complete::decode(reply) {
            assert_eq!(len, reply.len());
        }
        start = end;
    }
    let _ = parse_reply(&stream[start..]);
});
