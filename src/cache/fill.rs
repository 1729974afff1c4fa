//! Applies what one fill link receives, in the order of the wire.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::entry::Waiter;
use super::landing::{Ended, Fill, Outcome};
use super::lease::Lease;
use super::links::NodeLinks;
use super::mutant::{Mutant, is_active};
use super::store::Cache;
use super::value::{is_nil, write_nil};
use crate::config::CacheMode;
use crate::resp::{Proto, downgrade};

/// Hands a reply to a session, in the version of the protocol that it speaks; none when the fetch failed
/// and the session has to ask in another way.
pub type Deliver = dyn Fn(Waiter, Wanted<'_>, Option<Brought<'_>>);

/// From this size on a reply is one copy for all who wait for it.
const SHARED_BYTES: usize = 16 * 1024;

/// A reply to a fetch.
#[derive(Debug, Clone)]
pub enum Brought<'a> {
    /// One to be copied.
    Small(&'a [u8]),
    /// One that all who wait for it may share.
    Large(Bytes),
}

impl<'a> Brought<'a> {
    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        let first = match self {
            Brought::Small(bytes) => bytes.first(),
            Brought::Large(bytes) => bytes.first(),
        };
        matches!(first, Some(b'-' | b'!'))
    }

    fn of(reply: &'a [u8]) -> Self {
        match reply.len() < SHARED_BYTES {
            true => Brought::Small(reply),
            false => Brought::Large(Bytes::copy_from_slice(reply)),
        }
    }
}

/// What was fetched.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The request as it was sent; none for `GET`.
    pub request: Option<&'a [u8]>,
    /// When the backing could begin with the fetch that has brought it; none when several have, or none did.
    pub begun: Option<Instant>,
}

impl<'a> Wanted<'a> {
    /// A `GET`.
    pub fn get(key: &'a [u8]) -> Self {
        Wanted {
            key,
            request: None,
            begun: None,
        }
    }
}

/// The cache's side of a fill link to one database of a node.
pub struct Filler {
    cache: Arc<Cache>,
    links: Arc<NodeLinks>,
    lease: Arc<Lease>,
    db: u32,
    deliver: Box<Deliver>,
    /// Whether the connection that is there tracks; none is there: absent.
    tracks: Cell<Option<bool>>,
    /// That a key does not exist is kept for δ at most.
    brief_absence: bool,
}

/// As `PTTL` answers for a key that does not exist.
const MISSING: i64 = -2;

impl Filler {
    /// A filler that hands replies to `deliver`, which is given the waiter, the key and the reply.
    pub fn new(cache: Arc<Cache>, node: u32, db: u32, deliver: Box<Deliver>) -> Self {
        Filler {
            links: cache.links.of(node),
            lease: cache.new_lease(node),
            cache,
            db,
            deliver,
            tracks: Cell::new(None),
            brief_absence: false,
        }
    }

    /// For a node of a cluster: a key of a slot that is moving comes into being elsewhere, and the node that it was missing
    /// at tells nobody. So that a key is missing is kept for δ at most.
    #[must_use]
    pub fn with_brief_absence(mut self) -> Self {
        self.brief_absence = true;
        self
    }

    /// Says of what it brings whether it may be served.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// The command by which the link is to ask for tracking, in its default mode.
    pub fn tracking(&self) -> Option<&'static [&'static [u8]]> {
        let command: &[&[u8]] = if is_active(Mutant::Noloop) {
            &[b"CLIENT", b"TRACKING", b"ON", b"NOLOOP"]
        } else {
            &[b"CLIENT", b"TRACKING", b"ON"]
        };
        (self.cache.settings().mode == CacheMode::Tracking).then_some(command)
    }

    /// δ: what is asked of a link that is alive is answered within this.
    pub fn patience(&self) -> Duration {
        self.cache.settings().staleness_max
    }

    /// The largest value that is kept.
    pub fn max_value_bytes(&self) -> usize {
        self.cache.settings().max_value_bytes
    }

    /// How often the link has to prove that it is alive.
    pub fn heartbeat(&self) -> Duration {
        (self.cache.settings().staleness_max / 4).max(Duration::from_millis(5))
    }

    /// The link is connected; returns the epoch of what it will bring. `tracking` says whether the
    /// backing tells what changes.
    pub fn connected(&self, tracking: bool) -> u64 {
        self.tracks.set(Some(tracking));
        self.links.up(tracking);
        self.lease.set_endless(!tracking);
        self.lease.epoch()
    }

    /// Nobody waits for the pushes that the connection owes: what it brought in `epoch` is not served from
    /// now on. Returns the epoch of what it will bring.
    pub fn renounced(&self, epoch: u64) -> u64 {
        if is_active(Mutant::FenceGivenUpAlone) {
            return epoch;
        }
        let next = self.lease.succeed(epoch);
        if next != epoch {
            self.lease.set_endless(self.tracks.get() == Some(false));
            self.cache.epoch_ended();
        }
        next
    }

    /// Epochs may have ended for everybody while the connection stayed. Returns the epoch of what it will bring.
    pub fn renewed(&self) -> u64 {
        let epoch = self.lease.epoch();
        if self.tracks.get() == Some(false) {
            self.lease.set_endless(true);
        }
        epoch
    }

    /// Notes that the node has refused to track; true when that is news.
    pub fn note_refused(&self) -> bool {
        self.links.refuse()
    }

    fn end_epoch(&self) {
        self.lease.end();
        self.cache.epoch_ended();
    }

    /// A fence has reached a link that does not hear what changes: nothing that is there, or on its way,
    /// may be what somebody has changed without naming it.
    pub fn doubted(&self) {
        if !is_active(Mutant::FenceTrustsUntracked) {
            self.cache.flush();
        }
    }

    /// The backing answered a request that was sent at `sent`.
    pub fn answered(&self, sent: Instant) {
        self.lease.renew(sent, self.cache.settings().staleness_max);
    }

    /// A fetch was answered: with what was left of the life of what it read, in milliseconds as `PTTL` says
    /// it, and the reply. Less than any `PTTL`: nobody knows, so it is not kept.
    pub fn filled(
        &self,
        wanted: Wanted<'_>,
        token: u64,
        pttl: i64,
        reply: &[u8],
        sent: Instant,
        epoch: u64,
    ) {
        #[cfg(feature = "mutants")]
        let pttl = self.insert_late(wanted, pttl, reply);
        let is_value = match (wanted.request, reply.first()) {
            (None, first) => matches!(first, Some(b'$' | b'_')),
            (Some(_), first) => !matches!(first, None | Some(b'-' | b'!')),
        };
        let fill = Fill {
            db: self.db,
            key: wanted.key,
            token,
            outcome: match pttl >= -2 && is_value {
                true => Outcome::Reply(reply),
                false if wanted.request.is_none() && reply.starts_with(b"-WRONGTYPE") => {
                    Outcome::OtherType
                }
                false => Outcome::Nothing,
            },
            ttl: u64::try_from(pttl).ok().map(Duration::from_millis),
            longest: self.longest(pttl),
            sent,
            lease: &self.lease,
            epoch,
        };
        let mut ended = self.cache.land(&fill);
        self.tell_parts(&mut ended, wanted);
        if ended.waiters.is_empty() {
            return;
        }
        let is_over = fill.ttl.is_some_and(|ttl| sent.elapsed() >= ttl);
        if ended.outdated || is_over && !is_active(Mutant::PttlIgnored) {
            // It was replaced, or has expired, on its way: they have to ask again.
            return self.send_on(ended, wanted);
        }
        let older = self.older(&ended, wanted, reply);
        let older = older.as_deref().map(Brought::of);
        let reply = match wanted.request {
            // A string has the same bytes for all.
            None if older.is_some() && !is_nil(reply) => older.clone(),
            _ => Some(Brought::of(reply)),
        };
        for waiter in ended.waiters {
            let reply = match waiter.proto {
                Proto::Resp3 => reply.clone(),
                Proto::Resp2 => older.clone(),
            };
            (self.deliver)(waiter, wanted, reply);
        }
    }

    /// The longest that a reply is kept, whatever else holds.
    fn longest(&self, pttl: i64) -> Option<Duration> {
        let brief = self.brief_absence && pttl == MISSING && !is_active(Mutant::NilKept);
        brief.then(|| self.patience())
    }

    /// The reply for clients that speak RESP2; none when there is no telling.
    fn older<'a>(
        &self,
        ended: &Ended,
        wanted: Wanted<'_>,
        reply: &'a [u8],
    ) -> Option<Cow<'a, [u8]>> {
        let mut out = Vec::new();
        if wanted.request.is_none() {
            if !is_nil(reply) {
                return Some(Cow::Borrowed(reply));
            }
            write_nil(Proto::Resp2, &mut out);
            return Some(Cow::Owned(out));
        }
        let wants = |waiter: &Waiter| waiter.proto == Proto::Resp2;
        (ended.waiters.iter().any(wants) && downgrade(reply, ended.shape, &mut out))
            .then_some(Cow::Owned(out))
    }

    /// The broken rule [`Mutant::FillOffReader`]; the reply is then not kept in the proper way.
    #[cfg(feature = "mutants")]
    fn insert_late(&self, wanted: Wanted<'_>, pttl: i64, reply: &[u8]) -> i64 {
        let is_value = wanted.request.is_none() && matches!(reply.first(), Some(b'$' | b'_'));
        if !is_active(Mutant::FillOffReader) || !is_value {
            return pttl;
        }
        let (cache, lease) = (Arc::clone(&self.cache), Arc::clone(&self.lease));
        let (db, key, reply) = (self.db, wanted.key.to_vec(), reply.to_vec());
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(1));
            cache.insert_unchecked(db, &key, &reply, &lease);
        });
        i64::MIN
    }

    /// The backing says that a key has changed.
    pub fn invalidated(&self, key: &[u8]) {
        self.cache.invalidate(self.db, key, &self.lease);
    }

    /// The backing says that everything has changed.
    pub fn flushed(&self) {
        if !is_active(Mutant::IgnoreNullPush) {
            self.cache.flush();
        }
    }

    /// The connection is gone: nothing that it brought is served from now on.
    pub fn lost(&self) {
        self.end_epoch();
        if let Some(tracked) = self.tracks.take() {
            self.links.down(tracked);
        }
    }

    /// A fetch will not be answered.
    pub fn failed(&self, wanted: Wanted<'_>, token: u64) {
        let ended = self.end(wanted.key, token, Outcome::Nothing);
        self.send_on(ended, wanted);
    }

    /// What a fetch is about to bring is too large to be kept, and so to be held for everybody who waits.
    pub fn oversized(&self, wanted: Wanted<'_>, token: u64) {
        let ended = self.end(wanted.key, token, Outcome::TooLarge);
        self.send_on(ended, wanted);
    }

    /// A value that was too large has so many bytes now; `None` when that was not to be learnt.
    pub fn measured(&self, key: &[u8], bytes: Option<u64>) {
        self.cache.measured(self.db, key, bytes);
    }

    /// Who waits for a part looks for it in the cache.
    fn tell_parts(&self, ended: &mut Ended, wanted: Wanted<'_>) {
        ended.waiters.retain(|waiter| {
            if waiter.part {
                (self.deliver)(*waiter, wanted, None);
            }
            !waiter.part
        });
    }

    /// Who waits has to ask in another way.
    fn send_on(&self, ended: Ended, wanted: Wanted<'_>) {
        for waiter in ended.waiters {
            (self.deliver)(waiter, wanted, None);
        }
    }

    /// Ends a fetch that brings nothing to keep.
    fn end(&self, key: &[u8], token: u64, outcome: Outcome<'_>) -> Ended {
        self.cache.land(&Fill {
            db: self.db,
            key,
            token,
            outcome,
            ttl: None,
            longest: None,
            sent: Instant::now(),
            lease: &self.lease,
            epoch: 0,
        })
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        if let Some(tracked) = self.tracks.take() {
            self.links.down(tracked);
        }
    }
}
