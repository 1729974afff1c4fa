//! Applies what one fill link receives, in the order of the wire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::{Waiter, write_nil};
use super::lease::Lease;
use super::mutant::{Mutant, is_active};
use super::store::{Cache, Fill, is_nil};
use crate::config::CacheMode;
use crate::resp::Proto;

/// Hands a reply to a session. The bytes are a RESP3 reply to `GET`; none when the fetch failed
/// and the session has to ask in another way.
pub type Deliver = dyn Fn(Waiter, &[u8], Option<&[u8]>);

/// The cache's side of a fill link of one database.
pub struct Filler {
    cache: Arc<Cache>,
    lease: Arc<Lease>,
    db: u32,
    deliver: Box<Deliver>,
}

impl Filler {
    /// A filler that hands replies to `deliver`, which is given the waiter, the key and the reply.
    pub fn new(cache: Arc<Cache>, db: u32, deliver: Box<Deliver>) -> Self {
        Filler {
            lease: cache.new_lease(),
            cache,
            db,
            deliver,
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

    /// How often the link has to prove that it is alive.
    pub fn heartbeat(&self) -> Duration {
        (self.cache.settings().staleness_max / 4).max(Duration::from_millis(5))
    }

    /// The link is connected; returns the epoch of what it will bring. `tracking` says whether the
    /// backing tells what changes.
    pub fn connected(&self, tracking: bool) -> u64 {
        self.lease.set_endless(!tracking);
        self.lease.epoch()
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
        self.lease.end();
    }

    /// A fetch will not be answered.
    pub fn failed(&self, key: &[u8], token: u64) {
        let fill = Fill {
            db: self.db,
            key,
            token,
            reply: None,
            ttl: None,
            sent: Instant::now(),
            lease: &self.lease,
            epoch: 0,
        };
        for waiter in self.cache.land(&fill) {
            (self.deliver)(waiter, key, None);
        }
    }
}
