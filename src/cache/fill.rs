//! Applies what one fill link receives, in the order of the wire.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::{Waiter, write_nil};
use super::lease::Lease;
use super::links::NodeLinks;
use super::mutant::{Mutant, is_active};
use super::store::{Cache, Fill, is_nil};
use crate::config::CacheMode;
use crate::resp::Proto;

/// Hands a reply to a session. The bytes are a RESP3 reply to `GET`; none when the fetch failed
/// and the session has to ask in another way.
pub type Deliver = dyn Fn(Waiter, &[u8], Option<&[u8]>);

/// The cache's side of a fill link to one database of a node.
pub struct Filler {
    cache: Arc<Cache>,
    links: Arc<NodeLinks>,
    lease: Arc<Lease>,
    db: u32,
    deliver: Box<Deliver>,
    /// Whether the connection that is there tracks; none is there: absent.
    tracks: Cell<Option<bool>>,
}

impl Filler {
    /// A filler that hands replies to `deliver`, which is given the waiter, the key and the reply.
    pub fn new(cache: Arc<Cache>, node: u32, db: u32, deliver: Box<Deliver>) -> Self {
        Filler {
            links: cache.links.of(node),
            lease: cache.new_lease(),
            cache,
            db,
            deliver,
            tracks: Cell::new(None),
        }
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

    /// A fetch was answered: with what was left of the key's life, in milliseconds as `PTTL` says
    /// it, and the reply to `GET`.
    pub fn filled(
        &self,
        key: &[u8],
        token: u64,
        pttl: i64,
        reply: &[u8],
        sent: Instant,
        epoch: u64,
    ) {
        #[cfg(feature = "mutants")]
        let pttl = self.insert_late(key, pttl, reply);
        let keep = pttl >= -2 && matches!(reply.first(), Some(b'$' | b'_'));
        let fill = Fill {
            db: self.db,
            key,
            token,
            reply: Some(reply).filter(|_| keep),
            ttl: u64::try_from(pttl).ok().map(Duration::from_millis),
            sent,
            lease: &self.lease,
            epoch,
        };
        let waiters = self.cache.land(&fill);
        if waiters.is_empty() {
            return;
        }
        if fill.ttl.is_some_and(|ttl| sent.elapsed() >= ttl) && !is_active(Mutant::PttlIgnored) {
            // It has expired on its way: they have to ask again.
            for waiter in waiters {
                (self.deliver)(waiter, key, None);
            }
            return;
        }
        let mut nil = Vec::new();
        for waiter in waiters {
            if is_nil(reply) && waiter.proto == Proto::Resp2 {
                nil.clear();
                write_nil(Proto::Resp2, &mut nil);
                (self.deliver)(waiter, key, Some(&nil));
            } else {
                (self.deliver)(waiter, key, Some(reply));
            }
        }
    }

    /// The broken rule [`Mutant::FillOffReader`]; the reply is then not kept in the proper way.
    #[cfg(feature = "mutants")]
    fn insert_late(&self, key: &[u8], pttl: i64, reply: &[u8]) -> i64 {
        if !is_active(Mutant::FillOffReader) || !matches!(reply.first(), Some(b'$' | b'_')) {
            return pttl;
        }
        let (cache, lease) = (Arc::clone(&self.cache), Arc::clone(&self.lease));
        let (db, key, reply) = (self.db, key.to_vec(), reply.to_vec());
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
    pub fn failed(&self, key: &[u8], token: u64) {
        let waiters = self.cache.land(&self.nothing(key, token));
        self.send_on(waiters, key);
    }

    /// What a fetch is about to bring is too large to be kept, and so to be held for everybody who waits.
    pub fn oversized(&self, key: &[u8], token: u64) {
        let waiters = self.cache.land_oversized(&self.nothing(key, token));
        self.send_on(waiters, key);
    }

    /// A value that was too large has so many bytes now; `None` when that was not to be learnt.
    pub fn measured(&self, key: &[u8], bytes: Option<u64>) {
        self.cache.measured(self.db, key, bytes);
    }

    /// Who waits has to ask in another way.
    fn send_on(&self, waiters: Vec<Waiter>, key: &[u8]) {
        for waiter in waiters {
            (self.deliver)(waiter, key, None);
        }
    }

    /// A fetch that brings nothing.
    fn nothing<'a>(&'a self, key: &'a [u8], token: u64) -> Fill<'a> {
        Fill {
            db: self.db,
            key,
            token,
            reply: None,
            ttl: None,
            sent: Instant::now(),
            lease: &self.lease,
            epoch: 0,
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        if let Some(tracked) = self.tracks.take() {
            self.links.down(tracked);
        }
    }
}
