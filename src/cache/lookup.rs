//! Answers a read of one key, or says how it is to be answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::entry::{Read, Waiter};
use super::flights::{Joined, NewFlight};
use super::full_key::write_full_key;
use super::lease::ticks;
use super::listed::lists;
use super::segment::{Segment, Size};
use super::stats::count;
use super::store::{Cache, Part};
use super::stripes::Version;
use super::value::Worth;
use crate::config::CacheSettings;
use crate::resp::{Proto, Shape, glob_match};

/// A read that may be answered from memory.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The client's database.
    pub db: u32,
    /// The key.
    pub key: &'a [u8],
    /// The variant that is read, with the shape of its reply; none for `GET`.
    pub variant: Option<(&'a [u8], Shape)>,
    /// Its reply is made from many elements, and costs the backing accordingly.
    pub dear: bool,
    /// Nothing is fetched, or waited for, on its account.
    pub hurried: bool,
    /// The client's protocol version.
    pub proto: Proto,
    /// Now.
    pub now: Instant,
    /// The fetch of this key, by its token, that the same client still waits for: its reads of one key must
    /// not pass each other on their ways.
    pub awaited: Option<u64>,
}

/// What became of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The reply was appended.
    Hit,
    /// The reply is this.
    Large(Bytes),
    /// The key is to be fetched with this token; the waiter is noted.
    Lead(u64),
    /// Somebody fetches it already, with this token; the waiter is noted.
    Joined(u64),
    /// The client's own fetch of the key has to be answered first. Nothing was noted.
    Wait,
    /// The backing has to be asked as for any command, because one on this key is under way.
    Busy,
    /// The backing has to be asked as for any command.
    Bypass,
    /// As [`Lookup::Bypass`]; and the value, which was too large to keep, is worth being measured again.
    Measure,
}

impl Cache {
    /// Answers a query from memory, or says how it is to be answered. `full_key` is a buffer to be
    /// used again. `can_fill` tells whether a fill link is there to fetch the key, `waiter` makes a place for its reply.
    #[inline]
    pub fn lookup(
        self: &Arc<Self>,
        query: Query<'_>,
        full_key: &mut Vec<u8>,
        out: &mut Vec<u8>,
        can_fill: impl Fn() -> bool,
        waiter: impl FnOnce() -> Waiter,
    ) -> Lookup {
        let hash = self.hash(query.key);
        write_full_key(hash, query.db, query.key, full_key);
        let (part, mut segment) = self.lock(hash);
        let segment = &mut *segment;
        let read = match query.variant {
            None => Read::Get,
            Some((name, _)) => Read::Other(name, self.hash(name)),
        };
        let asked = Asked {
            query,
            read,
            hash,
            full_key,
        };
        if let Some(token) = query.awaited {
            return self.follow(part, segment, &asked, token, &can_fill, waiter);
        }
        // An entry that is there may be served whatever is under way: who protects its key takes it
        // away first, and nothing is admitted before that is over.
        let mut good = true;
        if let Some(entry) = segment.entries.get_mut(full_key.as_slice())
            && let Some(value) = entry.find(read, query.proto)
        {
            match value.worth(ticks(query.now)) {
                Worth::Good => {
                    let large = value.write(query.proto, out);
                    entry.hits.update(|hits| hits + 1);
                    segment.hits += 1;
                    segment.hot.hit(full_key);
                    return large.map_or(Lookup::Hit, Lookup::Large);
                }
                worth => good = self.discard(segment, &asked, worth),
            }
        }
        segment.misses += 1;
        let version = self.stripes.version(hash);
        if let Some(version) = version.filter(|_| good && !query.hurried)
            && let Some(found) = self.miss(part, segment, &asked, version, &can_fill, waiter)
        {
            return found;
        }
        match version {
            None => Lookup::Busy,
            Some(_) => self.bypass(segment, full_key, read, can_fill),
        }
    }

    /// Drops a value that may not be served; false if its link has to show first that it is alive.
    #[cold]
    pub(super) fn discard(&self, segment: &mut Segment, asked: &Asked<'_>, worth: Worth) -> bool {
        match worth {
            Worth::Unproven => return false,
            // What is fetched takes its place.
            Worth::Overtaken | Worth::Good => return true,
            Worth::Expired => count(&self.stats.expired),
            Worth::Ended => {}
        }
        let now = ticks(asked.query.now);
        segment.change(asked.full_key, |entry| {
            entry.retain(|value| !matches!(value.worth(now), Worth::Expired | Worth::Ended));
        });
        true
    }

    /// A read of a key that the same client is having fetched: it shares that fetch, is fetched behind it or
    /// waits for it.
    fn follow(
        self: &Arc<Self>,
        part: &Part,
        segment: &mut Segment,
        asked: &Asked<'_>,
        token: u64,
        can_fill: impl Fn() -> bool,
        waiter: impl FnOnce() -> Waiter,
    ) -> Lookup {
        let query = asked.query;
        let after = query.now.checked_sub(self.settings.load().staleness_max);
        match segment.flights.find(asked.full_key, asked.read, after) {
            Joined::Yes(same, waiters) if same == token => {
                waiters.push(waiter());
                segment.misses += 1;
                count(&self.stats.coalesced);
                return Lookup::Joined(token);
            }
            Joined::Yes(..) | Joined::TooOld => return Lookup::Wait,
            Joined::NoFlight => {}
        }
        // Another read of the key: on the same link it is answered behind the fetch.
        let waiter = waiter();
        let follows = segment.flights.worker(asked.full_key, token) == Some(waiter.worker);
        let entry = segment.entries.peek_mut(asked.full_key);
        let is_there = entry.is_some_and(|entry| entry.find(asked.read, query.proto).is_some());
        if !follows || is_there {
            return Lookup::Wait;
        }
        let Some(version) = self.stripes.version(asked.hash) else {
            return Lookup::Wait;
        };
        let led = self.miss(part, segment, asked, version, can_fill, || waiter);
        if led.is_some() {
            segment.misses += 1;
        }
        led.unwrap_or(Lookup::Wait)
    }

    /// A read that the cache has no place for.
    pub(super) fn bypass(
        &self,
        segment: &mut Segment,
        key: &[u8],
        read: Read<'_>,
        can_fill: impl FnOnce() -> bool,
    ) -> Lookup {
        if read != Read::Get {
            return Lookup::Bypass;
        }
        match segment.oversized(key) {
            Some(size) if *size == Size::Unknown && can_fill() => {
                *size = Size::TooLarge;
                Lookup::Measure
            }
            _ => Lookup::Bypass,
        }
    }

    /// Has a missing key fetched, or joins its fetch; none when it is not to be fetched.
    pub(super) fn miss(
        &self,
        part: &Part,
        segment: &mut Segment,
        asked: &Asked<'_>,
        version: Version,
        can_fill: impl FnOnce() -> bool,
        waiter: impl FnOnce() -> Waiter,
    ) -> Option<Lookup> {
        let &Asked {
            query,
            read,
            hash,
            full_key,
        } = asked;
        if !segment.flights.is_empty() {
            // What a fetch brings was current at some time after it was sent.
            let after = query.now.checked_sub(self.settings.load().staleness_max);
            match segment.flights.find(full_key, read, after) {
                Joined::Yes(token, waiters) => {
                    waiters.push(waiter());
                    count(&self.stats.coalesced);
                    return Some(Lookup::Joined(token));
                }
                Joined::TooOld => return None,
                Joined::NoFlight => {}
            }
        }
        if segment.is_large(full_key, read)
            || !segment.admits(hash, asked.query.dear)
            || !covers(&self.settings.load(), query.key, read)
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
        let flight = NewFlight {
            token,
            since: query.now,
            version,
            read,
            shape: query.variant.map(|(_, shape)| shape).unwrap_or_default(),
            waiter: waiter(),
        };
        segment.flights.begin(full_key, flight);
        Some(Lookup::Lead(token))
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
}

/// A query with what was made of it.
pub(super) struct Asked<'a> {
    pub(super) query: Query<'a>,
    pub(super) read: Read<'a>,
    pub(super) hash: u64,
    pub(super) full_key: &'a [u8],
}

/// Whether a read may be cached, by its command and its key.
pub(super) fn covers(settings: &CacheSettings, key: &[u8], read: Read<'_>) -> bool {
    let command = match read {
        Read::Get => b"get",
        Read::Other(name, _) => name.split(|byte| *byte == b' ').next().unwrap_or_default(),
    };
    if !lists(settings, command) {
        return false;
    }
    let any = |patterns: &[String]| {
        patterns
            .iter()
            .any(|pattern| matches(pattern.as_bytes(), key))
    };
    (settings.include.is_empty() || any(&settings.include)) && !any(&settings.exclude)
}

pub(super) fn matches(pattern: &[u8], key: &[u8]) -> bool {
    pattern == b"*" || glob_match(pattern, key, false)
}
