//! A writer: it alone writes its keys, one command at a time, by any way and any route.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::conn::{Command, Conn, command};
use super::super::history::{
    Content, History, Nanos, Place, Read, SlotId, Write, encode_value, nanos,
};
use super::super::world::{How, Slot, World};
use super::Load;
use super::kinds::Kind;
use super::ops::{Effect, Op, Plan};
use crate::support::{Random, Reply};

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Its reply says that nothing happened.
    Nothing,
    Unknown,
}

/// So long after a write of unknown outcome its key takes only commands that do not look at what is there.
const UNCERTAIN: Duration = Duration::from_secs(2);

/// What the writer knows of a key of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) content: Content,
    /// Bytes of the string, or elements of the value.
    pub(super) size: u32,
    pub(super) has_ttl: bool,
    /// Whether no write of unknown outcome can still change what the last one left.
    pub(super) certain: bool,
    /// When a write of unknown outcome will have happened or not.
    doubt_until: Nanos,
    /// How often all keys had been taken away when it was written.
    flushes: u32,
    pub(super) version: u64,
}

const MISSING: Known = Known {
    content: Content::Nil,
    size: 0,
    has_ttl: false,
    certain: true,
    doubt_until: 0,
    flushes: 0,
    version: 0,
};

/// One writing client.
pub(super) struct Writer {
    id: usize,
    swaps: bool,
    pub(super) world: Arc<World>,
    pub(super) load: Load,
    pub(super) random: Random,
    pub(super) own: Vec<SlotId>,
    conns: Vec<Conn>,
    /// Waits while `conns` write.
    pub(super) blocked: Vec<Conn>,
    pub(super) known: HashMap<SlotId, Known>,
    history: History,
    temps: u64,
}

impl Writer {
    pub(super) fn new(id: usize, load: &Load, world: &Arc<World>, mut random: Random) -> Self {
        let mut conns = || {
            let conn = |place: Place| Conn::new(place, world, random.one_in(2));
            Place::ALL.map(conn).into_iter().collect()
        };
        Self {
            id,
            swaps: id == load.writers,
            load: load.clone(),
            own: world.slots_where(|slot| slot.owner == id),
            conns: conns(),
            blocked: conns(),
            known: HashMap::new(),
            history: History::default(),
            temps: 0,
            world: Arc::clone(world),
            random,
        }
    }

    /// Writes until the run stops: a burst on one key, then a pause on it long enough for staleness to show.
    pub(super) fn run(mut self) -> History {
        while self.world.running() {
            let slot = *self.random.pick(&self.own);
            self.world.set_focus(self.id, slot);
            for _ in 0..self.random.between(1, 12) {
                self.step(slot);
                let pause = self.random.below(1000) as u32;
                std::thread::sleep(self.load.pause * pause / 1000);
            }
            let pause = self.random.below(20) as u64;
            std::thread::sleep(Duration::from_millis(pause));
        }
        self.history
    }

    fn step(&mut self, slot: SlotId) {
        let world = Arc::clone(&self.world);
        let writing = world.writing.read().expect("the lock of writing");
        let place = *self.random.pick(&self.load.routes);
        if self.swaps {
            let ways = [Op::Set, Op::Set, Op::Del];
            let op = *self.random.pick(&ways);
            match self.random.below(20) {
                0 => self.swap(),
                _ => self.write(place, slot, op),
            }
        } else {
            let string = world.slot(slot).kind == Kind::String;
            let ops = match string {
                true => &self.load.ops,
                false => &self.load.typed_ops,
            };
            let op = *self.random.pick(ops);
            let certain = self.known(slot).certain;
            let fits = !op.makes_list() || world.slot(slot).lists;
            // Straight to a cluster goes one command after the other.
            let together = op == Op::Exec && place == Place::Direct && world.cluster;
            let possible = fits && !together && (certain || !op.needs_certainty());
            self.write(place, slot, if possible { op } else { Op::Set });
        }
        drop(writing);
        if place != Place::Direct && self.random.one_in(2) {
            self.read_back(place, slot);
        }
    }

    /// Reads what was just written, on the same connection.
    fn read_back(&mut self, place: Place, slot: SlotId) {
        let Slot { name, kind, .. } = self.world.slot(slot);
        if *kind != Kind::String {
            let read = kind.read(name, self.load.field_lives, &mut self.random);
            let start = self.world.clock.now();
            if let Some(reply) = self.exchange(place, slot, &[read.command]).pop() {
                let seen = (read.shows)(&reply);
                self.note(place, slot, read.how, start, seen);
            }
            return;
        }
        let words = command!["GET", name];
        let start = self.world.clock.now();
        if let Some(reply) = self.exchange(place, slot, &[words]).pop() {
            self.saw(place, slot, "GET after write", start, &reply);
        }
    }

    pub(super) fn perform(&mut self, place: Place, plan: &Plan) -> Outcome {
        let db = self.world.slot(plan.effects[0].slot).db;
        let conn = &mut self.conns[place as usize];
        if !conn.ready(db) {
            return Outcome::Nothing;
        }
        let start = self.world.clock.now();
        conn.send(&plan.commands);
        let replies = conn.receive(plan.commands.len() - plan.silent);
        let refused = |replies: &Vec<Reply>| replies.iter().any(Reply::is_error);
        if plan.silent > 0 && replies.as_ref().is_some_and(refused) {
            // A busy backing refuses `CLIENT REPLY` as well: then each of the commands has a reply.
            conn.leave();
        }
        self.record(place, plan, start, replies.as_deref())
    }

    /// Notes what came of a plan.
    pub(super) fn record(
        &mut self,
        place: Place,
        plan: &Plan,
        start: Nanos,
        replies: Option<&[Reply]>,
    ) -> Outcome {
        let end = self.world.clock.now();
        let outcome = match judge(replies, plan.happened) {
            // Of what was to say nothing, nobody knows whether it is still to come.
            Outcome::Nothing if plan.silent > 0 => Outcome::Unknown,
            outcome => outcome,
        };
        if let (Some(slot), Some(reply)) = (plan.shows, replies.and_then(<[Reply]>::last)) {
            self.saw(place, slot, plan.how, start, reply);
        }
        if outcome == Outcome::Nothing {
            return outcome;
        }
        for effect in &plan.effects {
            let known = self.known.entry(effect.slot).or_insert(MISSING);
            if outcome == Outcome::Done {
                known.content = effect.content;
                known.size = effect.size;
                known.flushes = self.world.flushes();
                known.has_ttl = effect.ttl.is_some();
                known.certain |= start > known.doubt_until;
            } else {
                known.certain = false;
                known.doubt_until = end + nanos(UNCERTAIN);
            }
            self.history.writes.push(Write {
                slot: effect.slot,
                place,
                start,
                end,
                content: effect.content,
                size: effect.size,
                ttl: effect.ttl,
                sure: outcome == Outcome::Done,
                how: plan.how,
            });
        }
        outcome
    }

    fn saw(&mut self, place: Place, slot: SlotId, how: &'static str, start: Nanos, reply: &Reply) {
        let seen = self.world.seen(slot, How::Get, reply);
        self.note(place, slot, how, start, seen);
    }

    fn note(
        &mut self,
        place: Place,
        slot: SlotId,
        how: &'static str,
        start: Nanos,
        seen: Option<Content>,
    ) {
        let end = self.world.clock.now();
        self.history.reads.extend(seen.map(|seen| Read {
            slot,
            place,
            start,
            end,
            seen,
            how,
        }));
    }

    /// Commands whose outcome is not recorded.
    pub(super) fn exchange(
        &mut self,
        place: Place,
        slot: SlotId,
        commands: &[Command],
    ) -> Vec<Reply> {
        let conn = &mut self.conns[place as usize];
        let replies = conn
            .ready(self.world.slot(slot).db)
            .then(|| conn.exchange(commands));
        replies.flatten().unwrap_or_default()
    }

    /// A value that was never written, of a random length.
    pub(super) fn fresh(&mut self, slot: SlotId, ttl: Option<Duration>) -> (Effect, Vec<u8>) {
        self.fresh_of(slot, ttl, 0)
    }

    pub(super) fn fresh_of(
        &mut self,
        slot: SlotId,
        ttl: Option<Duration>,
        least: usize,
    ) -> (Effect, Vec<u8>) {
        let padding = match self.random.below(50) {
            0 => self.random.between(10_000, 40_000),
            _ => self.random.below(200),
        };
        let known = self.known.entry(slot).or_insert(MISSING);
        known.version += 1;
        let value = encode_value(slot, known.version, padding.max(least));
        let content = Content::Value {
            origin: slot,
            version: known.version,
        };
        let effect = Effect {
            slot,
            content,
            size: u32::try_from(value.len()).expect("a short value"),
            ttl,
        };
        (effect, value)
    }

    /// Whether it knows what is there now.
    pub(super) fn is_sure(&self, known: Known) -> bool {
        known.certain && known.flushes == self.world.flushes()
    }

    pub(super) fn known(&self, slot: SlotId) -> Known {
        self.known.get(&slot).copied().unwrap_or(MISSING)
    }

    /// A key that nobody reads, another one each time: what a lost command left in it must not be taken.
    /// It has the hash tag of the key that it is for.
    pub(super) fn temp(&mut self, slot: SlotId) -> String {
        self.temps += 1;
        let tag = &self.world.slot(slot).tag;
        format!("temp:{}:{}:{{{tag}}}", self.id, self.temps)
    }
}

/// What the replies to a packet say.
pub(super) fn judge(replies: Option<&[Reply]>, happened: impl Fn(&Reply) -> bool) -> Outcome {
    let Some(replies) = replies else {
        return Outcome::Unknown;
    };
    let unknown = |reply: &Reply| match reply {
        Reply::Array(items) => items.iter().any(Reply::is_error),
        Reply::Error(text) => {
            let text = String::from_utf8_lossy(text);
            let nothing = ["was not sent", "nothing of it was executed"];
            text.starts_with("UPSTREAM") && !nothing.iter().any(|words| text.contains(words))
        }
        _ => false,
    };
    if replies.iter().any(unknown) {
        Outcome::Unknown
    } else if replies.iter().any(Reply::is_error) {
        Outcome::Nothing
    } else if replies.last().is_some_and(happened) {
        Outcome::Done
    } else {
        Outcome::Nothing
    }
}
