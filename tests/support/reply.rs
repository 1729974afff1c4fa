//! One parsed reply, with asserts that a test reads well with.

use std::fmt;

use super::frame;

/// A reply; attributes in front of it are dropped, both nulls of RESP2 and the one of RESP3 are [`Reply::Null`].
#[derive(Clone, PartialEq)]
pub(crate) enum Reply {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Bool(bool),
    /// As it is on the wire, `1.5`, `inf`, `nan`.
    Double(String),
    BigNumber(String),
    /// The format (`txt`, `mkd`) and the text.
    Verbatim(String, Vec<u8>),
}

impl Reply {
    /// Parses the one reply that `bytes` is.
    #[track_caller]
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let (reply, end) = parse_at(bytes, 0);
        assert_eq!(end, bytes.len(), "bytes after a reply: {}", escape(bytes));
        reply
    }

    /// The text of a simple string, bulk or verbatim string.
    #[track_caller]
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_else(|_| panic!("not UTF-8: {self:?}"))
    }

    /// The bytes of a simple string, bulk or verbatim string.
    #[track_caller]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::Verbatim(_, bytes) => bytes,
            other => panic!("not a string: {other:?}"),
        }
    }

    /// The integer.
    #[track_caller]
    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            other => panic!("not an integer: {other:?}"),
        }
    }

    /// The text of an error.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        match self {
            Self::Error(text) => std::str::from_utf8(text).expect("errors are UTF-8"),
            other => panic!("not an error: {other:?}"),
        }
    }

    /// Whether it is an error.
    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Whether it is a null.
    pub(crate) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// The elements of an array, set or push.
    #[track_caller]
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items,
            other => panic!("not a list: {other:?}"),
        }
    }

    /// The strings of a list.
    #[track_caller]
    pub(crate) fn strings(&self) -> Vec<&str> {
        self.items().iter().map(Self::as_str).collect()
    }

    /// The pairs of a map, or of RESP2's flat array.
    #[track_caller]
    pub(crate) fn pairs(&self) -> Vec<(&Self, &Self)> {
        match self {
            Self::Map(pairs) => pairs.iter().map(|(key, value)| (key, value)).collect(),
            _ => self
                .items()
                .chunks_exact(2)
                .map(|pair| (&pair[0], &pair[1]))
                .collect(),
        }
    }

    /// The value of a field, in a map or in RESP2's flat array.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &Self {
        let pairs = self.pairs();
        let found = pairs.iter().find(|(key, _)| key.as_str() == name);
        found
            .unwrap_or_else(|| panic!("no field {name} in {self:?}"))
            .1
    }

    /// Asserts the status `+OK`.
    #[track_caller]
    pub(crate) fn assert_ok(&self) {
        assert_eq!(*self, Self::Simple(b"OK".to_vec()));
    }

    /// Asserts a string reply.
    #[track_caller]
    pub(crate) fn assert_str(&self, expected: &str) {
        assert_eq!(self.as_bytes(), expected.as_bytes(), "{self:?}");
    }

    /// It is this integer.
    #[track_caller]
    pub(crate) fn assert_int(&self, expected: i64) {
        assert_eq!(*self, Self::Int(expected));
    }

    /// Asserts an error that starts with `prefix`.
    #[track_caller]
    pub(crate) fn assert_error(&self, prefix: &str) {
        assert!(
            self.error().starts_with(prefix),
            "expected {prefix}…, got {self:?}"
        );
    }
}

fn parse_at(bytes: &[u8], at: usize) -> (Reply, usize) {
    let header = frame::header(bytes, at)
        .expect("a reply")
        .expect("a whole reply");
    let line = || bytes[header.line.clone()].to_vec();
    let text = || String::from_utf8(line()).expect("a line of ASCII");
    let reply = match header.kind {
        b'+' => Reply::Simple(line()),
        b'-' => Reply::Error(line()),
        b':' => Reply::Int(text().parse().expect("an integer")),
        b',' => Reply::Double(text()),
        b'(' => Reply::BigNumber(text()),
        b'#' => Reply::Bool(text() == "t"),
        b'_' => Reply::Null,
        b'$' | b'=' | b'!' => return parse_bulk(bytes, &header),
        _ => return parse_aggregate(bytes, &header),
    };
    (reply, header.body)
}

fn parse_bulk(bytes: &[u8], header: &frame::Header) -> (Reply, usize) {
    let Some(len) = frame::length(bytes, header).expect("a length") else {
        return (Reply::Null, header.body);
    };
    let body = bytes[header.body..header.body + len].to_vec();
    let reply = match header.kind {
        b'!' => Reply::Error(body),
        b'=' => Reply::Verbatim(
            String::from_utf8_lossy(&body[..3]).into_owned(),
            body[4..].to_vec(),
        ),
        _ => Reply::Bulk(body),
    };
    (reply, header.body + len + 2)
}

fn parse_aggregate(bytes: &[u8], header: &frame::Header) -> (Reply, usize) {
    let Some(count) = frame::children(bytes, header).expect("a length") else {
        return (Reply::Null, header.body);
    };
    let mut at = header.body;
    let mut items = Vec::new();
    for _ in 0..count {
        let (item, end) = parse_at(bytes, at);
        items.push(item);
        at = end;
    }
    let reply = match header.kind {
        b'|' => return parse_at(bytes, at),
        b'%' => Reply::Map(
            items
                .chunks_exact(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
        ),
        b'~' => Reply::Set(items),
        b'>' => Reply::Push(items),
        _ => Reply::Array(items),
    };
    (reply, at)
}

impl fmt::Debug for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(out, "+{}", escape(text)),
            Self::Error(text) => write!(out, "-{}", escape(text)),
            Self::Int(n) => write!(out, ":{n}"),
            Self::Bulk(bytes) => write!(out, "\"{}\"", escape(bytes)),
            Self::Null => write!(out, "null"),
            Self::Array(items) => out.debug_list().entries(items).finish(),
            Self::Set(items) => out.debug_set().entries(items).finish(),
            Self::Push(items) => out
                .write_str("push")
                .and_then(|()| out.debug_list().entries(items).finish()),
            Self::Map(pairs) => out
                .debug_map()
                .entries(pairs.iter().map(|(key, value)| (key, value)))
                .finish(),
            Self::Bool(value) => write!(out, "#{value}"),
            Self::Double(text) => write!(out, ",{text}"),
            Self::BigNumber(text) => write!(out, "({text}"),
            Self::Verbatim(format, text) => write!(out, "{format}:\"{}\"", escape(text)),
        }
    }
}

/// Bytes as readable text; long ones are cut in the middle.
pub(crate) fn escape(bytes: &[u8]) -> String {
    const SHOWN: usize = 1200;
    let text = |part: &[u8]| part.escape_ascii().to_string();
    if bytes.len() <= 2 * SHOWN {
        return text(bytes);
    }
    let (head, tail) = (&bytes[..SHOWN], &bytes[bytes.len() - SHOWN..]);
    format!(
        "{} …[{} bytes]… {}",
        text(head),
        bytes.len() - 2 * SHOWN,
        text(tail)
    )
}
