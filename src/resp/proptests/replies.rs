//! Properties of the reply scanner, the reply parser, the writer and the glob.

use proptest::prelude::*;

use super::{chunks, near_protocol, oracle, sizes};
use crate::resp::{Proto, ReplyError, ReplyScanner, ReplyWriter, Value, glob_match, parse_reply};

/// Where the replies in a stream end, and what is wrong with the stream.
type Ends = (Vec<usize>, Option<ReplyError>);

/// Scans a stream as a link does: it keeps what was not consumed.
fn scan<'a>(arriving: impl Iterator<Item = &'a [u8]>) -> Ends {
    let mut scanner = ReplyScanner::default();
    let (mut buf, mut dropped, mut ends) = (Vec::new(), 0, Vec::new());
    for chunk in arriving {
        buf.extend_from_slice(chunk);
        loop {
            match scanner.scan(&buf) {
                Ok(scanned) => {
                    dropped += scanned.consumed;
                    buf.drain(..scanned.consumed);
                    if !scanned.complete {
                        break;
                    }
                    assert!(scanner.at_start());
                    ends.push(dropped);
                }
                Err(error) => return (ends, Some(error)),
            }
        }
        // A line end or a first line that is cut off, nothing else.
        assert!(buf.len() < 24);
    }
    (ends, None)
}

/// The same with `scan_many`, up to `max` replies at a time.
fn scan_many<'a>(
    arriving: impl Iterator<Item = &'a [u8]>,
    max: usize,
) -> (usize, Option<ReplyError>) {
    let mut scanner = ReplyScanner::default();
    let (mut buf, mut count) = (Vec::new(), 0);
    for chunk in arriving {
        buf.extend_from_slice(chunk);
        loop {
            match scanner.scan_many(&buf, max, false) {
                Ok((consumed, replies)) => {
                    buf.drain(..consumed);
                    count += replies;
                    if consumed == 0 {
                        break;
                    }
                }
                Err(error) => return (count, Some(error)),
            }
        }
    }
    (count, None)
}

fn whole(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::once(bytes)
}

proptest! {
    #[test]
    fn resp2_frames_are_read_and_end_where_redis_protocol_says(
        frames in prop::collection::vec(oracle::frame2(), 0..6),
        sizes in sizes(),
    ) {
        let (mut stream, mut ends) = (Vec::new(), Vec::new());
        for frame in &frames {
            let start = stream.len();
            stream.extend_from_slice(&oracle::encode2(frame));
            ends.push(stream.len());
            let (value, len) = parse_reply(&stream[start..]).expect("a reply").expect("all of it");
            prop_assert_eq!(start + len, stream.len());
            prop_assert!(oracle::same2(&value, frame), "{:?} {:?}", value, frame);
        }
        prop_assert_eq!(scan(chunks(&stream, &sizes)), (ends, None));
        prop_assert_eq!(scan_many(chunks(&stream, &sizes), 2), (frames.len(), None));
    }

    #[test]
    fn resp3_frames_are_read_and_end_where_redis_protocol_says(
        frames in prop::collection::vec(oracle::frame3(), 0..6),
        sizes in sizes(),
    ) {
        let (mut stream, mut ends) = (Vec::new(), Vec::new());
        for frame in &frames {
            let start = stream.len();
            stream.extend_from_slice(&oracle::encode3(frame));
            ends.push(stream.len());
            let (value, len) = parse_reply(&stream[start..]).expect("a reply").expect("all of it");
            prop_assert_eq!(start + len, stream.len());
            prop_assert!(oracle::same3(&value, frame), "{:?} {:?}", value, frame);
        }
        prop_assert_eq!(scan(chunks(&stream, &sizes)), (ends, None));
        prop_assert_eq!(scan_many(chunks(&stream, &sizes), 2), (frames.len(), None));
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_same(bytes in near_protocol(), sizes in sizes(), max in 1..5_usize) {
        let (ends, error) = scan(whole(&bytes));
        prop_assert_eq!(scan(chunks(&bytes, &sizes)), (ends.clone(), error));
        prop_assert_eq!(scan_many(chunks(&bytes, &sizes), max), (ends.len(), error));
    }

    #[test]
    fn noise_is_no_trouble(bytes in prop::collection::vec(any::<u8>(), 0..200), sizes in sizes()) {
        prop_assert_eq!(scan(chunks(&bytes, &sizes)), scan(whole(&bytes)));
        let _ = parse_reply(&bytes);
        let _ = glob_match(&bytes, &bytes, true);
    }

    /// The scanner and the parser see the same ends; only the parser looks at
    /// what a value says and how deep it stands.
    #[test]
    fn the_scanner_agrees_with_the_parser(bytes in near_protocol()) {
        let scanned = ReplyScanner::default().scan(&bytes);
        match (parse_reply(&bytes), scanned) {
            (Ok(Some((_, len))), Ok(scanned)) => prop_assert_eq!((true, len), (scanned.complete, scanned.consumed)),
            (Ok(None), Ok(scanned)) => prop_assert!(!scanned.complete),
            (Err(ReplyError::InvalidValue | ReplyError::TooDeep), _) | (Ok(None), Err(_)) => {}
            (parsed, scanned) => prop_assert_eq!(parsed.err(), scanned.err()),
        }
    }

    /// Only what we accept is given to redis-protocol, which follows counts
    /// and depth wherever they lead.
    #[test]
    fn agrees_with_what_redis_protocol_decodes(bytes in near_protocol()) {
        if let Ok(Some((value, len))) = parse_reply(&bytes) {
            if let Ok(Some((frame, end))) = redis_protocol::resp2::decode::decode(&bytes[..len]) {
                prop_assert_eq!(len, end);
                prop_assert!(oracle::same2(&value, &frame), "{:?} {:?}", value, frame);
            }
            if let Ok(Some((_, end))) = redis_protocol::resp3::decode::complete::decode(&bytes[..len]) {
                prop_assert_eq!(len, end);
            }
        }
    }

    #[test]
    fn what_is_written_is_read(number in any::<i64>(), double in any::<f64>(), bytes in oracle::bytes()) {
        for proto in [Proto::Resp2, Proto::Resp3] {
            let mut out = Vec::new();
            let mut writer = ReplyWriter::new(&mut out, proto);
            writer.array(5);
            writer.integer(number);
            writer.double(double);
            writer.bulk(&bytes);
            writer.error(&bytes);
            writer.verbatim("txt", &bytes);
            let (value, len) = parse_reply(&out).expect("a reply").expect("all of it");
            prop_assert_eq!(len, out.len());
            let values = value.as_array().expect("an array");
            prop_assert_eq!(values[0].as_int(), Some(number));
            let (Value::Double(text) | Value::Bulk(text)) = values[1] else { panic!("no double") };
            let read: f64 = std::str::from_utf8(text).expect("ASCII").parse().expect("a double");
            prop_assert!(read.to_bits() == double.to_bits() || read.is_nan() && double.is_nan());
            prop_assert!(text.len() <= 24);
            prop_assert_eq!(values[2].as_bytes(), Some(&bytes[..]));
            prop_assert!(values[3].is_error());
            prop_assert_eq!(values[4].as_bytes(), Some(&bytes[..]));
        }
    }
}
