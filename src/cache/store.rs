//! The cache as a whole.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::entry::{Entry, Waiter};
use super::full_key::{FullKey, db_of, key_of, write_full_key};
use super::guard::{Guard, Stripes, Version};
use super::lease::{Lease, ticks};
use super::mutant::{Mutant, is_active};
use super::segment::{Joined, Landed, Segment};
use super::stats::{Stats, count};
use crate::config::{CacheMode, CacheSettings};
use crate::resp::{Proto, glob_match};

const SEGMENTS: usize = 64;
/// Redis counts expiry in whole milliseconds of a clock that it reads now and then.
const CLOCK_SLACK: Duration = Duration::from_millis(1);

/// The cache of all workers.
pub struct Cache {
    pub(super) segments: Box<[Part]>,
    pub(super) stripes: Stripes,
    pub(super) stats: Stats,
    settings: ArcSwap<CacheSettings>,
    hasher: hashbrown::DefaultHashBuilder,
    next_token: AtomicU64,
    /// Those of all fill links.
    leases: Mutex<Vec<Weak<Lease>>>,
    /// The backing has no tracking that works.
    without_tracking: AtomicBool,
}

/// A segment behind its lock.
pub(super) struct Part {
    /// Whether the segment holds anything that a command on a key could concern. Raised before a
    /// flight's version is read, so that whoever protects a key and then finds it down knows that
    /// there is nothing to take away, and needs no lock.
    occupied: AtomicBool,
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
}

/// What became of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The reply was appended.
    Hit,
    /// The key is to be fetched with this token; the waiter is noted.
    Lead(u64),
    /// Somebody fetches it already; the waiter is noted.
    Joined,
    /// The backing has to be asked as for any command, because one on this key is under way. The
    /// key is protected.
    Busy,
    /// The backing has to be asked as for any command. The key is protected.
    Bypass,
}

impl Cache {
    /// An empty cache.
    pub fn new(settings: CacheSettings) -> Arc<Self> {
        // No time that the cache is told of is before the beginning of its own.
        ticks(Instant::now());
        let (entries, bytes) = limits(&settings);
        let part = |_| Part {
            occupied: AtomicBool::new(false),
            segment: Mutex::new(Segment::new(entries, bytes)),
        };
        Arc::new(Cache {
            segments: (0..SEGMENTS).map(part).collect(),
            stripes: Stripes::default(),
            stats: Stats::default(),
            settings: ArcSwap::from_pointee(settings),
            hasher: hashbrown::DefaultHashBuilder::default(),
            next_token: AtomicU64::new(1),
            leases: Mutex::default(),
            without_tracking: AtomicBool::new(false),
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<CacheSettings> {
        self.settings.load_full()
    }

    /// Puts new settings in force; what is cached goes.
    pub fn set_settings(&self, settings: CacheSettings) {
        let (entries, bytes) = limits(&settings);
        self.settings.store(Arc::new(settings));
        for part in &self.segments {
            part.segment.lock().set_limits(entries, bytes);
        }
        self.flush();
    }

    /// The mode in force: tracking becomes expiry when the backing has none.
    pub fn mode(&self) -> CacheMode {
        match self.settings.load().mode {
            CacheMode::Tracking if self.without_tracking.load(Ordering::Acquire) => {
                CacheMode::Expiry
            }
            mode => mode,
        }
    }

    /// Notes whether the backing can track; true when that is news.
    pub fn set_without_tracking(&self, without: bool) -> bool {
        self.without_tracking.swap(without, Ordering::AcqRel) != without
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    #[inline]
    pub(super) fn part(&self, hash: u64) -> &Part {
        // Bits that neither the tables nor the stripes of a segment lean on.
        &self.segments[(hash >> 46) as usize % SEGMENTS]
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
        can_fill: impl FnOnce() -> bool,
        waiter: impl FnOnce() -> Waiter,
    ) -> Lookup {
        let hash = self.hash(query.key);
        write_full_key(hash, query.db, query.key, full_key);
        let part = self.part(hash);
        let mut segment = part.segment.lock();
        let segment = &mut *segment;
        // An entry that is there may be served whatever is under way: who protects its key takes it
        // away first, and nothing is admitted before that is over.
        let mut good = true;
        if let Some(entry) = segment.entries.get_mut(full_key.as_slice()) {
            let now = ticks(query.now);
            if now >= entry.deadline {
                count(&self.stats.expired);
                segment.remove(full_key);
            } else if !entry.lease.is_current(entry.epoch) {
                segment.remove(full_key);
            } else if entry.lease.is_good(now) {
                entry.hits += 1;
                entry.write(query.proto, out);
                segment.hits += 1;
                segment.hot.hit(full_key);
                return Lookup::Hit;
            } else {
                good = false;
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
            if let Some(found) = self.miss(part, segment, &missed, can_fill, waiter) {
                return found;
            }
        }
        self.pass(segment, hash, full_key, guard);
        match version {
            None => Lookup::Busy,
            Some(_) => Lookup::Bypass,
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
                Joined::Yes(waiters) => {
                    waiters.push(waiter());
                    count(&self.stats.coalesced);
                    return Some(Lookup::Joined);
                }
                Joined::TooOld => return None,
                Joined::NoFlight => {}
            }
        }
        if segment.is_full() && !segment.ghosts.is_known(hash)
            || segment.is_oversized(full_key)
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
        let mut segment = self.part(hash).segment.lock();
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
        count(&self.stats.fills);
        let evicted = segment.insert(full_key.into(), entry);
        self.stats.evictions.fetch_add(evicted, Ordering::Relaxed);
        waiters
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
        let part = self.part(hash);
        let mut segment = part.segment.lock();
        part.occupied.store(true, Ordering::SeqCst);
        segment.insert(full_key.into(), entry);
    }

    /// Takes a key's entry away and voids its flight, because of a command on it: the key has to be
    /// protected already.
    pub(super) fn evict(&self, db: u32, key: &[u8], hash: u64, full_key: &mut Vec<u8>) {
        let part = self.part(hash);
        if !part.occupied.load(Ordering::SeqCst) {
            return;
        }
        write_full_key(hash, db, key, full_key);
        let mut segment = part.segment.lock();
        segment.remove(full_key);
        segment.forget_oversized(full_key);
        if !is_active(Mutant::TokenNotVoidedByWrite) {
            segment.void(full_key);
        }
        if segment.is_bare() {
            part.occupied.store(false, Ordering::SeqCst);
        }
    }

    /// The backing says that a key has changed, on the fill link with this lease.
    pub(super) fn invalidate(&self, db: u32, key: &[u8], lease: &Arc<Lease>) {
        let hash = self.hash(key);
        let mut full_key = Vec::new();
        write_full_key(hash, db, key, &mut full_key);
        let mut segment = self.part(hash).segment.lock();
        count(&self.stats.invalidations);
        segment.forget_oversized(&full_key);
        segment.void(&full_key);
        // An entry that another link brought has a push of its own to come.
        if segment
            .entries
            .peek(&*full_key)
            .is_some_and(|e| Arc::ptr_eq(&e.lease, lease))
        {
            segment.remove(&full_key);
        }
    }

    /// Ends the epochs of all fill links: nothing that they brought, or still bring on the connections
    /// that they have, is served.
    pub fn end_epochs(&self) {
        let mut leases = self.leases.lock();
        leases.retain(|lease| lease.upgrade().inspect(|lease| lease.end()).is_some());
    }

    /// Makes the lease of a new fill link.
    pub(super) fn new_lease(&self) -> Arc<Lease> {
        let lease = Arc::new(Lease::default());
        let mut leases = self.leases.lock();
        leases.retain(|lease| lease.strong_count() > 0);
        leases.push(Arc::downgrade(&lease));
        lease
    }

    /// Empties the cache and voids every flight; returns how many entries went.
    pub fn flush(&self) -> usize {
        count(&self.stats.flushes);
        self.segments
            .iter()
            .map(|part| part.segment.lock().clear())
            .sum()
    }

    /// Drops the entries of a database whose keys match; returns how many.
    pub fn flush_matching(&self, db: u32, pattern: &[u8]) -> usize {
        let mut dropped = 0;
        for part in &self.segments {
            let mut segment = part.segment.lock();
            let matching: Vec<FullKey> = segment
                .entries
                .iter()
                .filter(|(key, _)| db_of(key) == db && matches(pattern, key_of(key)))
                .map(|(key, _)| key.clone())
                .collect();
            dropped += matching.len();
            for key in matching {
                segment.remove(&key);
            }
        }
        dropped
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

fn matches(pattern: &[u8], key: &[u8]) -> bool {
    pattern == b"*" || glob_match(pattern, key, false)
}

/// The entries and bytes of each segment.
fn limits(settings: &CacheSettings) -> (usize, usize) {
    (
        settings.max_entries.div_ceil(SEGMENTS),
        settings.max_bytes / SEGMENTS,
    )
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}
