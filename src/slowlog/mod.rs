//! Commands that took long, and where their time went: the newest, in memory.
//!
//! Not here: who measures them. Nothing is done for a command that was quick enough.

mod entry;
mod redact;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

pub use entry::{Client, Entry, Spent};

/// The newest slow commands.
#[derive(Debug)]
pub struct SlowLog {
    /// In nanoseconds; 0 is off.
    slower_than: AtomicU64,
    most: AtomicUsize,
    entries: Mutex<VecDeque<Entry>>,
    ids: AtomicU64,
}

impl SlowLog {
    /// A log of commands that took at least so long (zero: of none), the newest `most`.
    #[must_use]
    pub fn new(slower_than: Duration, most: usize) -> Self {
        let log = SlowLog {
            slower_than: AtomicU64::new(0),
            most: AtomicUsize::new(0),
            entries: Mutex::default(),
            ids: AtomicU64::new(0),
        };
        log.set(slower_than, most);
        log
    }

    /// Puts other bounds in force.
    pub fn set(&self, slower_than: Duration, most: usize) {
        let nanos = u64::try_from(slower_than.as_nanos()).unwrap_or(u64::MAX);
        self.slower_than.store(nanos, Ordering::Relaxed);
        self.most.store(most, Ordering::Relaxed);
        let mut entries = self.entries.lock();
        let surplus = entries.len().saturating_sub(most);
        entries.drain(..surplus);
    }

    /// Whether a command that took so long belongs here.
    #[must_use]
    pub fn wants(&self, duration: Duration) -> bool {
        let least = self.slower_than.load(Ordering::Relaxed);
        least > 0 && duration.as_nanos() >= u128::from(least)
    }

    /// Notes a command, given with its arguments; secrets are left out here.
    pub fn note<'a>(
        &self,
        spent: Spent,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        client: Client,
    ) {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let entry = Entry::new(id, spent, redact::shown(args), client);
        let most = self.most.load(Ordering::Relaxed);
        let mut entries = self.entries.lock();
        if entries.len() >= most {
            entries.pop_front();
        }
        if most > 0 {
            entries.push_back(entry);
        }
    }

    /// The newest so many, the newest first.
    #[must_use]
    pub fn newest(&self, most: usize) -> Vec<Entry> {
        let entries = self.entries.lock();
        entries.iter().rev().take(most).cloned().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Forgets all; ids go on.
    pub fn clear(&self) {
        self.entries.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(log: &SlowLog, word: &str) {
        let spent = Spent::default();
        log.note(spent, [word.as_bytes()].into_iter(), Client::default());
    }

    #[test]
    fn the_newest_are_kept() {
        let log = SlowLog::new(Duration::from_millis(10), 2);
        assert!(log.wants(Duration::from_millis(10)) && !log.wants(Duration::from_millis(9)));
        for word in ["a", "b", "c"] {
            note(&log, word);
        }
        let shown: Vec<_> = log
            .newest(9)
            .iter()
            .map(|e| (e.id, e.args[0].clone()))
            .collect();
        assert_eq!(shown, [(2, b"c".to_vec()), (1, b"b".to_vec())]);
        log.set(Duration::ZERO, 1);
        assert_eq!(log.len(), 1);
        assert!(!log.wants(Duration::from_secs(9)));
        log.clear();
        assert_eq!(log.len(), 0);
        note(&log, "d");
        assert_eq!(log.newest(9)[0].id, 3);
    }
}
