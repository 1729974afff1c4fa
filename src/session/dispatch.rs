//! Takes input apart into requests and sends each where it belongs.
//!
//! Requests that go to the shared link one after the other are gathered into a run and handed over
//! as one slice. Anything else ends the run, so that a client's commands keep their order.

use std::sync::Arc;
use std::task::Context;

use super::batch::{Batch, Run, Step};
use super::cached::{Cover, needs_care};
use super::client::Session;
use super::input::READ_AHEAD;
use super::judging::Judged;
use super::key_read::KeyRead;
use super::pinned::Expect;
use super::plain::Plain;
use super::replies::{Asks, Cut, Then};
pub(super) use super::request::Request;
use super::settings::Settings;
use super::shared::WorkerStats;
use super::state::ReplyMode;
use crate::access::changes_access;
use crate::cache::Guard;
use crate::clock;
use crate::command::{Effects, Handling, Local, Pin};
use crate::latency::Kind;
use crate::resp::{Parsed, ReplyWriter, RequestParser, plain_get};
use crate::upstream::NodeId;

/// Something has to be done when such a command is answered: it goes in no run.
const APART: Effects = Effects::CHANGES_COMMANDS.union(Effects::TOLD_BY_INFO);
/// The largest request that takes a shared link: the least value of `proto-max-bulk-len` and of
/// `client-query-buffer-limit`. A backing whose limits a request breaks closes the connection that it
/// came on, and nobody else's commands may be on that one.
pub(super) const SHARED_BYTES: usize = 1024 * 1024;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// It is answered, or its answer is on the way.
    Done,
    /// It has to wait; try it again when the session is woken.
    Wait,
}

impl Flow {
    /// The same for a request of `len` bytes.
    fn step(self, len: usize) -> Step {
        match self {
            Flow::Done => Step::Done { len },
            Flow::Wait => Step::Wait,
        }
    }
}

impl Session {
    /// Handles the requests in `input`; returns how many bytes are done with.
    pub(super) fn process(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        self.front.waiting = false;
        if input.is_empty() {
            return 0;
        }
        let settings = self.worker.settings();
        let mut parser = std::mem::take(&mut self.front.parser);
        let (now, _held) = clock::hold();
        let mut batch = Batch {
            input,
            pos: 0,
            settings: &settings,
            now,
            hits: 0,
            run: Run::default(),
            monitored: self.worker.shared.is_monitored(),
            reads: None,
        };
        let asked = self.begin_times(batch.now);
        let mut requests = 0;
        let mut last = None;
        // In front of this as much waits to be handled as is read ahead, so the client may be held
        // up in sending, and read nothing until it is done.
        let relief = (input.len() + 1).saturating_sub(READ_AHEAD);
        let mut pressed = false;
        while batch.pos < input.len() && !self.front.closing {
            if pressed && batch.pos >= relief {
                pressed = false;
                self.replies.press(false);
            }
            let step = match self.step_plain_get(&parser, &mut batch, cx) {
                Some(step) => step,
                None => self.step(&mut parser, &mut batch, cx),
            };
            match step {
                Step::Done { len } => {
                    requests += 1;
                    last = Some(batch.pos);
                    batch.pos += len;
                }
                Step::Wait if !pressed && batch.pos < relief => {
                    pressed = true;
                    self.replies.press(true);
                }
                Step::Wait => {
                    self.front.waiting = true;
                    self.note_waiting(asked);
                    break;
                }
                Step::Incomplete => break,
            }
        }
        self.flush_run(input, &mut batch.run);
        self.coherence.note_packet(requests);
        let pos = batch.pos;
        self.replies.press(self.front.waiting && pos < relief);
        if batch.hits > 0 {
            self.replies.count_time(Kind::HIT, asked, batch.hits);
        }
        if let Some(at) = last {
            self.state.entry.touch(&input[at..], pos, requests);
            WorkerStats::add(&self.worker.stats().commands, requests);
        }
        self.front.parser = parser;
        pos
    }

    /// Handles the next request if it is a plain `GET` for the cache.
    #[inline]
    fn step_plain_get(
        &mut self,
        parser: &RequestParser,
        batch: &mut Batch<'_>,
        cx: &mut Context<'_>,
    ) -> Option<Step> {
        let rest = &batch.input[batch.pos..];
        let get = plain_get(rest)?;
        if !parser.is_between_requests() || batch.monitored {
            return None;
        }
        let may = match &batch.reads {
            Some(plain) => plain.may(get.key(rest)),
            None => self.reads_plainly(get.key(rest), batch),
        };
        may.then(|| self.read(KeyRead::get(get.key(rest)), get.len, batch, cx))
    }

    /// Handles the next request, whatever it is.
    fn step(
        &mut self,
        parser: &mut RequestParser,
        batch: &mut Batch<'_>,
        cx: &mut Context<'_>,
    ) -> Step {
        let reads = batch.reads.take();
        if self.families.is_occupied(&self.state.entry) {
            return Step::Wait;
        }
        let (input, settings) = (batch.input, batch.settings);
        // Authentication changes what is allowed, so this is looked at each time.
        let limits = self.request_limits(settings);
        let rest = &input[batch.pos..];
        let (len, flow) = match parser.parse(rest, &limits) {
            Ok(Parsed::Incomplete) => return Step::Incomplete,
            Ok(Parsed::Nothing { len }) => {
                self.flush_run(input, &mut batch.run);
                (len, Flow::Done)
            }
            Ok(Parsed::Request { len }) => {
                let raw = &rest[..len];
                let request = Request::new(parser.args(raw), raw, &settings.table);
                return self.step_request(request, len, reads, batch, cx);
            }
            Ok(Parsed::Inline { len, encoded }) => {
                self.flush_run(input, &mut batch.run);
                let request = Request::new(parser.args(&encoded), &encoded, &settings.table);
                let shown = batch.monitored && self.is_shown(request, settings);
                let in_multi = self.is_in_multi();
                let flow = self.handle(request, settings, cx);
                if shown && flow == Flow::Done {
                    self.show_request(request, in_multi);
                }
                (len, flow)
            }
            Err(error) => {
                self.flush_run(input, &mut batch.run);
                self.replies.reply(|out| {
                    let text = [b"ERR ".as_slice(), &error.to_bytes()].concat();
                    ReplyWriter::new(out, self.state.proto).error(text);
                });
                self.front.closing = true;
                return Step::Incomplete;
            }
        };
        flow.step(len)
    }

    /// Handles a request of `len` bytes at the front of the batch. `reads` is what is known of plain reads.
    fn step_request(
        &mut self,
        request: Request<'_>,
        len: usize,
        reads: Option<Plain>,
        batch: &mut Batch<'_>,
        cx: &mut Context<'_>,
    ) -> Step {
        let (input, settings) = (batch.input, batch.settings);
        let shown = batch.monitored && self.is_shown(request, settings);
        let in_multi = shown && self.is_in_multi();
        let step = if let Some(read) = self.cacheable(request, reads, batch) {
            self.read(read, len, batch, cx)
        } else if let Some(step) = self.read_many(request, len, batch) {
            step
        } else if self.may_join(&batch.run, request, settings) && self.joins(batch, request, cx) {
            if self.worker.caching.get() {
                batch
                    .run
                    .protect(request, self.state.db, &self.worker.cache);
            }
            batch.run.add(batch.pos, len);
            Step::Done { len }
        } else {
            self.flush_run(input, &mut batch.run);
            self.handle(request, settings, cx).step(len)
        };
        if shown && matches!(step, Step::Done { .. }) {
            self.show_request(request, in_multi);
        }
        step
    }

    /// Whether a request that may join the run does. One for another node begins a run of its own.
    fn joins(&mut self, batch: &mut Batch<'_>, request: Request<'_>, cx: &Context<'_>) -> bool {
        let directions = &self.worker.directions;
        let route = directions.route(request);
        let node = directions.node(route);
        let divided = directions.is_divided();
        // The run of another node goes first.
        if divided && batch.run.requests > 0 && batch.run.node != node {
            self.flush_run(batch.input, &mut batch.run);
            if self.front.closing {
                return false;
            }
        }
        if self.joins_run(&mut batch.run, request, (route, node), cx) {
            return true;
        }
        let again = divided && batch.run.requests > 0;
        if again {
            self.flush_run(batch.input, &mut batch.run);
        }
        again && !self.front.closing && self.joins_run(&mut batch.run, request, (route, node), cx)
    }

    /// Whether a request can simply follow the run to a shared link.
    fn may_join(&mut self, run: &Run, request: Request<'_>, settings: &Settings) -> bool {
        let plain = match request.leaf() {
            Some(row) => row.handling == Handling::Forward && !row.effects.intersects(APART),
            // It may leave state in its connection.
            None => false,
        };
        plain
            && request.raw.len() <= SHARED_BYTES
            && self.pinned.is_none()
            && self.parked.is_empty()
            && self.state.reply == ReplyMode::On
            && self.state.broken.is_none()
            && self.monitoring.is_none()
            && !self.is_subscribing()
            && self.worker.shared.pause.current().is_none()
            && self.may_forward(request, settings)
            && !self.spreads(request)
            && self.has_room(run.requests as usize, request.asks(), settings)
            && self.may_pass_fetches(request)
            && !(self.worker.caching.get() && needs_care(request))
            && !self.counts_subscribers(request)
    }

    /// Whether a command may go to the backing while replies are being fetched into the cache for
    /// this client: only a read that the cache has no place for, of another key.
    fn may_pass_fetches(&mut self, request: Request<'_>) -> bool {
        self.replies.later() == 0
            || KeyRead::of(request).is_some_and(|read| self.own_fetch(read.key).is_none())
    }

    pub(super) fn is_allowed(&self, request: Request<'_>, settings: &Settings) -> bool {
        let Request { args, row, sub, .. } = request;
        settings
            .access
            .check(self.state.user_id(), row, &args[0], sub, args)
            .is_ok()
            && !(settings.embedded && changes_access(row, args).is_some())
    }

    /// Whether one more reply of a request that `asks` for this may be outstanding besides `more`.
    pub(super) fn has_room(&self, more: usize, asks: Asks, settings: &Settings) -> bool {
        let most = self.replies.window(settings.limits.client_in_flight, asks);
        self.replies.outstanding() + self.replies.later() + more < most
            && !self.replies.is_full()
            && !self.is_clogged()
    }

    /// Whether the session's own connection takes no more requests now.
    fn is_clogged(&self) -> bool {
        self.pinned
            .as_ref()
            .is_some_and(|pinned| pinned.is_clogged())
    }

    pub(super) fn flush_run(&mut self, input: &[u8], run: &mut Run) {
        if run.requests > 0 {
            let run = std::mem::take(run);
            self.coherence.wrote |= run.wrote;
            let guard = run.guard.filter(|guard| !guard.is_empty());
            let bytes = &input[run.start..run.end];
            self.push(run.node, bytes, run.requests, Then::Pass, guard);
        }
    }

    pub(super) fn push(
        &mut self,
        node: NodeId,
        bytes: &[u8],
        requests: u32,
        then: Then,
        guard: Option<Guard>,
    ) {
        let then = (then, guard);
        let shared = self.front.share(bytes);
        self.ways
            .send(node, (bytes, shared), requests, &self.replies, then);
        WorkerStats::add(&self.worker.stats().forwarded, u64::from(requests));
        self.front.closing |= self.replies.is_ending();
    }

    /// Sends one request to the shared link.
    pub(super) fn forward(&mut self, raw: &[u8], then: Then, cx: &Context<'_>) -> Flow {
        self.forward_to(false, raw, then, cx)
    }

    /// As [`Session::forward`], of a request that may only read.
    pub(super) fn forward_to(
        &mut self,
        reads: bool,
        raw: &[u8],
        then: Then,
        cx: &Context<'_>,
    ) -> Flow {
        debug_assert!(
            self.pinned.is_none(),
            "its commands would take effect in another order"
        );
        if !self.route_at_hand(self.ways.to, reads, cx) {
            return Flow::Wait;
        }
        let cover = std::mem::take(&mut self.coherence.cover);
        let then = self.fenced(then, cover.fence, self.is_silent());
        self.push(self.ways.to, raw, 1, then, cover.guard);
        Flow::Done
    }

    /// Sends one request that leaves no state to wherever this session's requests go now.
    pub(super) fn ask(&mut self, raw: &[u8], then: Then, cx: &Context<'_>) -> Flow {
        if self.pinned.is_some() {
            self.send_for(raw, Expect::Plain, then)
        } else {
            self.forward(raw, then, cx)
        }
    }

    fn handle(&mut self, request: Request<'_>, settings: &Settings, cx: &mut Context<'_>) -> Flow {
        if !self.has_room(0, request.asks(), settings) || self.is_paused(request, settings) {
            return Flow::Wait;
        }
        let ours = matches!(request.handling(), Handling::Local(_) | Handling::Family(_));
        if !ours && !self.may_pass_fetches(request) {
            return Flow::Wait;
        }
        self.aim(request);
        let skipping = self.state.reply == ReplyMode::SkipNext;
        let flow = self.route(request, settings, cx);
        self.coherence.cover = Cover::default();
        if flow == Flow::Done {
            self.state.reply = match self.state.reply {
                ReplyMode::SkipNext if skipping => ReplyMode::On,
                ReplyMode::SkipAfterThis => ReplyMode::SkipNext,
                mode => mode,
            };
        }
        flow
    }

    fn route(&mut self, request: Request<'_>, settings: &Settings, cx: &mut Context<'_>) -> Flow {
        let Request { args, row, .. } = request;
        // Also where a server lists them (6.2): it closes the connection that they come on.
        if request.is_http() {
            self.replies.cut_off(Cut::Http);
            self.front.closing = true;
            return Flow::Done;
        }
        if self.awaits_transaction() {
            return Flow::Wait;
        }
        match self.judge(request, settings, cx) {
            Judged::Allowed => {}
            Judged::Denied(denied) => return self.reject(request, &denied, cx),
            Judged::Refused(text) => return self.refuse_with(text),
            Judged::Wait => return Flow::Wait,
        }
        if settings.embedded
            && let Some(denied) = changes_access(row, args)
        {
            return self.reject(request, &denied, cx);
        }
        if let Some(broken) = self.state.broken
            && let Some(flow) = self.in_broken_transaction(broken, request, settings, cx)
        {
            return flow;
        }
        if self.is_barred(request, settings) && request.arity_ok() {
            return self.refuse_with("ERR Replica can't interact with the keyspace");
        }
        if let Some(text) = self.unserved(request, settings) {
            return self.refuse_with(text);
        }
        if let Some(flow) = self.route_subscribed(request, settings) {
            return flow;
        }
        self.note_script(request);
        self.changes_info |= request.effects().contains(Effects::TOLD_BY_INFO);
        self.prepare_cover(request);
        if self.worker.directions.is_divided() {
            let own = self.route_to_own(request, settings, cx);
            if let Some(flow) = own.or_else(|| self.spread(request, settings, cx)) {
                return flow;
            }
        } else if self.pinned.is_some() {
            return self.route_pinned(request, settings, cx);
        }
        match request.handling() {
            Handling::Forward if request.effects().contains(Effects::CHANGES_COMMANDS) => {
                let backing = Arc::clone(&self.worker.shared.backing);
                let learn = move |reply: &[u8], out: &mut Vec<u8>| {
                    out.extend_from_slice(reply);
                    backing.look_again();
                };
                self.forward(request.raw, Then::Rewrite(Box::new(learn)), cx)
            }
            Handling::Forward if self.counts_subscribers(request) => {
                let then = self.with_subscribers(request).unwrap_or(Then::Pass);
                self.forward_to(request.only_reads(), request.raw, then, cx)
            }
            Handling::Forward if self.asks_for_push(request) => {
                self.forward_alone(request, settings, cx)
            }
            Handling::Forward if request.leaf().is_none() => {
                self.forward_unknown(request, settings, cx)
            }
            Handling::Forward if request.raw.len() > SHARED_BYTES => {
                self.forward_alone(request, settings, cx)
            }
            Handling::Forward => {
                let then = match self.coherence.late {
                    true => self.cover_late(request),
                    false => Then::Pass,
                };
                self.forward_to(request.only_reads(), request.raw, then, cx)
            }
            Handling::Local(local) => self.local(local, request, settings, cx),
            Handling::Pin(pin) => self.pin(pin, request, settings, cx),
            Handling::Family(family) => self.family(family, request),
        }
    }

    /// Works out what a command that goes to the backing needs so that the cache stays true.
    fn prepare_cover(&mut self, request: Request<'_>) {
        let handling = request.handling();
        let passed_on = handling == Handling::Local(Local::Cluster);
        if matches!(handling, Handling::Local(_) | Handling::Family(_)) && !passed_on {
            return;
        }
        self.coherence.wrote |= !request.effects().contains(Effects::READ_ONLY);
        let queueing = self.pinned.as_ref().is_some_and(|pinned| pinned.in_multi());
        let executes = handling == Handling::Pin(Pin::Exec);
        if self.coherence.late {
            // When the reply is in.
        } else if queueing && !executes {
            self.coherence.note_queued(request, self.state.db);
        } else {
            let (db, node) = (self.state.db, self.ways.to);
            self.coherence.cover = self.coherence.cover(request, db, node, &self.worker.cache);
        }
    }
}
