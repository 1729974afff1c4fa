//! One lock's worth of the cache: entries in the order of their use, and flights.

use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use lru::LruCache;

use super::admission::Frequency;
use super::entry::{Entry, Waiter};
use super::guard::Version;

/// Keys of too large values that are remembered, so that they are not fetched in vain.
const OVERSIZED_KEYS: usize = 1024;

/// A key with its database in front, as the segments know it.
pub(super) type FullKey = Box<[u8]>;

/// The entries and flights of some of the keys.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) entries: LruCache<FullKey, Entry, hashbrown::DefaultHashBuilder>,
    pub(super) bytes: usize,
    pub(super) hits: u64,
    pub(super) frequency: Frequency,
    flights: HashMap<FullKey, Flight>,
    /// Waiters of flights that were voided: they still get their reply, it is just not kept.
    voided: HashMap<u64, Vec<Waiter>>,
    oversized: HashSet<FullKey>,
}

/// One fetch, for everybody who wants the key meanwhile.
#[derive(Debug)]
struct Flight {
    token: u64,
    /// The fetch was sent after this.
    since: Instant,
    version: Version,
    waiters: Vec<Waiter>,
}

/// Whether a flight was joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    Yes,
    NoFlight,
    TooOld,
}

/// A flight that has landed.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) waiters: Vec<Waiter>,
    /// The version to compare; none for a flight that was voided.
    pub(super) version: Option<Version>,
}

impl Segment {
    pub(super) fn new(keys: usize) -> Self {
        Segment {
            entries: LruCache::unbounded_with_hasher(hashbrown::DefaultHashBuilder::default()),
            bytes: 0,
            hits: 0,
            frequency: Frequency::new(keys),
            flights: HashMap::new(),
            voided: HashMap::new(),
            oversized: HashSet::new(),
        }
    }

    /// Takes an entry away.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        if self.entries.is_empty() {
            return None;
        }
        let (key, entry) = self.entries.pop_entry(key)?;
        self.bytes -= entry.bytes(key.len());
        Some(entry)
    }

    /// Puts an entry in; then drops the least recently used ones beyond the limits. Returns how
    /// many.
    pub(super) fn insert(
        &mut self,
        key: FullKey,
        entry: Entry,
        most_entries: usize,
        most_bytes: usize,
    ) -> u64 {
        self.remove(&key);
        self.bytes += entry.bytes(key.len());
        self.entries.put(key, entry);
        let mut evicted = 0;
        while self.entries.len() > most_entries || self.bytes > most_bytes {
            let Some((key, entry)) = self.entries.pop_lru() else {
                break;
            };
            self.bytes -= entry.bytes(key.len());
            evicted += 1;
        }
        evicted
    }

    /// Joins the flight of a key, if there is a valid one that began `after`: an older one may
    /// bring what was current too long ago.
    pub(super) fn join(
        &mut self,
        key: &[u8],
        after: Option<Instant>,
        waiter: impl FnOnce() -> Waiter,
    ) -> Joined {
        let Some(flight) = self.flights.get_mut(key) else {
            return Joined::NoFlight;
        };
        if after.is_some_and(|after| flight.since < after) {
            return Joined::TooOld;
        }
        flight.waiters.push(waiter());
        Joined::Yes
    }

    /// Begins a flight.
    pub(super) fn begin(
        &mut self,
        key: &[u8],
        token: u64,
        since: Instant,
        version: Version,
        waiter: Waiter,
    ) {
        let flight = Flight {
            token,
            since,
            version,
            waiters: vec![waiter],
        };
        if let Some(old) = self.flights.insert(key.into(), flight) {
            self.voided.insert(old.token, old.waiters);
        }
    }

    /// Voids the flight of a key: what it brings is not kept, and nobody joins it any more.
    pub(super) fn void(&mut self, key: &[u8]) {
        if self.flights.is_empty() {
            return;
        }
        if let Some(flight) = self.flights.remove(key) {
            self.voided.insert(flight.token, flight.waiters);
        }
    }

    /// Ends a flight.
    pub(super) fn land(&mut self, key: &[u8], token: u64) -> Landed {
        match self.flights.get(key) {
            Some(flight) if flight.token == token => {
                let flight = self.flights.remove(key);
                let version = flight.as_ref().map(|flight| flight.version);
                Landed {
                    waiters: flight.map(|f| f.waiters).unwrap_or_default(),
                    version,
                }
            }
            _ => Landed {
                waiters: self.voided.remove(&token).unwrap_or_default(),
                version: None,
            },
        }
    }

    /// Drops all entries and voids all flights; returns how many entries went.
    pub(super) fn clear(&mut self) -> usize {
        let entries = self.entries.len();
        self.entries.clear();
        self.bytes = 0;
        self.oversized.clear();
        for (_, flight) in self.flights.drain() {
            self.voided.insert(flight.token, flight.waiters);
        }
        entries
    }

    /// Remembers a key whose value is too large to keep.
    pub(super) fn note_oversized(&mut self, key: &[u8]) {
        if self.oversized.len() >= OVERSIZED_KEYS {
            self.oversized.clear();
        }
        self.oversized.insert(key.into());
    }

    /// Whether a key's value is known to be too large.
    pub(super) fn is_oversized(&self, key: &[u8]) -> bool {
        !self.oversized.is_empty() && self.oversized.contains(key)
    }

    /// Forgets that a key's value was too large.
    pub(super) fn forget_oversized(&mut self, key: &[u8]) {
        if !self.oversized.is_empty() {
            self.oversized.remove(key);
        }
    }
}
