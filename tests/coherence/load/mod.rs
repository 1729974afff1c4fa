//! The clients of a run: writers that own their keys, readers of all keys, and one who flushes.

mod flusher;
mod kinds;
mod lives;
mod ops;
mod reader;
mod together;
mod typed;
mod ways;
mod writer;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::history::{History, Place};
use super::world::World;
use crate::support::Random;
pub(crate) use kinds::Kind;
pub(crate) use lives::lives;
pub(crate) use ops::{FUNCTIONS, Op, WAYS};

/// What the clients do.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) writers: usize,
    /// Key names per writer; each stands in two databases.
    pub(crate) names: usize,
    /// Key names per writer for each type that is no string.
    pub(crate) typed: usize,
    /// What writers do, as often as it is listed.
    pub(crate) ops: Vec<Op>,
    /// The same for keys that are no strings.
    pub(crate) typed_ops: Vec<Op>,
    /// Which ways writers go, as often as they are listed.
    pub(crate) routes: Vec<Place>,
    /// The longest pause between two writes of a burst.
    pub(crate) pause: Duration,
    /// Readers at each place.
    pub(crate) readers: [usize; 3],
    /// Whether readers also use commands that go past a cache of `GET`.
    pub(crate) reads_past: bool,
    /// Whether readers also read parts of strings.
    pub(crate) parts: bool,
    /// Whether readers also read by scripts that do not name what they read.
    pub(crate) unnamed: bool,
    /// The longest life of a key that gets a deadline.
    pub(crate) longest_ttl: Duration,
    /// How a database is flushed now and then.
    pub(crate) flush: Option<Flush>,
    /// Readers at each place of keys that are always written together; none: there are no such keys.
    pub(crate) together: [usize; 3],
    /// Whether fields of hashes get lives of their own; then what is no string is a hash.
    pub(crate) field_lives: bool,
    /// Whether one more writer has two databases of its own and swaps them.
    pub(crate) swaps: bool,
    /// Whether the backing is a cluster: there is one database, and nobody is sure to find two keys at one node
    /// that are not meant to be there together.
    pub(crate) cluster: bool,
}

/// How databases are flushed.
#[derive(Debug, Clone)]
pub(crate) struct Flush {
    pub(crate) routes: Vec<Place>,
    /// The pause between two flushes.
    pub(crate) every: Duration,
    /// How long writers are quiet after one, so that what is stale shows.
    pub(crate) quiet: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            writers: 4,
            names: 12,
            typed: 1,
            ops: Op::ALL.to_vec(),
            typed_ops: Op::TYPED.to_vec(),
            routes: Place::ALL.to_vec(),
            pause: Duration::from_millis(3),
            readers: [2, 1, 1],
            reads_past: true,
            parts: true,
            unnamed: false,
            longest_ttl: Duration::from_millis(300),
            flush: None,
            together: [0; 3],
            field_lives: false,
            swaps: false,
            cluster: false,
        }
    }
}

/// The clients of a run at work.
#[derive(Debug)]
pub(crate) struct Clients(Vec<JoinHandle<History>>);

impl Clients {
    /// Starts them all.
    pub(crate) fn start(load: &Load, world: &Arc<World>, random: &mut Random) -> Self {
        let mut clients = Vec::new();
        let mut spawn = |work: Box<dyn FnOnce() -> History + Send>| {
            clients.push(std::thread::spawn(work));
        };
        for id in 0..load.writers + usize::from(load.swaps) {
            let writer = writer::Writer::new(id, load, world, Random::with_seed(random.next()));
            spawn(Box::new(move || writer.run()));
        }
        for place in Place::ALL {
            for number in 0..load.readers[place as usize] {
                let random = Random::with_seed(random.next());
                let reader = reader::Reader::new(place, number % 2 == 0, load, world, random);
                spawn(Box::new(move || reader.run()));
            }
        }
        if load.together != [0; 3] {
            for group in 0..together::GROUPS {
                let random = Random::with_seed(random.next());
                let writer = together::GroupWriter::new(group, load, world, random);
                spawn(Box::new(move || writer.run()));
            }
        }
        for place in Place::ALL {
            for number in 0..load.together[place as usize] {
                let random = Random::with_seed(random.next());
                let reader = together::GroupReader::new(place, number % 2 == 0, world, random);
                spawn(Box::new(move || reader.run()));
            }
        }
        if let Some(flush) = load.flush.clone() {
            let (world, random) = (Arc::clone(world), Random::with_seed(random.next()));
            let everything = !load.swaps;
            spawn(Box::new(move || {
                flusher::run(&world, &flush, everything, random)
            }));
        }
        Self(clients)
    }

    /// Waits for them to stop and joins what they did.
    pub(crate) fn finish(self) -> History {
        let mut history = History::default();
        for client in self.0 {
            history.extend(client.join().expect("a client of the run"));
        }
        history
    }
}
