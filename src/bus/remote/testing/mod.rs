//! A simulation of two Respites, a backing, callers and workers: every message may be lost or late, every process may end, at
//! every step. The table of direct calls, the messages and the decisions are those of the product; time and network are
//! made up, from a seed.
//!
//! `BUS_SIMULATIONS=n` runs so many seeds; `RESPITE_SEED=n` runs one again and says what happened.

mod callers;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch as signal;

use crate::bus::direct::{DirectCalls, Kept};
use crate::bus::error::BusError;
use crate::bus::fetch::{Delivered, Slot};
use crate::bus::id::direct_id;
use crate::bus::method::{Method, Options};
use crate::bus::outcome::Outcome;
use crate::bus::peer::{Message, Watch};
use crate::clock;

const VISIBILITY: Duration = Duration::from_secs(2);
/// No call takes longer.
const TIMEOUT: Duration = Duration::from_secs(8);
/// For how long a Respite surely knows what became of a call.
const KNOWN: Duration = Duration::from_secs(3);
const CALLS: usize = 12;
const WORKERS: usize = 2;

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Done,
    Failed(String),
    /// Its Respite ended, or it went.
    Nothing,
}

/// A call as its caller's Respite has it.
struct Call {
    number: usize,
    began: Instant,
    peer: String,
    watch: Watch,
    heard: Option<Instant>,
    /// The backing has it.
    stored: bool,
    next: Instant,
    /// Since when the answer to a cancellation is awaited.
    late: Option<Instant>,
}

/// A call that the backing was told of.
struct Stored {
    token: String,
    till: Instant,
    deadline: Instant,
    outcome: Option<Outcome>,
}

enum Worker {
    Idle,
    Fetching(Arc<Slot>),
    Holding(Delivered),
    /// A call that went through the backing.
    Working(usize, Instant),
}

/// The Respite of the workers.
struct Serving {
    name: String,
    direct: DirectCalls,
    keeping: Vec<(String, Kept, signal::Sender<()>)>,
    hears: bool,
    inbox: VecDeque<Vec<u8>>,
}

struct World {
    random: fastrand::Rng,
    now: Instant,
    begin: Instant,
    /// Whether anything goes wrong.
    faults: bool,
    log: String,
    method: Arc<Method>,
    next: usize,
    // The Respite of the callers.
    caller: String,
    calls: BTreeMap<String, Call>,
    hears: bool,
    inbox: VecDeque<Vec<u8>>,
    serving: Serving,
    /// Frames that come late, if at all: when, to whom.
    late: Vec<(Instant, bool, Vec<u8>)>,
    workers: Vec<Worker>,
    stored: BTreeMap<String, Stored>,
    outcomes: BTreeMap<String, Outcome>,
    queue: VecDeque<(usize, Instant)>,
    // What really happened.
    executed: BTreeMap<usize, usize>,
    accepted: BTreeMap<usize, Instant>,
    told: BTreeMap<usize, (Told, Instant)>,
    /// Calls whose Respite was silent for as long as it may be.
    silent: BTreeSet<usize>,
    ended_serving: Vec<Instant>,
    incarnation: usize,
}

fn serving(name: String) -> Serving {
    Serving {
        name,
        direct: DirectCalls::default(),
        keeping: Vec::new(),
        hears: true,
        inbox: VecDeque::new(),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let begin = Instant::now() + Duration::from_secs(3600);
        clock::simulate(Some(begin));
        let options = Options {
            visibility_ms: 2000,
            ..Options::default()
        };
        let method = Method {
            name: "m".to_owned(),
            stamp: "1:1".to_owned(),
            options,
        };
        World {
            random: fastrand::Rng::with_seed(seed),
            now: begin,
            begin,
            faults: true,
            log: String::new(),
            method: Arc::new(method),
            next: 0,
            caller: "a000000000000000".to_owned(),
            calls: BTreeMap::new(),
            hears: true,
            inbox: VecDeque::new(),
            serving: serving("b000000000000000".to_owned()),
            late: Vec::new(),
            workers: (0..WORKERS).map(|_| Worker::Idle).collect(),
            stored: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            queue: VecDeque::new(),
            executed: BTreeMap::new(),
            accepted: BTreeMap::new(),
            told: BTreeMap::new(),
            silent: BTreeSet::new(),
            ended_serving: Vec::new(),
            incarnation: 0,
        }
    }

    fn note(&mut self, what: &str) {
        let at = self.now.duration_since(self.begin).as_millis();
        let _ = writeln!(self.log, "{at:>6} {what}");
    }

    /// Whether something that may go wrong does, one time in so many.
    fn fails(&mut self, one_in: u32) -> bool {
        self.faults && self.random.u32(..one_in) == 0
    }

    fn time_us(&self) -> u64 {
        u64::try_from(self.now.duration_since(self.begin).as_micros()).expect("short") + 1_000_000
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        clock::simulate(Some(self.now));
    }

    // === the network ===

    /// Publishes a message to the Respite of the workers, or to that of the callers.
    fn publish(&mut self, to: &str, message: Message) {
        let to_serving = to == self.serving.name;
        let (hears, known) = match to_serving {
            true => (self.serving.hears, true),
            false => (self.hears, to == self.caller),
        };
        self.note(&format!("-> {to}: {message:?}"));
        let mut frame = Vec::new();
        message.encode(&mut frame);
        if self.fails(12) {
            // Nobody knows whether it was published.
            if known && self.random.bool() {
                let after = Duration::from_millis(self.random.u64(..3000));
                self.late.push((self.now + after, to_serving, frame));
            }
            self.not_published(to, message, false);
        } else if !(hears && known) {
            self.not_published(to, message, true);
        } else if to_serving {
            self.serving.inbox.push_back(frame);
        } else {
            self.inbox.push_back(frame);
        }
    }

    fn not_published(&mut self, to: &str, message: Message, is_sure: bool) {
        match message {
            Message::Call(call) if is_sure => self.begin_anew(&direct_id(&call.number, "m")),
            Message::Outcome { id, outcome } => self.store_outcome(id, outcome, to),
            Message::Cancel { id, .. } => self.give_up_stored(&id),
            _ => {}
        }
    }

    fn deliver(&mut self) {
        for at in (0..self.late.len()).rev() {
            if self.late[at].0 <= self.now {
                let (_, to_serving, frame) = self.late.swap_remove(at);
                match to_serving {
                    true => self.serving.inbox.push_back(frame),
                    false => self.inbox.push_back(frame),
                }
            }
        }
        if self.fails(15) {
            self.note("the workers' Respite loses its connection");
            self.serving.inbox.clear();
            self.serving.hears = false;
        }
        if self.fails(15) {
            self.note("the callers' Respite loses its connection");
            self.inbox.clear();
            self.hears = false;
        }
        if let Some(frame) = self.serving.inbox.pop_front() {
            for message in Message::decode(&frame) {
                self.serve(message);
            }
        }
        if let Some(frame) = self.inbox.pop_front() {
            for message in Message::decode(&frame) {
                self.hear(message);
            }
        }
    }

    // === the backing ===

    fn look(&self, id: &str) -> Found {
        if let Some(outcome) = self.outcomes.get(id) {
            return Found::Outcome(outcome.clone());
        }
        match self.stored.get(id) {
            Some(stored) => stored
                .outcome
                .clone()
                .map_or(Found::Pending, Found::Outcome),
            None => Found::Nothing,
        }
    }

    fn give_up_stored(&mut self, id: &str) {
        if let Some(stored) = self.stored.get_mut(id)
            && stored.outcome.is_none()
        {
            stored.outcome = Some(Outcome::Failed(BusError::told("CANCELLED")));
        }
    }

    fn upkeep(&mut self) {
        for stored in self.stored.values_mut() {
            if stored.outcome.is_none() && stored.deadline <= self.now {
                stored.outcome = Some(Outcome::Failed(BusError::told("DEADLINE")));
            } else if stored.outcome.is_none() && stored.till <= self.now {
                stored.outcome = Some(Outcome::Failed(BusError::told("WORKERLOST")));
            }
        }
        while let Some((number, deadline)) = self.queue.front().copied()
            && deadline <= self.now
        {
            self.queue.pop_front();
            let late = Told::Failed("DEADLINE".to_owned());
            self.told.insert(number, (late, self.now));
        }
    }

    // === the run ===

    fn step(&mut self) {
        let ms = self.random.u64(..60);
        self.pass(Duration::from_millis(ms));
        match self.random.u32(..100) {
            0..10 if self.next < CALLS => self.call(),
            10..12 if self.faults => self.leave(),
            12..15 if self.faults => {
                let at = self.random.usize(..WORKERS);
                self.end_of_worker(at);
            }
            15 if self.faults => self.end_of_serving(),
            16 if self.faults => self.end_of_callers(),
            17..19 if self.faults => self.let_go(),
            19..24 => self.serving.hears = true,
            24..29 => self.hears = true,
            29..35 => self.finish_keeping(None),
            35..55 => {
                let at = self.random.usize(..WORKERS);
                self.work(at);
            }
            _ => self.deliver(),
        }
        self.watch();
        self.upkeep();
    }

    fn check(&self) {
        for (number, times) in &self.executed {
            assert_eq!(*times, 1, "call {number} was executed {times} times");
        }
        for number in 0..self.next {
            let (told, at) = self.told.get(&number).expect("each call ends");
            if *told == Told::Done {
                assert!(self.executed.contains_key(&number), "call {number}");
            }
            if let (Some(accepted), Told::Failed(error)) = (self.accepted.get(&number), told) {
                let has_ended = self.ended_serving.iter().any(|end| end >= accepted);
                let was_silent = self.silent.contains(&number);
                let is_forgotten = at.duration_since(*accepted) >= KNOWN;
                let excused = has_ended || was_silent || is_forgotten || error == "DEADLINE";
                assert!(
                    excused,
                    "call {number} was answered in time, and told {error}"
                );
            }
        }
        assert!(self.calls.is_empty());
        assert!(self.serving.direct.is_empty(), "{:?}", self.serving.direct);
        let running = self
            .stored
            .values()
            .filter(|stored| stored.outcome.is_none());
        assert_eq!(running.count(), 0);
    }
}

enum Found {
    Nothing,
    Pending,
    Outcome(Outcome),
}

/// The Respite where a call comes from.
fn origin(id: &str) -> Option<String> {
    id.split('-').nth(1).map(str::to_owned)
}

fn payload_of(call: &Delivered) -> usize {
    let text = std::str::from_utf8(call.body.payload()).expect("digits");
    text.parse().expect("a number")
}

fn run(world: &mut World) {
    for _ in 0..600 {
        world.step();
    }
    world.faults = false;
    (world.hears, world.serving.hears) = (true, true);
    let end = world.now + TIMEOUT + VISIBILITY + Duration::from_secs(12);
    while world.now < end {
        world.step();
    }
    // Whoever held a call to the end of the run is found by its visibility.
    world.serving.direct.prune(world.now);
}

#[test]
fn no_order_of_failures_breaks_a_promise() {
    let seeds: Vec<u64> = match std::env::var("RESPITE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        Some(seed) => vec![seed],
        None => {
            let most = std::env::var("BUS_SIMULATIONS").ok();
            (0..most.and_then(|most| most.parse().ok()).unwrap_or(300)).collect()
        }
    };
    let is_one = seeds.len() == 1;
    let mut seen = BTreeSet::new();
    for seed in seeds {
        let mut world = World::new(seed);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(&mut world);
            world.check();
        }));
        if is_one || checked.is_err() {
            eprintln!("{}", world.log);
        }
        assert!(checked.is_ok(), "RESPITE_SEED={seed}");
        for (told, _) in world.told.values() {
            let what = match told {
                Told::Failed(error) => error.split(' ').next().unwrap_or_default().to_owned(),
                told => format!("{told:?}"),
            };
            seen.insert(what);
        }
    }
    clock::simulate(None);
    if !is_one {
        for what in ["Done", "Nothing", "WORKERLOST", "DEADLINE"] {
            assert!(seen.contains(what), "no call ended with {what}: {seen:?}");
        }
    }
}
