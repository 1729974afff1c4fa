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

/// Bytes that are kept of the reads to be compared. Others are protected.
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

/// Bytes of a read besides its key.
const READ_BYTES: usize = size_of::<Read>();

/// The values of a reply to `MGET`.
struct Values<'a>(&'a [u8]);

impl Passed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether these keys may be kept besides those that are.
    pub(super) fn has_room<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> bool {
        let kept = self.0.as_ref().map_or(0, |reads| reads.bytes());
        let more = keys.into_iter().map(|key| READ_BYTES + key.len());
        kept + more.sum::<usize>() <= MOST_BYTES
    }

    /// Takes note of a key, whose value is in the reply behind so many others.
    pub(super) fn push(&mut self, at: u32, db: u32, key: &[u8], many: bool) {
        let reads = self.0.get_or_insert_default();
        reads.push(at, db, key, many);
    }

    /// Replies have come, or parts of them, and are about to be shown. `full_key` is a buffer to be used again.
    pub(super) fn show(&mut self, cache: &Cache, bytes: &[u8], full_key: &mut Vec<u8>) {
        if let Some(reads) = &mut self.0 {
            reads.show(cache, bytes, full_key);
        }
    }
}

impl Reads {
    fn push(&mut self, at: u32, db: u32, key: &[u8], many: bool) {
        self.keys.extend_from_slice(key);
        let end = self.keys.len();
        self.reads.push(Read { at, db, many, end });
    }

    fn bytes(&self) -> usize {
        self.keys.len() + self.reads.len() * READ_BYTES
    }

    fn show(&mut self, cache: &Cache, bytes: &[u8], full_key: &mut Vec<u8>) {
        let mut pos = 0;
        while pos < bytes.len() && self.done < self.reads.len() {
            let begins = self.scanner.at_start();
            let rest = &bytes[pos..];
            let Ok(scanned) = self.scanner.scan(rest) else {
                return self.give_up(cache, full_key);
            };
            // Of one that comes in pieces the first is shown before the value is known.
            if begins && self.reads[self.done].at == self.at {
                let reply = scanned.complete.then_some(&rest[..scanned.consumed]);
                self.show_reply(cache, reply, full_key);
            }
            self.at += u32::from(scanned.complete);
            pos += scanned.consumed;
            if !scanned.complete {
                return;
            }
        }
    }

    /// What of these reads is shown is not known.
    fn give_up(&mut self, cache: &Cache, full_key: &mut Vec<u8>) {
        while self.done < self.reads.len() {
            self.show_reply(cache, None, full_key);
        }
    }

    /// Shows all that is in a reply.
    fn show_reply(&mut self, cache: &Cache, reply: Option<&[u8]>, full_key: &mut Vec<u8>) {
        let at = self.reads[self.done].at;
        let mut values = Values::of(reply.unwrap_or_default());
        while let Some(read) = self.reads.get(self.done)
            && read.at == at
        {
            let value = if read.many { values.next() } else { reply };
            let begin = match self.done {
                0 => 0,
                done => self.reads[done - 1].end,
            };
            cache.shown(read.db, &self.keys[begin..read.end], value, full_key);
            self.done += 1;
        }
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
    fn shown(&self, db: u32, key: &[u8], reply: Option<&[u8]>, full_key: &mut Vec<u8>) {
        let hash = self.hash(key);
        let part = self.part(hash, self.mask.load(Ordering::SeqCst));
        if !part.occupied.load(Ordering::SeqCst) || is_active(Mutant::BypassReadKeepsEntry) {
            return;
        }
        write_full_key(hash, db, key, full_key);
        let (_, mut segment) = self.lock(hash);
        let segment = &mut *segment;
        let same = |entry: &Entry| {
            let value = entry.get();
            reply.is_some_and(|reply| value.is_some_and(|value| value.is(reply)))
        };
        // It is used, if not asked.
        if (segment.entries.get(full_key.as_slice())).is_some_and(|entry| !same(entry)) {
            segment.remove(full_key);
        }
        match reply {
            Some(reply) => segment.flights.show(full_key, reply),
            None => segment.flights.void(full_key),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_what_is_noted_of_them_are_bounded() {
        let mut passed = Passed::default();
        let most = MOST_BYTES / READ_BYTES;
        assert!(passed.has_room(vec![&b""[..]; most]));
        assert!(!passed.has_room(vec![&b""[..]; most + 1]));
        assert!(!passed.has_room([&[b'x'; MOST_BYTES][..]]));
        for at in 0..most {
            passed.push(u32::try_from(at).expect("few"), 0, b"", false);
        }
        assert!(!passed.has_room([&b""[..]]));
    }
}
