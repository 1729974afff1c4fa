//! The replies to `COMMAND`, `COMMAND COUNT` and `COMMAND LIST` with Respite's own commands in
//! them, made from the backing's own replies.
//!
//! The backing's bytes are copied, not decoded: only the first line changes. Its errors pass
//! through unchanged. `COMMAND DOCS` is in [`super::docs`], requests that name commands are in
//! [`super::split`].

use super::flags::Flags;
use super::own::OwnRow;
use crate::resp::{Args, Proto, ReplyWriter, glob_match};

/// No name is so long; a pattern that is may take long with each.
const LONG_PATTERN: usize = 512;

/// How many values an entry of the backing's reply to `COMMAND` has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EntryLen {
    /// Redis 5: six.
    Six,
    /// Redis 6: seven, with ACL categories.
    Seven,
    /// Redis 7 and later: ten, with tips, key specifications and subcommands.
    #[default]
    Ten,
}

impl EntryLen {
    /// Makes it from the number of values in an entry.
    #[must_use]
    pub fn of(values: usize) -> Self {
        match values {
            0..=6 => Self::Six,
            7..=9 => Self::Seven,
            _ => Self::Ten,
        }
    }

    fn values(self) -> usize {
        match self {
            Self::Six => 6,
            Self::Seven => 7,
            Self::Ten => 10,
        }
    }
}

/// The first line of an aggregate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// `*`, `~` or `%`.
    pub(super) kind: u8,
    /// The number of values, of pairs for a map.
    pub(super) count: usize,
    /// The length of the line with its end.
    pub(super) len: usize,
}

impl Header {
    /// Reads the first line of an array, a set or a map; none for anything else, nulls included.
    pub(super) fn read(raw: &[u8]) -> Option<Self> {
        let (&kind, rest) = raw.split_first()?;
        if !matches!(kind, b'*' | b'~' | b'%') {
            return None;
        }
        let end = memchr::memchr(b'\r', rest)?;
        let count = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
        (rest.get(end + 1) == Some(&b'\n')).then_some(Self {
            kind,
            count,
            len: end + 3,
        })
    }

    /// Writes the line with another count.
    pub(super) fn write(self, count: usize, out: &mut Vec<u8>) {
        out.push(self.kind);
        out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the reply to `COMMAND`: the backing's entries, then Respite's own in the same format.
pub fn merge_all(backing: &[u8], own: &[&OwnRow], proto: Proto, out: &mut Vec<u8>) {
    let Some(header) = Header::read(backing) else {
        out.extend_from_slice(backing);
        return;
    };
    let first = backing.get(header.len..).and_then(Header::read);
    let len = first.map_or_else(EntryLen::default, |first| EntryLen::of(first.count));
    header.write(header.count + own.len(), out);
    out.extend_from_slice(&backing[header.len..]);
    for row in own {
        write_entry(row, len, proto, out);
    }
}

/// Writes the reply to `COMMAND COUNT`: the sum.
pub fn merge_count(backing: &[u8], own: usize, out: &mut Vec<u8>) {
    let count = backing
        .strip_prefix(b":")
        .and_then(|rest| rest.strip_suffix(b"\r\n"))
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<i64>().ok());
    let Some(count) = count else {
        out.extend_from_slice(backing);
        return;
    };
    let own = i64::try_from(own).unwrap_or(i64::MAX);
    ReplyWriter::new(out, Proto::Resp2).integer(count.saturating_add(own));
}

/// Writes the reply to `COMMAND LIST [FILTERBY MODULE name|ACLCAT category|PATTERN glob]`, given
/// with all its arguments: the backing's names, then those of Respite's own that pass the filter.
pub fn merge_list(backing: &[u8], args: Args<'_>, own: &[&OwnRow], out: &mut Vec<u8>) {
    let Some(header) = Header::read(backing) else {
        out.extend_from_slice(backing);
        return;
    };
    let names: Vec<String> = own
        .iter()
        .filter(|row| passes(row, args))
        .map(|row| row.lower_name())
        .collect();
    header.write(header.count + names.len(), out);
    out.extend_from_slice(&backing[header.len..]);
    let mut writer = ReplyWriter::new(out, Proto::Resp2);
    for name in names {
        writer.bulk(name);
    }
}

/// Tells whether a row passes the filter of `COMMAND LIST`; an invalid one passes nothing, the
/// backing has refused it anyway.
fn passes(row: &OwnRow, args: Args<'_>) -> bool {
    if args.len() == 2 {
        return true;
    }
    let (Some(kind), Some(value)) = (args.get(3), args.get(4)) else {
        return false;
    };
    if kind.eq_ignore_ascii_case(b"pattern") {
        value.len() <= LONG_PATTERN && glob_match(value, row.name.as_bytes(), true)
    } else if kind.eq_ignore_ascii_case(b"aclcat") {
        let categories = row.categories.implied();
        categories
            .names()
            .any(|name| name.as_bytes().eq_ignore_ascii_case(value))
    } else {
        false
    }
}

/// Writes the reply to `COMMAND GETKEYS own-command …`, given with all its arguments.
pub fn own_getkeys(own: &OwnRow, args: Args<'_>, out: &mut Vec<u8>) {
    let mut writer = ReplyWriter::new(out, Proto::Resp2);
    let row = own.row(0);
    let args = args.tail(2);
    if own.first_key <= 0 {
        writer.error("ERR The command has no key arguments");
    } else if !super::arity_ok(&row, args.len()) {
        writer.error("ERR Invalid number of arguments specified for command");
    } else {
        let keys = super::keys(&row, args);
        writer.array(keys.named().len());
        for key in keys.named() {
            writer.bulk(key.key);
        }
    }
}

/// Writes one of Respite's own commands as an entry of `COMMAND`.
pub(super) fn write_entry(row: &OwnRow, len: EntryLen, proto: Proto, out: &mut Vec<u8>) {
    let mut writer = ReplyWriter::new(out, proto);
    writer.array(len.values());
    writer.bulk(row.lower_name());
    writer.integer(row.arity.into());
    writer.set(row.flags.names().count());
    row.flags.names().for_each(|name| writer.simple(name));
    for number in [row.first_key, row.last_key, row.key_step] {
        writer.integer(number.into());
    }
    if len == EntryLen::Six {
        return;
    }
    let categories = row.categories.implied();
    writer.set(categories.names().count());
    categories
        .names()
        .for_each(|name| writer.simple(format!("@{name}")));
    if len == EntryLen::Seven {
        return;
    }
    writer.set(0);
    write_key_specs(row, &mut writer);
    writer.set(0);
}

fn write_key_specs(row: &OwnRow, writer: &mut ReplyWriter<'_>) {
    if row.first_key <= 0 {
        writer.set(0);
        return;
    }
    let flags: &[&str] = if row.flags.contains(Flags::WRITE) {
        &["RW", "access", "update"]
    } else {
        &["RO", "access"]
    };
    writer.set(1);
    writer.map(3);
    writer.bulk("flags");
    writer.set(flags.len());
    flags.iter().for_each(|flag| writer.simple(flag));
    writer.bulk("begin_search");
    write_spec(writer, "index", &[("index", row.first_key)]);
    writer.bulk("find_keys");
    // Relative to the first key unless counted from the end.
    let last = if row.last_key < 0 {
        row.last_key
    } else {
        row.last_key - row.first_key
    };
    write_spec(
        writer,
        "range",
        &[("lastkey", last), ("keystep", row.key_step), ("limit", 0)],
    );
}

fn write_spec(writer: &mut ReplyWriter<'_>, kind: &str, numbers: &[(&str, i32)]) {
    writer.map(2);
    writer.bulk("type");
    writer.bulk(kind);
    writer.bulk("spec");
    writer.map(numbers.len());
    for (name, number) in numbers {
        writer.bulk(name);
        writer.integer((*number).into());
    }
}

#[cfg(test)]
mod tests;
