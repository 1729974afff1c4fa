//! Whether what a shard said last may stand for what it would say now, and who waits until it does.
//!
//! It knows times only, no answers.

use std::collections::HashMap;
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How good the last answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may stand for what the server would say now.
    Good,
    /// A poll that is due has to be awaited.
    Due,
    /// The server has to be asked.
    Old,
}

/// The polls of a shard that have ended.
#[derive(Default)]
pub(super) struct Polls(Mutex<Ended>);

#[derive(Default)]
struct Ended {
    /// When the last of them began.
    began: Option<Instant>,
    /// Clients by their ids: each has one command at hand.
    waiting: HashMap<u64, Waker>,
}

impl Polls {
    /// Judges an answer that was asked for at `asked`: it is no good when that is more than `most` ago, or before
    /// `changed`, when the server was last seen to change. Who then has to wait is woken at the end of the
    /// next poll; a poll that began since and brought nothing leaves nothing to wait for.
    pub(super) fn standing(
        &self,
        asked: impl FnOnce() -> Option<Instant>,
        most: Duration,
        changed: Option<Instant>,
        (client, waker): (u64, &Waker),
    ) -> Standing {
        let mut ended = self.0.lock();
        // Looked at under the lock: a poll that ends after this wakes whoever waits.
        let Some(asked) = asked().filter(|asked| asked.elapsed() <= most) else {
            return Standing::Old;
        };
        let Some(changed) = changed.filter(|changed| asked <= *changed) else {
            return Standing::Good;
        };
        if ended.began.is_some_and(|began| began > changed) {
            return Standing::Old;
        }
        ended.waiting.insert(client, waker.clone());
        Standing::Due
    }

    /// Notes that a poll which began then has ended.
    pub(super) fn ended(&self, began: Instant) {
        let mut ended = self.0.lock();
        ended.began = Some(began);
        let waiting = std::mem::take(&mut ended.waiting);
        drop(ended);
        waiting.into_values().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn an_answer_is_good_until_it_is_old_or_something_has_changed() {
        let polls = Polls::default();
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let long = Duration::from_secs(3600);
        let judge = |asked, most, changed| polls.standing(|| asked, most, changed, (1, &waker));
        assert_eq!(judge(None, long, None), Standing::Old);
        assert_eq!(judge(Some(at(5)), long, None), Standing::Good);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(judge(Some(start), Duration::ZERO, None), Standing::Old);
        assert_eq!(judge(Some(at(5)), long, Some(at(4))), Standing::Good);
        // At the same moment: nobody knows which came first.
        for changed in [5, 6] {
            assert_eq!(judge(Some(at(5)), long, Some(at(changed))), Standing::Due);
        }
        // One that began before the change tells nothing new.
        polls.ended(at(5));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "each client once");
        assert_eq!(judge(Some(at(5)), long, Some(at(6))), Standing::Due);
        // One that began after it has failed: there is nothing to wait for.
        polls.ended(at(7));
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        assert_eq!(judge(Some(at(5)), long, Some(at(6))), Standing::Old);
        assert_eq!(judge(Some(at(7)), long, Some(at(6))), Standing::Good);
    }
}
