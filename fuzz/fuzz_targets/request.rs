//! A client's bytes, split anywhere, give the requests that they give in one
//! piece; `cargo fuzz run request`.
//!
//! The first byte is the size of the chunks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_protocol::resp2::{decode::decode, types::OwnedFrame};
use respite::parts::{Args, Parsed, ProtocolError, RequestLimits, RequestParser, write_command};

const LIMITS: RequestLimits = RequestLimits {
    bulk_bytes: 1 << 20,
    request_bytes: 1 << 20,
    authenticated: true,
};

type Words = Vec<Vec<u8>>;

fn words(args: Args<'_>) -> Words {
    args.iter().map(<[u8]>::to_vec).collect()
}

/// Reads the stream as a session does; returns the requests with their ends.
fn read(stream: &[u8], chunk: usize) -> (Vec<(Words, usize)>, Option<ProtocolError>) {
    let mut parser = RequestParser::default();
    let (mut buf, mut end, mut requests) = (Vec::new(), 0, Vec::new());
    for chunk in stream.chunks(chunk) {
        buf.extend_from_slice(chunk);
        loop {
            let (len, words) = match parser.parse(&buf, &LIMITS) {
                Ok(Parsed::Incomplete) => break,
                Ok(Parsed::Nothing { len }) => (len, Words::new()),
                Ok(Parsed::Request { len }) => (len, words(parser.args(&buf))),
                Ok(Parsed::Inline { len, encoded }) => (len, words(parser.args(&encoded))),
                Err(error) => return (requests, Some(error)),
            };
            assert!(0 < len && len <= buf.len());
            buf.drain(..len);
            end += len;
            requests.push((words, end));
        }
        assert!(parser.needed() <= buf.len() + LIMITS.bulk_bytes + 2);
    }
    (requests, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&chunk, stream)) = data.split_first() else {
        return;
    };
    let whole = read(stream, stream.len().max(1));
    assert_eq!(read(stream, usize::from(chunk).max(1)), whole);
    for (words, _) in whole.0.iter().filter(|(words, _)| !words.is_empty()) {
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut encoded = Vec::new();
        write_command(&mut encoded, &args);
        // The oracle reads what we write, and so do we.
        let (frame, len) = decode(&encoded).expect("a frame").expect("all of it");
        let bulks = words.iter().cloned().map(OwnedFrame::BulkString).collect();
        assert_eq!((frame, len), (OwnedFrame::Array(bulks), encoded.len()));
        if encoded.len() <= LIMITS.request_bytes {
            let again = read(&encoded, encoded.len());
            assert_eq!(again, (vec![(words.clone(), encoded.len())], None));
        }
    }
});
