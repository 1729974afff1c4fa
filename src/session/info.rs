//! `INFO`: what the backing says of itself, with a section about Respite.

use std::fmt::Write;
use std::task::Context;

use super::dispatch::{Flow, Request};
use super::replies::{Rewrite, Then};
use super::run::Session;
use super::shared::{Settings, Shared};
use crate::resp::{Proto, ReplyWriter, parse_reply};

impl Session {
    pub(super) fn info(
        &mut self,
        request: Request<'_>,
        _settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let sections: Vec<&[u8]> = request.args.iter().skip(1).collect();
        let is = |section: &[u8], name: &str| section.eq_ignore_ascii_case(name.as_bytes());
        let asks_all = |section: &[u8]| {
            ["default", "all", "everything"]
                .iter()
                .any(|n| is(section, n))
        };
        let named = sections.iter().any(|section| is(section, "respite"));
        if !named && !sections.is_empty() && !sections.iter().any(|s| asks_all(s)) {
            return self.ask(request.raw, Then::Pass, cx);
        }
        let others: Vec<&[u8]> = sections
            .iter()
            .copied()
            .filter(|s| !is(s, "respite"))
            .collect();
        let own = section(&self.worker.shared);
        if named && others.is_empty() {
            self.answer(|reply| reply.verbatim("txt", own.as_bytes()));
            return Flow::Done;
        }
        let proto = self.state.proto;
        let rewrite: Rewrite = Box::new(move |backing, out| append(backing, &own, proto, out));
        let mut words: Vec<&[u8]> = vec![b"INFO"];
        words.extend(others);
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

/// The section about Respite.
fn section(shared: &Shared) -> String {
    let hello = shared.settings().hello.clone();
    let version = hello.map_or_else(String::new, |hello| hello.version.clone());
    let uptime = shared.started.elapsed().as_secs();
    let lines: [(&str, String); 12] = [
        ("respite_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("process_id", std::process::id().to_string()),
        ("uptime_in_seconds", uptime.to_string()),
        ("backing", shared.backing.address()),
        ("backing_version", version),
        (
            "backing_usable",
            u8::from(shared.backing.is_ready()).to_string(),
        ),
        ("connected_clients", shared.clients.len().to_string()),
        (
            "total_connections_received",
            shared.clients.total_connections().to_string(),
        ),
        (
            "rejected_connections",
            shared.clients.total_rejected().to_string(),
        ),
        (
            "total_commands_processed",
            shared.total(|stats| &stats.commands).to_string(),
        ),
        (
            "total_commands_forwarded",
            shared.total(|stats| &stats.forwarded).to_string(),
        ),
        ("pinned_connections", shared.pinned.get().to_string()),
    ];
    let mut text = String::from("# Respite\r\n");
    for (name, value) in lines {
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}:{value}\r\n");
    }
    for (name, number) in shared.cache.summary() {
        let _ = write!(text, "{name}:{number}\r\n");
    }
    let pins = shared.total(|stats| &stats.pins);
    let opened = shared.total(|stats| &stats.pins_opened);
    let _ = write!(
        text,
        "total_pins:{pins}\r\ntotal_pinned_connections_opened:{opened}\r\n"
    );
    text
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
