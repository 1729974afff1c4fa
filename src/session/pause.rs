//! `CLIENT PAUSE`: all clients of Respite wait, or only their writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::tasks::{self, Kind};

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
    /// What tells when it is over: one for the server, however many pauses are asked for.
    timer: Mutex<Option<AbortHandle>>,
}

impl Pause {
    /// Pauses until `end`; `over` is called then, on this thread, unless another pause has taken its place.
    /// A running pause is made longer or stricter, never less, as in Redis.
    pub(super) fn begin(&self, end: Instant, what: Paused, over: impl FnOnce() + 'static) {
        let mut timer = self.timer.lock();
        let end = self.set(end, what);
        let waiting = tokio::task::spawn_local(tasks::named(Kind::Worker, async move {
            tokio::time::sleep_until(end.into()).await;
            over();
        }));
        if let Some(before) = timer.replace(waiting.abort_handle()) {
            before.abort();
        }
    }

    /// Gives when the pause ends.
    fn set(&self, end: Instant, what: Paused) -> Instant {
        let mut until = self.until.lock();
        let now = match *until {
            Some((running, was)) if running > Instant::now() => {
                let what = if was == Paused::All {
                    Paused::All
                } else {
                    what
                };
                (running.max(end), what)
            }
            _ => (end, what),
        };
        *until = Some(now);
        self.active.store(true, Ordering::Release);
        now.0
    }

    /// Ends the pause.
    pub fn clear(&self) {
        let mut timer = self.timer.lock();
        if let Some(timer) = timer.take() {
            timer.abort();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
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

    #[tokio::test(start_paused = true)]
    async fn there_is_one_timer_however_many_pauses_are_asked_for() {
        let tasks = tokio::task::LocalSet::new();
        let over = Rc::new(Cell::new(0));
        let pause = Pause::default();
        let ask = |millis| {
            let over = Rc::clone(&over);
            let end = tokio::time::Instant::now() + Duration::from_millis(millis);
            pause.begin(end.into_std(), Paused::Writes, move || {
                over.set(over.get() + 1)
            });
        };
        let timers = || async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            Rc::strong_count(&over) - 1
        };
        let all = async {
            (0..100).for_each(|_| ask(9_000_000_000_000));
            assert_eq!(timers().await, 1);
            pause.clear();
            assert_eq!(timers().await, 0);
            (0..100).for_each(|n| ask(1_000_000 + n));
            tokio::time::sleep(Duration::from_secs(2_000)).await;
            assert_eq!((over.get(), timers().await), (1, 0));
        };
        tasks.run_until(all).await;
    }
}
