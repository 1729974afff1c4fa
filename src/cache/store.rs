//! The cache as a whole.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::entry::{Entry, Waiter};
use super::guard::Stripes;
use super::lease::Lease;
use super::mutant::{Mutant, is_active};
use super::segment::{FullKey, Joined, Landed, Segment};
use super::stats::{Stats, count};
use crate::config::{CacheMode, CacheSettings};
use crate::resp::{Proto, glob_match};

const SEGMENTS: usize = 64;
/// Redis counts expiry in whole milliseconds of a clock that it reads now and then.
const CLOCK_SLACK: Duration = Duration::from_millis(1);

/// The cache of all workers.
pub struct Cache {
    segments: Box<[Mutex<Segment>]>,
    pub(super) stripes: Stripes,
    pub(super) stats: Stats,
    settings: ArcSwap<CacheSettings>,
    hasher: hashbrown::DefaultHashBuilder,
    next_token: AtomicU64,
    /// The backing has no tracking that works.
    without_tracking: AtomicBool,
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
    /// Whether a fill link is there to fetch a missing key.
    pub can_fill: bool,
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
    /// The backing has to be asked as for any command, because one on this key is under way.
    Busy,
    /// The backing has to be asked as for any command.
    Bypass,
}

impl Cache {
    /// An empty cache.
    pub fn new(settings: CacheSettings) -> Arc<Self> {
        let keys = settings.max_entries.min(settings.max_bytes / 256) / SEGMENTS;
        Arc::new(Cache {
            segments: (0..SEGMENTS)
                .map(|_| Mutex::new(Segment::new(keys)))
                .collect(),
            stripes: Stripes::default(),
            stats: Stats::default(),
            settings: ArcSwap::from_pointee(settings),
            hasher: hashbrown::DefaultHashBuilder::default(),
            next_token: AtomicU64::new(1),
            without_tracking: AtomicBool::new(false),
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<CacheSettings> {
        self.settings.load_full()
    }

    /// Puts new settings in force; what is cached goes.
    pub fn set_settings(&self, settings: CacheSettings) {
        self.settings.store(Arc::new(settings));
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

    fn segment(&self, hash: u64) -> &Mutex<Segment> {
        &self.segments[hash as usize % SEGMENTS]
    }

    /// Answers a query from memory, or says how it is to be answered. `waiter` makes a place for
    /// the reply of a fetch; `full_key` is a buffer to be used again.
    pub fn lookup(
        &self,
        query: Query<'_>,
        full_key: &mut Vec<u8>,
        out: &mut Vec<u8>,
        waiter: impl FnOnce() -> Waiter,
    ) -> Lookup {
        let hash = self.hash(query.key);
        write_full_key(query.db, query.key, full_key);
        let key = full_key.as_slice();
        let mut segment = self.segment(hash).lock();
        let Some(version) = self.stripes.version(hash) else {
            return Lookup::Busy;
        };
        let mut good = true;
        if let Some(entry) = segment.entries.get_mut(key) {
            if query.now >= entry.deadline {
                count(&self.stats.expired);
                segment.remove(key);
            } else if !entry.lease.is_current(entry.epoch) {
                segment.remove(key);
            } else if entry.lease.is_good(query.now) {
                entry.hits += 1;
                entry.write(query.proto, out);
                segment.hits += 1;
                return Lookup::Hit;
            } else {
                good = false;
            }
        }
        count(&self.stats.misses);
        if !good {
            return Lookup::Bypass;
        }
        // What a fetch brings was current at some time after it was sent.
        let after = query.now.checked_sub(self.settings.load().staleness_max);
        let mut waiter = Some(waiter);
        let mut make = || waiter.take().map(|make| make());
        let joined = segment.join(key, after, || {
            make().expect("made once: join calls it at most once")
        });
        match joined {
            Joined::Yes => {
                count(&self.stats.coalesced);
                return Lookup::Joined;
            }
            Joined::TooOld => return Lookup::Bypass,
            Joined::NoFlight => {}
        }
        if !query.can_fill {
            return Lookup::Bypass;
        }
        if segment.is_oversized(key) || !self.is_worth_a_place(&mut segment, hash, query.key) {
            return Lookup::Bypass;
        }
        let Some(waiter) = make() else {
            return Lookup::Bypass;
        };
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        segment.begin(key, token, query.now, version, waiter);
        Lookup::Lead(token)
    }

    /// Whether a missing key should be fetched into the cache.
    fn is_worth_a_place(&self, segment: &mut Segment, hash: u64, key: &[u8]) -> bool {
        let settings = self.settings.load();
        if !covers(&settings, key) {
            return false;
        }
        let asked = segment.frequency.count(hash);
        let full = segment.entries.len() >= settings.max_entries.div_ceil(SEGMENTS)
            || segment.bytes >= settings.max_bytes / SEGMENTS * 31 / 32;
        if !full {
            return true;
        }
        let Some((victim, _)) = segment.entries.peek_lru() else {
            return true;
        };
        asked > segment.frequency.of(self.hash(&victim[4..]))
    }

    /// Ends a flight and keeps what it brought, unless something happened to the key meanwhile.
    /// Returns who waits for it. `reply` is the bulk reply, none when the key does not exist.
    pub(super) fn land(&self, fill: &Fill<'_>) -> Vec<Waiter> {
        let hash = self.hash(fill.key);
        let mut full_key = Vec::new();
        write_full_key(fill.db, fill.key, &mut full_key);
        let settings = self.settings.load();
        let mut segment = self.segment(hash).lock();
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
        let cap = fill.sent + settings.expiry;
        let ttl = fill.ttl.filter(|_| !is_active(Mutant::PttlIgnored));
        let deadline = ttl.map_or(cap, |ttl| {
            (fill.sent + ttl.saturating_sub(CLOCK_SLACK)).min(cap)
        });
        let entry = Entry {
            reply: (!is_nil(reply)).then(|| reply.into()),
            deadline,
            expires: ttl.is_some(),
            lease: Arc::clone(fill.lease),
            epoch: fill.epoch,
            since: fill.sent,
            hits: 0,
        };
        count(&self.stats.fills);
        let evicted = segment.insert(
            full_key.into(),
            entry,
            settings.max_entries.div_ceil(SEGMENTS),
            settings.max_bytes / SEGMENTS,
        );
        self.stats.evictions.fetch_add(evicted, Ordering::Relaxed);
        waiters
    }

    /// Keeps a value without any of the checks of [`Cache::land`].
    #[cfg(feature = "mutants")]
    pub(super) fn insert_unchecked(&self, db: u32, key: &[u8], reply: &[u8], lease: &Arc<Lease>) {
        let mut full_key = Vec::new();
        write_full_key(db, key, &mut full_key);
        let now = Instant::now();
        let entry = Entry {
            reply: (!is_nil(reply)).then(|| reply.into()),
            deadline: now + self.settings.load().expiry,
            expires: false,
            lease: Arc::clone(lease),
            epoch: lease.epoch(),
            since: now,
            hits: 0,
        };
        let mut segment = self.segment(self.hash(key)).lock();
        segment.insert(full_key.into(), entry, usize::MAX, usize::MAX);
    }

    /// Takes a key's entry away and voids its flight, because of a command on it.
    pub(super) fn evict(&self, db: u32, key: &[u8], hash: u64, full_key: &mut Vec<u8>) {
        write_full_key(db, key, full_key);
        let mut segment = self.segment(hash).lock();
        segment.remove(full_key);
        segment.forget_oversized(full_key);
        if !is_active(Mutant::TokenNotVoidedByWrite) {
            segment.void(full_key);
        }
    }

    /// The backing says that a key has changed, on the fill link with this lease.
    pub(super) fn invalidate(&self, db: u32, key: &[u8], lease: &Arc<Lease>) {
        let hash = self.hash(key);
        let mut full_key = Vec::new();
        write_full_key(db, key, &mut full_key);
        let mut segment = self.segment(hash).lock();
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

    /// Empties the cache and voids every flight; returns how many entries went.
    pub fn flush(&self) -> usize {
        count(&self.stats.flushes);
        self.segments
            .iter()
            .map(|segment| segment.lock().clear())
            .sum()
    }

    /// Drops the entries of a database whose keys match; returns how many.
    pub fn flush_matching(&self, db: u32, pattern: &[u8]) -> usize {
        let mut dropped = 0;
        for segment in &self.segments {
            let mut segment = segment.lock();
            let matching: Vec<FullKey> = segment
                .entries
                .iter()
                .filter(|(key, _)| key[..4] == db.to_be_bytes() && matches(pattern, &key[4..]))
                .map(|(key, _)| key.clone())
                .collect();
            dropped += matching.len();
            for key in matching {
                segment.remove(&key);
            }
        }
        dropped
    }

    /// Looks at a key's entry, if there is one that could be served, without using it.
    pub(super) fn inspect<T>(
        &self,
        db: u32,
        key: &[u8],
        look: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        let mut full_key = Vec::new();
        write_full_key(db, key, &mut full_key);
        let segment = self.segment(self.hash(key)).lock();
        let now = Instant::now();
        let entry = segment.entries.peek(&*full_key)?;
        (entry.deadline > now && entry.lease.is_current(entry.epoch)).then(|| look(entry))
    }

    /// The keys with the most hits: database, key, hits.
    pub(super) fn hottest(&self, most: usize) -> Vec<(u32, Vec<u8>, u64)> {
        let mut hottest: Vec<(u32, Vec<u8>, u64)> = Vec::new();
        for segment in &self.segments {
            for (key, entry) in &segment.lock().entries {
                let hits = entry.hits;
                if hits == 0 || (hottest.len() == most && hottest[most - 1].2 >= hits) {
                    continue;
                }
                let at = hottest.partition_point(|(_, _, other)| *other >= hits);
                let db = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
                hottest.insert(at, (db, key[4..].to_vec(), hits));
                hottest.truncate(most);
            }
        }
        hottest
    }

    /// Hits, misses and entries, for `INFO`.
    pub fn summary(&self) -> [(&'static str, u64); 3] {
        let (entries, _, hits) = self.totals();
        let misses = self.stats.misses.load(Ordering::Relaxed);
        [
            ("cache_hits", hits),
            ("cache_misses", misses),
            ("cache_entries", entries as u64),
        ]
    }

    /// Entries, bytes and hits.
    pub(super) fn totals(&self) -> (usize, usize, u64) {
        self.segments
            .iter()
            .fold((0, 0, 0), |(entries, bytes, hits), segment| {
                let segment = segment.lock();
                (
                    entries + segment.entries.len(),
                    bytes + segment.bytes,
                    hits + segment.hits,
                )
            })
    }
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

fn write_full_key(db: u32, key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&db.to_be_bytes());
    out.extend_from_slice(key);
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}
