//! Reads of many keys: from the cache if all of it is there, else once the rest has been fetched.
//!
//! The keys that are missing are fetched like any others, each for whoever wants it. When the last of them is in, the
//! cache is asked again for the whole; what it cannot answer then goes to the backing as it is.
//!
//! That the values are of one instant is the cache's matter.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use super::batch::{Batch, Step};
use super::client::Session;
use super::gathers::Gather;
use super::replies::Asks;
use super::request::Request;
use super::worker::Worker;
use crate::cache::{Brought, Cache, Gathered, Lease, Look, Lookup, ManyQuery, Waiter, Wanted};
#[cfg(feature = "mutants")]
use crate::cache::{Mutant, is_active};
use crate::command::Many;
use crate::config::CacheMode;
use crate::resp::{Args, write_command};
use crate::upstream::{Fetch, FetchFields, FetchRead, FillLink, NodeId, Ticket};

/// With more keys it is the backing's: they would be looked up, and fetched, in one go.
const MOST_KEYS: usize = 1000;
/// A longer request is not kept until its keys have been fetched.
const LONGEST: usize = 64 * 1024;
/// From this size on a reply is not copied again.
const LARGE: usize = 16 * 1024;

/// The link that fetches from one of the nodes that have the keys.
struct Source {
    node: NodeId,
    fill: FillLink,
    own: Arc<Lease>,
}

/// Of a backing that is no cluster there is one.
type Sources = SmallVec<[Source; 1]>;

// === impl Session ===

impl Session {
    /// Answers a read of many keys, or sees to it that it is answered; none when it is to be handled like any
    /// other command.
    #[inline]
    pub(super) fn read_many(
        &mut self,
        request: Request<'_>,
        len: usize,
        batch: &mut Batch<'_>,
    ) -> Option<Step> {
        let many = request.row?.readable?.many(request.args.len())?;
        self.gather(many, request, len, batch)
    }

    #[cold]
    #[inline(never)]
    fn gather(
        &mut self,
        many: Many,
        request: Request<'_>,
        len: usize,
        batch: &mut Batch<'_>,
    ) -> Option<Step> {
        let keys = request.args.tail(1);
        let fits = request.raw.len() <= LONGEST && keys.len() <= MOST_KEYS;
        if !fits || !self.may_use_cache(&batch.run) || !self.may_be_told(request, batch.settings) {
            return None;
        }
        let worker = Rc::clone(&self.worker);
        let cache = &worker.cache;
        let nodes = worker.directions.nodes_of(keys);
        // Without pushes nothing shows that values belong together.
        let tracks = |node: &NodeId| cache.mode_at(node.0) == CacheMode::Tracking;
        if !nodes.iter().all(tracks) {
            return None;
        }
        let requests = batch.run.requests;
        let idle = self.replies.is_idle() && requests == 0;
        let hashes = keys.iter().map(|key| cache.hash(key));
        if self.replies.is_full()
            || !idle && !self.has_room(requests as usize, Asks::Value, batch.settings)
            || self.coherence.must_wait(hashes, &self.replies)
        {
            return Some(Step::Wait);
        }
        let sources = self.sources(&nodes)?;
        let query = ManyQuery {
            many,
            db: self.state.db,
            keys,
            proto: self.state.proto,
            // What is shown of values can be compared with what is here; and a node of a cluster may have some of the keys only.
            whole: many == Many::Values && !worker.directions.is_divided(),
            now: batch.now,
        };
        match self.look(&query, cache, batch) {
            Gathered::Whole => {
                batch.hits += 1;
                self.coherence.count_hit();
                Some(Step::Done { len })
            }
            Gathered::Parts if sources.iter().all(|source| source.fill.can_fetch()) => {
                self.flush_run(batch.input, &mut batch.run);
                if !self.replies.is_ending() {
                    self.fetch_parts(&query, request.args, cache, &sources);
                }
                Some(Step::Done { len })
            }
            gathered => {
                if let Gathered::Bypass(Some(n)) = gathered
                    && let Some(source) = worker.source_of(&sources, &keys[n])
                {
                    source.fill.measure(&keys[n]);
                }
                // Behind a fetch of this client's own, it might overtake it.
                (self.replies.later() > 0).then_some(Step::Wait)
            }
        }
    }

    /// The links that fetch from these nodes; none when one of them is not there.
    fn sources(&mut self, nodes: &[NodeId]) -> Option<Sources> {
        let worker = Rc::clone(&self.worker);
        let db = self.state.db;
        let source = |node: &NodeId| {
            let fill = self.coherence.fill_for_many(*node, db, &worker);
            let own = worker.lease(*node, db)?;
            let node = *node;
            Some(Source { node, fill, own })
        };
        nodes.iter().map(source).collect()
    }

    /// Asks the cache, and shows what it has.
    fn look(
        &mut self,
        query: &ManyQuery<'_>,
        cache: &Arc<Cache>,
        batch: &mut Batch<'_>,
    ) -> Gathered {
        let worker = Rc::clone(&self.worker);
        let mut collected = worker.gathers.collected.borrow_mut();
        if batch.run.requests == 0 {
            let look = |out: &mut Vec<u8>| cache.gather(query, Look::First, &mut collected, out);
            return self.replies.reply(look);
        }
        // What is in the run is answered first.
        let mut late = Vec::new();
        let gathered = cache.gather(query, Look::First, &mut collected, &mut late);
        if gathered == Gathered::Whole {
            self.flush_run(batch.input, &mut batch.run);
            self.replies.reply(|out| out.append(&mut late));
        }
        gathered
    }

    /// Has fetched what is missing.
    fn fetch_parts(
        &mut self,
        query: &ManyQuery<'_>,
        request: Args<'_>,
        cache: &Arc<Cache>,
        sources: &[Source],
    ) {
        let worker = Rc::clone(&self.worker);
        let ticket = self.replies.expect_later();
        let waiter = Waiter {
            worker: worker.index,
            session: self.state.entry.id,
            ticket: ticket.0,
            proto: query.proto,
            part: true,
        };
        // One more than there are parts, so that it is not whole before all have begun.
        let mut left = 1;
        let mut fetches = Vec::new();
        let mut full_key = Vec::new();
        for key in &query.keys {
            let Some(source) = worker.source_of(sources, key) else {
                continue;
            };
            match cache.fetch_part(query, key, &source.own, &mut full_key, waiter) {
                Some(Lookup::Lead(token)) => {
                    fetches.push((&source.fill, fetch(query.many, key, token)));
                    left += 1;
                }
                Some(Lookup::Joined(_)) => left += 1,
                _ => {}
            }
        }
        let gather = Gather {
            left,
            many: query.many,
            db: query.db,
            request: request.to_owned(),
            waiter,
            #[cfg(feature = "mutants")]
            found: cache.values_of(query),
        };
        let id = (waiter.session, waiter.ticket);
        worker.gathers.under_way.borrow_mut().insert(id, gather);
        let hashes = query.keys.iter().map(|key| cache.hash(key)).collect();
        let bytes = 2 * worker.gathers.bytes(id);
        self.coherence
            .note_many(ticket, hashes, bytes, &self.replies);
        for (fill, part) in fetches {
            fill.fetch(part);
        }
        worker.part_is_in(waiter);
    }
}

#[cfg(feature = "mutants")]
impl Worker {
    /// The broken rule `MgetUnchecked`.
    fn finish_unchecked(&self, gather: &Gather, gathered: Gathered, out: &mut Vec<u8>) -> Gathered {
        if !is_active(Mutant::MgetUnchecked) || gather.many != Many::Values {
            return gathered;
        }
        let now = self.shared.cache.values_of(&gather.query(Instant::now()));
        let parts = gather
            .found
            .iter()
            .zip(now)
            .map(|(old, new)| old.clone().or(new));
        let Some(parts) = parts.collect::<Option<Vec<_>>>() else {
            return gathered;
        };
        out.clear();
        out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
        out.extend(parts.concat());
        Gathered::Whole
    }
}

/// The fetch of one key of such a read.
fn fetch(many: Many, key: &[u8], token: u64) -> Fetch {
    let read = (many == Many::Existing).then(|| {
        let mut request = Vec::new();
        write_command(&mut request, &[b"EXISTS", key]);
        Box::new(FetchRead {
            request: request.into(),
            fields: FetchFields::All,
        })
    });
    Fetch {
        key: key.into(),
        token,
        read,
    }
}

// === impl Worker ===

impl Worker {
    /// The link that fetches a key.
    fn source_of<'a>(&self, sources: &'a [Source], key: &[u8]) -> Option<&'a Source> {
        match sources {
            [only] => Some(only),
            _ => {
                let node = self.directions.node_of_key(key);
                sources.iter().find(|source| source.node == node)
            }
        }
    }

    /// Something that a read of many keys waits for is in, or will not come.
    #[cold]
    pub(super) fn part_is_in(self: &Rc<Self>, waiter: Waiter) {
        let id = (waiter.session, waiter.ticket);
        let mut under_way = self.gathers.under_way.borrow_mut();
        let Some(gather) = under_way.get_mut(&id) else {
            return;
        };
        gather.left -= 1;
        if gather.left > 0 {
            return;
        }
        let whole = under_way.remove(&id);
        drop(under_way);
        if let Some(gather) = whole {
            self.finish(&gather);
        }
    }

    /// Everything is in: answers from the cache, or has the backing asked.
    fn finish(self: &Rc<Self>, gather: &Gather) {
        let waiter = gather.waiter;
        let Some(replies) = self.replies(waiter.session) else {
            return;
        };
        let query = gather.query(Instant::now());
        let mut request = Vec::new();
        let words: Vec<&[u8]> = gather.request.as_args().iter().collect();
        write_command(&mut request, &words);
        let mut out = Vec::new();
        let mut collected = self.gathers.collected.borrow_mut();
        let gathered = (self.shared.cache).gather(&query, Look::Again, &mut collected, &mut out);
        drop(collected);
        #[cfg(feature = "mutants")]
        let gathered = self.finish_unchecked(gather, gathered, &mut out);
        let account = replies.account();
        if gathered != Gathered::Whole
            || account.is_some_and(|account| !self.may_still_tell(&account, &request))
        {
            if self.ask_parts_anew(gather, &replies) {
                return;
            }
            return self.ask_anew(replies, waiter, gather.db, &request, query.keys);
        }
        let wanted = Wanted {
            key: words[1],
            request: Some(&request),
            begun: None,
        };
        let reply = match out.len() < LARGE {
            true => Brought::Small(&out),
            false => Brought::Large(Bytes::from(out)),
        };
        replies.deliver_fetched(Ticket(waiter.ticket), wanted, &reply);
    }
}
