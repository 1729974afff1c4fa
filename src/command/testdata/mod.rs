//! Recorded and hand-made replies for the unit tests.
//!
//! `command-7.0.resp` and `getkeys-7.0.txt` are what redis-server 7.0.15 answered to `COMMAND`
//! (RESP2) and to `COMMAND GETKEYSANDFLAGS`; `command-6.0.resp` is a small table in the shape and
//! spelling of Redis 6.0.

use crate::command::Table;
use crate::command::read_rows::TableError;
use crate::resp::{ArgVec, Value, parse_reply};

/// The reply of 7.0.15.
pub(super) const REDIS_7_0: &[u8] = include_bytes!("command-7.0.resp");
/// A reply in the shape of 6.0.
pub(super) const REDIS_6_0: &[u8] = include_bytes!("command-6.0.resp");
/// Lines of a request, a tab and its keys as `key=RO|RW|OW|RM`.
pub(super) const KEYS_7_0: &str = include_str!("getkeys-7.0.txt");

/// Parses a whole reply.
pub(super) fn parsed(raw: &[u8]) -> Value<'_> {
    let (value, len) = parse_reply(raw)
        .expect("a valid reply")
        .expect("a whole reply");
    assert_eq!(len, raw.len());
    value
}

/// Makes a table without families.
pub(super) fn table(raw: &[u8]) -> Table {
    table_of(&parsed(raw)).expect("a valid table")
}

/// Makes a table without families from a parsed reply.
pub(super) fn table_of(value: &Value<'_>) -> Result<Table, TableError> {
    Table::from_backing(value, &[])
}

/// Splits a line into arguments; `""` is an empty one.
pub(super) fn args(line: &str) -> ArgVec {
    line.split(' ')
        .map(|word| if word == "\"\"" { "" } else { word })
        .collect()
}
