//! One lock's worth of the cache: entries in the order of their use, and flights.

use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use lru::LruCache;

use super::admission::Ghosts;
use super::entry::{Entry, Waiter};
use super::full_key::{FullKey, HashInFront};
use super::guard::Version;
use super::hotkeys::HotKeys;

/// Keys of too large values that are remembered, so that they are not fetched in vain.
const OVERSIZED_KEYS: usize = 1024;

/// The entries and flights of some of the keys.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) entries: LruCache<FullKey, Entry, HashInFront>,
    pub(super) bytes: usize,
    most_entries: usize,
    most_bytes: usize,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) hot: HotKeys,
    pub(super) ghosts: Ghosts,
    flights: HashMap<FullKey, Flight, HashInFront>,
    /// Waiters of flights that were voided: they still get their reply, it is just not kept.
    voided: HashMap<u64, Vec<Waiter>>,
    oversized: HashSet<FullKey, HashInFront>,
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

/// Whether a flight can be joined.
#[derive(Debug)]
pub(super) enum Joined<'a> {
    /// By whoever adds a waiter.
    Yes(&'a mut Vec<Waiter>),
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
    /// An empty segment for at most so many entries and bytes.
    pub(super) fn new(most_entries: usize, most_bytes: usize) -> Self {
        Segment {
            entries: LruCache::unbounded_with_hasher(HashInFront::default()),
            bytes: 0,
            most_entries,
            most_bytes,
            hits: 0,
            misses: 0,
            hot: HotKeys::default(),
            ghosts: Ghosts::new(most_entries.min(most_bytes / 256)),
            flights: HashMap::default(),
            voided: HashMap::new(),
            oversized: HashSet::default(),
        }
    }

    /// Whether there is nothing that a command on a key could concern.
    pub(super) fn is_bare(&self) -> bool {
        self.entries.is_empty() && self.flights.is_empty() && self.oversized.is_empty()
    }

    /// Puts new limits in force, at the next insertion.
    pub(super) fn set_limits(&mut self, most_entries: usize, most_bytes: usize) {
        (self.most_entries, self.most_bytes) = (most_entries, most_bytes);
    }

    /// Whether an entry of an ordinary size would drive another one out.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.most_entries || self.bytes >= self.most_bytes / 32 * 31
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
    pub(super) fn insert(&mut self, key: FullKey, entry: Entry) -> u64 {
        self.remove(&key);
        self.bytes += entry.bytes(key.len());
        self.entries.put(key, entry);
        let mut evicted = 0;
        while self.entries.len() > self.most_entries || self.bytes > self.most_bytes {
            let Some((key, entry)) = self.entries.pop_lru() else {
                break;
            };
            self.bytes -= entry.bytes(key.len());
            evicted += 1;
        }
        evicted
    }

    /// Whether anything is being fetched.
    pub(super) fn has_flights(&self) -> bool {
        !self.flights.is_empty()
    }

    /// Looks for a valid flight of a key that began `after`: an older one may bring what was
    /// current too long ago.
    pub(super) fn flight(&mut self, key: &[u8], after: Option<Instant>) -> Joined<'_> {
        match self.flights.get_mut(key) {
            None => Joined::NoFlight,
            Some(flight) if after.is_some_and(|after| flight.since < after) => Joined::TooOld,
            Some(flight) => Joined::Yes(&mut flight.waiters),
        }
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
