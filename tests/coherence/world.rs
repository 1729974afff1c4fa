//! What all clients of a run share: the keys, who owns them, where the doors are.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

use super::history::{Clock, Content, Place, SlotId, decode_value};
use super::load::{Kind, Load};
use crate::support::{Random, Reply};

/// The databases of ordinary keys, and those that `SWAPDB` swaps. The two of a pair share their names.
pub(crate) const DBS: [u8; 2] = [0, 1];
pub(crate) const SWAPPED_DBS: [u8; 2] = [2, 3];

/// A key in a database.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) db: u8,
    pub(crate) name: String,
    /// The one writer of it.
    pub(crate) owner: usize,
    /// The type of its values.
    pub(crate) kind: Kind,
    /// What a cluster places it by.
    pub(crate) tag: String,
    /// Whether it is a list at times.
    pub(crate) lists: bool,
    /// The slot of the same name in the other database.
    pub(crate) twin: SlotId,
}

/// The ground that a run is played on.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) slots: Vec<Slot>,
    /// Whether the backing is a cluster.
    pub(crate) cluster: bool,
    /// Whether fields of hashes get lives of their own.
    pub(crate) field_lives: bool,
    /// The port of each place; the direct one may change.
    ports: [AtomicU16; 3],
    /// What each writer is busy with: there the races are.
    focus: Vec<AtomicU32>,
    /// How often all keys were taken away while no writer wrote.
    flushes: AtomicU32,
    stop: AtomicBool,
    /// Held for reading during a write, for writing by whoever needs the writers quiet.
    pub(crate) writing: RwLock<()>,
}

impl World {
    pub(crate) fn new(load: &Load, ports: [u16; 3]) -> Self {
        let mut slots = Vec::new();
        let mut add = |owner, prefix: &str, kind: Kind, numbers: usize, dbs: [u8; 2]| {
            for number in 0..numbers {
                let first = SlotId::try_from(slots.len()).expect("few slots");
                for (at, twin) in [(0, first + 1), (1, first)] {
                    let tag = format!("{prefix}{owner}:{number}");
                    slots.push(Slot {
                        db: dbs[at],
                        // In a cluster twins are two keys of one database and one slot.
                        name: match load.cluster {
                            true => format!("{{{tag}}}{at}"),
                            false => tag.clone(),
                        },
                        owner,
                        kind,
                        tag,
                        lists: kind == Kind::String && number % 4 == 3,
                        twin,
                    });
                }
            }
        };
        let dbs = if load.cluster { [0; 2] } else { DBS };
        for owner in 0..load.writers {
            add(owner, "k", Kind::String, load.names, dbs);
            let only = load.field_lives.then_some(Kind::Hash);
            let wanted = |kind: &Kind| only.is_none_or(|only| only == *kind);
            for kind in Kind::OTHERS.into_iter().filter(wanted) {
                add(owner, &format!("{kind:?}"), kind, load.typed, dbs);
            }
        }
        if load.swaps {
            add(load.writers, "w", Kind::String, load.names, SWAPPED_DBS);
        }
        let writers = load.writers + usize::from(load.swaps);
        Self {
            clock: Clock::start(),
            slots,
            cluster: load.cluster,
            field_lives: load.field_lives,
            ports: ports.map(AtomicU16::new),
            focus: (0..writers).map(|_| AtomicU32::new(0)).collect(),
            flushes: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            writing: RwLock::new(()),
        }
    }

    /// The port of a place.
    pub(crate) fn port(&self, place: Place) -> u16 {
        self.ports[place as usize].load(Ordering::SeqCst)
    }

    /// The backing is on another port from now on.
    pub(crate) fn move_backing(&self, port: u16) {
        self.ports[Place::Direct as usize].store(port, Ordering::SeqCst);
    }

    pub(crate) fn slot(&self, id: SlotId) -> &Slot {
        &self.slots[id as usize]
    }

    /// The slots for which `wanted` holds.
    pub(crate) fn slots_where(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<SlotId> {
        (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| wanted(slot))
            .map(|(id, _)| id)
            .collect()
    }

    pub(crate) fn running(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Counts the times when all keys may have been taken away; writers are quiet meanwhile.
    pub(crate) fn flushes(&self) -> u32 {
        self.flushes.load(Ordering::SeqCst)
    }

    pub(crate) fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn set_focus(&self, writer: usize, slot: SlotId) {
        self.focus[writer].store(slot, Ordering::Relaxed);
    }

    /// A key to read at this place: mostly one that is being written.
    pub(crate) fn pick(&self, place: Place, random: &mut Random) -> SlotId {
        // a SWAPDB past a Respite is beyond its promises, so B must not read there
        let readable = |id: SlotId| place != Place::B || DBS.contains(&self.slot(id).db);
        loop {
            let id = if random.below(10) < 6 {
                random.pick(&self.focus).load(Ordering::Relaxed)
            } else {
                SlotId::try_from(random.below(self.slots.len())).expect("few slots")
            };
            if readable(id) {
                return id;
            }
        }
    }

    /// Whether it may hold what is no string.
    fn may_be_another(&self, id: SlotId) -> bool {
        self.slot(id).lists || self.slot(id).kind != Kind::String
    }

    /// What a reply of a read says, if it says anything.
    pub(crate) fn seen(&self, id: SlotId, how: How, reply: &Reply) -> Option<Content> {
        match reply {
            Reply::Null if how == How::Mget && self.may_be_another(id) => None,
            Reply::Null => Some(Content::Nil),
            Reply::Bulk(bytes) if bytes.is_empty() && how == How::Getrange => Some(Content::Nil),
            Reply::Bulk(bytes) => Some(decode_value(bytes)),
            // It may come from the script itself.
            Reply::Error(_) if how == How::Script => None,
            Reply::Error(text) if text.starts_with(b"WRONGTYPE") => Some(Content::Other),
            Reply::Error(_) => None,
            _ => Some(Content::Garbage),
        }
    }
}

/// The command of a read, where its replies differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Get,
    Mget,
    Getrange,
    Script,
}
