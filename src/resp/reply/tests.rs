use super::*;

fn parse(buf: &[u8]) -> Value<'_> {
    let (value, len) = parse_reply(buf).expect("a reply").expect("all of it");
    assert_eq!(len, buf.len(), "{}", buf.escape_ascii());
    value
}

#[test]
fn every_type_is_read() {
    use Value::{Array, Boolean, Bulk, Integer, Map, Null, Push, Set, Simple};
    assert_eq!(parse(b"+OK\r\n"), Simple(b"OK"));
    assert_eq!(parse(b"-ERR a\rb\r\n"), Value::Error(b"ERR a\rb"));
    assert_eq!(parse(b":-9223372036854775808\r\n"), Integer(i64::MIN));
    assert_eq!(parse(b":+5\r\n"), Integer(5));
    assert_eq!(parse(b"$4\r\n\r\n\r\n\r\n"), Bulk(b"\r\n\r\n"));
    for null in [&b"_\r\n"[..], b"$-1\r\n", b"*-1\r\n"] {
        assert!(parse(null).is_null());
    }
    assert_eq!(
        parse(b"*2\r\n*0\r\n$0\r\n\r\n"),
        Array(vec![Array(vec![]), Bulk(b"")])
    );
    assert_eq!(
        parse(b"%1\r\n+a\r\n#t\r\n"),
        Map(vec![(Simple(b"a"), Boolean(true))])
    );
    assert_eq!(parse(b"~1\r\n#f\r\n"), Set(vec![Boolean(false)]));
    assert_eq!(
        parse(b">2\r\n+invalidate\r\n_\r\n"),
        Push(vec![Simple(b"invalidate"), Null])
    );
    assert_eq!(parse(b",-inf\r\n"), Value::Double(b"-inf"));
    assert_eq!(
        parse(b"(99999999999999999999\r\n"),
        Value::BigNumber(b"99999999999999999999")
    );
    assert_eq!(parse(b"!5\r\nERR\r\n\r\n"), Value::BulkError(b"ERR\r\n"));
    assert_eq!(parse(b"=6\r\ntxt:ab\r\n"), Value::Verbatim(b"txt:ab"));
}

#[test]
fn attributes_are_left_out() {
    assert_eq!(
        parse(b"|1\r\n+ttl\r\n:1\r\n|0\r\n:2\r\n"),
        Value::Integer(2)
    );
    assert_eq!(
        parse(b"*2\r\n|1\r\n+a\r\n*1\r\n:9\r\n:1\r\n:2\r\n"),
        Value::Array(vec![Value::Integer(1), Value::Integer(2)])
    );
}

#[test]
fn views_of_a_value() {
    assert_eq!(parse(b"=6\r\ntxt:ab\r\n").as_bytes(), Some(&b"ab"[..]));
    assert_eq!(parse(b"$2\r\nab\r\n").as_str(), Some("ab"));
    assert_eq!(parse(b"$1\r\n\xff\r\n").as_str(), None);
    assert_eq!(parse(b"$2\r\n42\r\n").as_int(), Some(42));
    assert_eq!(parse(b":42\r\n").as_int(), Some(42));
    assert_eq!(parse(b":42\r\n").as_bytes(), None);
    assert_eq!(
        parse(b"~1\r\n:1\r\n").as_array(),
        Some(&[Value::Integer(1)][..])
    );
    assert_eq!(parse(b"!3\r\nERR\r\n").as_error(), Some(&b"ERR"[..]));
    assert!(parse(b"-ERR\r\n").is_error());
    assert!(!parse(b"+ERR\r\n").is_error());
}

#[test]
fn what_is_no_reply_is_an_error() {
    let cases: [(&[u8], ReplyError); 15] = [
        (b"x", ReplyError::UnknownType(b'x')),
        (b";1\r\n", ReplyError::Streamed),
        (b"~?\r\n", ReplyError::Streamed),
        (b"$-2\r\n", ReplyError::InvalidLength),
        (b"|-1\r\n", ReplyError::InvalidLength),
        (b"%9999999999999999999\r\n", ReplyError::InvalidLength),
        (b"$1\r\nabc", ReplyError::MissingLineEnd),
        (b":x\r\n", ReplyError::InvalidValue),
        (b":\r\n", ReplyError::InvalidValue),
        (b":+-1\r\n", ReplyError::InvalidValue),
        (b":9223372036854775808\r\n", ReplyError::InvalidValue),
        (b"#x\r\n", ReplyError::InvalidValue),
        (b"_x\r\n", ReplyError::InvalidValue),
        (b"=2\r\nab\r\n", ReplyError::InvalidValue),
        (&b"*1\r\n".repeat(DEPTH_MAX + 1), ReplyError::TooDeep),
    ];
    for (input, error) in cases {
        assert_eq!(parse_reply(input), Err(error), "{}", input.escape_ascii());
    }
    let mut deepest = b"*1\r\n".repeat(DEPTH_MAX);
    assert_eq!(parse_reply(&deepest), Ok(None));
    deepest.extend_from_slice(b"_\r\n");
    assert!(matches!(parse(&deepest), Value::Array(_)));
}

#[test]
fn counts_alone_take_no_memory() {
    let huge = [
        &b"*9999999999999999999\r\n"[..],
        b"%4000000000000000000\r\n:1\r\n",
        b"$9999999999999999999\r\n",
    ];
    for input in huge {
        assert_eq!(parse_reply(input), Ok(None));
    }
}

#[test]
fn attributes_in_a_row_take_no_stack() {
    let mut many = b"|0\r\n".repeat(1_000_000);
    many.extend_from_slice(b"_\r\n");
    assert!(parse(&many).is_null());
}

#[test]
fn messages_within_a_reply_are_none_of_its_values() {
    // As Redis 7.0 writes them into the reply of an `EXEC` that publishes; a confirmation is a value.
    let message = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n";
    let confirmation = ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    let reply = format!("*2\r\n{message}:1\r\n{confirmation}");
    let (value, len) = parse_reply(reply.as_bytes())
        .expect("valid")
        .expect("whole");
    assert_eq!(len, reply.len());
    let Value::Array(values) = value else {
        panic!("{value:?}");
    };
    assert_eq!(values[0].as_int(), Some(1));
    assert!(matches!(values[1], Value::Push(_)));
    for cut in 0..reply.len() {
        assert_eq!(parse_reply(&reply.as_bytes()[..cut]), Ok(None), "{cut}");
    }
    // Alone it is the reply.
    let alone = parse_reply(message.as_bytes());
    assert!(matches!(alone, Ok(Some((Value::Push(_), _)))));
}
