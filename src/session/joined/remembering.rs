//! Scripts are known at every node: what clients load or run is remembered, and loaded over each connection before it
//! is called by its name there for the first time.
//!
//! In front of the call, since behind it more of the client's may be on its way, which must not overtake. Only a call
//! with nothing behind it is made again when a node has forgotten the script.

use std::task::Context;

use crate::command::Effects;
use crate::resp::{Args, parse_reply, write_command};
use crate::session::client::Session;
use crate::session::dispatch::Flow;
use crate::session::replies::Then;
use crate::session::request::Request;
use crate::session::scripts::digest;
use crate::session::worker::Worker;
use crate::upstream::{Link, NodeId};

impl Session {
    /// Remembers the script in a command that the client may send.
    #[inline]
    pub(in crate::session) fn note_script(&self, request: Request<'_>) {
        let scripts = Effects::RUNS_SCRIPTS.union(Effects::SPREADS);
        if self.worker.directions.is_divided() && request.effects().intersects(scripts) {
            self.remember_script(request);
        }
    }

    /// Calls a script at a node, which is given it first if it may not know it.
    #[cold]
    pub(in crate::session) fn call_script_at(
        &mut self,
        node: NodeId,
        request: Request<'_>,
        cx: &Context<'_>,
    ) -> Flow {
        if !self.route_at_hand(node, false, cx) {
            return Flow::Wait;
        }
        let load = |link: &Link| self.worker.load_for(request.args, link, false);
        self.ways.send_before(node, load);
        let cover = std::mem::take(&mut self.coherence.cover);
        let then = self.fenced(Then::Pass, cover.fence, self.is_silent());
        self.push(node, request.raw, 1, then, cover.guard);
        Flow::Done
    }

    #[cold]
    fn remember_script(&self, request: Request<'_>) {
        let at = match request.leaf().map_or("", |row| &*row.name) {
            "eval" | "eval_ro" => 1,
            "script|load" => 2,
            _ => return,
        };
        if let Some(body) = request.args.get(at).filter(|_| request.arity_ok()) {
            self.worker.shared.scripts.remember(body);
        }
    }
}

impl Worker {
    /// What has to be sent over a link before a request, so that its node knows the script which this one calls by
    /// its name. `again`: although it was sent before.
    pub(in crate::session) fn load_for(
        &self,
        args: Args<'_>,
        link: &Link,
        again: bool,
    ) -> Option<Vec<u8>> {
        let name = args.get(0)?;
        if !name.eq_ignore_ascii_case(b"EVALSHA") && !name.eq_ignore_ascii_case(b"EVALSHA_RO") {
            return None;
        }
        let digest = digest(args.get(1)?)?;
        let scripts = &self.shared.scripts;
        let epoch = scripts.epoch_of(&digest)?;
        if !link.is_to_do(epoch, digest) && !again {
            return None;
        }
        let (body, _) = scripts.body_of(&digest)?;
        let mut load = Vec::new();
        write_command(&mut load, &[b"SCRIPT", b"LOAD", &body]);
        Some(load)
    }

    /// What `SCRIPT EXISTS` says of all nodes: a script that is remembered is known, too.
    pub(super) fn with_remembered(&self, reply: Vec<u8>, words: &[Vec<u8>]) -> Vec<u8> {
        let Ok(Some((value, _))) = parse_reply(&reply) else {
            return reply;
        };
        let Some(known) = value.as_array() else {
            return reply;
        };
        let mut out = format!("*{}\r\n", known.len()).into_bytes();
        for (known, name) in known.iter().zip(words.iter().skip(2)) {
            let known = known.as_int() == Some(1) || self.shared.scripts.knows(name);
            out.extend_from_slice(if known { b":1\r\n" } else { b":0\r\n" });
        }
        out
    }
}
