//! The command table: one row per command, found by name on the hot path.
//!
//! Immutable once made; a new one replaces it when the backing changes. Does no I/O: the caller
//! asks the backing for `COMMAND`.

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::effects::Effects;
use super::flags::Flags;
use super::lower::{Lower, ShortName};
use super::own::OwnRow;
use super::read_rows::{TableError, read_row};
use super::reply::EntryLen;
use super::row::{Handling, Row};
use super::settle::settle;
use super::shipped;
use crate::resp::{Args, Value};

/// The commands that are known.
#[derive(Clone, Debug)]
pub struct Table {
    short: HashMap<ShortName, Row>,
    /// Those whose names do not fit.
    long: HashMap<Box<[u8]>, Row>,
    entry_len: EntryLen,
}

/// The commands that Redis is known to have.
static SHIPPED: LazyLock<Table> = LazyLock::new(|| Table::of(shipped::rows()));

impl Table {
    /// Makes the table of the commands that Redis is known to have, for the time before the backing
    /// has been reached, and for one that does not list its commands.
    #[must_use]
    pub fn shipped() -> Self {
        SHIPPED.clone()
    }

    fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        let mut table = Self {
            short: HashMap::new(),
            long: HashMap::new(),
            entry_len: EntryLen::default(),
        };
        rows.into_iter().for_each(|row| drop(table.insert(row)));
        table
    }

    /// Makes the table from the backing's reply to `COMMAND`, in either protocol version.
    ///
    /// Respite's handling is applied by name, commands that it answers itself are there in any case
    /// (others that the backing does not list are unknown), and the
    /// families' own commands (their position is the index in
    /// [`Handling::Family`]) replace any of the same name.
    ///
    /// # Errors
    ///
    /// The reply is an error or has not the shape of such a reply.
    pub fn from_backing(
        reply: &Value<'_>,
        families: &[&'static [OwnRow]],
    ) -> Result<Self, TableError> {
        if let Some(text) = reply.as_error() {
            return Err(TableError::Refused(
                String::from_utf8_lossy(text).into_owned(),
            ));
        }
        let entries = reply.as_array().ok_or(TableError::NotAnArray)?;
        let mut table = Self::of(SHIPPED.rows().filter(|row| is_handled(row)).cloned());
        if let Some(first) = entries.first().and_then(Value::as_array) {
            table.entry_len = EntryLen::of(first.len());
        }
        for entry in entries {
            if let Some(row) = read_row(entry)? {
                table.adopt(row);
            }
        }
        Ok(table.with_families(families))
    }

    /// Adds the commands of Respite's own families.
    #[must_use]
    pub fn with_families(mut self, families: &[&'static [OwnRow]]) -> Self {
        for (family, rows) in families.iter().enumerate() {
            for own in *rows {
                self.insert(own.row(family));
            }
        }
        self
    }

    /// Takes it that a module writes keys of its own choice whenever a key is written.
    #[must_use]
    pub fn with_unknown_writes(mut self) -> Self {
        let rows = self.short.values_mut().chain(self.long.values_mut());
        for row in rows.filter(|row| row.flags.contains(Flags::WRITE)) {
            row.effects |= Effects::WRITES_UNKNOWN;
        }
        self
    }

    /// Takes over a row of the backing's, with what Respite knows better.
    fn adopt(&mut self, mut row: Row) {
        if is_pretended(&row.name) {
            return;
        }
        if let Some(shipped) = SHIPPED.get(row.name.as_bytes()) {
            // Access rules and the session rely on these. Redis 6 lists no subcommands.
            row.flags |= shipped.flags & Flags::NO_AUTH;
            for (short, sub) in &shipped.subcommands {
                row.subcommands
                    .entry(short.clone())
                    .or_insert_with(|| sub.clone());
            }
        }
        self.insert(row);
    }

    /// Puts a row in; gives the one of the same name that it replaces.
    fn insert(&mut self, mut row: Row) -> Option<Row> {
        settle(&mut row);
        match ShortName::of(row.name.as_bytes()) {
            Some(name) => self.short.insert(name, row),
            None => self.long.insert(row.name.as_bytes().into(), row),
        }
    }

    /// Finds a command by its name in any case.
    #[inline]
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Row> {
        match ShortName::of(name) {
            Some(name) => self.short.get(&name),
            None => self.long.get(Lower::of(name)?.as_bytes()),
        }
    }

    /// Finds the command that a request names; there is one.
    #[inline]
    #[must_use]
    pub fn named_by(&self, args: Args<'_>) -> Option<&Row> {
        let name = args
            .front()
            .and_then(|(bytes, len)| ShortName::at_front(bytes, len));
        match name {
            Some(name) => self.short.get(&name),
            None => self.get(&args[0]),
        }
    }

    /// Finds a subcommand of a command by its short name in any case.
    #[must_use]
    pub fn get_sub<'r>(&self, row: &'r Row, sub: &[u8]) -> Option<&'r Row> {
        row.subcommand(sub)
    }

    /// Lists the names of all commands in lower case, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows().map(|row| &*row.name)
    }

    /// Lists all rows, in no order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.short.values().chain(self.long.values())
    }

    /// Gives the length of an entry in the backing's reply to `COMMAND`.
    #[must_use]
    pub fn entry_len(&self) -> EntryLen {
        self.entry_len
    }
}

/// Whether Redis 6 lists a command only to close the connection of whoever sends it: the beginning of an HTTP
/// request, which the session tells by itself.
fn is_pretended(name: &str) -> bool {
    matches!(name, "post" | "host:")
}

/// Whether Respite answers or pins a command, or one of its subcommands.
fn is_handled(row: &Row) -> bool {
    row.handling != Handling::Forward || row.subcommands.values().any(is_handled)
}

#[cfg(test)]
mod tests;
