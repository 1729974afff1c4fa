//! How a read is answered: from the cache, by a fetch into it, or by the backing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Context;
use std::time::Instant;

use super::batch::{Batch, Run, Step};
use super::client::Session;
use super::dispatch::SHARED_BYTES;
use super::key_read::KeyRead;
use super::plain::Plain;
use super::replies::Asks;
use super::request::Request;
use super::settings::Settings;
use super::state::ReplyMode;
use crate::cache::{Lookup, Query, Waiter};
use crate::resp::PLAIN_GET_MAX;
use crate::upstream::{Fetch, FillLink, Ticket};

impl Session {
    /// Whether this session's `GET`s may be answered from the cache now.
    pub(super) fn may_use_cache(&mut self, run: &Run) -> bool {
        self.worker.caching.get()
            && self.pinned.is_none()
            && self.parked.is_empty()
            && self.state.reply == ReplyMode::On
            && self.state.broken.is_none()
            && self.monitoring.is_none()
            && !self.listens()
            && !run.wrote
            && !self.coherence.writes_pending(&self.replies)
            && self.worker.shared.pause.current().is_none()
    }

    /// Whether a plain `GET` needs no other check than [`Session::may_use_cache`].
    fn may_read_plainly(&mut self, run: &Run, settings: &Settings) -> Plain {
        let may = settings.limits.bulk_bytes >= PLAIN_GET_MAX
            && settings.limits.request_bytes >= PLAIN_GET_MAX
            && self.may_use_cache(run);
        match may {
            true => self.plain_reads(settings),
            false => Plain::No,
        }
    }

    /// What a request reads, if the cache may answer it now.
    #[inline]
    pub(super) fn cacheable<'a>(
        &mut self,
        request: Request<'a>,
        reads: Option<Plain>,
        batch: &mut Batch<'_>,
    ) -> Option<KeyRead<'a>> {
        let read = KeyRead::of(request)?;
        if request.raw.len() > SHARED_BYTES {
            return None;
        }
        let plain = reads.unwrap_or_else(|| self.may_read_plainly(&batch.run, batch.settings));
        // What a user may read with `GET` says nothing of the other reads.
        let may = match &plain {
            Plain::Every => true,
            Plain::By(rules) => self.worker.check(rules, request).is_ok(),
            Plain::No | Plain::All => {
                self.may_use_cache(&batch.run) && self.may_be_told(request, batch.settings)
            }
        };
        batch.reads = Some(plain).filter(|plain| may && !matches!(plain, Plain::No | Plain::All));
        may.then_some(read)
    }

    /// Finds out which plain reads may use the cache, and whether that of a key may.
    #[inline(never)]
    pub(super) fn reads_plainly(&mut self, key: &[u8], batch: &mut Batch<'_>) -> bool {
        let plain = self.may_read_plainly(&batch.run, batch.settings);
        let may = plain.may(key);
        batch.reads = Some(plain);
        may
    }

    /// Answers a read of `len` bytes that the client may send, or sees to it that it is answered.
    pub(super) fn read(
        &mut self,
        read: KeyRead<'_>,
        len: usize,
        batch: &mut Batch<'_>,
        cx: &Context<'_>,
    ) -> Step {
        let key = read.key;
        let (input, run) = (batch.input, &mut batch.run);
        if self.families.is_occupied(&self.state.entry) {
            return Step::Wait;
        }
        let idle = self.replies.is_idle() && run.requests == 0;
        if self.replies.is_full()
            || (!idle && !self.has_room(run.requests as usize, Asks::Value, batch.settings))
        {
            return Step::Wait;
        }
        // What is in the run has a place of its own in front.
        let ticket = self.replies.next_ticket(usize::from(run.requests > 0));
        let behind = batch.pos + len < input.len();
        let awaited = self.own_fetch(key);
        let mut late = Vec::new();
        let found = if run.requests == 0 {
            let replies = Rc::clone(&self.replies);
            replies.reply(|out| self.look_up(read, awaited, (batch.now, behind), out, ticket))
        } else {
            // What is in the run is answered first.
            self.look_up(read, awaited, (batch.now, behind), &mut late, ticket)
        };
        match found {
            Lookup::Hit => {
                batch.hits += 1;
                self.coherence.count_hit();
                if run.requests > 0 {
                    self.flush_run(input, run);
                    self.replies.reply(|out| out.append(&mut late));
                }
            }
            Lookup::Large(bytes) => {
                batch.hits += 1;
                self.coherence.count_hit();
                self.flush_run(input, run);
                self.replies.reply_shared(bytes);
            }
            Lookup::Joined(token) => {
                self.note_fetch(ticket, key, token);
                self.fetch(None, ticket, input, run);
            }
            Lookup::Lead(token) => {
                self.note_fetch(ticket, key, token);
                self.fetch(Some(read.fetch(token)), ticket, input, run);
            }
            Lookup::Wait => return Step::Wait,
            // Behind a fetch of this client's own, it might overtake it.
            Lookup::Busy if self.replies.later() > 0 => return Step::Wait,
            found @ (Lookup::Busy | Lookup::Bypass | Lookup::Measure) => {
                if let (Lookup::Measure, Some(fill)) = (found, self.coherence.fill()) {
                    fill.measure(key);
                }
                let directions = &self.worker.directions;
                let route = directions.route_of_key(key);
                if self.ways.several.holds(route.slot(), &self.replies) {
                    return Step::Wait;
                }
                let node = directions.node(route);
                if run.requests > 0 && run.node != node {
                    self.flush_run(input, run);
                }
                if run.requests == 0 && !self.route_to_link(node, true, cx) {
                    return Step::Wait;
                }
                run.node = node;
                run.pass(read, self.state.db, &self.worker.cache);
                run.add(batch.pos, len);
            }
        }
        Step::Done { len }
    }

    #[inline]
    fn look_up(
        &mut self,
        read: KeyRead<'_>,
        awaited: Option<u64>,
        (now, behind): (Instant, bool),
        out: &mut Vec<u8>,
        ticket: Ticket,
    ) -> Lookup {
        let worker = &self.worker;
        let (db, proto) = (self.state.db, self.state.proto);
        let mut name = worker.variant.borrow_mut();
        let dear = read.other().is_some_and(|(readable, _)| readable.dear);
        let variant = read.other().map(|(readable, request)| {
            readable.write_variant(request.args, &mut name);
            (name.as_slice(), readable.shape_of(request.args.len()))
        });
        let query = Query {
            db,
            key: read.key,
            variant,
            dear,
            hurried: behind && self.coherence.is_in_a_hurry(),
            proto,
            now,
            awaited,
        };
        let sole = worker.directions.sole();
        if let Some(node) = sole {
            // Also for a hit: another worker's link may have brought it, and this one's is wanted next.
            self.coherence.want_fill(node, db, worker);
        }
        // Behind a cluster only a miss asks which node has the key. Nothing is opened while the cache is locked.
        let (coherence, to_open) = (RefCell::new(&mut self.coherence), Cell::new(None));
        let can_fill = || {
            let mut coherence = coherence.borrow_mut();
            let fill = match sole {
                Some(_) => coherence.fill(),
                None => {
                    let node = worker.directions.node_of_key(read.key);
                    to_open.set(Some(node));
                    coherence.open_fill(node, db, worker)
                }
            };
            fill.is_some_and(FillLink::can_fetch)
        };
        let waiter = || Waiter {
            worker: worker.index,
            session: self.state.entry.id,
            ticket: ticket.0,
            proto,
            part: false,
        };
        let mut full_key = worker.full_key.borrow_mut();
        let found = (worker.cache).lookup(query, &mut full_key, out, can_fill, waiter);
        if let Some(node) = to_open.get() {
            self.coherence.fill_from(node, db, worker);
        }
        found
    }

    /// The fetch of a key that this client still waits for.
    #[inline]
    pub(super) fn own_fetch(&mut self, key: &[u8]) -> Option<u64> {
        (self.coherence).own_fetch(key, &self.worker.cache, &self.replies)
    }

    fn note_fetch(&mut self, ticket: Ticket, key: &[u8], token: u64) {
        let cache = &self.worker.cache;
        self.coherence
            .note_fetch(ticket, key, token, cache, &self.replies);
    }

    /// Takes the place of a reply that is fetched, and sends the fetch unless somebody else has.
    fn fetch(&mut self, fetch: Option<Fetch>, ticket: Ticket, input: &[u8], run: &mut Run) {
        self.flush_run(input, run);
        let taken = self.replies.expect_later();
        debug_assert!(taken == ticket || self.replies.is_ending());
        if let (Some(fetch), Some(fill)) = (fetch, self.coherence.fill()) {
            fill.fetch(fetch);
        }
    }
}
