//! The reply to `COMMAND DOCS` with Respite's own commands in it, and `FAMILY.HELP`.
//!
//! The shape is what Redis 7 writes and redis-cli reads (`cliInitCommandHelpEntry` in
//! redis-cli.c): a map of names to maps with `summary since group complexity [arguments]`.

use super::own::{ArgKind, OwnArg, OwnRow};
use super::reply::Header;
use crate::resp::{Proto, ReplyWriter};

/// Writes the reply to `COMMAND DOCS` without names: the backing's entries, then Respite's own.
pub fn merge_docs(backing: &[u8], own: &[&OwnRow], proto: Proto, out: &mut Vec<u8>) {
    let Some(header) = Header::read(backing) else {
        out.extend_from_slice(backing);
        return;
    };
    let added = if header.kind == b'%' {
        own.len()
    } else {
        own.len() * 2
    };
    header.write(header.count + added, out);
    out.extend_from_slice(&backing[header.len..]);
    for row in own {
        write_docs(row, proto, out);
    }
}

/// Writes the name of a command and its documentation: one pair of the map.
pub(super) fn write_docs(row: &OwnRow, proto: Proto, out: &mut Vec<u8>) {
    let mut writer = ReplyWriter::new(out, proto);
    writer.bulk(row.lower_name());
    writer.map(4 + usize::from(!row.arguments.is_empty()));
    let texts = [
        ("summary", row.summary),
        ("since", row.since),
        ("group", row.group),
        ("complexity", row.complexity),
    ];
    for (name, text) in texts {
        writer.bulk(name);
        writer.bulk(text);
    }
    if !row.arguments.is_empty() {
        write_arguments(row.arguments, &mut writer);
    }
}

fn write_arguments(arguments: &[OwnArg], writer: &mut ReplyWriter<'_>) {
    writer.bulk("arguments");
    writer.array(arguments.len());
    for argument in arguments {
        write_argument(argument, writer);
    }
}

fn write_argument(argument: &OwnArg, writer: &mut ReplyWriter<'_>) {
    let is_group = matches!(argument.kind, ArgKind::OneOf | ArgKind::Block);
    let is_key = argument.kind == ArgKind::Key;
    let has_flags = argument.optional || argument.multiple;
    let fields = 2
        + usize::from(!is_group)
        + usize::from(is_key)
        + usize::from(argument.token.is_some())
        + usize::from(has_flags)
        + usize::from(!argument.children.is_empty());
    writer.map(fields);
    writer.bulk("name");
    writer.bulk(argument.name);
    writer.bulk("type");
    writer.bulk(argument.kind.name());
    if !is_group {
        // redis-cli 7.2 and later hint with this, 7.0 with the name.
        writer.bulk("display_text");
        writer.bulk(argument.name);
    }
    if is_key {
        writer.bulk("key_spec_index");
        writer.integer(0);
    }
    if let Some(token) = argument.token {
        writer.bulk("token");
        writer.bulk(token);
    }
    if has_flags {
        writer.bulk("flags");
        writer.set(usize::from(argument.optional) + usize::from(argument.multiple));
        if argument.optional {
            writer.simple("optional");
        }
        if argument.multiple {
            writer.simple("multiple");
        }
    }
    if !argument.children.is_empty() {
        write_arguments(argument.children, writer);
    }
}

/// Writes the reply to `FAMILY.HELP`: an array of simple strings in the style of `CLIENT HELP`.
///
/// The family's name is what its first command has before the dot.
pub fn help(rows: &[OwnRow], out: &mut Vec<u8>) {
    let family = rows
        .first()
        .and_then(|row| row.name.split('.').next())
        .unwrap_or_default();
    let help_name = format!("{family}.HELP");
    let rows: Vec<&OwnRow> = rows.iter().filter(|row| row.name != help_name).collect();
    let mut writer = ReplyWriter::new(out, Proto::Resp2);
    writer.array(rows.len() * 2 + 3);
    writer.simple(format!(
        "{family}.<command> [<arg> [value] [opt] ...]. Commands are:"
    ));
    for row in rows {
        writer.simple(row.syntax);
        writer.simple(format!("    {}.", row.summary));
    }
    writer.simple(help_name);
    writer.simple("    Prints this help.");
}

#[cfg(test)]
mod tests;
