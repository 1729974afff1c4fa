//! Options of Redis' commands that change what a command touches, read as Redis reads them: from
//! their own position on, each with its values, and the last of its kind counts.
//!
//! Where keys are is in [`keys`](mod@super::keys).

use super::effects::Effects;
use super::key_ref::Seen;
use super::keys::each_key;
use super::row::Row;
use crate::resp::Args;

/// Gives the other database that `MOVE` and `COPY` name, when it is a number.
#[must_use]
pub fn other_database(effects: Effects, args: Args<'_>) -> Option<u32> {
    let text = if effects.contains(Effects::OTHER_DATABASE) {
        args.get(2)?
    } else if effects.contains(Effects::OTHER_DATABASE_BY_OPTION) {
        copy_database(args)?
    } else {
        return None;
    };
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `COPY source destination [DB n] [REPLACE]`
fn copy_database(args: Args<'_>) -> Option<&[u8]> {
    let (mut at, mut database) = (3, None);
    while let Some(option) = args.get(at) {
        let takes_value = option.eq_ignore_ascii_case(b"db");
        if takes_value {
            database = args.get(at + 1).or(database);
        }
        at += 1 + usize::from(takes_value);
    }
    database
}

/// Tells whether this `SORT` reads keys other than those that it names.
#[must_use]
pub fn sort_reads_others(row: &Row, args: Args<'_>) -> bool {
    each_key(row, args, |_| {}) == Seen::Declared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testdata::{REDIS_7_0, args, table};

    fn database(line: &str) -> Option<u32> {
        let args = args(line);
        let args = args.as_args();
        let table = table(REDIS_7_0);
        let row = table.get(&args[0]).expect("a known command");
        other_database(row.effects, args)
    }

    #[test]
    fn the_database_is_read_from_where_options_are_and_the_last_counts() {
        for (line, want) in [
            ("move a 3", Some(3)),
            ("move db 3", Some(3)),
            ("move a", None),
            ("copy a b", None),
            ("copy db dst DB 3", Some(3)),
            ("copy src db DB 3", Some(3)),
            ("copy src db db 3", Some(3)),
            ("copy db db", None),
            ("copy src dst DB 1 DB 3", Some(3)),
            ("copy src dst REPLACE DB 3", Some(3)),
            ("copy src dst DB 3 REPLACE", Some(3)),
            ("copy src dst DB", None),
            ("copy src dst DB db", None),
            ("rename db x", None),
        ] {
            assert_eq!(database(line), want, "{line}");
        }
    }
}
