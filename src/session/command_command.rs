//! `COMMAND`: the commands of the backing and Respite's own, together.

use std::task::Context;

use super::client::Session;
use super::dispatch::Flow;
use super::replies::{Rewrite, Then};
use super::request::Request;
use super::settings::Settings;
use crate::command::{
    OwnRow, merge_all, merge_count, merge_docs, merge_list, own_getkeys, split_names,
};
use crate::resp::write_command;

impl Session {
    pub(super) fn command(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let args = request.args;
        let own = self.worker.shared.own_rows();
        let proto = self.state.proto;
        let sub = args.get(1).unwrap_or_default().to_ascii_uppercase();
        let rewrite: Rewrite = match (sub.as_slice(), args.len()) {
            (b"", 1) | (b"INFO", 2) => {
                Box::new(move |backing, out| merge_all(backing, &own, proto, out))
            }
            (b"DOCS", 2) => Box::new(move |backing, out| merge_docs(backing, &own, proto, out)),
            (b"COUNT", 2) => Box::new(move |backing, out| merge_count(backing, own.len(), out)),
            (b"LIST", _) => {
                let args = args.to_owned();
                Box::new(move |backing, out| merge_list(backing, args.as_args(), &own, out))
            }
            (b"INFO" | b"DOCS", _) => return self.command_by_name(request, &own, settings, cx),
            (b"GETKEYS" | b"GETKEYSANDFLAGS", _) => {
                let named = args
                    .get(2)
                    .and_then(|name| own.iter().find(|row| row.is_named(name)));
                let Some(row) = named else {
                    return self.ask(request.raw, Then::Pass, cx);
                };
                let mut out = Vec::new();
                own_getkeys(row, args, &mut out);
                self.answer(|reply| reply.raw(&out));
                return Flow::Done;
            }
            _ => return self.ask(request.raw, Then::Pass, cx),
        };
        self.ask(request.raw, Then::Rewrite(rewrite), cx)
    }

    /// `COMMAND INFO` or `DOCS` of named commands, some of which may be our own.
    fn command_by_name(
        &mut self,
        request: Request<'_>,
        own: &[&'static OwnRow],
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let find = |name: &[u8]| own.iter().copied().find(|row| row.is_named(name));
        let Some(split) = split_names(request.args, find) else {
            return self.ask(request.raw, Then::Pass, cx);
        };
        let (entry_len, proto) = (settings.table.entry_len(), self.state.proto);
        match split.request().map(<[u8]>::to_vec) {
            None => {
                let mut out = Vec::new();
                split.splice(&[], entry_len, proto, &mut out);
                self.answer(|reply| reply.raw(&out));
                Flow::Done
            }
            Some(rest) => {
                let rewrite: Rewrite =
                    Box::new(move |backing, out| split.splice(backing, entry_len, proto, out));
                self.ask(&rest, Then::Rewrite(rewrite), cx)
            }
        }
    }

    /// Asks the backing for something that is put together here.
    pub(super) fn ask_words(&mut self, words: &[&[u8]], then: Then, cx: &mut Context<'_>) -> Flow {
        let mut request = Vec::new();
        write_command(&mut request, words);
        self.ask(&request, then, cx)
    }
}
