//! Reads keys in every way that shows their content, and in some that don't.

use std::sync::Arc;
use std::time::Duration;

use super::super::conn::{Command, Conn, command};
use super::super::history::{History, Place, Read, SlotId};
use super::super::world::{How, World};
use super::Load;
use super::kinds::Kind;
use crate::support::{Random, RedisServer, Reply};

/// One reading client.
pub(super) struct Reader {
    world: Arc<World>,
    conn: Conn,
    /// Whether it reads by scripts that do not name what they read.
    unnamed: bool,
    /// Whether it reads parts of strings.
    parts: bool,
    /// Whether it reads past the cache as well.
    past: bool,
    random: Random,
    history: History,
}

impl Reader {
    pub(super) fn new(
        place: Place,
        resp3: bool,
        load: &Load,
        world: &Arc<World>,
        random: Random,
    ) -> Self {
        Self {
            unnamed: load.unnamed,
            parts: load.parts,
            past: load.reads_past,
            conn: Conn::new(place, world, resp3),
            world: Arc::clone(world),
            random,
            history: History::default(),
        }
    }

    /// Reads until the run stops.
    pub(super) fn run(mut self) -> History {
        while self.world.running() {
            let slot = self.world.pick(self.conn.place, &mut self.random);
            if !self.conn.ready(self.world.slot(slot).db) {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let kind = self.world.slot(slot).kind;
            if kind != Kind::String || self.parts && self.random.one_in(6) {
                self.typed(slot, kind);
                continue;
            }
            if self.unnamed && self.random.one_in(8) {
                self.unnamed(slot);
                continue;
            }
            // Those past the cache are the last.
            match self.random.below(if self.past { 20 } else { 15 }) {
                0..8 => self.get(slot),
                8..12 => self.getrange(slot),
                12..15 => self.pipeline(slot),
                15..17 => self.mget(slot),
                17 if self.world.cluster && self.conn.place == Place::Direct => self.get(slot),
                17 => self.transaction(slot),
                18 => self.compare(slot),
                _ => self.blind(slot),
            }
            if self.conn.place == Place::Direct {
                // a witness, not a load
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        self.history
    }

    fn get(&mut self, slot: SlotId) {
        self.read(
            &[slot],
            &[self.words("GET", slot)],
            "GET",
            How::Get,
            |replies| replies,
        );
    }

    /// Several reads in one packet, so that variants of one key are at hand together.
    fn typed(&mut self, slot: SlotId, kind: Kind) {
        let count = if self.random.one_in(3) { 4 } else { 1 };
        let name = self.world.slot(slot).name.clone();
        let lives = self.world.field_lives;
        let reads: Vec<_> = (0..count)
            .map(|_| kind.read(&name, lives, &mut self.random))
            .collect();
        let commands: Vec<Command> = reads.iter().map(|read| read.command.clone()).collect();
        let start = self.world.clock.now();
        let replies = self.conn.exchange(&commands);
        let end = self.world.clock.now();
        for (read, reply) in reads.iter().zip(replies.unwrap_or_default()) {
            self.history
                .reads
                .extend((read.shows)(&reply).map(|seen| Read {
                    slot,
                    place: self.conn.place,
                    start,
                    end,
                    seen,
                    how: read.how,
                }));
        }
    }

    fn pipeline(&mut self, slot: SlotId) {
        let count = self.random.between(2, 20);
        let slots = self.neighbours(slot, count, false);
        let mut commands: Vec<Command> =
            slots.iter().map(|slot| self.words("GET", *slot)).collect();
        let past = self.past && self.conn.place != Place::Direct;
        if !past || self.random.one_in(2) {
            return self.read(&slots, &commands, "pipelined GET", How::Get, |replies| {
                replies
            });
        }
        // They pass the cache by.
        commands.insert(0, command!["SET", "a key that nobody reads", "1"]);
        let how = "GET behind a write";
        self.read(&slots, &commands, how, How::Get, |mut replies| {
            replies.split_off(1.min(replies.len()))
        });
    }

    fn mget(&mut self, slot: SlotId) {
        let slots = self.neighbours(slot, 3, true);
        let mut mget = command!["MGET"];
        mget.extend(slots.iter().map(|slot| self.name(*slot)));
        self.read(&slots, &[mget], "MGET", How::Mget, items);
    }

    fn getrange(&mut self, slot: SlotId) {
        let getrange = command!["GETRANGE", self.name(slot), "0", "-1"];
        self.read(&[slot], &[getrange], "GETRANGE", How::Getrange, |replies| {
            replies
        });
    }

    fn transaction(&mut self, slot: SlotId) {
        let slots = self.neighbours(slot, 2, true);
        let mut commands = vec![command!["MULTI"]];
        commands.extend(slots.iter().map(|slot| self.words("GET", *slot)));
        commands.push(command!["EXEC"]);
        self.read(&slots, &commands, "GET in EXEC", How::Get, |mut replies| {
            items(replies.drain(..).next_back().into_iter().collect())
        });
    }

    /// A read from the cache on each side of one past it.
    fn compare(&mut self, slot: SlotId) {
        self.get(slot);
        if self.random.one_in(2) {
            let mget = command!["MGET", self.name(slot)];
            self.read(&[slot], &[mget], "MGET", How::Mget, items);
        } else {
            self.getrange(slot);
        }
        self.get(slot);
    }

    /// A read from the cache on each side of a script's.
    fn unnamed(&mut self, slot: SlotId) {
        const SCRIPT: &str = "return redis.call('GET', ARGV[1])";
        self.get(slot);
        let name = if RedisServer::version() < (7, 0, 0) {
            "EVAL"
        } else {
            "EVAL_RO"
        };
        let script = command![name, SCRIPT, "0", self.name(slot)];
        self.read(&[slot], &[script], "unnamed read", How::Script, |replies| {
            replies
        });
        self.get(slot);
    }

    /// Reads that show no version, for what they do to the cache.
    fn blind(&mut self, slot: SlotId) {
        let name = *self.random.pick(&["STRLEN", "EXISTS", "TTL", "TYPE"]);
        let words = self.words(name, slot);
        let _ = self.conn.exchange(&[words]);
    }

    /// Sends one packet and records what its replies, made one per slot by `contents`, show.
    fn read(
        &mut self,
        slots: &[SlotId],
        commands: &[Command],
        how: &'static str,
        kind: How,
        contents: impl FnOnce(Vec<Reply>) -> Vec<Reply>,
    ) {
        let start = self.world.clock.now();
        let replies = self.conn.exchange(commands);
        let end = self.world.clock.now();
        let contents = contents(replies.unwrap_or_default());
        for (slot, reply) in slots.iter().zip(&contents) {
            let seen = self.world.seen(*slot, kind, reply);
            self.history.reads.extend(seen.map(|seen| Read {
                slot: *slot,
                place: self.conn.place,
                start,
                end,
                seen,
                how,
            }));
        }
    }

    /// The slot and others of its database; `together`: one command may name all of them.
    fn neighbours(&mut self, slot: SlotId, count: usize, together: bool) -> Vec<SlotId> {
        if together && self.world.cluster {
            return vec![slot, self.world.slot(slot).twin];
        }
        let db = self.world.slot(slot).db;
        let mut slots = vec![slot];
        while slots.len() < count {
            let other = self.world.pick(self.conn.place, &mut self.random);
            let twin = self.world.slot(other).twin;
            let beside = |id: &SlotId| {
                let other = self.world.slot(*id);
                other.db == db && other.kind == Kind::String
            };
            slots.push([other, twin].into_iter().find(beside).unwrap_or(slot));
        }
        slots
    }

    fn words(&self, name: &str, slot: SlotId) -> Command {
        command![name, self.name(slot)]
    }

    fn name(&self, slot: SlotId) -> Vec<u8> {
        self.world.slot(slot).name.clone().into_bytes()
    }
}

/// The items of the last reply, if it has any.
fn items(replies: Vec<Reply>) -> Vec<Reply> {
    match replies.into_iter().next_back() {
        Some(Reply::Array(items)) => items,
        _ => Vec::new(),
    }
}
