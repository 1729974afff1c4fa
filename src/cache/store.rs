//! The cache as a whole.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use super::layout::{MOST_SEGMENTS, most_entries, rooms};
use super::lease::{Lease, ticks};
use super::links::Links;
use super::segment::Segment;
use super::stats::{Stats, count};
use super::stripes::Stripes;
use crate::config::{CacheMode, CacheSettings};

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
    pub(super) next_token: AtomicU64,
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
    pub(super) fn new_lease(&self, node: u32) -> Arc<Lease> {
        let lease = Arc::new(Lease::of(node));
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

    /// Locks the segment of a hash.
    #[inline]
    pub(super) fn lock(&self, hash: u64) -> (&Part, MutexGuard<'_, Segment>) {
        loop {
            let mask = self.mask.load(Ordering::SeqCst);
            let part = self.part(hash, mask);
            let segment = part.segment.lock();
            // It is changed with all segments locked.
            if self.mask.load(Ordering::SeqCst) == mask {
                return (part, segment);
            }
        }
    }

    /// The segment of a hash, as things are now.
    #[inline]
    pub(super) fn part(&self, hash: u64, mask: usize) -> &Part {
        // Bits that neither the tables nor the stripes of a segment lean on.
        &self.segments[(hash >> 46) as usize & mask]
    }

    /// The number of the segment of a hash; it stays so while one is locked.
    pub(super) fn index(&self, hash: u64) -> usize {
        (hash >> 46) as usize & self.mask.load(Ordering::SeqCst)
    }

    /// The entries that may be kept, all segments together.
    pub(super) fn most_entries(&self) -> usize {
        most_entries(&self.settings(), self.table.load(Ordering::SeqCst))
    }

    /// Divides the cache anew, by the settings and the backing's limit; what is cached goes.
    pub(super) fn lay_out(&self) {
        let table = self.table.load(Ordering::SeqCst);
        let rooms = rooms(&self.settings(), table);
        let mut segments: Vec<_> = self.segments.iter().map(|p| p.segment.lock()).collect();
        let mut voided = Vec::new();
        for (n, segment) in segments.iter_mut().enumerate() {
            segment.clear();
            voided.extend(segment.flights.take_voided());
            segment.set_room(rooms.get(n).copied().unwrap_or_default());
        }
        let mask = rooms.len() - 1;
        self.mask.store(mask, Ordering::SeqCst);
        for (hash, flight) in voided {
            segments[(hash >> 46) as usize & mask]
                .flights
                .put_voided(flight);
        }
    }

    /// Notes how many keys the backing tracks at most, 0 for any number; returns the limit that is news
    /// because it is below that of the configuration.
    pub fn set_table_limit(&self, keys: usize) -> Option<usize> {
        let old = self.table.swap(keys, Ordering::SeqCst);
        let settings = self.settings();
        let limit = most_entries(&settings, keys);
        if limit == most_entries(&settings, old) {
            return None;
        }
        self.lay_out();
        (limit < settings.max_entries).then_some(limit)
    }

    /// The mode in force, seen as a whole: tracking becomes expiry as soon as one link is without it.
    pub fn mode(&self) -> CacheMode {
        self.mode_if(self.links.deaf_anywhere())
    }

    /// The mode in force for what a node has.
    pub fn mode_at(&self, node: u32) -> CacheMode {
        self.mode_if(self.links.deaf_at(node))
    }

    fn mode_if(&self, deaf: bool) -> CacheMode {
        match self.settings.load().mode {
            CacheMode::Tracking if deaf => CacheMode::Expiry,
            mode => mode,
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}
