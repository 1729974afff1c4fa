use super::*;
use crate::command::testdata::{args, parsed};
use crate::resp::Value;

static STATS: OwnRow = OwnRow {
    name: "CACHE.STATS",
    arity: 1,
    ..OwnRow::EMPTY
};
static FLUSH: OwnRow = OwnRow {
    name: "CACHE.FLUSH",
    arity: -1,
    ..OwnRow::EMPTY
};

fn find_own(name: &[u8]) -> Option<&'static OwnRow> {
    [&STATS, &FLUSH].into_iter().find(|row| row.is_named(name))
}

fn split(line: &str) -> Option<Split> {
    split_names(args(line).as_args(), find_own)
}

/// The first value of each entry, `-` for nulls; names and documentation for a map.
fn names(split: &Split, backing: &[u8], proto: Proto) -> String {
    let mut out = Vec::new();
    split.splice(backing, EntryLen::Seven, proto, &mut out);
    let name = |value: &Value<'_>| match value {
        Value::Array(values) => values[0].as_str().unwrap_or("?").to_owned(),
        value => value.as_str().unwrap_or("-").to_owned(),
    };
    match parsed(&out) {
        Value::Array(values) => values.iter().map(name).collect::<Vec<_>>().join(" "),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, _)| name(key))
            .collect::<Vec<_>>()
            .join(" "),
        value => format!("{value:?}"),
    }
}

fn request(split: &Split) -> String {
    split
        .request()
        .unwrap_or_default()
        .escape_ascii()
        .to_string()
}

#[test]
fn entries_come_in_the_order_of_the_request() {
    let split = split("command Info get cache.stats nosuch CACHE.flush").expect("own names");
    assert_eq!(
        request(&split),
        "*4\\r\\n$7\\r\\nCOMMAND\\r\\n$4\\r\\nInfo\\r\\n$3\\r\\nget\\r\\n$6\\r\\nnosuch\\r\\n",
    );
    let backing = b"*2\r\n*2\r\n$3\r\nget\r\n:2\r\n*-1\r\n";
    assert_eq!(
        names(&split, backing, Proto::Resp2),
        "get cache.stats - cache.flush"
    );
    let backing = b"*2\r\n*2\r\n$3\r\nget\r\n:2\r\n_\r\n";
    assert_eq!(
        names(&split, backing, Proto::Resp3),
        "get cache.stats - cache.flush"
    );
}

#[test]
fn documentation_skips_unknown_names() {
    let split = split("COMMAND DOCS nosuch cache.stats GET cache.flush").expect("own names");
    let backing = b"%1\r\n$3\r\nget\r\n%1\r\n+a\r\n+b\r\n";
    assert_eq!(
        names(&split, backing, Proto::Resp3),
        "cache.stats get cache.flush"
    );
    let backing = b"*2\r\n$3\r\nget\r\n*2\r\n+a\r\n+b\r\n";
    assert_eq!(
        names(&split, backing, Proto::Resp2),
        "cache.stats summary get a cache.flush summary",
    );
}

#[test]
fn the_backing_is_not_asked_when_all_names_are_own() {
    let info = split("COMMAND INFO cache.stats").expect("own names");
    assert_eq!(info.request(), None);
    assert_eq!(names(&info, b"", Proto::Resp2), "cache.stats");
    let docs = split("COMMAND DOCS cache.stats").expect("own names");
    assert_eq!(docs.request(), None);
    assert_eq!(names(&docs, b"", Proto::Resp2), "cache.stats summary");
    assert_eq!(names(&docs, b"", Proto::Resp3), "cache.stats");
}

#[test]
fn other_requests_are_not_taken_apart() {
    for line in [
        "COMMAND",
        "COMMAND INFO",
        "COMMAND INFO get set",
        "COMMAND DOCS",
        "COMMAND LIST",
        "COMMAND GETKEYS cache.stats",
    ] {
        assert!(split(line).is_none(), "{line}");
    }
}

#[test]
fn errors_and_odd_replies_do_no_harm() {
    let split = split("COMMAND DOCS get cache.stats").expect("own names");
    let mut out = Vec::new();
    split.splice(b"-ERR no\r\n", EntryLen::Ten, Proto::Resp2, &mut out);
    assert_eq!(out, b"-ERR no\r\n");
    // Another name than asked for: kept, after the others.
    let backing = b"*2\r\n$3\r\nset\r\n*0\r\n";
    let mut out = Vec::new();
    split.splice(backing, EntryLen::Ten, Proto::Resp2, &mut out);
    assert_eq!(parsed(&out).as_array().map(<[Value<'_>]>::len), Some(4));
}
