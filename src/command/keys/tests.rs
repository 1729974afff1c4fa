use super::*;
use crate::command::Table;
use crate::command::testdata::{KEYS_7_0, REDIS_6_0, REDIS_7_0, args, parsed, table, table_of};
use crate::resp::Value;

/// The keys of a line as `key=RW` (may be written) or `key=RO`, and a `?` if there may be others.
fn shown(table: &Table, line: &str) -> String {
    let args = args(line);
    let args = args.as_args();
    let row = table.get(&args[0]).expect("a known command");
    let list = keys(row, args);
    let show = |key: &KeyRef<'_>| {
        assert_eq!(args.get(key.index), Some(key.key));
        let access = if key.write { "RW" } else { "RO" };
        format!("{}={access}", String::from_utf8_lossy(key.key))
    };
    let mut words: Vec<String> = list.named().iter().map(show).collect();
    if matches!(list, KeyList::Declared(_)) {
        words.push("?".to_owned());
    }
    words.join(" ")
}

/// What Redis 7.0.15 said about a line, in the form of [`shown`].
fn recorded(line: &str, keys: &str) -> String {
    let mut name = line
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    // Where Respite is more careful: a BITFIELD may write, a group's state is written.
    let writes = ["bitfield", "xreadgroup"].contains(&&*name);
    let mut keys: Vec<String> = keys
        .split_whitespace()
        .map(|key| {
            let (key, access) = key.split_once('=').expect("key=access");
            let access = if access == "RO" && !writes {
                "RO"
            } else {
                "RW"
            };
            format!("{key}={access}")
        })
        .collect();
    name.truncate(name.strip_suffix("_ro").map_or(name.len(), str::len));
    let is_script = ["eval", "evalsha", "fcall"].contains(&&*name);
    if is_script || line == "sort a GET store STORE d" {
        keys.push("?".to_owned());
    }
    keys.join(" ")
}

fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS_7_0
        .lines()
        .map(|line| line.split_once('\t').expect("a tab"))
}

#[test]
fn keys_are_those_that_redis_gives() {
    let table = table(REDIS_7_0);
    assert!(lines().count() > 120);
    for (line, keys) in lines() {
        assert_eq!(shown(&table, line), recorded(line, keys), "{line}");
    }
}

/// Redis 6 has no key specifications: entries end after the ACL categories.
#[test]
fn keys_are_the_same_without_key_specifications() {
    let mut reply = parsed(REDIS_7_0);
    let Value::Array(entries) = &mut reply else {
        panic!("an array")
    };
    for entry in entries {
        let Value::Array(values) = entry else {
            panic!("an entry")
        };
        values.truncate(7);
    }
    let table = table_of(&reply).expect("a table");
    for (line, keys) in lines() {
        assert_eq!(shown(&table, line), recorded(line, keys), "{line}");
    }
}

/// As for modules: under other names, so that the static rules do not apply.
#[test]
fn keys_are_the_same_from_key_specifications_alone() {
    let mut reply = parsed(REDIS_7_0);
    let Value::Array(entries) = &mut reply else {
        panic!("an array")
    };
    let names: Vec<Vec<u8>> = entries
        .iter()
        .map(|entry| {
            let name = &entry.as_array().expect("an entry")[0];
            [b"m.", name.as_bytes().expect("a name")].concat()
        })
        .collect();
    for (entry, name) in entries.iter_mut().zip(&names) {
        let Value::Array(values) = entry else {
            panic!("an entry")
        };
        values[0] = Value::Bulk(name);
    }
    let table = table_of(&reply).expect("a table");
    for (line, keys) in lines() {
        let name = line
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        // Their specifications are declared incomplete or leave the keys to code; a group's
        // state does not count there.
        let differs = ["sort", "sort_ro", "migrate", "xreadgroup", "pfdebug"];
        if differs.contains(&&*name) {
            continue;
        }
        let want = recorded(line, keys).replace('?', "").trim_end().to_owned();
        assert_eq!(shown(&table, &format!("m.{line}")), want, "{line}");
    }
    assert_eq!(shown(&table, "m.sort a STORE d"), "a=RO ?");
    assert_eq!(shown(&table, "m.spublish a b"), "");
    assert_eq!(
        shown(&table, "m.xreadgroup GROUP streams streams STREAMS a >"),
        "a=RO"
    );
}

#[test]
fn what_the_recording_does_not_show() {
    let table = table(REDIS_7_0);
    for (line, want) in [
        ("sort a BY w_* GET # STORE d", "a=RO d=RW ?"),
        ("SORT_RO a GET x_*", "a=RO ?"),
        ("sort a BY", "a=RO"),
        ("debug object a", "a=RO"),
        ("debug digest-value a b", "a=RO b=RO"),
        ("debug reload", ""),
        ("flushall", ""),
        ("swapdb 0 1", ""),
        ("keys a*", ""),
        ("script load x", ""),
        ("spublish a b", ""),
        ("ssubscribe a b", ""),
        ("object help", ""),
        ("memory doctor", ""),
        ("xgroup nosuch a b", ""),
        // Refused by Redis; what is there counts.
        ("zunion 5 a b", "a=RO b=RO"),
        ("zunion x a b", ""),
        ("zunion -1 a b", ""),
        ("zunion 99999999999999999999 a", "a=RO"),
        ("eval x +2 a b", "a=RW b=RW ?"),
        ("eval x", "?"),
        ("get", ""),
        ("migrate h 1 a 0 5 KEYS b c", "b=RW c=RW a=RW"),
        ("migrate h 1 \"\" 0 5", "=RW"),
        ("migrate h 1 \"\" 0 5 KEYS b", "b=RW"),
        ("migrate h 1 \"\" 0 5 AUTH keys", "=RW"),
        ("xread STREAMS", ""),
        ("xread STREAMS a b c", "a=RO"),
        ("xreadgroup GROUP g c CLAIM 5 STREAMS a >", "a=RW"),
        ("georadius a 1 2 3 km STORE", "a=RO"),
        ("mset a", "a=RW"),
    ] {
        assert_eq!(shown(&table, line), want, "{line}");
    }
}

#[test]
fn redis_6_spellings() {
    let table = table(REDIS_6_0);
    for (line, want) in [
        ("stralgo LCS KEYS a b", "a=RO b=RO"),
        ("stralgo LCS IDX KEYS a b WITHMATCHLEN", "a=RO b=RO"),
        ("stralgo LCS STRINGS keys b", ""),
        ("object encoding a", "a=RO"),
        ("memory usage a", "a=RO"),
        ("xgroup create a g $", "a=RW"),
        ("rename a b", "a=RW b=RW"),
        ("json.set a $ 1", "a=RW"),
        ("mod.moved a b", "a=RW ?"),
        ("ft.search i q", ""),
        ("blpop a b 0", "a=RW b=RW"),
    ] {
        assert_eq!(shown(&table, line), want, "{line}");
    }
}

#[test]
fn the_first_key_is_the_first_of_the_keys() {
    let table = table(REDIS_7_0);
    for (line, _) in lines() {
        let args = args(line);
        let args = args.as_args();
        let row = table.get(&args[0]).expect("a known command");
        let want = keys(row, args).named().first().map(|key| key.key);
        assert_eq!(first_key(row, args), want, "{line}");
    }
}

#[test]
fn streams_block_only_with_the_option_in_its_place() {
    for (line, want) in [
        ("xread BLOCK 0 STREAMS a 0", true),
        ("xread COUNT 1 block 0 STREAMS a 0", true),
        ("xread STREAMS block 0", false),
        ("xread COUNT block STREAMS a 0", false),
        ("xreadgroup GROUP block block STREAMS a >", false),
        ("xreadgroup GROUP g c NOACK BLOCK 0 STREAMS a >", true),
        ("xread", false),
    ] {
        assert_eq!(has_block_option(args(line).as_args()), want, "{line}");
    }
}
