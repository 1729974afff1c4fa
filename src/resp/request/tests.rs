use super::*;
use crate::resp::ProtocolError as E;

const LIMITS: RequestLimits = RequestLimits {
    bulk_bytes: 100_000,
    request_bytes: 200_000,
    authenticated: true,
};
const STRANGER: RequestLimits = RequestLimits {
    authenticated: false,
    ..LIMITS
};

fn parse(buf: &[u8]) -> Result<Parsed, E> {
    RequestParser::default().parse(buf, &LIMITS)
}

/// The arguments of the one multi-bulk request that `buf` is.
fn args(buf: &[u8]) -> Vec<Vec<u8>> {
    let mut parser = RequestParser::default();
    assert_eq!(
        parser.parse(buf, &LIMITS),
        Ok(Parsed::Request { len: buf.len() })
    );
    parser.args(buf).iter().map(<[u8]>::to_vec).collect()
}

fn long_line(start: &[u8]) -> Vec<u8> {
    let mut line = start.to_vec();
    line.resize(start.len() + LINE_MAX + 1, b'1');
    line
}

/// Checks that `input` is refused, and with Redis' text.
#[track_caller]
fn refused(input: &[u8], limits: &RequestLimits, error: E, text: &str) {
    let got = RequestParser::default().parse(input, limits);
    assert_eq!(got, Err(error), "{}", input.escape_ascii());
    assert_eq!(error.to_string(), format!("Protocol error: {text}"));
    assert_eq!(error.to_bytes(), error.to_string().as_bytes());
}

#[test]
fn lengths_that_are_none_are_refused() {
    for number in ["", "x", "01", "+1", " 1", "1 ", "-0", "2147483648"] {
        let input = format!("*{number}\r\n");
        let text = "invalid multibulk length";
        refused(input.as_bytes(), &LIMITS, E::InvalidMultibulkLength, text);
    }
    for number in [
        "",
        "x",
        "01",
        "+1",
        " 1",
        "1 ",
        "-1",
        "100001",
        "9223372036854775808",
    ] {
        let input = format!("*1\r\n${number}\r\n");
        refused(
            input.as_bytes(),
            &LIMITS,
            E::InvalidBulkLength,
            "invalid bulk length",
        );
    }
}

#[test]
fn every_other_error_has_redis_text() {
    let tight = RequestLimits {
        request_bytes: 99_999,
        ..LIMITS
    };
    let text = "unauthenticated multibulk length";
    refused(
        b"*11\r\n",
        &STRANGER,
        E::UnauthenticatedMultibulkLength,
        text,
    );
    let text = "unauthenticated bulk length";
    refused(
        b"*1\r\n$16385\r\n",
        &STRANGER,
        E::UnauthenticatedBulkLength,
        text,
    );
    let text = "too big mbulk count string";
    refused(&long_line(b"*"), &LIMITS, E::TooBigMultibulkCount, text);
    let text = "too big bulk count string";
    refused(&long_line(b"*1\r\n"), &LIMITS, E::TooBigBulkCount, text);
    let text = "too big inline request";
    refused(&long_line(b""), &LIMITS, E::TooBigInline, text);
    let text = "unbalanced quotes in request";
    refused(b"GET \"a\r\n", &LIMITS, E::UnbalancedQuotes, text);
    let text = "expected '$', got ':'";
    refused(b"*1\r\n:1\r\n", &LIMITS, E::ExpectedBulk(b':'), text);
    let text = "expected '$', got ' '";
    refused(b"*1\r\n\r\n", &LIMITS, E::ExpectedBulk(b'\r'), text);
    refused(
        b"*2\r\n$1\r\na\r\n\n\r\n",
        &LIMITS,
        E::ExpectedBulk(b'\n'),
        text,
    );
    let text = "request is larger than limits.request_bytes";
    refused(b"*3\r\n$99999\r\n", &tight, E::RequestTooLarge, text);
}

#[test]
fn a_quoted_byte_is_sent_as_it_is() {
    let error = E::ExpectedBulk(0xff);
    assert_eq!(
        error.to_bytes(),
        b"Protocol error: expected '$', got '\xff'"
    );
    assert_eq!(
        error.to_string(),
        "Protocol error: expected '$', got '\u{ff}'"
    );
}

#[test]
fn accepts_what_redis_accepts() {
    assert_eq!(
        args(b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n"),
        [b"GET".to_vec(), vec![]]
    );
    // The byte behind a '\r' and the two behind an argument are not looked at.
    assert_eq!(args(b"*1\rx$4\ryPINGzz"), [b"PING"]);
    assert_eq!(args(b"*1\r\n$4\r\n\r\n\x00\xff\r\n"), [b"\r\n\x00\xff"]);
    for nothing in [
        &b"\r\n"[..],
        b"\n",
        b" \t\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*-9223372036854775808\r\n",
    ] {
        assert_eq!(parse(nothing), Ok(Parsed::Nothing { len: nothing.len() }));
    }
    assert_eq!(
        parse(b"get \"a b\"\r\nget c\r\n"),
        Ok(Parsed::Inline {
            len: 11,
            encoded: b"*2\r\n$3\r\nget\r\n$3\r\na b\r\n".to_vec()
        })
    );
}

#[test]
fn waits_for_what_redis_waits_for() {
    let waiting: [&[u8]; 12] = [
        b"",
        b"*",
        b"*x",
        b"*1\r",
        b"*1\n$4\nPING\n",
        b"*1\r\nx",
        b"*1\r\nxyz\r",
        b"*1\r\n$4\r",
        b"*1\r\n$4\r\nPING\r",
        b"PING",
        b"PI\0NG\r\n",
        b"*1\r\n\0$4\r\nPING\r\n",
    ];
    for input in waiting {
        assert_eq!(
            parse(input),
            Ok(Parsed::Incomplete),
            "{}",
            input.escape_ascii()
        );
    }
}

#[test]
fn a_line_may_have_64_kib_and_no_more() {
    for (start, end) in [(&b""[..], &b"\n"[..]), (b"*1\r\n", b"\r\n")] {
        let mut line = long_line(start);
        line.pop();
        assert_eq!(parse(&line), Ok(Parsed::Incomplete));
        line.extend_from_slice(end);
        assert!(!matches!(
            parse(&line),
            Ok(Parsed::Incomplete) | Err(E::TooBigInline | E::TooBigBulkCount)
        ));
        // However the bytes arrive: an end that comes too late does not count.
        line.insert(start.len(), b'1');
        assert!(matches!(
            parse(&line),
            Err(E::TooBigInline | E::TooBigBulkCount)
        ));
    }
}

#[test]
fn memory_follows_the_bytes_received() {
    let mut parser = RequestParser::default();
    assert_eq!(
        parser.parse(b"*2147483647\r\n$1\r\na\r\n", &LIMITS),
        Ok(Parsed::Incomplete)
    );
    assert!(parser.ranges.capacity() < 16);
    assert_eq!(parser.needed(), 0);

    let mut parser = RequestParser::default();
    let mut many = b"*5000\r\n".to_vec();
    many.extend(b"$1\r\na\r\n".repeat(5000));
    assert_eq!(
        parser.parse(&many, &LIMITS),
        Ok(Parsed::Request { len: many.len() })
    );
    assert_eq!(parser.args(&many).len(), 5000);
    assert_eq!(parser.parse(b"", &LIMITS), Ok(Parsed::Incomplete));
    assert!(parser.ranges.capacity() <= RANGES_KEPT);
}

#[test]
fn nothing_is_read_twice() {
    let mut parser = RequestParser::default();
    let line = vec![b'a'; 1000];
    assert_eq!(parser.parse(&line, &LIMITS), Ok(Parsed::Incomplete));
    assert_eq!(parser.searched, 1000);

    let request = b"*2\r\n$3\r\nGET\r\n$60000\r\nab";
    let mut parser = RequestParser::default();
    assert_eq!(parser.parse(request, &LIMITS), Ok(Parsed::Incomplete));
    assert_eq!(parser.pos, request.len() - 2);
    assert_eq!(parser.needed(), request.len() - 2 + 60_002);
    // Not even looked at again: these are other bytes, but for the end.
    let mut other = vec![b'?'; parser.needed()];
    other[8..11].copy_from_slice(b"SET");
    assert_eq!(
        parser.parse(&other, &LIMITS),
        Ok(Parsed::Request { len: other.len() })
    );
    assert_eq!(&parser.args(&other)[0], b"SET");
    assert_eq!(parser.needed(), 0);
}

#[test]
fn a_parser_is_ready_again_after_an_error() {
    let mut parser = RequestParser::default();
    assert!(parser.parse(b"*2\r\n$1\r\na\r\nx\r\n", &LIMITS).is_err());
    assert_eq!(
        parser.parse(b"*1\r\n$1\r\nb\r\n", &LIMITS),
        Ok(Parsed::Request { len: 11 })
    );
    assert_eq!(parser.args(b"*1\r\n$1\r\nb\r\n").len(), 1);
}
