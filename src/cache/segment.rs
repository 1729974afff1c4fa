//! One lock's worth of the cache: entries in the order of their use, and flights.

use std::time::Instant;

use hashbrown::HashMap;
use lru::LruCache;

use super::admission::Ghosts;
use super::entry::{Entry, Waiter};
use super::full_key::{FullKey, HashInFront, hash_of};
use super::guard::Version;
use super::hotkeys::HotKeys;

/// Keys of too large values that are remembered, so that they are not fetched in vain.
const OVERSIZED_KEYS: usize = 1024;

/// The entries and flights of some of the keys.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) entries: LruCache<FullKey, Entry, HashInFront>,
    pub(super) bytes: usize,
    room: Room,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) hot: HotKeys,
    ghosts: Ghosts,
    flights: HashMap<FullKey, Flight, HashInFront>,
    /// Waiters of flights that were voided: they still get their reply, it is just not kept.
    voided: HashMap<u64, Voided>,
    oversized: HashMap<FullKey, Size, HashInFront>,
}

/// What a segment may hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Room {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    /// Whether a full segment lets in only what is asked for again before long. A small cache is one order
    /// of use and nothing else.
    pub(super) selective: bool,
}

/// A flight of which nothing is kept.
#[derive(Debug)]
pub(super) struct Voided {
    token: u64,
    pub(super) hash: u64,
    waiters: Vec<Waiter>,
}

/// What is known of a value that was too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// It still is.
    TooLarge,
    /// The key has changed since: it is worth asking how long the value is now.
    Unknown,
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
    Yes(u64, &'a mut Vec<Waiter>),
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
    /// An empty segment with so much room.
    pub(super) fn new(room: Room) -> Self {
        Segment {
            entries: LruCache::unbounded_with_hasher(HashInFront::default()),
            bytes: 0,
            room,
            hits: 0,
            misses: 0,
            hot: HotKeys::default(),
            ghosts: room.ghosts(),
            flights: HashMap::default(),
            voided: HashMap::new(),
            oversized: HashMap::default(),
        }
    }

    /// Whether there is nothing that a command on a key could concern.
    pub(super) fn is_bare(&self) -> bool {
        self.entries.is_empty() && self.flights.is_empty() && self.oversized.is_empty()
    }

    /// Puts new limits in force. The segment has to be empty.
    pub(super) fn set_room(&mut self, room: Room) {
        debug_assert!(self.entries.is_empty(), "emptied before");
        self.room = room;
        self.ghosts = room.ghosts();
    }

    /// Whether a key that is missed is worth a place.
    pub(super) fn admits(&mut self, hash: u64) -> bool {
        !self.room.selective || !self.is_full() || self.ghosts.is_known(hash)
    }

    /// Whether an entry of an ordinary size would drive another one out.
    fn is_full(&self) -> bool {
        self.entries.len() >= self.room.entries || self.bytes >= self.room.bytes / 32 * 31
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

    /// Drops the least recently used entries until there is room for another, and puts it in. Returns
    /// how many went; none when it is larger than all that the segment may hold.
    pub(super) fn insert(&mut self, key: FullKey, entry: Entry) -> Option<u64> {
        self.remove(&key);
        let bytes = entry.bytes(key.len());
        if bytes > self.room.bytes || self.room.entries == 0 {
            return None;
        }
        let mut evicted = 0;
        while self.entries.len() >= self.room.entries || self.bytes + bytes > self.room.bytes {
            let Some((key, entry)) = self.entries.pop_lru() else {
                break;
            };
            self.bytes -= entry.bytes(key.len());
            evicted += 1;
        }
        self.bytes += bytes;
        self.entries.put(key, entry);
        Some(evicted)
    }

    /// Drops the entries whose epoch is over.
    pub(super) fn sweep(&mut self) {
        let ended = |(_, entry): &(&FullKey, &Entry)| !entry.lease.is_current(entry.epoch);
        let keys: Vec<FullKey> = self
            .entries
            .iter()
            .filter(ended)
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.remove(&key);
        }
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
            Some(flight) => Joined::Yes(flight.token, &mut flight.waiters),
        }
    }

    /// Joins one more waiter to a flight with this token, if it is still valid and began `after`.
    pub(super) fn rejoin(
        &mut self,
        key: &[u8],
        token: u64,
        after: Option<Instant>,
        waiter: impl FnOnce() -> Waiter,
    ) -> bool {
        match self.flights.get_mut(key) {
            Some(flight)
                if flight.token == token && after.is_none_or(|after| flight.since >= after) =>
            {
                flight.waiters.push(waiter());
                true
            }
            _ => false,
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
            self.put_voided(old.void(key));
        }
    }

    /// Voids the flight of a key: what it brings is not kept, and nobody joins it any more.
    pub(super) fn void(&mut self, key: &[u8]) {
        if self.flights.is_empty() {
            return;
        }
        if let Some(flight) = self.flights.remove(key) {
            self.put_voided(flight.void(key));
        }
    }

    /// Takes over a voided flight.
    pub(super) fn put_voided(&mut self, voided: Voided) {
        self.voided.insert(voided.token, voided);
    }

    /// Hands over all voided flights.
    pub(super) fn take_voided(&mut self) -> impl Iterator<Item = Voided> {
        std::mem::take(&mut self.voided).into_values()
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
            _ => {
                let voided = self.voided.remove(&token);
                Landed {
                    waiters: voided.map(|v| v.waiters).unwrap_or_default(),
                    version: None,
                }
            }
        }
    }

    /// Drops all entries and voids all flights; returns how many entries went.
    pub(super) fn clear(&mut self) -> usize {
        let entries = self.entries.len();
        self.entries.clear();
        self.bytes = 0;
        self.oversized.clear();
        for (key, flight) in self.flights.drain() {
            let voided = flight.void(&key);
            self.voided.insert(voided.token, voided);
        }
        entries
    }

    /// Remembers a key whose value is too large to keep.
    pub(super) fn note_oversized(&mut self, key: &[u8]) {
        if self.oversized.len() >= OVERSIZED_KEYS {
            self.oversized.clear();
        }
        self.oversized.insert(key.into(), Size::TooLarge);
    }

    /// What is known of a key whose value was too large.
    pub(super) fn oversized(&mut self, key: &[u8]) -> Option<&mut Size> {
        if self.oversized.is_empty() {
            return None;
        }
        self.oversized.get_mut(key)
    }

    /// Notes that a key has changed: its value may be smaller now.
    pub(super) fn doubt_oversized(&mut self, key: &[u8]) {
        if let Some(size) = self.oversized(key) {
            *size = Size::Unknown;
        }
    }

    /// Forgets that a key's value was too large.
    pub(super) fn forget_oversized(&mut self, key: &[u8]) {
        self.oversized.remove(key);
    }
}

impl Room {
    fn ghosts(&self) -> Ghosts {
        Ghosts::new(self.entries.min(self.bytes / 256))
    }
}

impl Flight {
    fn void(self, key: &[u8]) -> Voided {
        Voided {
            token: self.token,
            hash: hash_of(key),
            waiters: self.waiters,
        }
    }
}
