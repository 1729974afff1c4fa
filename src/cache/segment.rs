//! One lock's worth of the cache: entries in the order of their use, and flights.

use hashbrown::HashMap;
use lru::LruCache;

use super::admission::{Ghosts, Missed};
use super::entry::{Entry, Read};
use super::flights::Flights;
use super::full_key::{FullKey, HashInFront};
use super::hotkeys::HotKeys;

/// Keys of too large values that are remembered, so that they are not fetched in vain.
const OVERSIZED_KEYS: usize = 1024;
/// Reads of one key whose replies were too large.
const MOST_LARGE_READS: usize = 16;

/// The entries and flights of some of the keys.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) entries: LruCache<FullKey, Entry, HashInFront>,
    pub(super) bytes: usize,
    /// Moves whenever an entry goes or changes: what was there is there still while it does not.
    pub(super) changes: u64,
    room: Room,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) hot: HotKeys,
    ghosts: Ghosts,
    missed: Missed,
    pub(super) flights: Flights,
    oversized: HashMap<FullKey, Size, HashInFront>,
    /// Reads besides `GET` whose replies were too large, until their keys change.
    large_reads: HashMap<FullKey, Vec<Box<[u8]>>, HashInFront>,
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

/// What is known of a value that was too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// It still is.
    TooLarge,
    /// The key has changed since: it is worth asking how long the value is now.
    Unknown,
}

impl Segment {
    /// An empty segment with so much room.
    pub(super) fn new(room: Room) -> Self {
        Segment {
            entries: LruCache::unbounded_with_hasher(HashInFront::default()),
            bytes: 0,
            changes: 0,
            room,
            hits: 0,
            misses: 0,
            hot: HotKeys::default(),
            ghosts: Ghosts::new(room.marked()),
            missed: Missed::new(room.marked()),
            flights: Flights::default(),
            oversized: HashMap::default(),
            large_reads: HashMap::default(),
        }
    }

    /// Whether there is nothing that a command on a key could concern.
    pub(super) fn is_bare(&self) -> bool {
        self.entries.is_empty()
            && self.flights.is_empty()
            && self.oversized.is_empty()
            && self.large_reads.is_empty()
    }

    /// Puts new limits in force. The segment has to be empty.
    pub(super) fn set_room(&mut self, room: Room) {
        debug_assert!(self.entries.is_empty(), "emptied before");
        self.room = room;
        self.ghosts = Ghosts::new(room.marked());
        self.missed = Missed::new(room.marked());
    }

    /// Whether a key that is missed is worth a place. What is `dear` to make is sooner.
    pub(super) fn admits(&mut self, hash: u64, dear: bool) -> bool {
        !self.room.selective || !self.is_full() || self.ghosts.is_known(hash, dear)
    }

    /// Whether a read of many has missed this key before; it is noted.
    pub(super) fn was_missed(&mut self, hash: u64) -> bool {
        self.missed.note(hash)
    }

    /// Whether an entry of an ordinary size would drive another one out.
    fn is_full(&self) -> bool {
        self.entries.len() >= self.room.entries || self.bytes >= self.room.bytes / 32 * 31
    }

    /// Takes an entry away.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<(FullKey, Entry)> {
        if self.entries.is_empty() {
            return None;
        }
        let (key, entry) = self.entries.pop_entry(key)?;
        self.changes += 1;
        self.bytes -= entry.bytes(key.len());
        Some((key, entry))
    }

    /// Changes an entry, and takes it away when nothing is left of it. Its place in the order of use stays.
    pub(super) fn change(&mut self, key: &[u8], change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.peek_mut(key) else {
            return;
        };
        self.changes += 1;
        let before = entry.bytes(key.len());
        change(entry);
        let after = entry.bytes(key.len());
        if entry.is_empty() {
            self.entries.pop(key);
            self.bytes -= before;
        } else {
            self.bytes = self.bytes - before + after;
        }
    }

    /// Drops the least recently used entries until there is room for another, and puts it in. Variants of
    /// its own go first when it alone is more than there is room for. Returns how many went; none when
    /// it is still larger than all that the segment may hold.
    pub(super) fn insert(&mut self, key: FullKey, mut entry: Entry) -> Option<u64> {
        self.remove(&key);
        while entry.bytes(key.len()) > self.room.bytes && entry.drop_oldest() {}
        let bytes = entry.bytes(key.len());
        if bytes > self.room.bytes || self.room.entries == 0 || entry.is_empty() {
            return None;
        }
        let mut evicted = 0;
        while self.entries.len() >= self.room.entries || self.bytes + bytes > self.room.bytes {
            let Some((key, entry)) = self.entries.pop_lru() else {
                break;
            };
            self.changes += 1;
            self.bytes -= entry.bytes(key.len());
            evicted += 1;
        }
        self.bytes += bytes;
        self.entries.put(key, entry);
        Some(evicted)
    }

    /// Drops what is of an epoch that is over.
    pub(super) fn sweep(&mut self) {
        let is_over = |(_, entry): &(&FullKey, &Entry)| {
            let mut values = entry.values();
            values.any(|value| !value.lease.is_current(value.epoch))
        };
        let keys: Vec<FullKey> = self
            .entries
            .iter()
            .filter(is_over)
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.change(&key, |entry| {
                entry.retain(|value| value.lease.is_current(value.epoch));
            });
        }
    }

    /// Drops all entries and voids all flights; returns how many entries went.
    pub(super) fn clear(&mut self) -> usize {
        let entries = self.entries.len();
        self.changes += 1;
        self.entries.clear();
        self.bytes = 0;
        self.oversized.clear();
        self.large_reads.clear();
        self.flights.void_all();
        entries
    }

    /// Remembers that the reply to `GET`, or to another read, is too large to keep.
    pub(super) fn note_large(&mut self, key: &[u8], name: Option<&[u8]>) {
        match name {
            None => self.note_oversized(key),
            Some(name) => self.note_large_read(key, name),
        }
    }

    fn note_oversized(&mut self, key: &[u8]) {
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

    fn note_large_read(&mut self, key: &[u8], name: &[u8]) {
        if self.large_reads.len() >= OVERSIZED_KEYS {
            self.large_reads.clear();
        }
        let reads = self.large_reads.entry(key.into()).or_default();
        if reads.len() >= MOST_LARGE_READS {
            reads.clear();
        }
        reads.push(name.into());
    }

    /// Whether a read's reply is known to be too large to keep.
    pub(super) fn is_large(&self, key: &[u8], read: Read<'_>) -> bool {
        match read {
            Read::Get => !self.oversized.is_empty() && self.oversized.contains_key(key),
            Read::Other(name, _) => {
                let reads = self.large_reads.get(key);
                reads.is_some_and(|reads| reads.iter().any(|read| **read == *name))
            }
        }
    }

    /// Notes that a key has changed: its value may be smaller now.
    pub(super) fn doubt_oversized(&mut self, key: &[u8]) {
        if !self.large_reads.is_empty() {
            self.large_reads.remove(key);
        }
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
    /// How many entries marks are reckoned for.
    fn marked(&self) -> usize {
        self.entries.min(self.bytes / 256)
    }
}
