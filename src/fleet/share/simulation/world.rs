//! Respites, shards and time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::heartbeat::{Beat, Entry, Told};
use super::super::holdings::Changes;
use super::super::identity::ShardKey;
use super::super::membership::{LEASE, Membership, Terms};
use super::super::turns::first_poll;
use super::super::view::mix;
use super::SECOND;
use super::model::{Cost, Model};
use super::records::told as record_size;

/// What an idle shard is polled at.
const INTERVAL: u64 = 3 * SECOND;
/// The part of it by which polls are moved at random.
const JITTER: u64 = INTERVAL / 20;
/// What a shard may be left alone for beyond its interval.
const ALONE: u64 = 2 * SECOND;
/// The way to the backing or back, at most.
const WAY: u64 = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Poll(usize, usize),
    Beat(usize),
    Execute(usize),
    Answer(usize),
}

/// What a Respite knows of a shard.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    tried: Option<u64>,
    told: Option<u64>,
    due: u64,
}

struct Respite {
    membership: Membership,
    known: Vec<Known>,
    news: Vec<usize>,
    beat: Option<Beat>,
    told: Option<Told>,
    sent: u64,
    good_until: u64,
    alive: bool,
    stopped_until: u64,
}

/// What has happened in a phase.
#[derive(Debug, Default)]
struct Seen {
    polls: u64,
    shortest: Option<u64>,
    longest: u64,
    /// From when one was lost until others held what it had held, at most.
    replaced: u64,
    moves: u64,
    most_moves: HashMap<usize, u64>,
}

pub(super) struct World {
    start: Instant,
    now: u64,
    random: u64,
    keys: Vec<ShardKey>,
    index: HashMap<ShardKey, usize>,
    respites: Vec<Respite>,
    /// Who polled each shard last, and when.
    last: Vec<Option<(usize, u64)>>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    model: Model,
    backing: bool,
    /// How long a record would be that one of the simulation stands for.
    size: usize,
    seen: Seen,
    lost: u64,
    since: u64,
    cost: Cost,
}

impl World {
    pub(super) fn new(shards: usize, seed: u64) -> Self {
        let key = |n| ShardKey(mix(mix(seed) ^ (n as u64 + 1)));
        let keys: Vec<_> = (0..shards).map(key).collect();
        World {
            start: Instant::now(),
            now: SECOND,
            random: mix(seed),
            index: keys.iter().enumerate().map(|(n, key)| (*key, n)).collect(),
            keys,
            respites: Vec::new(),
            last: vec![None; shards],
            events: BinaryHeap::new(),
            model: Model::default(),
            backing: true,
            size: record_size(),
            seen: Seen::default(),
            lost: SECOND,
            since: SECOND,
            cost: Cost::default(),
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = mix(self.random.wrapping_add(1));
        self.random % below
    }

    fn instant(&self, at: u64) -> Instant {
        self.start + Duration::from_micros(at)
    }

    fn at(&self, instant: Instant) -> u64 {
        u64::try_from((instant - self.start).as_micros()).expect("short")
    }

    fn put(&mut self, at: u64, event: Event) {
        self.events.push(Reverse((at, event)));
    }

    pub(super) fn join(&mut self) {
        let n = self.respites.len();
        let name: Arc<str> = format!("respite-{n}:1:{:08x}", mix(self.random) >> 32).into();
        let mut membership = Membership::new(name);
        membership.track(self.keys.clone());
        self.respites.push(Respite {
            membership,
            known: vec![Known::default(); self.keys.len()],
            news: Vec::new(),
            beat: None,
            told: None,
            sent: 0,
            good_until: 0,
            alive: true,
            stopped_until: 0,
        });
        let at = self.now + self.random(300_000);
        self.put(at, Event::Beat(n));
    }

    pub(super) fn kill(&mut self, n: usize) {
        self.respites[n].alive = false;
        self.lost = self.now;
    }

    pub(super) fn kill_any(&mut self) {
        let alive: Vec<usize> = (0..self.respites.len())
            .filter(|n| self.respites[*n].alive)
            .collect();
        if alive.len() > 1 {
            let n = self.random(alive.len() as u64);
            self.kill(alive[usize::try_from(n).expect("small")]);
        }
    }

    pub(super) fn leave(&mut self, n: usize) {
        let records = self.records(n);
        let Some(respite) = self.respites.get_mut(n).filter(|respite| respite.alive) else {
            return;
        };
        respite.alive = false;
        self.lost = self.now;
        let beat = respite.membership.farewell(records, terms());
        let size = self.size;
        self.model.beat(&beat, self.now, |_| size);
    }

    pub(super) fn stop(&mut self, n: usize, time: u64) {
        if let Some(respite) = self.respites.get_mut(n) {
            respite.stopped_until = self.now + time;
            self.lost = self.now;
        }
    }

    /// Takes the backing away, or brings one back that is empty.
    pub(super) fn backing(&mut self, there: bool) {
        self.backing = there;
        self.model.flush();
    }

    /// Lets so much time pass; returns what was seen, in words.
    pub(super) fn phase(&mut self, name: &str, time: u64) -> String {
        let end = self.now + time;
        self.seen = Seen::default();
        (self.since, self.cost) = (self.now, self.model.cost);
        while let Some(Reverse((at, event))) = self.events.peek().copied() {
            if at > end {
                break;
            }
            self.events.pop();
            self.now = at;
            self.step(event);
        }
        self.now = end;
        for last in self.last.iter().flatten() {
            let alone = end - last.1;
            assert!(
                alone <= INTERVAL + JITTER + ALONE,
                "{name}: left alone for {alone} µs"
            );
        }
        let seconds = time as f64 / SECOND as f64;
        let rate = |now: u64, before: u64| (now - before) as f64 / seconds;
        let cost = self.model.cost;
        let alive = self.respites.iter().filter(|respite| respite.alive).count();
        format!(
            "| {name} | {alive} | {:.2} | {:.2} | {:.2} | {} | {} | {} | {:.0} | {:.2} | {:.1} |",
            self.seen.polls as f64 / self.keys.len() as f64 / seconds
                * (INTERVAL as f64 / SECOND as f64),
            self.seen.shortest.unwrap_or(0) as f64 / SECOND as f64,
            self.seen.longest as f64 / SECOND as f64,
            match self.seen.replaced {
                0 => String::new(),
                took => format!("{:.2}", took as f64 / SECOND as f64),
            },
            self.seen.moves,
            self.seen.most_moves.values().max().unwrap_or(&0),
            rate(cost.scripts, self.cost.scripts),
            rate(cost.bytes_in, self.cost.bytes_in) / 1e6,
            rate(cost.bytes_out, self.cost.bytes_out) / 1e6,
        )
    }

    fn step(&mut self, event: Event) {
        let (Event::Poll(n, _) | Event::Beat(n) | Event::Execute(n) | Event::Answer(n)) = event;
        if !self.respites[n].alive {
            return;
        }
        let stopped_until = self.respites[n].stopped_until;
        if stopped_until > self.now && !matches!(event, Event::Execute(_)) {
            // What was due meanwhile comes at once then, polls first.
            self.put(stopped_until, event);
            return;
        }
        match event {
            Event::Poll(n, shard) => self.poll(n, shard),
            Event::Beat(n) => self.beat(n),
            Event::Execute(n) => self.execute(n),
            Event::Answer(n) => self.answer(n),
        }
    }

    fn poll(&mut self, n: usize, shard: usize) {
        let (now, key) = (self.now, self.keys[shard]);
        let respite = &self.respites[n];
        if respite.known[shard].due != now || !respite.membership.holdings().holds(key) {
            return;
        }
        if now >= respite.good_until {
            self.respites[n].known[shard].due = now + 100_000;
            self.put(now + 100_000, Event::Poll(n, shard));
            return;
        }
        self.note_poll(n, shard);
        let due = now + INTERVAL - JITTER + self.random(2 * JITTER);
        let known = &mut self.respites[n].known[shard];
        (known.tried, known.due) = (Some(now), due);
        self.respites[n].news.push(shard);
        self.put(due, Event::Poll(n, shard));
    }

    fn note_poll(&mut self, n: usize, shard: usize) {
        self.seen.polls += 1;
        if let Some((who, at)) = self.last[shard].replace((n, self.now)) {
            let gap = self.now - at;
            // Of one that is lost nobody knows whether it has made its last poll.
            let lost = !self.respites[who].alive || self.respites[who].stopped_until > at;
            let least = if lost && who != n { ALONE } else { INTERVAL };
            let least = least - JITTER - 3 * WAY;
            assert!(
                gap >= least,
                "polled after {gap} µs by {n}, before by {who}"
            );
            let most = INTERVAL + JITTER + ALONE;
            assert!(gap <= most, "polled after {gap} µs by {n}, before by {who}");
            let shortest = self.seen.shortest.get_or_insert(gap);
            *shortest = gap.min(*shortest);
            self.seen.longest = gap.max(self.seen.longest);
        }
    }

    fn records(&mut self, n: usize) -> Vec<Entry> {
        let mut records = Vec::new();
        let Some(respite) = self.respites.get_mut(n) else {
            return records;
        };
        if respite.membership.clock().is_none() {
            return records;
        }
        for shard in std::mem::take(&mut respite.news) {
            let known = &mut respite.known[shard];
            if let Some(tried) = known.tried {
                known.told = known.tried;
                records.push(Entry {
                    key: self.keys[shard],
                    record: tried.to_le_bytes().to_vec(),
                    is_base: false,
                });
            }
        }
        records
    }

    fn beat(&mut self, n: usize) {
        let records = self.records(n);
        let now = self.instant(self.now);
        let respite = &mut self.respites[n];
        respite.beat = Some(respite.membership.beat(records, terms(), now));
        respite.sent = self.now;
        let at = self.now + 500 + self.random(WAY);
        self.put(at, Event::Execute(n));
    }

    fn execute(&mut self, n: usize) {
        let respite = &mut self.respites[n];
        let size = self.size;
        let beat = respite.beat.as_ref().expect("one was sent");
        let beaten = |model: &mut Model| model.beat(beat, self.now, |_| size);
        respite.told = self.backing.then(|| beaten(&mut self.model));
        let at = self.now + 500 + self.random(WAY);
        self.put(at, Event::Answer(n));
    }

    fn answer(&mut self, n: usize) {
        let (sent, received) = (self.instant(self.respites[n].sent), self.instant(self.now));
        let respite = &mut self.respites[n];
        let beat = respite.beat.take().expect("one was sent");
        let told = respite.told.take();
        let Some(told) = told.filter(|_| !Membership::is_late(received - sent)) else {
            for entry in &beat.entries {
                respite.news.push(self.index[&entry.key]);
            }
            respite.membership.miss(sent, received - sent);
            if respite.membership.is_isolated() {
                respite.good_until = u64::MAX;
            }
            let pause = micros(respite.membership.pause());
            self.put(self.now + pause, Event::Beat(n));
            return;
        };
        let missing = respite.membership.hear(&beat, &told, (sent, received));
        if !missing.is_empty() {
            for (digest, set) in self.model.sets(&missing) {
                respite.membership.learn(digest, &set);
            }
        }
        let changes = respite.membership.settle();
        let good_until = respite.sent + micros(LEASE);
        self.apply(n, &changes);
        let respite = &mut self.respites[n];
        respite.good_until = good_until;
        for (key, record) in &told.records {
            let mut tried = [0; 8];
            tried.copy_from_slice(&record[..8]);
            let known = &mut respite.known[self.index[key]];
            known.tried = known.tried.max(Some(u64::from_le_bytes(tried)));
        }
        // Shards that were taken over with what has just been heard.
        for acquired in &changes.acquired {
            self.first(n, self.index[&acquired.key], acquired.abandoned);
        }
        let pause = match told.more {
            true => Duration::ZERO,
            false => self.respites[n].membership.pause(),
        };
        let at = self.now + micros(pause);
        self.put(at, Event::Beat(n));
    }

    fn apply(&mut self, n: usize, changes: &Changes) {
        self.seen.moves += changes.acquired.len() as u64;
        *self.seen.most_moves.entry(n).or_default() += changes.acquired.len() as u64;
        for key in &changes.released {
            let shard = self.index[key];
            let known = &self.respites[n].known[shard];
            if known.tried > known.told {
                self.respites[n].news.push(shard);
            }
        }
        for acquired in &changes.acquired {
            let holds = |(other, respite): &(usize, &Respite)| {
                *other != n
                    && respite.alive
                    && respite.good_until > self.now
                    && respite.stopped_until <= self.now
                    && respite.membership.holdings().holds(acquired.key)
            };
            let other = self.respites.iter().enumerate().find(holds);
            if acquired.abandoned && self.backing && self.respites[n].stopped_until == 0 {
                let took = self.now - self.lost;
                assert!(took < 2 * SECOND, "replaced after {took} µs");
                self.seen.replaced = took.max(self.seen.replaced);
            }
            assert!(
                other.is_none(),
                "{n} holds what {:?} holds",
                other.map(|(n, _)| n)
            );
        }
    }

    fn first(&mut self, n: usize, shard: usize, abandoned: bool) {
        let due = match self.respites[n].known[shard].tried {
            Some(tried) => {
                let (tried, now) = (self.instant(tried), self.instant(self.now));
                self.at(first_poll(
                    tried,
                    Duration::from_micros(INTERVAL),
                    abandoned,
                    now,
                ))
            }
            None => self.now + self.random(SECOND / 2),
        };
        self.respites[n].known[shard].due = due;
        self.put(due, Event::Poll(n, shard));
    }
}

fn terms() -> Terms {
    Terms {
        longest: 10_000,
        keep: Duration::from_secs(60),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("short")
}
