use super::*;
use crate::command::testdata::{REDIS_6_0, REDIS_7_0, args, parsed};
use crate::command::{Categories, Flags, Table};
use crate::resp::Value;

/// As Redis' own GET, to compare bytes.
static GET: OwnRow = OwnRow {
    name: "GET",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::READ
        .union(Categories::STRING)
        .union(Categories::FAST),
    first_key: 1,
    last_key: 1,
    key_step: 1,
    ..OwnRow::EMPTY
};

static STATS: OwnRow = OwnRow {
    name: "CACHE.STATS",
    arity: 1,
    categories: Categories::ADMIN.union(Categories::SLOW),
    ..OwnRow::EMPTY
};

/// Redis 7.0.15's answer to `COMMAND INFO get`.
const GET_RESP2: &[u8] = b"*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
    *3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n\
    $12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n\
    :1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n\
    :0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n";

/// The same over RESP3.
const GET_RESP3: &[u8] = b"*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
    ~3\r\n+@read\r\n+@string\r\n+@fast\r\n~0\r\n~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n+access\r\n\
    $12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n%1\r\n$5\r\nindex\r\n\
    :1\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n%3\r\n$7\r\nlastkey\r\n\
    :0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n~0\r\n";

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn an_entry_has_the_bytes_of_redis() {
    for (proto, want) in [(Proto::Resp2, GET_RESP2), (Proto::Resp3, GET_RESP3)] {
        let mut out = Vec::new();
        write_entry(&GET, EntryLen::Ten, proto, &mut out);
        assert_eq!(text(&out), text(want));
    }
}

#[test]
fn own_entries_follow_those_of_the_backing_in_its_format() {
    for (raw, len) in [(REDIS_7_0, 10), (REDIS_6_0, 7)] {
        let mut out = Vec::new();
        merge_all(raw, &[&GET, &STATS], Proto::Resp2, &mut out);
        let (before, after) = (parsed(raw), parsed(&out));
        let before = before.as_array().expect("an array");
        let after = after.as_array().expect("an array");
        assert_eq!(&after[..before.len()], before);
        let own: Vec<&[Value<'_>]> = after[before.len()..]
            .iter()
            .filter_map(Value::as_array)
            .collect();
        assert_eq!(own.len(), 2);
        for entry in own {
            assert_eq!(entry.len(), len);
        }
        assert!(Table::from_backing(&parsed(&out), &[]).is_ok());
    }
}

#[test]
fn entries_of_redis_5_have_six_values() {
    let raw = b"*1\r\n*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+fast\r\n:1\r\n:1\r\n:1\r\n";
    let mut out = Vec::new();
    merge_all(raw, &[&STATS], Proto::Resp2, &mut out);
    assert!(out.ends_with(b"*6\r\n$11\r\ncache.stats\r\n:1\r\n*0\r\n:0\r\n:0\r\n:0\r\n"));
}

#[test]
fn errors_of_the_backing_pass_through() {
    let error = b"-NOPERM this user has no permissions to run the 'command' command\r\n";
    let mut out = Vec::new();
    merge_all(error, &[&GET], Proto::Resp3, &mut out);
    merge_count(error, 3, &mut out);
    merge_list(error, args("COMMAND LIST").as_args(), &[&GET], &mut out);
    assert_eq!(out, error.repeat(3));
}

#[test]
fn counts_add_up() {
    let mut out = Vec::new();
    merge_count(b":240\r\n", 31, &mut out);
    assert_eq!(out, b":271\r\n");
}

#[test]
fn lists_are_filtered() {
    let list = |request: &str| {
        let mut out = Vec::new();
        merge_list(
            b"*1\r\n$3\r\nttl\r\n",
            args(request).as_args(),
            &[&GET, &STATS],
            &mut out,
        );
        let value = parsed(&out);
        let names = super::super::reading::strings(&value);
        names.join(" ")
    };
    assert_eq!(list("COMMAND LIST"), "ttl get cache.stats");
    assert_eq!(
        list("COMMAND LIST FILTERBY PATTERN Cache.*"),
        "ttl cache.stats"
    );
    assert_eq!(list("COMMAND LIST filterby aclcat READ"), "ttl get");
    assert_eq!(list("COMMAND LIST FILTERBY ACLCAT nosuch"), "ttl");
    assert_eq!(list("COMMAND LIST FILTERBY MODULE respite"), "ttl");
}

#[test]
fn keys_of_own_commands_are_told_as_by_redis() {
    let ask = |row: &OwnRow, request: &str| {
        let mut out = Vec::new();
        own_getkeys(row, args(request).as_args(), &mut out);
        text(&out)
    };
    assert_eq!(
        ask(&STATS, "COMMAND GETKEYS cache.stats"),
        text(b"-ERR The command has no key arguments\r\n"),
    );
    assert_eq!(
        ask(&GET, "COMMAND GETKEYS get k"),
        text(b"*1\r\n$1\r\nk\r\n")
    );
    assert_eq!(
        ask(&GET, "COMMAND GETKEYS get k x"),
        text(b"-ERR Invalid number of arguments specified for command\r\n"),
    );
}

#[test]
fn headers_are_read_exactly() {
    assert_eq!(
        Header::read(b"*12\r\nx"),
        Some(Header {
            kind: b'*',
            count: 12,
            len: 5
        })
    );
    assert_eq!(
        Header::read(b"%0\r\n"),
        Some(Header {
            kind: b'%',
            count: 0,
            len: 4
        })
    );
    for raw in [
        &b""[..],
        b"*",
        b"*1",
        b"*1\r",
        b"*1\rx",
        b"*-1\r\n",
        b"$1\r\n",
        b"_\r\n",
        b"*a\r\n",
    ] {
        assert_eq!(Header::read(raw), None, "{}", text(raw));
    }
}
