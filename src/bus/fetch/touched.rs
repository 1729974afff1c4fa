//! The workers that fetch here: what they serve, as the backing knows it, and whether it had nothing for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::slot::Slot;
use crate::bus::method::any_matches;
use crate::resp::{Value as Resp, parse_reply, write_command};

/// The most patterns of a fetch, and of a worker.
pub(in crate::bus) const MOST_PATTERNS: usize = 64;
/// A worker is noted as heard of so often for each time that it stays alive.
const TOUCHES: u32 = 30;
/// No more workers are remembered than that; all are noted again then.
const MOST_TOUCHED: usize = 10_000;
/// No more of them are looked at for one that serves a method.
const MOST_LOOKED_AT: usize = 64;

/// How long a worker is alive after it was heard of; a reload may change it.
#[derive(Debug)]
pub(in crate::bus) struct WorkerTtl(AtomicU64);

impl WorkerTtl {
    pub(in crate::bus) fn new(ttl: Duration) -> Arc<Self> {
        let new = WorkerTtl(AtomicU64::new(0));
        new.set(ttl);
        Arc::new(new)
    }

    pub(in crate::bus) fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    pub(in crate::bus) fn set(&self, ttl: Duration) {
        let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.0.store(ms, Ordering::Relaxed);
    }
}

/// A worker that is alive and what it serves, as the backing knows it.
#[derive(Debug)]
pub(in crate::bus) struct Worker {
    pub(in crate::bus) name: String,
    pub(in crate::bus) patterns: Vec<String>,
}

/// The workers that fetch here, by name.
#[derive(Debug)]
pub(in crate::bus) struct TouchedWorkers {
    /// How long one is alive after it was noted.
    ttl: Arc<WorkerTtl>,
    workers: Mutex<HashMap<String, Touched>>,
}

/// What a worker serves, as it was noted last. Its connections may each want something else.
#[derive(Debug)]
struct Touched {
    at: Instant,
    noted: Vec<String>,
    /// What it asked for since: that is what is noted next.
    seen: Vec<String>,
    /// A fetch that found nothing since.
    quiet: Option<Quiet>,
}

/// A fetch that found nothing in the backing.
#[derive(Debug)]
struct Quiet {
    patterns: Vec<String>,
    /// The registry that it knew, and the news.
    stamp: String,
    news: u64,
}

impl Touched {
    /// Adds what a fetch asks for; true when it has to be noted.
    fn ask(&mut self, patterns: &[String], now: Instant, every: Duration) -> bool {
        join(&mut self.seen, patterns);
        let is_due = now.duration_since(self.at) >= every;
        if is_due {
            self.at = now;
            self.noted = std::mem::replace(&mut self.seen, patterns.to_vec());
        }
        join(&mut self.noted, patterns) || is_due
    }

    /// Whether it is alive, for so long after it was noted, and serves a method.
    fn serves(&self, method: &str, ttl: Duration) -> bool {
        self.at.elapsed() < ttl && any_matches(&self.noted, method)
    }
}

impl TouchedWorkers {
    pub(in crate::bus) fn new(ttl: Arc<WorkerTtl>) -> Self {
        TouchedWorkers {
            ttl,
            workers: Mutex::default(),
        }
    }

    /// The patterns to be noted with a worker's fetch: empty when it was noted a moment ago.
    pub(in crate::bus) fn touch(&self, worker: &str, patterns: &[String]) -> Vec<u8> {
        let now = Instant::now();
        let mut workers = self.workers.lock();
        let Some(known) = workers.get_mut(worker) else {
            remember(&mut workers, worker, patterns, now);
            return write_patterns(patterns);
        };
        if known.ask(patterns, now, self.ttl.get() / TOUCHES) {
            return write_patterns(&known.noted);
        }
        Vec::new()
    }

    /// A worker that waits here is noted with all that it waits for.
    pub(in crate::bus) fn note_waiting(&self, worker: &str, patterns: &[String]) {
        remember(&mut self.workers.lock(), worker, patterns, Instant::now());
    }

    /// What was noted before is to be noted again.
    pub(in crate::bus) fn forget(&self, before: Instant) {
        self.workers
            .lock()
            .retain(|_, touched| touched.at >= before);
    }

    /// How long a worker is alive after it was noted: what is not noted at once counts as well.
    pub(in crate::bus) fn alive_ms(&self) -> u64 {
        u64::try_from((self.ttl.get() + self.ttl.get() / TOUCHES).as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// A fetch got calls of the backing.
    pub(in crate::bus) fn note_stored(&self, slot: &Slot) {
        if let Some(known) = self.workers.lock().get_mut(&slot.worker) {
            known.quiet = None;
        }
    }

    /// A fetch found nothing in the backing, whose news were these when it was asked.
    pub(in crate::bus) fn note_quiet(&self, slot: &Slot, stamp: String, news: u64) {
        if let Some(known) = self.workers.lock().get_mut(&slot.worker) {
            known.quiet = Some(Quiet {
                patterns: slot.patterns.clone(),
                stamp,
                news,
            });
        }
    }

    /// The news at the time when such a fetch found nothing, if that was a moment ago.
    pub(in crate::bus) fn quiet(&self, slot: &Slot, stamp: &str) -> Option<u64> {
        let workers = self.workers.lock();
        let known = workers.get(&slot.worker)?;
        let quiet = known.quiet.as_ref()?;
        let holds = known.at.elapsed() < self.ttl.get() / TOUCHES
            && quiet.patterns == slot.patterns
            && (!slot.globs || quiet.stamp == stamp);
        holds.then_some(quiet.news)
    }

    /// How many workers serve a method, as far as a look at a few tells.
    pub(in crate::bus) fn count_serving(&self, method: &str) -> usize {
        let workers = self.workers.lock();
        let few = workers.values().take(MOST_LOOKED_AT);
        let ttl = self.ttl.get();
        few.filter(|known| known.serves(method, ttl)).count()
    }

    /// A worker that serves a method, as far as a look at a few tells: this one, or another.
    pub(in crate::bus) fn serving(&self, method: &str, candidate: &str) -> Option<String> {
        let workers = self.workers.lock();
        let ttl = self.ttl.get();
        let serves = |known: &Touched| known.serves(method, ttl);
        if workers.get(candidate).is_some_and(serves) {
            return Some(candidate.to_owned());
        }
        let mut few = workers.iter().take(MOST_LOOKED_AT);
        let found = few.find(|(_, known)| serves(known));
        found.map(|(name, _)| name.clone())
    }
}

fn remember(
    touched: &mut HashMap<String, Touched>,
    worker: &str,
    patterns: &[String],
    at: Instant,
) {
    if touched.len() >= MOST_TOUCHED {
        touched.clear();
    }
    let (noted, seen) = (patterns.to_vec(), patterns.to_vec());
    let quiet = None;
    touched.insert(
        worker.to_owned(),
        Touched {
            at,
            noted,
            seen,
            quiet,
        },
    );
}

/// Adds what is not there yet; true if there was any.
pub(in crate::bus) fn join(all: &mut Vec<String>, more: &[String]) -> bool {
    let before = all.len();
    for pattern in more {
        if all.len() < MOST_PATTERNS && !all.contains(pattern) {
            all.push(pattern.clone());
        }
    }
    all.len() > before
}

/// Writes patterns in the one way in which the backing keeps them.
pub(in crate::bus) fn write_patterns(patterns: &[String]) -> Vec<u8> {
    let words: Vec<&[u8]> = patterns.iter().map(String::as_bytes).collect();
    let mut encoded = Vec::new();
    write_command(&mut encoded, &words);
    encoded
}

/// Reads a worker's patterns as [`TouchedWorkers::touch`] wrote them.
pub(in crate::bus) fn read_patterns(encoded: &[u8]) -> Vec<String> {
    match parse_reply(encoded) {
        Ok(Some((Resp::Array(words), _))) => words
            .iter()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}
