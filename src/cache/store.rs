//! The cache as a whole.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::entry::{Entry, Waiter};
use super::full_key::write_full_key;
use super::guard::{Guard, Stripes, Version};
use super::layout::{MOST_SEGMENTS, rooms};
use super::lease::{Lease, Standing, ticks};
use super::links::Links;
use super::mutant::{Mutant, is_active};
use super::segment::{Joined, Landed, Segment, Size};
use super::stats::{Stats, count};
use crate::config::CacheSettings;
use crate::resp::{Proto, glob_match};

/// Redis counts expiry in whole milliseconds of a clock that it reads now and then.
const CLOCK_SLACK: Duration = Duration::from_millis(1);

/// The cache of all workers.
pub struct Cache {
    pub(super) segments: Box<[Part]>,
    /// Which bits of a hash choose the segment: with fewer segments in use than there are, the others stay empty.
    pub(super) mask: AtomicUsize,
    /// How many keys the backing tracks at most; 0: any number, or not known.
    pub(super) table: AtomicUsize,
    pub(super) links: Links,
    /// Segments that may still hold entries of an epoch that is over.
    pub(super) unswept: AtomicUsize,
    pub(super) stripes: Stripes,
    pub(super) stats: Stats,
    pub(super) settings: ArcSwap<CacheSettings>,
    hasher: hashbrown::DefaultHashBuilder,
    next_token: AtomicU64,
    /// Those of all fill links.
    pub(super) leases: Mutex<Vec<Weak<Lease>>>,
}

/// A segment behind its lock.
pub(super) struct Part {
    /// Whether the segment holds anything that a command on a key could concern. Raised before a
    /// flight's version is read, so that whoever protects a key and then finds it down knows that
    /// there is nothing to take away, and needs no lock.
    pub(super) occupied: AtomicBool,
    pub(super) segment: Mutex<Segment>,
}

/// A read that may be answered from memory.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The client's database.
    pub db: u32,
    /// The key.
    pub key: &'a [u8],
    /// The client's protocol version.
    pub proto: Proto,
    /// Now.
    pub now: Instant,
    /// The fetch of this key, by its token, that the same client still waits for: its reads of one key must
    /// not pass each other on their ways.
    pub awaited: Option<u64>,
}

/// What became of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The reply was appended.
    Hit,
    /// The key is to be fetched with this token; the waiter is noted.
    Lead(u64),
    /// Somebody fetches it already, with this token; the waiter is noted.
    Joined(u64),
    /// The client's own fetch of the key has to be answered first. Nothing was noted.
    Wait,
    /// The backing has to be asked as for any command, because one on this key is under way. The
    /// key is protected.
    Busy,
    /// The backing has to be asked as for any command. The key is protected.
    Bypass,
    /// As [`Lookup::Bypass`]; and the value, which was too large to keep, is worth being measured again.
    Measure,
}

impl Cache {
    /// An empty cache.
    pub fn new(settings: CacheSettings) -> Arc<Self> {
        // No time that the cache is told of is before the beginning of its own.
        ticks(Instant::now());
        let rooms = rooms(&settings, 0);
        let part = |n| Part {
            occupied: AtomicBool::new(false),
            segment: Mutex::new(Segment::new(rooms.get(n).copied().unwrap_or_default())),
        };
        Arc::new(Cache {
            segments: (0..MOST_SEGMENTS).map(part).collect(),
            mask: AtomicUsize::new(rooms.len() - 1),
            table: AtomicUsize::new(0),
            links: Links::default(),
            unswept: AtomicUsize::new(0),
            stripes: Stripes::default(),
            stats: Stats::default(),
            settings: ArcSwap::from_pointee(settings),
            hasher: hashbrown::DefaultHashBuilder::default(),
            next_token: AtomicU64::new(1),
            leases: Mutex::default(),
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<CacheSettings> {
        self.settings.load_full()
    }

    /// Puts new settings in force; what is cached goes.
    pub fn set_settings(&self, settings: CacheSettings) {
        count(&self.stats.flushes);
        self.settings.store(Arc::new(settings));
        self.lay_out();
    }

    /// Makes the lease of a new fill link.
    pub(super) fn new_lease(&self) -> Arc<Lease> {
        let lease = Arc::new(Lease::default());
        let mut leases = self.leases.lock();
        leases.retain(|lease| lease.strong_count() > 0);
        leases.push(Arc::downgrade(&lease));
        lease
    }

    /// The hash of a key, whatever its database.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Answers a query from memory, or says how it is to be answered. `full_key` is a buffer to be
    /// used again; `guard` takes in the key of a read that goes to the backing. `can_fill` tells
    /// whether a fill link is there to fetch the key, `waiter` makes a place for its reply.
    #[inline]
    pub fn lookup(
        self: &Arc<Self>,
        query: Query<'_>,
        full_key: &mut Vec<u8>,
        out: &mut Vec<u8>,
        guard: &mut Option<Guard>,
        can_fill: impl Fn() -> bool,
        waiter: impl FnOnce() -> Waiter,
    ) -> Lookup {
        let hash = self.hash(query.key);
        write_full_key(hash, query.db, query.key, full_key);
        let (part, mut segment) = self.lock(hash);
        let segment = &mut *segment;
        if let Some(token) = query.awaited {
            return self.follow(segment, query, token, full_key, waiter);
        }
        // An entry that is there may be served whatever is under way: who protects its key takes it
        // away first, and nothing is admitted before that is over.
        let mut good = true;
        if let Some(entry) = segment.entries.get_mut(full_key.as_slice()) {
            let now = ticks(query.now);
            if now >= entry.deadline {
                count(&self.stats.expired);
                segment.remove(full_key);
            } else {
                match entry.lease.standing(entry.epoch, now) {
                    Standing::Good => {
                        entry.hits += 1;
                        entry.write(query.proto, out);
                        segment.hits += 1;
                        segment.hot.hit(full_key);
                        return Lookup::Hit;
                    }
                    Standing::Ended => drop(segment.remove(full_key)),
                    Standing::Unproven => good = false,
                }
            }
        }
        segment.misses += 1;
        let version = self.stripes.version(hash);
        if let Some(version) = version.filter(|_| good) {
            let missed = Missed {
                query,
                hash,
                version,
                full_key,
            };
            if let Some(found) = self.miss(part, segment, &missed, &can_fill, waiter) {
                return found;
            }
        }
        self.pass(segment, hash, full_key, guard);
        match version {
            None => Lookup::Busy,
            Some(_) => self.bypass(segment, full_key, can_fill),
        }
    }

    /// A read of a key that the same client is having fetched: it shares that fetch or waits for it.
    fn follow(
        &self,
        segment: &mut Segment,
        query: Query<'_>,
        token: u64,
        full_key: &[u8],
        waiter: impl FnOnce() -> Waiter,
    ) -> Lookup {
        let after = query.now.checked_sub(self.settings.load().staleness_max);
        if !segment.rejoin(full_key, token, after, waiter) {
            return Lookup::Wait;
        }
        segment.misses += 1;
        count(&self.stats.coalesced);
        Lookup::Joined(token)
    }

    /// A read that the cache has no place for.
    fn bypass(&self, segment: &mut Segment, key: &[u8], can_fill: impl FnOnce() -> bool) -> Lookup {
        match segment.oversized(key) {
            Some(size) if *size == Size::Unknown && can_fill() => {
                *size = Size::TooLarge;
                Lookup::Measure
            }
            _ => Lookup::Bypass,
        }
    }

    /// A read that goes to the backing may see something newer than what is here.
    fn pass(
        self: &Arc<Self>,
        segment: &mut Segment,
        hash: u64,
        full_key: &[u8],
        guard: &mut Option<Guard>,
    ) {
        if is_active(Mutant::BypassReadKeepsEntry) {
            return;
        }
        let guard = guard.get_or_insert_with(|| Guard::new(Arc::clone(self)));
        guard.enter(hash);
        segment.remove(full_key);
        segment.void(full_key);
    }

    /// Has a missing key fetched, or joins its fetch; none when it is not to be fetched.
    fn miss(
        &self,
        part: &Part,
        segment: &mut Segment,
        missed: &Missed<'_>,
        can_fill: impl FnOnce() -> bool,
        waiter: impl FnOnce() -> Waiter,
    ) -> Option<Lookup> {
        let &Missed {
            query,
            hash,
            version,
            full_key,
        } = missed;
        if segment.has_flights() {
            // What a fetch brings was current at some time after it was sent.
            let after = query.now.checked_sub(self.settings.load().staleness_max);
            match segment.flight(full_key, after) {
                Joined::Yes(token, waiters) => {
                    waiters.push(waiter());
                    count(&self.stats.coalesced);
                    return Some(Lookup::Joined(token));
                }
                Joined::TooOld => return None,
                Joined::NoFlight => {}
            }
        }
        if segment.oversized(full_key).is_some()
            || !segment.admits(hash)
            || !covers(&self.settings.load(), query.key)
            || !can_fill()
        {
            return None;
        }
        if !part.occupied.swap(true, Ordering::SeqCst)
            && self.stripes.version(hash) != Some(version)
        {
            // Somebody protected the key meanwhile and may have found nothing to take away.
            return None;
        }
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        segment.begin(full_key, token, query.now, version, waiter());
        Some(Lookup::Lead(token))
    }

    /// Ends a flight and keeps what it brought, unless something happened to the key meanwhile.
    /// Returns who waits for it. `reply` is the bulk reply, none when the key does not exist.
    pub(super) fn land(&self, fill: &Fill<'_>) -> Vec<Waiter> {
        let hash = self.hash(fill.key);
        let mut full_key = Vec::new();
        write_full_key(hash, fill.db, fill.key, &mut full_key);
        let settings = self.settings.load();
        let (_, mut segment) = self.lock(hash);
        let Landed { waiters, version } = segment.land(&full_key, fill.token);
        let unchanged = version.is_some() && self.stripes.version(hash) == version
            || is_active(Mutant::TokenNotVoidedByWrite);
        let Some(reply) = fill
            .reply
            .filter(|_| unchanged && fill.lease.is_current(fill.epoch))
        else {
            // Who waits for it may see something newer than what another link has brought.
            if !is_active(Mutant::BypassReadKeepsEntry) {
                segment.remove(&full_key);
                segment.void(&full_key);
            }
            count(&self.stats.rejected_fills);
            return waiters;
        };
        if reply.len() > settings.max_value_bytes + 32 {
            segment.note_oversized(&full_key);
            count(&self.stats.rejected_fills);
            return waiters;
        }
        let ttl = fill.ttl.filter(|_| !is_active(Mutant::PttlIgnored));
        let left = ttl.map_or(settings.expiry, |ttl| {
            ttl.saturating_sub(CLOCK_SLACK).min(settings.expiry)
        });
        let entry = Entry {
            reply: (!is_nil(reply)).then(|| reply.into()),
            deadline: ticks(fill.sent + left),
            expires: ttl.is_some(),
            lease: Arc::clone(fill.lease),
            epoch: fill.epoch,
            since: fill.sent,
            hits: 0,
        };
        let Some(evicted) = segment.insert(full_key.as_slice().into(), entry) else {
            segment.note_oversized(&full_key);
            count(&self.stats.rejected_fills);
            return waiters;
        };
        count(&self.stats.fills);
        self.stats.evictions.fetch_add(evicted, Ordering::Relaxed);
        waiters
    }

    /// Ends a flight whose value turns out to be too large to keep; returns who waits for it.
    pub(super) fn land_oversized(&self, fill: &Fill<'_>) -> Vec<Waiter> {
        let hash = self.hash(fill.key);
        let mut full_key = Vec::new();
        write_full_key(hash, fill.db, fill.key, &mut full_key);
        self.lock(hash).1.note_oversized(&full_key);
        self.land(fill)
    }

    /// A value that was too large was measured; `None` when nobody knows.
    pub(super) fn measured(&self, db: u32, key: &[u8], bytes: Option<u64>) {
        let hash = self.hash(key);
        let mut full_key = Vec::new();
        write_full_key(hash, db, key, &mut full_key);
        let most = self.settings.load().max_value_bytes as u64;
        let (_, mut segment) = self.lock(hash);
        match bytes {
            None => segment.doubt_oversized(&full_key),
            Some(bytes) if bytes <= most => segment.forget_oversized(&full_key),
            Some(_) => {}
        }
    }

    /// Keeps a value without any of the checks of [`Cache::land`].
    #[cfg(feature = "mutants")]
    pub(super) fn insert_unchecked(&self, db: u32, key: &[u8], reply: &[u8], lease: &Arc<Lease>) {
        let hash = self.hash(key);
        let mut full_key = Vec::new();
        write_full_key(hash, db, key, &mut full_key);
        let now = Instant::now();
        let entry = Entry {
            reply: (!is_nil(reply)).then(|| reply.into()),
            deadline: ticks(now + self.settings.load().expiry),
            expires: false,
            lease: Arc::clone(lease),
            epoch: lease.epoch(),
            since: now,
            hits: 0,
        };
        let (part, mut segment) = self.lock(hash);
        part.occupied.store(true, Ordering::SeqCst);
        segment.insert(full_key.into(), entry);
    }
}

/// A query that found nothing.
struct Missed<'a> {
    query: Query<'a>,
    hash: u64,
    version: Version,
    full_key: &'a [u8],
}

/// What a fetch brought.
pub(super) struct Fill<'a> {
    pub(super) db: u32,
    pub(super) key: &'a [u8],
    pub(super) token: u64,
    /// The reply, nil included; none when it is nothing that may be kept (an error).
    pub(super) reply: Option<&'a [u8]>,
    /// What was left of the key's life when it was asked for.
    pub(super) ttl: Option<Duration>,
    /// When it was asked for.
    pub(super) sent: Instant,
    pub(super) lease: &'a Arc<Lease>,
    pub(super) epoch: u64,
}

/// Whether a key may be cached, by its name.
fn covers(settings: &CacheSettings, key: &[u8]) -> bool {
    let any = |patterns: &[String]| {
        patterns
            .iter()
            .any(|pattern| matches(pattern.as_bytes(), key))
    };
    (settings.include.is_empty() || any(&settings.include)) && !any(&settings.exclude)
}

/// Whether a reply says that the key does not exist.
pub(super) fn is_nil(reply: &[u8]) -> bool {
    reply == b"_\r\n" || reply == b"$-1\r\n"
}

pub(super) fn matches(pattern: &[u8], key: &[u8]) -> bool {
    pattern == b"*" || glob_match(pattern, key, false)
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}
