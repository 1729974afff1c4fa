//! Redis' own commands as they are known before a backing has said anything, and when it refuses to.
//!
//! `redis_commands.txt` holds 7.0's, and what 6.2 and 8.2 have besides, so that a rule about a category
//! and the cache know what a command is in any case. A backing's own list replaces all of it.

use super::flags::{Categories, Flags};
use super::read_rows::{handling, keys};
use super::row::Row;

/// Lines of `name arity flags first,last,step categories`; a subcommand is `container|sub`.
const COMMANDS: &str = include_str!("redis_commands.txt");

/// Makes the rows of all commands, subcommands in their containers.
pub(super) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(256);
    for row in lines().filter_map(read) {
        match row.name.split_once('|') {
            // A container comes before its subcommands.
            Some((container, sub)) => {
                if let Some(last) = rows.last_mut().filter(|last| &*last.name == container) {
                    last.subcommands.insert(sub.as_bytes().into(), row);
                }
            }
            None => rows.push(row),
        }
    }
    rows
}

fn lines() -> impl Iterator<Item = &'static str> {
    COMMANDS.lines().filter(|line| !line.starts_with('#'))
}

/// Reads a line; none when it is not one, which a test excludes.
fn read(line: &'static str) -> Option<Row> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let arity = words.next()?.parse().ok()?;
    let flags: Flags = names(words.next()?).filter_map(Flags::by_name).collect();
    let mut range = words.next()?.split(',').map(str::parse::<i32>);
    let mut number = || range.next()?.ok();
    let range = (number()?, number()?, number()?);
    let categories: Categories = names(words.next()?)
        .filter_map(Categories::by_name)
        .collect();
    Some(Row {
        keys: keys(name, flags, range, None),
        handling: handling(name, flags),
        categories: match categories.is_empty() {
            true => Categories::implied_by(flags),
            false => categories,
        },
        name: name.into(),
        arity,
        flags,
        ..Row::default()
    })
}

/// The names in a list; `-` is an empty one.
fn names(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split(',').filter(|name| *name != "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_none_is_lost() {
        let mut rows = rows();
        let count: usize = rows.iter().map(|row| 1 + row.subcommands.len()).sum();
        assert_eq!(count, lines().count());
        rows.iter_mut().for_each(super::super::settle::settle);
        for line in lines() {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words.len(), 5, "{line}");
            for flag in names(words[2]) {
                assert!(Flags::by_name(flag).is_some(), "{line}");
            }
            for category in names(words[4]) {
                assert!(Categories::by_name(category).is_some(), "{line}");
            }
        }
    }
}
