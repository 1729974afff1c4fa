//! Whose turn it is to poll a shard: what the scheduler of polls asks before each, and tells after it.
//!
//! Where nothing is shared it is always this Respite's, which costs a look at a flag each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::identity::hash;
use super::view::mix;
use crate::config::FleetSettings;
use crate::fleet::shard::{Shard, Turn};
use crate::random;

/// The wait before it is asked again while the lease of this Respite is not known to be good.
const AGAIN: Duration = Duration::from_millis(100);
/// Until when the lease is good while the backing cannot be asked.
const WITHOUT_END: u64 = u64::MAX;
/// A shard that nobody has polled for three of its intervals, the timeout and this is polled by whoever notices.
const PATIENCE: Duration = Duration::from_secs(2);
/// Not by all at once: each waits up to so long besides.
const APART_MILLIS: u64 = 2000;

/// A shard whose turn it is now or no longer.
#[derive(Debug)]
pub(in super::super) enum Move {
    /// This Respite polls it, for the first time then.
    Take(Arc<Shard>, Instant),
    /// Another one does.
    Leave(Arc<Shard>),
}

/// Whose turn it is.
#[derive(Debug)]
pub(in super::super) struct Turns {
    on: AtomicBool,
    base: Instant,
    /// Nanoseconds after `base`: until then nobody else polls what this Respite holds. 0: it holds nothing.
    good_until: AtomicU64,
    /// Since then others are heard of: what they did before may not have come yet.
    good_since: AtomicU64,
    /// So that Respites that notice the same do not act at once.
    seed: u64,
    /// Shards that were polled here since the others were told.
    news: Mutex<HashMap<Arc<str>, Arc<Shard>>>,
    /// Polls made because nobody else made them.
    orphans: AtomicU64,
}

impl Turns {
    pub(in super::super) fn new() -> Self {
        Turns {
            on: AtomicBool::new(false),
            base: Instant::now(),
            good_until: AtomicU64::new(0),
            good_since: AtomicU64::new(0),
            seed: hash(&[random::word().as_bytes()]),
            news: Mutex::default(),
            orphans: AtomicU64::new(0),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    pub(super) fn set_on(&self, on: bool) {
        self.good_until.store(0, Ordering::Release);
        self.on.store(on, Ordering::Release);
        if !on {
            self.news.lock().clear();
        }
    }

    /// Nobody else polls until then what this Respite holds.
    pub(super) fn good_until(&self, at: Instant) {
        let nanos = |at: Instant| {
            let nanos = at.saturating_duration_since(self.base).as_nanos();
            u64::try_from(nanos).unwrap_or(u64::MAX - 1)
        };
        let (before, now) = (
            self.good_until.load(Ordering::Acquire),
            nanos(Instant::now()),
        );
        if before == WITHOUT_END || before < now {
            self.good_since.store(now, Ordering::Release);
        }
        self.good_until.store(nanos(at), Ordering::Release);
    }

    /// The backing is away: nobody can take over what this Respite holds.
    pub(super) fn good_without_end(&self) {
        self.good_until.store(WITHOUT_END, Ordering::Release);
    }

    /// Begins a poll of a shard that is due, or says when to ask again.
    pub(in super::super) fn begin(
        &self,
        shard: &Shard,
        now: Instant,
        settings: &FleetSettings,
    ) -> Option<Instant> {
        if !self.is_on() {
            return None;
        }
        let good_until = self.good_until.load(Ordering::Acquire);
        let nanos = now.saturating_duration_since(self.base).as_nanos();
        if nanos >= u128::from(good_until) {
            return Some(now + AGAIN);
        }
        let heard = match shard.begin_turn(now) {
            Turn::Now => return None,
            Turn::Theirs { heard } => heard.unwrap_or_else(|| shard.created()),
        };
        let apart = mix(self.seed ^ hash(&[shard.id().as_bytes()])) % APART_MILLIS;
        let most = 3 * shard.wait() + settings.timeout + PATIENCE;
        let since = Duration::from_nanos(self.good_since.load(Ordering::Acquire));
        let orphaned = heard.max(self.base + since) + most + Duration::from_millis(apart);
        if good_until == WITHOUT_END || orphaned > now {
            return Some(orphaned.max(now + AGAIN));
        }
        self.orphans.fetch_add(1, Ordering::Relaxed);
        shard.begin(now);
        None
    }

    /// Takes notice of a poll that was made here.
    pub(in super::super) fn polled(&self, shard: &Arc<Shard>) {
        if self.is_on() {
            let mut news = self.news.lock();
            news.insert(Arc::clone(shard.id()), Arc::clone(shard));
        }
    }

    /// Up to `most` shards that the others are to be told of, and whether there are more.
    pub(super) fn take_news(&self, most: usize) -> (Vec<Arc<Shard>>, bool) {
        let mut news = self.news.lock();
        let ids: Vec<_> = news.keys().take(most).cloned().collect();
        let taken = ids.iter().filter_map(|id| news.remove(id)).collect();
        (taken, !news.is_empty())
    }

    pub(super) fn orphans(&self) -> u64 {
        self.orphans.load(Ordering::Relaxed)
    }
}

/// When to poll a shard for the first time that others polled before: at its time, which was `wait` after `tried`. One
/// that was `abandoned` may have been polled at its times until now without anybody having been told of it. It is not
/// polled twice in an interval, but neither does it wait for more than two seconds longer than that.
pub(super) fn first_poll(tried: Instant, wait: Duration, abandoned: bool, now: Instant) -> Instant {
    let due = tried + wait;
    if !abandoned || due > now || wait.is_zero() {
        return due.max(now);
    }
    let rounds = (now - tried).as_nanos() / wait.as_nanos();
    let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
    let next = tried + wait.saturating_mul(rounds) + wait;
    next.min(due + PATIENCE).max(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fleet::{Target, watcher::Found};

    fn shard(settings: &FleetSettings) -> Shard {
        let target = Target {
            id: "x".to_owned(),
            endpoint: "redis://h".parse().expect("a URL"),
            labels: Default::default(),
        };
        let found = Found {
            target: Arc::new(target),
            source: "test".into(),
        };
        Shard::new(found, settings)
    }

    #[test]
    fn a_shard_is_polled_by_who_holds_it_under_a_good_lease() {
        let settings = Config::default().fleet;
        let shard = shard(&settings);
        let turns = Turns::new();
        let now = Instant::now();
        let may = |now| turns.begin(&shard, now, &settings).is_none();
        assert!(may(now), "nothing is shared");
        turns.set_on(true);
        shard.hold(true);
        assert!(!may(now), "no lease");
        turns.good_until(now + LEASE);
        assert!(may(now));
        assert_eq!(shard.tried(), Some(now));
        assert!(!may(now + LEASE), "the lease has ended");
        turns.good_without_end();
        assert!(may(now + LEASE), "nobody can take over");
        shard.hold(false);
        assert!(!may(now + LEASE));
    }

    const LEASE: Duration = Duration::from_secs(1);

    #[test]
    fn what_nobody_polls_is_polled_by_who_notices() {
        let settings = Config::default().fleet;
        let shard = shard(&settings);
        let turns = Turns::new();
        turns.set_on(true);
        let start = shard.created();
        let far = start + Duration::from_secs(60);
        turns.good_until(far);
        let again = turns.begin(&shard, start, &settings).expect("another's");
        // Three times 0.5 s, the timeout of 1 s, and 2 s to 4 s.
        let waited = (again - start).as_millis();
        assert!((4500..6500).contains(&waited), "{waited}");
        assert!(turns.begin(&shard, again, &settings).is_none());
        assert_eq!((shard.tried(), turns.orphans()), (Some(again), 1));
        let next = turns.begin(&shard, again, &settings).expect("just polled");
        assert!((4500..=waited).contains(&(next - again).as_millis()));
        turns.good_without_end();
        assert!(turns.begin(&shard, far, &settings).is_some(), "who knows");
        // Heard of again: what the others did meanwhile is on its way.
        turns.good_until(far);
        let heard = Instant::now();
        let patient = turns.begin(&shard, again, &settings).expect("not yet");
        assert!(patient + Duration::from_secs(1) > heard + Duration::from_millis(4500));
    }

    #[test]
    fn a_shard_that_moves_keeps_its_times() {
        let tried = Instant::now();
        let at = |ms: u64| tried + Duration::from_millis(ms);
        let first = |wait: u64, abandoned, now: u64| {
            let wait = Duration::from_millis(wait);
            (first_poll(tried, wait, abandoned, at(now)) - tried).as_millis()
        };
        assert_eq!(first(3000, false, 400), 3000);
        assert_eq!(first(500, false, 700), 700, "late already");
        // Who held it is gone.
        assert_eq!(first(3000, true, 1500), 3000, "it was not due before");
        assert_eq!(
            first(3000, true, 3100),
            5000,
            "it may have been polled at 3 s"
        );
        assert_eq!(first(500, true, 1700), 2000, "and here at 1.5 s");
        assert_eq!(first(750, true, 2400), 2750, "two seconds longer at most");
        assert_eq!(first(500, true, 9000), 9000);
    }
}
