//! `CLIENT PAUSE`: all clients of Respite wait, or only their writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::command::{Flags, Handling, Pin, Row};

/// What is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// Every command.
    All,
    /// Commands that may write or are replicated.
    Writes,
}

/// The pause in force, if there is one.
#[derive(Debug, Default)]
pub struct Pause {
    active: AtomicBool,
    until: Mutex<Option<(Instant, Paused)>>,
}

impl Pause {
    /// Pauses until `end`. A running pause is made longer or stricter, never less, as in Redis.
    pub fn set(&self, end: Instant, what: Paused) {
        let mut until = self.until.lock();
        *until = Some(match *until {
            Some((running, was)) if running > Instant::now() => {
                let what = if was == Paused::All {
                    Paused::All
                } else {
                    what
                };
                (running.max(end), what)
            }
            _ => (end, what),
        });
        self.active.store(true, Ordering::Release);
    }

    /// Ends the pause.
    pub fn clear(&self) {
        *self.until.lock() = None;
        self.active.store(false, Ordering::Release);
    }

    /// What is paused now, and until when.
    pub fn current(&self) -> Option<(Instant, Paused)> {
        if !self.active.load(Ordering::Acquire) {
            return None;
        }
        let mut until = self.until.lock();
        if until.is_some_and(|(end, _)| end <= Instant::now()) {
            *until = None;
            self.active.store(false, Ordering::Release);
        }
        *until
    }
}

impl Paused {
    /// Whether this command has to wait.
    pub fn holds(self, row: Option<&Row>) -> bool {
        match (self, row) {
            (Paused::All, _) | (_, None) => true,
            (Paused::Writes, Some(row)) => {
                row.flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE)
                    || row.handling == Handling::Pin(Pin::Exec)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_pause_ends_and_only_grows_while_it_runs() {
        let pause = Pause::default();
        assert_eq!(pause.current(), None);
        let soon = Instant::now() + Duration::from_secs(100);
        pause.set(soon, Paused::All);
        pause.set(Instant::now(), Paused::Writes);
        assert_eq!(pause.current(), Some((soon, Paused::All)));
        pause.clear();
        assert_eq!(pause.current(), None);
        pause.set(Instant::now(), Paused::Writes);
        assert_eq!(pause.current(), None);
    }
}
