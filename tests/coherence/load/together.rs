//! Groups of keys that are always written together, and readers of whole groups: no read may see a group torn, or on a
//! cluster what one slot has of it.

use std::sync::Arc;
use std::time::Duration;

use super::super::conn::{Command, Conn, command};
use super::super::history::{History, Place, Snapshot};
use super::super::world::World;
use super::Load;
use crate::support::{Random, Reply};

/// How many groups there are; each has a writer.
pub(super) const GROUPS: usize = 2;
/// Keys of a group.
const KEYS: usize = 6;
/// So many keys that nobody has asked for are asked for with those of a group now and then.
const COLD: usize = 8;
/// Slots of a group on a cluster.
const PARTS: usize = 3;

/// A group's keys, in parts that a command writes at once. One Redis has one part; on a cluster each is in a slot of its
/// own, by a hash tag, and commands for several of them are split.
fn parts(group: usize, cluster: bool) -> Vec<Vec<Vec<u8>>> {
    let parts = if cluster { PARTS } else { 1 };
    let name = |part, n| format!("{{t{group}:{part}}}:{n}").into_bytes();
    let part = |part| (0..KEYS / parts).map(|n| name(part, n)).collect();
    (0..parts).map(part).collect()
}

/// The one who writes a group. Each version is a number, larger than the one before.
pub(super) struct GroupWriter {
    world: Arc<World>,
    conns: Vec<Conn>,
    parts: Vec<Vec<Vec<u8>>>,
    pause: Duration,
    random: Random,
}

impl GroupWriter {
    pub(super) fn new(group: usize, load: &Load, world: &Arc<World>, random: Random) -> Self {
        let conn = |place: &Place| Conn::new(*place, world, false);
        Self {
            world: Arc::clone(world),
            conns: load.routes.iter().map(conn).collect(),
            parts: parts(group, load.cluster),
            pause: load.pause,
            random,
        }
    }

    /// Writes until the run stops.
    pub(super) fn run(mut self) -> History {
        let mut version = 0_u64;
        while self.world.running() {
            let at = self.random.below(self.conns.len());
            if !self.conns[at].ready(0) {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            version += 1;
            let world = Arc::clone(&self.world);
            let _quiet = world.writing.read();
            self.write(at, &version.to_string());
            let pause = usize::try_from(self.pause.as_micros()).expect("a short pause");
            std::thread::sleep(Duration::from_micros(self.random.below(pause + 1) as u64));
        }
        History::default()
    }

    fn write(&mut self, at: usize, version: &str) {
        const DECLARED: &str = "for _, k in ipairs(KEYS) do redis.call('SET', k, ARGV[1]) end";
        const HIDDEN: &str = "for n = 2, #ARGV do redis.call('SET', ARGV[n], ARGV[1]) end";
        let conn = &mut self.conns[at];
        let kind = match self.random.below(12) {
            4 | 5 if conn.place == Place::Direct && self.world.cluster => 0,
            7 if self.world.cluster => 6,
            kind => kind,
        };
        // Through Respite whole groups are written by what it splits; all else is one part's.
        let split = [0, 1, 2, 3, 8, 9].contains(&kind) && conn.place != Place::Direct;
        let keys = match split {
            true => self.parts.concat(),
            false => self.random.pick(&self.parts).clone(),
        };
        let count = keys.len().to_string();
        let with_keys = |mut words: Command| {
            words.extend(keys.iter().cloned());
            words
        };
        let command = match kind {
            0..4 => {
                let mut mset = command!["MSET"];
                for key in &keys {
                    mset.extend([key.clone(), version.into()]);
                }
                mset
            }
            4..6 => {
                // What follows a refused MULTI would be executed at once.
                let begun = conn.exchange(&[command!["MULTI"]]);
                if begun.is_none_or(|replies| replies[0].is_error()) {
                    return conn.leave();
                }
                let sets = keys.iter().map(|key| command!["SET", key, version]);
                let mut commands: Vec<Command> = sets.collect();
                commands.push(command!["EXEC"]);
                conn.exchange(&commands);
                return;
            }
            6 => {
                let mut eval = with_keys(command!["EVAL", DECLARED, &count]);
                eval.push(version.into());
                eval
            }
            7 => with_keys(command!["EVAL", HIDDEN, "0", version]),
            8 => with_keys(command!["DEL"]),
            9 => with_keys(command!["UNLINK"]),
            // The key is another one for the cache, and its value the same.
            _ => command!["PEXPIRE", self.random.pick(&keys), "1000000"],
        };
        conn.exchange(&[command]);
    }
}

/// One who reads groups.
pub(super) struct GroupReader {
    world: Arc<World>,
    conn: Conn,
    /// The group at hand.
    group: usize,
    random: Random,
    history: History,
}

impl GroupReader {
    pub(super) fn new(place: Place, resp3: bool, world: &Arc<World>, random: Random) -> Self {
        Self {
            conn: Conn::new(place, world, resp3),
            world: Arc::clone(world),
            group: 0,
            random,
            history: History::default(),
        }
    }

    /// Reads until the run stops.
    pub(super) fn run(mut self) -> History {
        while self.world.running() {
            if !self.conn.ready(0) {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            self.group = self.random.below(GROUPS);
            let mut parts = parts(self.group, self.world.cluster);
            // Straight to a cluster nothing is split.
            if self.conn.place == Place::Direct || self.random.one_in(4) {
                parts = vec![self.random.pick(&parts).clone()];
            }
            let keys = parts.concat();
            match self.random.below(8) {
                // So that some of the keys are there and some are not.
                0 | 1 => {
                    let get = command!["GET", self.random.pick(&keys)];
                    drop(self.conn.exchange(&[get]));
                }
                2 if parts.len() == 1 => self.exists(keys),
                3 => self.mget(keys.iter().chain(&keys[..2]).cloned().collect()),
                4 => self.mget(keys[1..].to_vec()),
                5 => self.mget_cold(keys),
                _ => self.mget(keys),
            }
            if self.conn.place == Place::Direct {
                // a witness, not a load
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        self.history
    }

    fn mget(&mut self, keys: Vec<Vec<u8>>) {
        let mut command = command!["MGET"];
        command.extend(keys);
        let value = |reply: &Reply| match reply {
            Reply::Null => None,
            other => Some(other.as_str().parse().expect("a version")),
        };
        self.read("MGET", command, |reply| match reply {
            Reply::Array(items) => items.iter().map(value).collect(),
            _ => Vec::new(),
        });
    }

    /// With keys in the slot of the first that nobody has asked for, in front of the others or behind them: most of what
    /// is missing is asked for the first time.
    fn mget_cold(&mut self, mut keys: Vec<Vec<u8>>) {
        let number = self.random.next();
        let at = if self.random.one_in(2) { 0 } else { keys.len() };
        let cold = |n: usize| [&keys[0][..], format!(":{number}:{n}").as_bytes()].concat();
        let cold: Vec<Vec<u8>> = (0..COLD).map(cold).collect();
        keys.splice(at..at, cold);
        self.mget(keys);
    }

    /// How many there are says that there is one, or none.
    fn exists(&mut self, keys: Vec<Vec<u8>>) {
        let mut command = command!["EXISTS"];
        let all = keys.len();
        command.extend(keys);
        self.read("EXISTS", command, |reply| match reply {
            Reply::Int(count) => {
                let count = usize::try_from(*count).expect("a count");
                (0..all).map(|n| (n < count).then_some(u64::MAX)).collect()
            }
            _ => Vec::new(),
        });
    }

    fn read(
        &mut self,
        how: &'static str,
        command: Command,
        seen: impl FnOnce(&Reply) -> Vec<Option<u64>>,
    ) {
        let keys = command[1..].to_vec();
        let start = self.world.clock.now();
        let replies = self.conn.exchange(&[command]);
        let end = self.world.clock.now();
        let seen = replies.map_or_else(Vec::new, |replies| seen(&replies[0]));
        // Each part was written at once, and is seen so.
        let parts = parts(self.group, self.world.cluster);
        for (number, part) in parts.iter().enumerate() {
            let mut seen_of = Vec::new();
            for (key, seen) in keys.iter().zip(&seen) {
                if part.contains(key) {
                    seen_of.push(*seen);
                }
            }
            if !seen_of.is_empty() {
                self.history.snapshots.push(Snapshot {
                    place: self.conn.place,
                    group: self.group * PARTS + number,
                    start,
                    end,
                    seen: seen_of,
                    how,
                });
            }
        }
    }
}
