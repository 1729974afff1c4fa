use super::*;
use crate::command::key_rules::Keys;
use crate::command::key_span::Span;
use crate::command::testdata::{REDIS_6_0, REDIS_7_0, parsed, table};
use crate::command::{ArgKind, Categories, Channel, Handling, Local, OwnArg, Pin, arity_ok};
use crate::resp::parse_reply;

static FAMILY: [OwnRow; 2] = [
    OwnRow {
        name: "CACHE.STATS",
        arity: 1,
        ..OwnRow::EMPTY
    },
    OwnRow {
        name: "CACHE.INSPECT",
        arity: 2,
        flags: Flags::READONLY,
        first_key: 1,
        last_key: 1,
        key_step: 1,
        arguments: &[OwnArg::new("key", ArgKind::Key)],
        ..OwnRow::EMPTY
    },
];

fn handling(table: &Table, name: &str) -> Handling {
    table
        .get(name.as_bytes())
        .unwrap_or_else(|| panic!("{name} is known"))
        .handling
}

#[test]
fn names_are_found_in_any_case() {
    let table = table(REDIS_7_0);
    for name in ["get", "GET", "gEt"] {
        assert_eq!(&*table.get(name.as_bytes()).expect("known").name, "get");
    }
    assert!(table.get(b"").is_none());
    assert!(table.get(b"nosuch").is_none());
    assert!(table.get(&[b'x'; 64]).is_none());
    assert!(table.get(&[b'x'; 65]).is_none());
    assert!(table.get(&[0xff; 4]).is_none());
    assert!(table.names().count() >= 240);
}

#[test]
fn rows_have_what_the_backing_says() {
    let table = table(REDIS_7_0);
    let get = table.get(b"get").expect("known");
    assert_eq!(get.arity, 2);
    assert_eq!(get.flags, Flags::READONLY | Flags::FAST);
    assert_eq!(
        get.categories,
        Categories::READ | Categories::STRING | Categories::FAST
    );
    assert!(matches!(
        get.keys,
        Keys::Span(Span {
            first: 1,
            last: 1,
            step: 1,
            ..
        })
    ));
    assert_eq!(get.handling, Handling::Forward);
    assert!(get.is_readonly() && !get.is_write() && !get.is_module());
    assert!(arity_ok(get, 2) && !arity_ok(get, 1) && !arity_ok(get, 3));
    let set = table.get(b"set").expect("known");
    assert!(arity_ok(set, 3) && arity_ok(set, 9) && !arity_ok(set, 2));
    let client = table.get(b"client").expect("known");
    let list = table.get_sub(client, b"LIST").expect("known");
    assert_eq!(&*list.name, "client|list");
    assert!(list.categories.contains(Categories::ADMIN));
    assert!(table.get_sub(get, b"x").is_none());
    assert!(table.get_sub(client, b"x").is_none());
    assert_eq!(table.entry_len(), EntryLen::Ten);
}

#[test]
fn every_flag_and_category_of_the_recording_is_known_or_meant_to_be_dropped() {
    let reply = parsed(REDIS_7_0);
    for entry in reply.as_array().expect("an array") {
        let values = entry.as_array().expect("an entry");
        for flag in super::super::reading::strings(&values[2]) {
            assert!(Flags::by_name(flag).is_some(), "{flag}");
        }
        for category in super::super::reading::strings(&values[6]) {
            assert!(Categories::by_name(category).is_some(), "{category}");
        }
    }
}

#[test]
fn handling_is_by_name_whatever_the_backing_says() {
    let by_version = [table(REDIS_7_0), table(REDIS_6_0), Table::shipped()];
    let wanted = [
        ("hello", Handling::Local(Local::Hello)),
        ("quit", Handling::Local(Local::Quit)),
        ("reset", Handling::Local(Local::Reset)),
        ("client", Handling::Local(Local::Client)),
        ("info", Handling::Local(Local::Info)),
        ("multi", Handling::Pin(Pin::Multi)),
        ("watch", Handling::Pin(Pin::Watch)),
        ("blpop", Handling::Pin(Pin::Block)),
        ("bzmpop", Handling::Pin(Pin::Block)),
        ("xread", Handling::Pin(Pin::BlockIfOption)),
        ("xreadgroup", Handling::Pin(Pin::BlockIfOption)),
        (
            "psubscribe",
            Handling::Pin(Pin::Subscribe(Channel::Pattern)),
        ),
        (
            "sunsubscribe",
            Handling::Pin(Pin::Unsubscribe(Channel::Shard)),
        ),
        ("wait", Handling::Pin(Pin::Wait)),
        ("psync", Handling::Pin(Pin::Replication)),
        ("readonly", Handling::Local(Local::Cluster)),
        ("script", Handling::Forward),
    ];
    for table in &by_version {
        for (name, want) in wanted {
            assert_eq!(handling(table, name), want, "{name}");
        }
        let script = table.get(b"script").expect("known");
        let debug = table.get_sub(script, b"DEBUG").expect("known");
        assert_eq!(debug.handling, Handling::Pin(Pin::Debugger));
        let client = table.get(b"client").expect("known");
        // New in 7.2, answered by Respite on any backing.
        let setinfo = table.get_sub(client, b"setinfo").expect("known");
        assert_eq!(
            (setinfo.arity, setinfo.handling),
            (4, Handling::Local(Local::Client))
        );
        for name in ["hello", "auth", "quit", "reset"] {
            let row = table.get(name.as_bytes()).expect("known");
            assert!(row.flags.contains(Flags::NO_AUTH), "{name}");
        }
    }
}

/// The shipped rows stand in for the backing's: they must not say otherwise.
#[test]
fn shipped_rows_agree_with_the_recording() {
    let shipped = Table::shipped();
    let backing = table(REDIS_7_0);
    let mut seen = 0;
    for theirs in backing.rows() {
        let row = shipped.get(theirs.name.as_bytes()).expect("shipped");
        assert_agree(row, theirs);
        for (short, theirs) in &theirs.subcommands {
            assert_agree(shipped.get_sub(row, short).expect("shipped"), theirs);
            seen += 1;
        }
        seen += 1;
    }
    assert!(seen > 360);
}

#[track_caller]
fn assert_agree(row: &Row, theirs: &Row) {
    let name = &row.name;
    // Newer versions take more arguments.
    assert!(row.arity == theirs.arity || row.arity < 0, "{name}");
    assert_eq!(row.flags - Flags::MAY_REPLICATE, theirs.flags, "{name}");
    assert_eq!(row.categories, theirs.categories, "{name}");
    assert_eq!(row.handling, theirs.handling, "{name}");
    assert_eq!(row.effects, theirs.effects, "{name}");
    assert_eq!(row.keys == Keys::None, theirs.keys == Keys::None, "{name}");
}

/// What the backing does not list is unknown, even if Redis has it: it may be hidden under another name.
#[test]
fn commands_that_the_backing_does_not_list_are_unknown() {
    let table = table(b"*1\r\n*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n");
    assert!(table.get(b"get").is_some());
    assert!(table.get(b"client").is_some());
    for name in [&b"flushall"[..], b"config", b"keys", b"swapdb"] {
        assert!(table.get(name).is_none());
    }
    let shipped = Table::shipped();
    for name in [
        &b"flushall"[..],
        b"config",
        b"keys",
        b"swapdb",
        b"stralgo",
        b"hsetex",
    ] {
        assert!(shipped.get(name).is_some());
    }
}

#[test]
fn a_blocking_command_of_a_module_pins() {
    let raw = b"*2\r\n*6\r\n$4\r\nm.bl\r\n:-2\r\n*2\r\n+write\r\n+blocking\r\n:1\r\n:1\r\n:1\r\n\
        *6\r\n$4\r\nM.No\r\n:-2\r\n*1\r\n+write\r\n:1\r\n:1\r\n:1\r\n";
    let table = table(raw);
    assert_eq!(handling(&table, "m.bl"), Handling::Pin(Pin::Block));
    assert_eq!(handling(&table, "m.no"), Handling::Forward);
    assert_eq!(table.entry_len(), EntryLen::Six);
    let row = table.get(b"m.bl").expect("known");
    assert!(
        row.categories
            .contains(Categories::WRITE | Categories::BLOCKING)
    );
}

/// A backing's row must not lock clients out of the handshake.
#[test]
fn the_handshake_keeps_its_flag() {
    let table = table(b"*1\r\n*6\r\n$5\r\nhello\r\n:-1\r\n*0\r\n:0\r\n:0\r\n:0\r\n");
    let hello = table.get(b"hello").expect("known");
    assert_eq!(hello.flags, Flags::NO_AUTH);
}

#[test]
fn families_add_their_rows_and_keep_them() {
    let reply = parsed(REDIS_7_0);
    let empty: &[OwnRow] = &[];
    let table = Table::from_backing(&reply, &[empty, &FAMILY]).expect("a table");
    assert_eq!(handling(&table, "cache.stats"), Handling::Family(1));
    let inspect = table.get(b"Cache.Inspect").expect("known");
    assert!(matches!(inspect.keys, Keys::Span(Span { first: 1, .. })));
    assert!(!inspect.is_module());
    let before = Table::shipped().with_families(&[&FAMILY]);
    assert_eq!(handling(&before, "CACHE.STATS"), Handling::Family(0));
}

#[test]
fn replies_that_are_no_tables_are_refused() {
    let refused = |raw: &[u8]| Table::from_backing(&parsed(raw), &[]).expect_err("no table");
    assert_eq!(
        refused(b"-NOPERM no\r\n"),
        TableError::Refused("NOPERM no".to_owned())
    );
    assert_eq!(refused(b":1\r\n"), TableError::NotAnArray);
    assert_eq!(refused(b"*1\r\n:1\r\n"), TableError::NotAnEntry);
    assert_eq!(
        refused(b"*1\r\n*2\r\n$3\r\nget\r\n:2\r\n"),
        TableError::NotAnEntry
    );
    // A null stands for a command that went away.
    assert!(Table::from_backing(&parsed(b"*1\r\n*-1\r\n"), &[]).is_ok());
}

/// Whatever a backing sends, reading it and asking for keys neither panics nor hangs.
#[test]
fn odd_key_specifications_do_no_harm() {
    let extremes = [i64::MIN, -2, -1, 0, 1, 2, i64::MAX];
    for begin in extremes {
        for last in extremes {
            for step in extremes {
                for limit in extremes {
                    check_odd(begin, last, step, limit);
                }
            }
        }
    }
}

fn check_odd(begin: i64, last: i64, step: i64, limit: i64) {
    for (kind, find) in [
        (
            "range",
            format!("lastkey\r\n:{last}\r\n$7\r\nkeystep\r\n:{step}\r\n$5\r\nlimit\r\n:{limit}"),
        ),
        (
            "keynum",
            format!(
                "keynumidx\r\n:{last}\r\n$8\r\nfirstkey\r\n:{limit}\r\n$7\r\nkeystep\r\n:{step}"
            ),
        ),
    ] {
        for start in [
            format!("$5\r\nindex\r\n$4\r\nspec\r\n%1\r\n$5\r\nindex\r\n:{begin}"),
            format!(
                "$7\r\nkeyword\r\n$4\r\nspec\r\n%2\r\n$7\r\nkeyword\r\n$1\r\nK\r\n$9\r\nstartfrom\r\n:{begin}"
            ),
        ] {
            let first_len = find.find("\r\n").unwrap_or_default();
            let raw = format!(
                "*1\r\n*10\r\n$3\r\nm.x\r\n:-1\r\n~0\r\n:0\r\n:0\r\n:0\r\n~0\r\n~0\r\n~1\r\n%3\r\n\
                 $5\r\nflags\r\n~1\r\n+RW\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n{start}\r\n\
                 $9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n${}\r\n{kind}\r\n$4\r\nspec\r\n%3\r\n\
                 ${first_len}\r\n{find}\r\n~0\r\n",
                kind.len(),
            );
            let (value, _) = parse_reply(raw.as_bytes()).expect("valid").expect("whole");
            let table = Table::from_backing(&value, &[]).expect("a table");
            let row = table.get(b"m.x").expect("known");
            for line in [
                "m.x",
                "m.x K",
                "m.x 3 a K b c",
                "m.x K K K 9999999999999999999",
            ] {
                let args = crate::command::testdata::args(line);
                let keys = crate::command::keys(row, args.as_args());
                assert!(keys.named().len() < args.as_args().len());
            }
        }
    }
}

#[test]
fn resp3_tables_are_read_as_resp2_ones() {
    // The same table with its sets and maps as RESP3 has them, made by hand from one entry.
    let raw = b"*1\r\n*10\r\n$10\r\nsunionmany\r\n:-3\r\n~2\r\n+write\r\n+denyoom\r\n:1\r\n:-1\r\n\
        :1\r\n~3\r\n+@write\r\n+@set\r\n+@slow\r\n~0\r\n~2\r\n%3\r\n$5\r\nflags\r\n~2\r\n+OW\r\n\
        +update\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n%1\r\n\
        $5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n\
        %3\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n%3\r\n$5\r\n\
        flags\r\n~2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n\
        $4\r\nspec\r\n%1\r\n$5\r\nindex\r\n:2\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n$5\r\n\
        range\r\n$4\r\nspec\r\n%3\r\n$7\r\nlastkey\r\n:-1\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n\
        :0\r\n~0\r\n";
    let table = table(raw);
    let row = table.get(b"sunionmany").expect("known");
    assert_eq!(
        row.categories,
        Categories::WRITE | Categories::SET | Categories::SLOW
    );
    let args = crate::command::testdata::args("sunionmany d a b");
    let writes: Vec<bool> = crate::command::keys(row, args.as_args())
        .named()
        .iter()
        .map(|key| key.write)
        .collect();
    assert_eq!(writes, [true, false, false]);
}

/// Redis 6 lists `post` and `host:`; forwarded, they would have it close a connection that others share.
#[test]
fn the_beginnings_of_http_requests_are_no_commands() {
    let mut reply = b"*2\r\n".to_vec();
    for name in ["post", "host:"] {
        reply.extend_from_slice(
            format!(
                "*6\r\n${}\r\n{name}\r\n:-1\r\n*1\r\n+readonly\r\n:0\r\n:0\r\n:0\r\n",
                name.len()
            )
            .as_bytes(),
        );
    }
    let (value, _) = parse_reply(&reply).expect("valid").expect("whole");
    let table = Table::from_backing(&value, &[]).expect("a table");
    assert!(table.get(b"POST").is_none() && table.get(b"host:").is_none());
}
