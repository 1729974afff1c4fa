//! `INFO`: whoever knows it answers from memory, or the backing is asked.

use std::fmt::Display;
use std::sync::atomic::AtomicU64;
use std::task::Context;
use std::time::UNIX_EPOCH;

use super::client::Session;
use super::cluster_command::{other_mode, with_mode};
use super::dispatch::Flow;
use super::replies::{Rewrite, Then};
use super::request::Request;
use super::shared::{Shared, WorkerStats};
use crate::access::DeniedReason;
use crate::command::{AboutRespite, Call, InfoAnswer};
use crate::resp::{ArgVec, Proto, ReplyWriter, parse_reply};
use crate::tasks;
use crate::upstream::HOME;

/// What `INFO` of a shard is by its other name.
const SHARD_INFO: &[u8] = b"SHARD.INFO";

impl Session {
    /// Tells that `INFO` is out of date, as long as commands that change what it tells are answered. It is told
    /// before what came meanwhile is written, so nobody can have seen a reply of which this does not know.
    pub(super) fn note_changed_info(&mut self) {
        if !self.changes_info {
            return;
        }
        self.worker.shared.info.changed();
        // A `REPLICAOF`, say: it may answer `PING` with an error from now on.
        self.worker.shared.backing.distrust();
        let queued = self.pinned.as_ref().is_some_and(|pinned| pinned.in_multi());
        self.changes_info = queued || self.replies.outstanding() + self.replies.held() > 0;
    }

    /// The mode that `INFO` has to name, where it is not the backing's own.
    fn other_mode(&self) -> Option<&'static str> {
        other_mode(&self.worker.settings(), &self.worker.shared.backing)
    }

    pub(super) fn info(&mut self, request: Request<'_>, cx: &mut Context<'_>) -> Flow {
        if self.changes_info {
            self.note_changed_info();
            if self.changes_info {
                // What the client itself has asked for comes first.
                return Flow::Wait;
            }
        }
        let proto = self.state.proto;
        let rights = self.rights();
        let call = Call {
            args: request.args,
            proto,
            db: self.state.db,
            caller: &self.families.as_caller.caller,
            rights: &rights,
        };
        let source = &self.worker.shared.info;
        let mode = (!source.names_shard(&call))
            .then(|| self.other_mode())
            .flatten();
        let waker = cx.waker();
        if rights.are_restricted() && source.names_shard(&call) {
            let settings = self.worker.settings();
            let row = settings.table.get(SHARD_INFO);
            let asked = [SHARD_INFO].into_iter().collect::<ArgVec>();
            let user = self.state.user_id();
            if let Err(denied) = self.check_known(&settings, row, asked.as_args()) {
                self.note_refusal(b"INFO", (DeniedReason::Command, b"shard.info"), user);
                return self.answer_error(self.words_of(&denied));
            }
        }
        let answer = if self.is_silent() {
            source.info(&call, waker, &mut Vec::new())
        } else if let Some(mode) = mode {
            let mut info = Vec::new();
            let answer = source.info(&call, waker, &mut info);
            if matches!(answer, InfoAnswer::Given) {
                self.replies.reply(|out| with_mode(&info, mode, proto, out));
            }
            answer
        } else {
            self.replies.reply(|out| source.info(&call, waker, out))
        };
        let own = match answer {
            InfoAnswer::Given => return Flow::Done,
            InfoAnswer::Wait => return Flow::Wait,
            InfoAnswer::Ask { own: None } => {
                let then = match mode {
                    Some(mode) => Then::Rewrite(Box::new(move |backing, out| {
                        with_mode(backing, mode, proto, out);
                    })),
                    None => Then::Pass,
                };
                return self.ask(request.raw, then, cx);
            }
            InfoAnswer::Ask { own: Some(own) } => own,
        };
        let sections = request.args.iter().skip(1);
        let mut words: Vec<&[u8]> = vec![b"INFO"];
        words.extend(sections.filter(|section| !section.eq_ignore_ascii_case(b"respite")));
        let rewrite: Rewrite = match mode {
            Some(mode) => Box::new(move |backing, out| {
                let mut shown = Vec::new();
                with_mode(backing, mode, proto, &mut shown);
                append(&shown, &own, proto, out);
            }),
            None => Box::new(move |backing, out| append(backing, &own, proto, out)),
        };
        self.ask_words(&words, Then::Rewrite(rewrite), cx)
    }
}

/// Writes the backing's reply with one more section at its end.
fn append(backing: &[u8], own: &str, proto: Proto, out: &mut Vec<u8>) {
    let reply = parse_reply(backing).ok().flatten();
    let Some(text) = reply.as_ref().and_then(|(value, _)| value.as_bytes()) else {
        out.extend_from_slice(backing);
        return;
    };
    let mut whole = Vec::with_capacity(text.len() + own.len() + 2);
    whole.extend_from_slice(text);
    if !text.is_empty() {
        whole.extend_from_slice(b"\r\n");
    }
    whole.extend_from_slice(own.as_bytes());
    ReplyWriter::new(out, proto).verbatim("txt", &whole);
}

impl AboutRespite for Shared {
    fn fields(&self, put: &mut dyn FnMut(&'static str, &dyn Display)) {
        let settings = self.settings();
        let version = settings.hello.as_ref().map(|hello| hello.version.as_str());
        let total = |counter: fn(&WorkerStats) -> &AtomicU64| self.total(counter);
        put("uptime_in_seconds", &self.started.elapsed().as_secs());
        put("process_id", &std::process::id());
        put("panics", &tasks::total());
        put("backing", &self.backing.address());
        put("backing_version", &version.unwrap_or_default());
        put("backing_usable", &u8::from(self.backing.is_ready()));
        let topology = self.backing.topology();
        let since = topology.node(HOME).map_or(UNIX_EPOCH, |home| home.since);
        let since = since
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        put("backing_since_unix_time", &since);
        if self.backing.is_cluster() {
            let figures = self.backing.figures();
            put("backing_masters", &figures.masters);
            put("backing_masters_up", &figures.masters_up);
            put("backing_replicas", &figures.replicas);
            put("backing_slots_served", &figures.slots_served);
            put("backing_map_version", &figures.map_version);
            put("backing_map_refreshes", &figures.map_refreshes);
            let (mut moved, mut ask, mut not_now) = (0, 0, 0);
            for (kind, count) in figures.redirects {
                match kind {
                    "moved" => moved += count,
                    "ask" => ask += count,
                    _ => not_now += count,
                }
            }
            put("backing_redirects_moved", &moved);
            put("backing_redirects_ask", &ask);
            put("backing_redirects_not_now", &not_now);
        }
        put("connected_clients", &self.clients.len());
        let connections = self.clients.total_connections();
        put("total_connections_received", &connections);
        put("rejected_connections", &self.clients.total_rejected());
        put("total_commands_processed", &total(|stats| &stats.commands));
        put("total_commands_forwarded", &total(|stats| &stats.forwarded));
        put("pinned_connections", &self.pinned.used());
        put("idle_pinned_connections", &self.pinned.idle());
        for (name, number) in self.cache.summary() {
            put(name, &number);
        }
        put("total_pins", &total(|stats| &stats.pins));
        let opened = total(|stats| &stats.pins_opened);
        put("total_pinned_connections_opened", &opened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_a_section_and_passes_errors() {
        let mut out = Vec::new();
        append(
            b"$11\r\n# A\r\nb:c\r\n\r\n",
            "# Respite\r\n",
            Proto::Resp2,
            &mut out,
        );
        // 11 bytes announced, 10 there: not a reply, so it passes.
        assert_eq!(out, b"$11\r\n# A\r\nb:c\r\n\r\n");
        out.clear();
        append(
            b"$10\r\n# A\r\nb:c\r\n\r\n",
            "# Respite\r\n",
            Proto::Resp2,
            &mut out,
        );
        assert_eq!(out, b"$23\r\n# A\r\nb:c\r\n\r\n# Respite\r\n\r\n");
        out.clear();
        append(b"-LOADING x\r\n", "# Respite\r\n", Proto::Resp3, &mut out);
        assert_eq!(out, b"-LOADING x\r\n");
    }
}
