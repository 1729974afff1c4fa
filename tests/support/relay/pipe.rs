//! One direction of one relayed connection: bytes read from one socket, waiting to go to the other.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::super::{DEADLINE, Random};

/// How much is read ahead of a held gate; beyond it the sender feels the pressure.
const READ_AHEAD: usize = 8 * 1024 * 1024;

/// What may pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Gate {
    #[default]
    Open,
    Held,
    /// So many bytes more, then held.
    OpenFor(usize),
    /// Everything before the first occurrence of these bytes, then held.
    Before(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    pending: VecDeque<u8>,
    gate: Gate,
    split: Option<Splitter>,
    weather: Weather,
    /// When the last chunks of what is pending may pass, and how many bytes each is.
    due: VecDeque<(Instant, usize)>,
    received: u64,
    forwarded: u64,
    end: End,
}

/// How slow a line is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// How long each byte is under way.
    pub(crate) delay: Duration,
    /// The pause after each chunk.
    pub(crate) pause: Duration,
}

/// Whether more bytes come.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Running,
    /// The source has ended; what is pending still goes out.
    Eof,
    /// Nothing goes out any more.
    Cut,
}

#[derive(Debug)]
struct Splitter {
    largest: usize,
    random: Random,
}

impl Pipe {
    pub(super) fn new(gate: Gate, split: Option<usize>, weather: Weather) -> Self {
        let state = State {
            pending: VecDeque::new(),
            gate,
            split: split.map(Splitter::new),
            weather,
            due: VecDeque::new(),
            received: 0,
            forwarded: 0,
            end: End::Running,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(super) fn set_gate(&self, gate: Gate) {
        self.change(|state| state.gate = gate);
    }

    pub(super) fn set_split(&self, largest: Option<usize>) {
        self.change(|state| state.split = largest.map(Splitter::new));
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.change(|state| {
            state.weather = weather;
            if weather.delay.is_zero() {
                state.due.clear();
            }
        });
    }

    /// The pause after what was written.
    pub(super) fn pause(&self) -> Duration {
        self.lock().weather.pause
    }

    pub(super) fn received(&self) -> u64 {
        self.lock().received
    }

    pub(super) fn forwarded(&self) -> u64 {
        self.lock().forwarded
    }

    /// Adds what was read; waits while too much is pending. False when the pipe was cut.
    pub(super) fn push(&self, bytes: &[u8]) -> bool {
        let full = |state: &mut State| state.pending.len() > READ_AHEAD && state.end != End::Cut;
        let mut state = self
            .changed
            .wait_while(self.lock(), full)
            .expect("pipe lock");
        state.received += bytes.len() as u64;
        state.pending.extend(bytes);
        if !state.weather.delay.is_zero() {
            let due = (Instant::now() + state.weather.delay, bytes.len());
            state.due.push_back(due);
        }
        self.changed.notify_all();
        state.end != End::Cut
    }

    /// Counts bytes that go nowhere.
    pub(super) fn swallow(&self, bytes: &[u8]) {
        self.change(|state| state.received += bytes.len() as u64);
    }

    pub(super) fn finish(&self) {
        self.change(|state| {
            if state.end == End::Running {
                state.end = End::Eof;
            }
        });
    }

    pub(super) fn cut(&self) {
        self.change(|state| state.end = End::Cut);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.lock().end == End::Cut
    }

    /// The next bytes to write, or `None` at the end. A held end of the stream is held like a byte.
    pub(super) fn pull(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            let allowed = state.allowed();
            if state.end == End::Cut {
                return None;
            }
            if allowed > 0 {
                return Some(self.take(&mut state, allowed));
            }
            if state.end == End::Eof && state.pending.is_empty() && state.gate != Gate::Held {
                return None;
            }
            state = match state.due.front() {
                None => self.changed.wait(state).expect("pipe lock"),
                Some((due, _)) => {
                    let left = due.saturating_duration_since(Instant::now());
                    let waited = self.changed.wait_timeout(state, left);
                    waited.expect("pipe lock").0
                }
            };
        }
    }

    /// Waits until bytes are pending that may not pass; false at the deadline.
    pub(super) fn wait_held(&self) -> bool {
        let not_yet = |state: &mut State| state.pending.is_empty() || state.allowed() > 0;
        !self
            .changed
            .wait_timeout_while(self.lock(), DEADLINE, not_yet)
            .expect("pipe lock")
            .1
            .timed_out()
    }

    fn take(&self, state: &mut State, allowed: usize) -> Vec<u8> {
        let count = state
            .split
            .as_mut()
            .map_or(allowed, |split| split.next().min(allowed));
        let bytes: Vec<u8> = state.pending.drain(..count).collect();
        state.forwarded += count as u64;
        if let Gate::OpenFor(left) = &mut state.gate {
            *left -= count;
            if *left == 0 {
                state.gate = Gate::Held;
            }
        }
        self.changed.notify_all();
        bytes
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("pipe lock")
    }
}

impl State {
    /// How many of the pending bytes have been under way for long enough.
    fn arrived(&mut self) -> usize {
        let now = Instant::now();
        while self.due.front().is_some_and(|(due, _)| *due <= now) {
            self.due.pop_front();
        }
        let waiting: usize = self.due.iter().map(|(_, count)| count).sum();
        self.pending.len().saturating_sub(waiting)
    }

    /// How many of the pending bytes may pass now.
    fn allowed(&mut self) -> usize {
        let arrived = self.arrived();
        match &self.gate {
            Gate::Open => arrived,
            Gate::Held => 0,
            Gate::OpenFor(count) => arrived.min(*count),
            Gate::Before(pattern) => {
                let pending = self.pending.make_contiguous();
                match pending
                    .windows(pattern.len())
                    .position(|window| window == pattern)
                {
                    Some(0) => {
                        self.gate = Gate::Held;
                        0
                    }
                    Some(at) => at,
                    None => pending.len() - unfinished_match(pending, pattern),
                }
            }
        }
    }
}

/// The length of the longest end of `bytes` that is a beginning of `pattern`.
fn unfinished_match(bytes: &[u8], pattern: &[u8]) -> usize {
    let longest = pattern.len().saturating_sub(1).min(bytes.len());
    (1..=longest)
        .rev()
        .find(|&len| bytes.ends_with(&pattern[..len]))
        .unwrap_or(0)
}

impl Splitter {
    fn new(largest: usize) -> Self {
        Self {
            largest,
            random: Random::from_env(),
        }
    }

    fn next(&mut self) -> usize {
        self.random.between(1, self.largest)
    }
}
