//! Turns the entries of a backing's `COMMAND` reply into rows.
//!
//! An entry has 6 values on Redis 5, 7 with ACL categories on Redis 6, and 10 with tips, key
//! specifications and subcommands since Redis 7. Further values are ignored.

use super::builtin::handling_of;
use super::flags::{Categories, Flags};
use super::key_rules::{Keys, static_rule};
use super::key_span::{KeyAccess, span};
use super::key_spec::KeySpec;
use super::reading::{small_int, strings};
use super::row::{Handling, Pin, Row};
use super::spread::Tips;
use crate::resp::Value;

// Positions in an entry of Redis 7.
const TIPS_AT: usize = 7;
const SPECS_AT: usize = 8;
const SUBCOMMANDS_AT: usize = 9;

/// Why a reply to `COMMAND` is no table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TableError {
    /// The backing answered with an error: its text.
    #[error("the backing refused COMMAND: {0}")]
    Refused(String),
    /// The reply is no array.
    #[error("the reply to COMMAND is not an array")]
    NotAnArray,
    /// A value in it does not describe a command.
    #[error("a value in the reply to COMMAND does not describe a command")]
    NotAnEntry,
}

/// Reads one entry; none for a null, which stands for an unknown command.
pub(super) fn read_row(entry: &Value<'_>) -> Result<Option<Row>, TableError> {
    if entry.is_null() {
        return Ok(None);
    }
    let values = entry.as_array().ok_or(TableError::NotAnEntry)?;
    let [name, arity, flags, first, last, step, rest @ ..] = values else {
        return Err(TableError::NotAnEntry);
    };
    let name = name
        .as_str()
        .ok_or(TableError::NotAnEntry)?
        .to_ascii_lowercase();
    let int = |value| small_int(value).ok_or(TableError::NotAnEntry);
    let flags = strings(flags)
        .into_iter()
        .filter_map(Flags::by_name)
        .collect();
    let range = (int(first)?, int(last)?, int(step)?);
    let named: Categories = rest
        .first()
        .map(strings)
        .unwrap_or_default()
        .into_iter()
        .filter_map(Categories::by_name)
        .collect();
    // Redis 5 names none, and Redis 8 none that is known for the commands of its modules.
    let categories = match named.is_empty() {
        true => Categories::implied_by(flags),
        false => named,
    };
    let tips = values.get(TIPS_AT).map(strings).unwrap_or_default();
    let mut row = Row {
        tips: Tips::read(tips),
        keys: keys(&name, flags, range, values.get(SPECS_AT)),
        handling: handling(&name, flags),
        name: name.into(),
        arity: int(arity)?,
        flags,
        categories,
        ..Row::default()
    };
    let subcommands = values
        .get(SUBCOMMANDS_AT)
        .and_then(Value::as_array)
        .unwrap_or_default();
    for sub in subcommands {
        let Some(sub) = read_row(sub)? else { continue };
        let short = sub.name.rsplit('|').next().unwrap_or_default();
        row.subcommands.insert(short.as_bytes().into(), sub);
    }
    Ok(Some(row))
}

pub(super) fn handling(name: &str, flags: Flags) -> Handling {
    match handling_of(name) {
        Some(handling) => handling,
        // A module's, or one of a newer server's.
        None if flags.contains(Flags::BLOCKING) => Handling::Pin(Pin::Block),
        None => Handling::Forward,
    }
}

pub(super) fn keys(
    name: &str,
    flags: Flags,
    range: (i32, i32, i32),
    specs: Option<&Value<'_>>,
) -> Keys {
    if let Some(rule) = static_rule(name) {
        return rule;
    }
    let access = KeyAccess::of(name, flags);
    if let Some(entries) = specs
        .and_then(Value::as_array)
        .filter(|entries| !entries.is_empty())
    {
        let specs: Box<[KeySpec]> = entries.iter().filter_map(KeySpec::read).collect();
        return match &*specs {
            [] => Keys::None,
            [only] => match only.as_span() {
                Some(span) => Keys::Span(span),
                None => Keys::Specs(specs),
            },
            _ => Keys::Specs(specs),
        };
    }
    if flags.contains(Flags::MOVABLEKEYS) {
        return Keys::Open(span(range, access));
    }
    Keys::range(range, access)
}
