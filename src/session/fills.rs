//! How what a fill link brings comes to the cache, and to the sessions that wait for it.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::warn;

use super::fill_links::Fill;
use super::judging::login_of;
use super::mailbox::{Fetched, ToWorker};
use super::replies::Replies;
use super::worker::Worker;
use crate::cache::{Brought, Cache, Deliver, Filler, Guard, Lease, Waiter, Wanted};
use crate::resp::{Proto, write_command};
use crate::tasks;
use crate::upstream::{
    Failure, Fetch, FetchTimes, FillEvents, FillLink, HOME, LinkKey, NodeId, ReplySink, Ticket,
    Topology, Tracking, is_redirect, spawn_fill_link,
};

impl Worker {
    /// The link that fetches for the cache from a database of a node.
    pub(crate) fn fill_link(self: &Rc<Self>, node: NodeId, db: u32) -> FillLink {
        let key = LinkKey::new(node, db, Proto::Resp3);
        let mut links = self.fills.links.borrow_mut();
        let fill = links.entry(key).or_insert_with(|| {
            self.shared.swaps.open();
            let worker = Rc::downgrade(self);
            let deliver: Box<Deliver> = Box::new(move |waiter, wanted, reply| {
                if let Some(worker) = worker.upgrade() {
                    worker.deliver(waiter, db, wanted, reply);
                }
            });
            let cache = Arc::clone(&self.shared.cache);
            let filler = Filler::new(Arc::clone(&cache), node.0, db, deliver);
            let filler = match self.shared.backing.is_cluster() {
                true => filler.with_brief_absence(),
                false => filler,
            };
            let lease = Arc::clone(filler.lease());
            let events = FillsCache {
                filler,
                cache,
                divided: self.shared.backing.is_cluster(),
                worker: Rc::downgrade(self),
            };
            let backing = Arc::clone(&self.shared.backing);
            let scratch = Rc::clone(&self.scratch);
            let link = spawn_fill_link(backing, key, Rc::new(events), scratch);
            Fill { link, lease }
        });
        fill.link.clone()
    }

    /// The same link, if it is open.
    pub(super) fn open_fill_link(&self, node: NodeId, db: u32) -> Option<FillLink> {
        let links = self.fills.links.borrow();
        let fill = links.get(&LinkKey::new(node, db, Proto::Resp3));
        fill.map(|fill| fill.link.clone())
    }

    /// Sends commands where this topology says from now on.
    pub(super) fn direct(&self, topology: Arc<Topology>) {
        self.directions.set(topology);
        if self.shared.backing.is_cluster() {
            for fill in self.fills.links.borrow().values() {
                fill.link.renew();
            }
        }
    }

    /// Whether what nodes say now may be kept. Not while slots become others', until this worker knows whose they are:
    /// an epoch that was looked at before this was asked ends before that may be kept which an old owner says.
    fn may_keep(&self) -> bool {
        self.directions.follow(&self.shared.backing.topology())
    }

    /// The lease of that link, while it is there.
    pub(super) fn lease(&self, node: NodeId, db: u32) -> Option<Arc<Lease>> {
        let key = LinkKey::new(node, db, Proto::Resp3);
        let links = self.fills.links.borrow();
        links.get(&key).map(|fill| Arc::clone(&fill.lease))
    }

    pub(super) fn deliver_fetched(self: &Rc<Self>, waiter: Waiter, fetched: &Fetched) {
        let wanted = Wanted {
            key: &fetched.key,
            request: fetched.request.as_deref(),
            begun: fetched.begun,
        };
        let reply = fetched.reply.clone().map(Brought::Large);
        self.deliver(waiter, fetched.db, wanted, reply);
    }

    /// Brings a fetched reply to the session that waits for it. A fetch that failed is made again
    /// as a command like any other.
    fn deliver(
        self: &Rc<Self>,
        waiter: Waiter,
        db: u32,
        wanted: Wanted<'_>,
        reply: Option<Brought<'_>>,
    ) {
        if waiter.worker != self.index {
            let fetched = Fetched {
                db,
                key: wanted.key.into(),
                request: wanted.request.map(Into::into),
                begun: wanted.begun,
                reply: reply.map(|reply| match reply {
                    Brought::Small(bytes) => Bytes::copy_from_slice(bytes),
                    Brought::Large(bytes) => bytes,
                }),
            };
            return self
                .shared
                .tell(waiter.worker, ToWorker::Filled(waiter, fetched));
        }
        if waiter.part {
            return self.part_is_in(waiter);
        }
        let Some(replies) = self.replies(waiter.session) else {
            return;
        };
        let request = || {
            let mut request = Vec::new();
            match wanted.request {
                None => write_command(&mut request, &[b"GET", wanted.key]),
                Some(read) => request.extend_from_slice(read),
            }
            request
        };
        let account = replies.account();
        // Of an error only the backing knows whether it would be this user's, too.
        let may_have = |reply: &Brought<'_>| match &account {
            Some(account) => !reply.is_error() && self.may_still_tell(account, &request()),
            None => true,
        };
        match reply.filter(may_have) {
            Some(reply) => replies.deliver_fetched(Ticket(waiter.ticket), wanted, &reply),
            None => self.ask_anew(replies, waiter, db, &request(), [wanted.key]),
        }
    }

    /// Sends a read of these keys the ordinary way, for somebody who waits for a reply that is not fetched.
    pub(super) fn ask_anew<'a>(
        self: &Rc<Self>,
        replies: Rc<Replies>,
        waiter: Waiter,
        db: u32,
        request: &[u8],
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let mut node = None;
        let login = login_of(&replies);
        let keys = keys.into_iter().inspect(|key| {
            node.get_or_insert_with(|| self.directions.node_of_key(key));
        });
        let sink = self.guarded(replies, db, keys);
        let node = node.unwrap_or(HOME);
        let link = self.link(LinkKey::new(node, db, waiter.proto).as_user(login));
        link.push(request, 1, sink, Ticket(waiter.ticket));
    }

    /// Takes the reply to a read of these keys for a client; they are protected until it is in.
    pub(super) fn guarded<'a>(
        &self,
        replies: Rc<Replies>,
        db: u32,
        keys: impl Iterator<Item = &'a [u8]>,
    ) -> Rc<dyn ReplySink> {
        let mut guard = Guard::new(Arc::clone(&self.shared.cache));
        keys.for_each(|key| guard.protect(db, key));
        Rc::new(OneReply {
            replies,
            guard: Cell::new(Some(guard)),
        })
    }
}

/// Passes one reply of a link on to whoever waits for it, as it comes.
struct OneReply {
    replies: Rc<Replies>,
    guard: Cell<Option<Guard>>,
}

impl ReplySink for OneReply {
    fn identity(&self) -> *const () {
        self.replies.identity()
    }

    fn redirecting(&self, begins: bool) {
        self.replies.redirecting(begins);
    }

    fn deliver(&self, ticket: Ticket, bytes: &[u8], replies: u32) {
        if replies > 0 {
            drop(self.guard.take());
        }
        self.replies.deliver(ticket, bytes, replies);
    }

    fn abort(&self) {
        self.replies.abort();
    }

    fn lost(&self, ticket: Ticket, failure: &Failure, replies: u32) {
        drop(self.guard.take());
        self.replies.lost(ticket, failure, replies);
    }

    fn ends_with_loss(&self) -> bool {
        self.replies.closes_on_loss()
    }
}

/// Tells the cache what a fill link hears.
struct FillsCache {
    filler: Filler,
    cache: Arc<Cache>,
    /// Behind is a node of a cluster, which may say that a key is not its own.
    divided: bool,
    worker: Weak<Worker>,
}

/// What is brought in this epoch is not kept.
const NO_EPOCH: u64 = u64::MAX;

impl FillsCache {
    /// The epoch of what may be kept, which was looked at before.
    fn kept_in(&self, epoch: u64) -> u64 {
        let may_keep = || self.worker.upgrade().is_some_and(|w| w.may_keep());
        if self.divided && !may_keep() {
            return NO_EPOCH;
        }
        epoch
    }
}

impl FillEvents for FillsCache {
    fn tracking(&self) -> Option<&'static [&'static [u8]]> {
        self.filler.tracking()
    }

    fn heartbeat(&self) -> Duration {
        self.filler.heartbeat()
    }

    fn patience(&self) -> Duration {
        self.filler.patience()
    }

    fn max_value_bytes(&self) -> usize {
        self.filler.max_value_bytes()
    }

    fn connected(&self, tracking: &Tracking, table: Option<usize>) -> u64 {
        if let Tracking::Refused(said) = tracking
            && self.filler.note_refused()
        {
            warn!("the backing has no tracking that works, the cache is in expiry mode: {said}");
        }
        let limit = table.and_then(|keys| self.cache.set_table_limit(keys));
        if let Some(limit) = limit {
            warn!(
                "cache.max_entries is more than the backing tracks: at most {limit} entries are kept, \
                 raise its tracking-table-max-keys or lower cache.max_entries"
            );
        }
        let epoch = self.filler.connected(*tracking == Tracking::On);
        self.kept_in(epoch)
    }

    fn answered(&self, sent: Instant) {
        self.filler.answered(sent);
    }

    fn filled(&self, fetch: Fetch, pttl: i64, reply: &[u8], (sent, begun): FetchTimes, epoch: u64) {
        if self.divided && is_redirect(reply) {
            return self.failed(fetch);
        }
        let wanted = Wanted {
            begun: Some(begun),
            ..wanted(&fetch)
        };
        tasks::point("fill link lands");
        self.filler
            .filled(wanted, fetch.token, pttl, reply, sent, epoch);
    }

    fn oversized(&self, fetch: Fetch) {
        self.filler.oversized(wanted(&fetch), fetch.token);
    }

    fn measured(&self, key: &[u8], bytes: Option<u64>) {
        self.filler.measured(key, bytes);
    }

    fn invalidated(&self, key: &[u8]) {
        self.filler.invalidated(key);
    }

    fn flushed(&self) {
        self.filler.flushed();
    }

    fn doubted(&self) {
        self.filler.doubted();
    }

    fn renounced(&self, epoch: u64) -> u64 {
        self.filler.renounced(epoch)
    }

    fn renewed(&self) -> u64 {
        let epoch = self.filler.renewed();
        self.kept_in(epoch)
    }

    fn lost(&self) {
        self.filler.lost();
    }

    fn failed(&self, fetch: Fetch) {
        self.filler.failed(wanted(&fetch), fetch.token);
    }
}

/// A fetch as the cache knows it.
fn wanted(fetch: &Fetch) -> Wanted<'_> {
    Wanted {
        key: &fetch.key,
        request: fetch.read.as_ref().map(|read| &*read.request),
        begun: None,
    }
}
