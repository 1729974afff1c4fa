//! Reads of many keys at once: `MGET`, and `EXISTS` of several.
//!
//! Each key is an entry like any other, kept as `GET`, or `EXISTS` of it alone, keeps it. The reply is made of entries
//! that were all current at one instant (P7 in docs/coherence.md). Where the entries of one fill link are there
//! together, its pushes say that they were when its last reply came. Those of several links were if each link has
//! answered something that was sent after the last of them came. Of a cluster each node has an instant of its own.
//!
//! It fetches nothing: it says which parts are to be fetched first.

use std::sync::Arc;
use std::time::Instant;

use super::entry::{Entry, Read, Waiter};
use super::full_key::write_full_key;
use super::landing::NO_STRING;
use super::layout::MOST_SEGMENTS;
use super::lease::{Lease, ticks};
use super::listed::lists;
use super::lookup::{Asked, Lookup, Query, covers};
use super::mutant::{Mutant, is_active};
use super::segment::Segment;
use super::store::Cache;
use super::value::{Value, Worth, write_nil};
use crate::command::Many;
use crate::resp::{Args, Proto, ReplyWriter, Shape};

/// A longer reply is the backing's: it passes in pieces.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// The variant that tells whether a key exists.
const EXISTS: &[u8] = b"exists";
/// So many keys, and such a part of all keys, may be missed for the first time and be fetched at once.
const FEW_FIRST: usize = 4;
const PART_FIRST: usize = 8;
/// Of reads with more, one in so many is fetched all the same: keys that are too many to be remembered come in, too.
const FETCH_EVERY: u32 = 16;

/// A read of many keys.
#[derive(Debug, Clone, Copy)]
pub struct ManyQuery<'a> {
    /// What is read of them.
    pub many: Many,
    /// The client's database.
    pub db: u32,
    /// The keys.
    pub keys: Args<'a>,
    /// The client's protocol version.
    pub proto: Proto,
    /// Whether the backing may be asked for the whole when most keys are asked for the first time.
    pub whole: bool,
    /// Now.
    pub now: Instant,
}

/// How often a query was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// For the first time: its keys are counted, and what is missing may be fetched.
    First,
    /// Again, after what was missing was fetched.
    Again,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathered {
    /// The reply was appended.
    Whole,
    /// Some keys have to be fetched first; when it was asked again, they went meanwhile.
    Parts,
    /// As `Parts`, but most of them are asked for the first time: the backing answers the whole for less. It has to be
    /// asked as for any command.
    Cold,
    /// The backing has to be asked as for any command. So much of it is worth being measured again: the key of
    /// this number, whose value was too large to keep.
    Bypass(Option<usize>),
}

/// What was found of a query's keys; a buffer to be used again.
#[derive(Debug, Default)]
pub struct Collected {
    full_key: Vec<u8>,
    /// The hash of each key and the token of its value.
    parts: Vec<(u64, u64)>,
    /// The segments that were looked into, by a bit each.
    touched: u64,
    /// How far their changes were.
    changes: Vec<u64>,
    /// Who brought the values.
    brought: Vec<Bringer>,
    /// Keys that exist.
    existing: usize,
    /// Keys that may be served.
    hits: u64,
    /// Keys that are missing and were not missed before.
    first: usize,
    /// Reads that had too many of those.
    cold: u32,
}

/// A link that has brought some of the values.
#[derive(Debug)]
struct Bringer {
    lease: Arc<Lease>,
    epoch: u64,
    /// When the last of them came, in ticks.
    latest: u64,
}

// === impl Cache ===

impl Cache {
    /// Appends the reply to a read of many keys if all of it is here, from one instant.
    pub fn gather(
        self: &Arc<Self>,
        query: &ManyQuery<'_>,
        look: Look,
        collected: &mut Collected,
        out: &mut Vec<u8>,
    ) -> Gathered {
        let begun = out.len();
        collected.begin();
        let mut gathered = self.collect(query, look, collected, out);
        if gathered == Gathered::Whole && !self.is_snapshot(query, collected) {
            gathered = Gathered::Parts;
        }
        match gathered {
            Gathered::Whole if query.many == Many::Existing => {
                let count = i64::try_from(collected.existing).unwrap_or(i64::MAX);
                ReplyWriter::new(out, query.proto).integer(count);
            }
            Gathered::Whole => {}
            _ => out.truncate(begun),
        }
        collected.brought.clear();
        // Of a read that the backing answers nothing was a hit.
        if let (Gathered::Whole | Gathered::Parts, Some(&(hash, _))) =
            (gathered, collected.parts.last())
        {
            self.lock(hash).1.hits += std::mem::take(&mut collected.hits);
        }
        gathered
    }

    /// Begins a fetch of a key of such a read, or joins one, unless the link with `own` lease has brought what is
    /// there. None when nothing is to be waited for.
    pub fn fetch_part(
        self: &Arc<Self>,
        query: &ManyQuery<'_>,
        key: &[u8],
        own: &Arc<Lease>,
        full_key: &mut Vec<u8>,
        waiter: Waiter,
    ) -> Option<Lookup> {
        let hash = self.hash(key);
        write_full_key(hash, query.db, key, full_key);
        let (part, mut segment) = self.lock(hash);
        let segment = &mut *segment;
        let asked = self.asked(query, key, hash, full_key);
        let now = ticks(query.now);
        let is_own = |value: &Value| {
            value.worth(now) == Worth::Good
                && (Arc::ptr_eq(&value.lease, own) || is_active(Mutant::MgetMixesLinks))
        };
        if let Some(entry) = segment.entries.peek_mut(&**full_key)
            && find(entry, query, asked.read, now).is_some_and(|value| is_own(value))
        {
            return None;
        }
        let version = self.stripes.version(hash)?;
        self.miss(part, segment, &asked, version, || true, || waiter)
    }

    /// What there is of each key, now.
    #[cfg(feature = "mutants")]
    pub fn values_of(&self, query: &ManyQuery<'_>) -> Vec<Option<Vec<u8>>> {
        let (read, now, mut full_key) = (self.read_of(query), ticks(query.now), Vec::new());
        let value = |key: &[u8]| {
            let hash = self.hash(key);
            write_full_key(hash, query.db, key, &mut full_key);
            let (_, mut segment) = self.lock(hash);
            let value = find(
                segment.entries.peek_mut(full_key.as_slice())?,
                query,
                read,
                now,
            )?;
            let mut out = Vec::new();
            let large =
                (value.worth(now) == Worth::Good).then(|| value.write(query.proto, &mut out))?;
            Some(large.map_or(out, Into::into))
        };
        query.keys.iter().map(value).collect()
    }

    fn asked<'a>(
        &self,
        query: &ManyQuery<'_>,
        key: &'a [u8],
        hash: u64,
        full_key: &'a [u8],
    ) -> Asked<'a> {
        let read = match query.many {
            Many::Values => Read::Get,
            Many::Existing => Read::Other(EXISTS, self.hash(EXISTS)),
        };
        Asked {
            query: Query {
                db: query.db,
                key,
                variant: (query.many == Many::Existing).then(|| (EXISTS, Shape::default())),
                proto: query.proto,
                now: query.now,
                dear: false,
                hurried: false,
                awaited: None,
            },
            read,
            hash,
            full_key,
        }
    }

    /// Collects what is there. Each key's segment is locked for itself.
    fn collect(
        self: &Arc<Self>,
        query: &ManyQuery<'_>,
        look: Look,
        collected: &mut Collected,
        out: &mut Vec<u8>,
    ) -> Gathered {
        if query.many == Many::Values {
            if !lists(&self.settings.load(), NO_STRING) {
                return Gathered::Bypass(None);
            }
            ReplyWriter::new(out, query.proto).array(query.keys.len());
        }
        let (begun, now) = (out.len(), ticks(query.now));
        let mut whole = true;
        for (n, key) in query.keys.iter().enumerate() {
            let hash = self.hash(key);
            write_full_key(hash, query.db, key, &mut collected.full_key);
            let (_, mut segment) = self.lock(hash);
            let segment = &mut *segment;
            collected.touch(self.index(hash), segment);
            let read = self.read_of(query);
            let worth = collected.take(segment, query, look, read, (hash, now), out);
            if worth == Some(Worth::Good) {
                if out.len() - begun > MOST_BYTES {
                    return Gathered::Bypass(None);
                }
                continue;
            }
            if worth == Some(Worth::Unproven) {
                return Gathered::Bypass(None);
            }
            if look == Look::Again {
                return match is_unkeepable(segment, &collected.full_key, read) {
                    true => Gathered::Bypass(None),
                    false => Gathered::Parts,
                };
            }
            segment.misses += 1;
            collected.first += usize::from(!segment.was_missed(hash));
            whole = false;
            let full_key = std::mem::take(&mut collected.full_key);
            let asked = self.asked(query, key, hash, &full_key);
            if let Some(worth) = worth {
                self.discard(segment, &asked, worth);
            }
            let bypass = self.cannot_fetch(segment, &asked);
            collected.full_key = full_key;
            if let Some(lookup) = bypass {
                return Gathered::Bypass((lookup == Lookup::Measure).then_some(n));
            }
        }
        match whole {
            true => Gathered::Whole,
            false if query.whole && collected.is_cold(query.keys.len()) => Gathered::Cold,
            false => Gathered::Parts,
        }
    }

    fn read_of(&self, query: &ManyQuery<'_>) -> Read<'static> {
        match query.many {
            Many::Values => Read::Get,
            Many::Existing => Read::Other(EXISTS, self.hash(EXISTS)),
        }
    }

    /// Whether it would be of no use to fetch a key that is missing, and what is to be done instead.
    fn cannot_fetch(self: &Arc<Self>, segment: &mut Segment, asked: &Asked<'_>) -> Option<Lookup> {
        let &Asked {
            query,
            read,
            hash,
            full_key,
        } = asked;
        if self.stripes.version(hash).is_none() {
            return Some(Lookup::Busy);
        }
        if is_unkeepable(segment, full_key, read) {
            return Some(self.bypass(segment, full_key, read, || true));
        }
        let wanted = covers(&self.settings.load(), query.key, read);
        (!wanted || !segment.admits(hash, false)).then_some(Lookup::Bypass)
    }

    /// Whether all that was collected was current at one instant.
    fn is_snapshot(&self, query: &ManyQuery<'_>, collected: &mut Collected) -> bool {
        // Last of all: what is there still, no push has taken away that was applied before the proof.
        collected.share_an_instant() && self.are_there(query, collected)
    }

    /// Whether all that was collected is there still.
    fn are_there(&self, query: &ManyQuery<'_>, collected: &mut Collected) -> bool {
        let mut touched = collected.touched;
        let mut same = true;
        while touched != 0 {
            let index = touched.trailing_zeros() as usize;
            touched &= touched - 1;
            same &= self.segments[index].segment.lock().changes == collected.changes[index];
        }
        same || self.are_there_each(query, collected)
    }

    /// The same, where something else has changed in a segment.
    #[cold]
    fn are_there_each(&self, query: &ManyQuery<'_>, collected: &mut Collected) -> bool {
        let (read, now) = (self.read_of(query), ticks(query.now));
        let full_key = &mut collected.full_key;
        let mut parts = query.keys.iter().zip(&collected.parts);
        parts.all(|(key, &(hash, token))| {
            write_full_key(hash, query.db, key, full_key);
            let (_, mut segment) = self.lock(hash);
            let entry = segment.entries.peek_mut(full_key.as_slice());
            let value = entry.and_then(|entry| find(entry, query, read, now));
            value.is_some_and(|value| value.token == token)
        })
    }
}

// === impl Collected ===

impl Collected {
    fn begin(&mut self) {
        self.parts.clear();
        self.touched = 0;
        self.changes.resize(MOST_SEGMENTS, 0);
        self.existing = 0;
        self.hits = 0;
        self.first = 0;
    }

    /// Whether most of what is missing is asked for the first time.
    fn is_cold(&mut self, keys: usize) -> bool {
        if self.first <= FEW_FIRST.max(keys / PART_FIRST) {
            return false;
        }
        self.cold = self.cold.wrapping_add(1);
        !self.cold.is_multiple_of(FETCH_EVERY)
    }

    /// Notes how far the changes of a segment are when it is looked into for the first time.
    fn touch(&mut self, index: usize, segment: &Segment) {
        if self.touched & (1 << index) == 0 {
            self.touched |= 1 << index;
            self.changes[index] = segment.changes;
        }
    }

    /// Takes what is there of a key, if it may be served; says what it is worth.
    fn take(
        &mut self,
        segment: &mut Segment,
        query: &ManyQuery<'_>,
        look: Look,
        read: Read<'_>,
        (hash, now): (u64, u64),
        out: &mut Vec<u8>,
    ) -> Option<Worth> {
        let key = self.full_key.as_slice();
        let value = match query.many {
            Many::Values => {
                let entry = segment.entries.get(key)?;
                entry
                    .hits
                    .update(|hits| hits + u64::from(look == Look::First));
                entry.get()?
            }
            Many::Existing => {
                segment.entries.promote(key);
                let entry = segment.entries.peek_mut(key)?;
                entry
                    .hits
                    .update(|hits| hits + u64::from(look == Look::First));
                entry.existence(read, query.proto, now)?
            }
        };
        let worth = value.worth(now);
        if worth != Worth::Good {
            return Some(worth);
        }
        if look == Look::First {
            self.hits += 1;
            segment.hot.hit(key);
        }
        self.parts.push((hash, value.token));
        let by = |bringer: &&mut Bringer| {
            bringer.epoch == value.epoch && Arc::ptr_eq(&bringer.lease, &value.lease)
        };
        match self.brought.iter_mut().find(by) {
            Some(known) => known.latest = known.latest.max(value.landed),
            None => self.brought.push(Bringer {
                lease: Arc::clone(&value.lease),
                epoch: value.epoch,
                latest: value.landed,
            }),
        }
        match (query.many, &value.reply) {
            (Many::Values, Some(reply)) => out.extend_from_slice(reply),
            (Many::Values, None) => write_nil(query.proto, out),
            // Of `GET` any value, of `EXISTS` one.
            (Many::Existing, reply) => {
                self.existing += usize::from(reply.as_ref().is_some_and(|r| **r != *b":0\r\n"));
            }
        }
        Some(worth)
    }

    /// Whether there is an instant, for each node, at which all of its values were current that were there just
    /// now. Of one link it is when its last reply came. Of several, the least time up to which their pushes have all
    /// been applied, if everything had come by then. A link that hears no pushes proves nothing.
    fn share_an_instant(&self) -> bool {
        if self.brought.iter().any(|by| by.lease.is_endless()) {
            return false;
        }
        if self.brought.len() <= 1 || is_active(Mutant::MgetMixesLinks) {
            return true;
        }
        self.brought.iter().all(|by| {
            let of_node = || {
                let all = self.brought.iter();
                all.filter(|other| other.lease.node() == by.lease.node())
            };
            let latest = of_node().map(|other| other.latest).max();
            let proven = || by.lease.proven(by.epoch);
            of_node().count() == 1 || proven().is_some_and(|proven| latest <= Some(proven))
        })
    }
}

/// Whether what a read would bring of a key is known to be nothing to keep.
fn is_unkeepable(segment: &Segment, full_key: &[u8], read: Read<'_>) -> bool {
    let no_string = Read::Other(NO_STRING, 0);
    segment.is_large(full_key, read) || read == Read::Get && segment.is_large(full_key, no_string)
}

/// What there is of a key for a query.
fn find<'a>(
    entry: &'a mut Entry,
    query: &ManyQuery<'_>,
    read: Read<'_>,
    now: u64,
) -> Option<&'a mut Value> {
    match query.many {
        Many::Values => entry.find(read, query.proto),
        Many::Existing => entry.existence(read, query.proto, now),
    }
}
