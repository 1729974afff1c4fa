//! `GET`s and `MGET`s that pass the cache by: what they show is compared with what is here.
//!
//! The backing may show something newer than an entry, or than what a fetch is about to bring, whose push has not come
//! yet. So when the reply is in, and before its client sees it, an entry stays only if it has the same value, and of
//! the fetches under way only what brings the same is kept. Nothing is taken away, or kept back, before.

use std::sync::atomic::Ordering;

use super::entry::Entry;
use super::full_key::write_full_key;
use super::mutant::{Mutant, is_active};
use super::store::Cache;
use super::value::{Value, is_nil};
use crate::resp::ReplyScanner;

/// Bytes of the keys that are kept to be compared. Others are protected.
const MOST_BYTES: usize = 64 * 1024;

/// The `GET`s and `MGET`s among commands that are sent together.
#[derive(Debug, Default)]
pub(super) struct Passed(Option<Box<Reads>>);

#[derive(Debug, Default)]
struct Reads {
    /// One for each key.
    reads: Vec<Read>,
    /// The keys, one behind the other.
    keys: Vec<u8>,
    /// How many of the reads have been looked at.
    done: usize,
    /// Which reply of the commands is at hand.
    at: u32,
    scanner: ReplyScanner,
}

#[derive(Debug)]
struct Read {
    /// Which of the replies is its own.
    at: u32,
    db: u32,
    /// Its value is one of many in that reply, in their order.
    many: bool,
    /// Where its key ends.
    end: usize,
}

/// The values of a reply to `MGET`.
struct Values<'a>(&'a [u8]);

impl Passed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether so many bytes of keys may be kept besides those that are.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let kept = self.0.as_ref().map_or(0, |reads| reads.keys.len());
        kept + bytes <= MOST_BYTES
    }

    /// Takes note of a key, whose value is in the reply behind so many others.
    pub(super) fn push(&mut self, at: u32, db: u32, key: &[u8], many: bool) {
        let reads = self.0.get_or_insert_default();
        reads.push(at, db, key, many);
    }

    /// Replies have come, or parts of them, and are about to be shown.
    pub(super) fn show(&mut self, cache: &Cache, bytes: &[u8]) {
        if let Some(reads) = &mut self.0 {
            reads.show(cache, bytes);
        }
    }
}

impl Reads {
    fn push(&mut self, at: u32, db: u32, key: &[u8], many: bool) {
        self.keys.extend_from_slice(key);
        let end = self.keys.len();
        self.reads.push(Read { at, db, many, end });
    }

    fn show(&mut self, cache: &Cache, bytes: &[u8]) {
        let mut pos = 0;
        while pos < bytes.len() && self.done < self.reads.len() {
            let begins = self.scanner.at_start();
            let rest = &bytes[pos..];
            let Ok(scanned) = self.scanner.scan(rest) else {
                return self.give_up(cache);
            };
            // Of one that comes in pieces the first is shown before the value is known.
            if begins && self.reads[self.done].at == self.at {
                self.show_reply(cache, scanned.complete.then_some(&rest[..scanned.consumed]));
            }
            self.at += u32::from(scanned.complete);
            pos += scanned.consumed;
            if !scanned.complete {
                return;
            }
        }
    }

    /// What of these reads is shown is not known.
    fn give_up(&mut self, cache: &Cache) {
        while self.done < self.reads.len() {
            self.show_reply(cache, None);
        }
    }

    /// Shows all that is in a reply.
    fn show_reply(&mut self, cache: &Cache, reply: Option<&[u8]>) {
        let at = self.reads[self.done].at;
        let mut values = Values::of(reply.unwrap_or_default());
        while let Some(read) = self.reads.get(self.done)
            && read.at == at
        {
            let value = if read.many { values.next() } else { reply };
            self.show_next(cache, value);
        }
    }

    fn show_next(&mut self, cache: &Cache, reply: Option<&[u8]>) {
        let begin = match self.done {
            0 => 0,
            done => self.reads[done - 1].end,
        };
        let read = &self.reads[self.done];
        self.done += 1;
        cache.shown(read.db, &self.keys[begin..read.end], reply);
    }
}

impl<'a> Values<'a> {
    /// None, if it is another reply.
    fn of(reply: &'a [u8]) -> Self {
        let is_array = reply.first() == Some(&b'*');
        let line = memchr::memchr(b'\n', reply).filter(|_| is_array);
        Values(line.map_or(&[], |line| &reply[line + 1..]))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let scanned = ReplyScanner::default().scan(self.0).ok()?;
        let (value, rest) = self.0.split_at(scanned.consumed);
        self.0 = rest;
        scanned.complete.then_some(value)
    }
}

impl Cache {
    /// A client is about to see this reply to a `GET` of the backing; none: one that is not known as a whole.
    fn shown(&self, db: u32, key: &[u8], reply: Option<&[u8]>) {
        let hash = self.hash(key);
        let part = self.part(hash, self.mask.load(Ordering::SeqCst));
        if !part.occupied.load(Ordering::SeqCst) || is_active(Mutant::BypassReadKeepsEntry) {
            return;
        }
        let mut full_key = Vec::new();
        write_full_key(hash, db, key, &mut full_key);
        let (_, mut segment) = self.lock(hash);
        let segment = &mut *segment;
        let same = |entry: &Entry| {
            let value = entry.get();
            reply.is_some_and(|reply| value.is_some_and(|value| value.is(reply)))
        };
        // It is used, if not asked.
        if (segment.entries.get(full_key.as_slice())).is_some_and(|entry| !same(entry)) {
            segment.remove(&full_key);
        }
        match reply {
            Some(reply) => segment.flights.show(&full_key, reply),
            None => segment.flights.void(&full_key),
        }
    }
}

impl Value {
    /// Whether this reply to `GET` says the same.
    fn is(&self, reply: &[u8]) -> bool {
        match &self.reply {
            Some(own) => **own == *reply,
            None => is_nil(reply),
        }
    }
}
