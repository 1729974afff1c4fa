//! A request as the session looks at it. Does not decide where it goes.

use super::replies::Asks;
use crate::command::{Effects, Handling, Row, Table, arity_ok};
use crate::resp::Args;

/// A request with what is known about it.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) args: Args<'a>,
    /// Its bytes, multi-bulk.
    pub(super) raw: &'a [u8],
    /// The row of its name; none for a command of which nothing is known.
    pub(super) row: Option<&'a Row>,
    /// The row of the subcommand that it names, if it names one that has a row.
    pub(super) sub: Option<&'a Row>,
}

impl<'a> Request<'a> {
    /// Whether a command is the beginning of an HTTP request, as Redis tells them.
    pub(super) fn is_http(&self) -> bool {
        let name = &self.args[0];
        name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:")
    }

    #[inline]
    pub(super) fn new(args: Args<'a>, raw: &'a [u8], table: &'a Table) -> Self {
        let row = table.named_by(args);
        let sub = row
            .filter(|row| !row.subcommands.is_empty())
            .and_then(|row| row.subcommand(args.get(1)?));
        Request {
            args,
            raw,
            row,
            sub,
        }
    }

    /// What is known best about it: the subcommand's row, else the command's.
    #[inline]
    pub(super) fn leaf(&self) -> Option<&'a Row> {
        self.sub.or(self.row)
    }

    /// What is done with it; unknown commands are the backing's.
    #[inline]
    pub(super) fn handling(&self) -> Handling {
        self.leaf().map_or(Handling::Forward, |row| row.handling)
    }

    /// What it may do.
    #[inline]
    pub(super) fn effects(&self) -> Effects {
        self.leaf().map_or(Effects::ANYTHING, |row| row.effects)
    }

    /// Whether it is known to change nothing.
    #[inline]
    pub(super) fn only_reads(&self) -> bool {
        self.leaf().is_some_and(Row::is_readonly)
    }

    /// Whether it has as many arguments as its command takes.
    pub(super) fn arity_ok(&self) -> bool {
        self.leaf().is_none_or(|row| arity_ok(row, self.args.len()))
    }

    /// What kind of reply it asks for.
    #[inline]
    pub(super) fn asks(&self) -> Asks {
        match self.leaf() {
            Some(row) if row.is_write() => Asks::Status,
            _ => Asks::Value,
        }
    }
}
