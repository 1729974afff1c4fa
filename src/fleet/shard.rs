//! One tracked server: who it is, how it is, and what it said last.
//!
//! Everybody reads it; the poller writes what polls brought, the table where the server is.

mod shared;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use super::interval::{backoff, next_interval, others};
use super::snapshot::Snapshot;
use super::standing::{Polls, Standing};
use super::target::Target;
use super::watcher::Found;
use crate::config::FleetSettings;

pub(super) use shared::{Account, Turn};

/// How a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It has not answered yet.
    Pending,
    /// It answers.
    Live,
    /// Its last INFO is older than three of its intervals and the timeout.
    Stale,
    /// It failed `grace` times in a row.
    Down,
    /// It is loading its data.
    Loading,
    /// It refused the login, or that login INFO.
    AuthFail,
    /// Its watcher dropped it.
    Gone,
}

/// What a server is in its replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Master,
    /// It follows a master.
    Replica,
    /// It watches masters and keeps no data.
    Sentinel,
}

/// One answer of a server.
#[derive(Debug)]
pub struct Latest {
    /// What it said.
    pub snapshot: Snapshot,
    /// When it was asked.
    pub asked: Instant,
    /// What it is.
    pub role: Option<Role>,
    /// Its `instantaneous_ops_per_sec` less the poller's own, rounded.
    pub ops_per_sec: Option<u64>,
}

/// Why a poll failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The login.
    Auth,
    /// It says that it is loading.
    Loading,
    /// Anything else.
    Other,
}

/// One tracked server.
pub struct Shard {
    id: Arc<str>,
    found: ArcSwap<Found>,
    latest: ArcSwapOption<Latest>,
    health: Mutex<Health>,
    polls: Polls,
}

/// Locked for moments, never across an `.await`.
struct Health {
    interval: Duration,
    /// Failures in a row.
    failures: u32,
    /// The last failure, until the next success.
    trouble: Option<(Trouble, Arc<str>)>,
    /// The last INFO said so.
    loading: bool,
    gone: Option<Instant>,
    shared: shared::Shared,
}

/// Everything about a shard but its INFO, at one moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its name.
    pub id: Arc<str>,
    /// Its target: address, labels.
    pub target: Arc<Target>,
    /// The name of the watcher that found it.
    pub source: Arc<str>,
    /// How it is.
    pub state: State,
    /// Its present interval.
    pub interval: Duration,
    /// Failures in a row.
    pub failures: u32,
    /// Why it failed last, when it did.
    pub error: Option<Arc<str>>,
    /// Its last answer.
    pub latest: Option<Arc<Latest>>,
    /// How old that is.
    pub age: Option<Duration>,
    /// The other Respite that was last heard to have polled it; none while this one holds it.
    pub poller: Option<Arc<str>>,
}

/// What the end of a poll means for those who run the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing that they should hear of.
    None,
    /// It has failed so many times in a row.
    Failing(u32),
    /// It answers again after that many failures.
    Recovered(u32),
}

impl Shard {
    pub(super) fn new(found: Found, settings: &FleetSettings) -> Self {
        Shard {
            id: found.target.id.as_str().into(),
            found: ArcSwap::from_pointee(found),
            latest: ArcSwapOption::empty(),
            polls: Polls::default(),
            health: Mutex::new(Health {
                interval: settings.interval_min,
                failures: 0,
                trouble: None,
                loading: false,
                gone: None,
                shared: shared::Shared::default(),
            }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Where it is, and who found it there.
    #[must_use]
    pub fn found(&self) -> Arc<Found> {
        self.found.load_full()
    }

    /// What it said last, however long ago.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Latest>> {
        self.latest.load_full()
    }

    /// How it is now.
    #[must_use]
    pub fn status(&self, settings: &FleetSettings) -> Status {
        let found = self.found();
        let latest = self.latest();
        let age = latest.as_ref().map(|latest| latest.asked.elapsed());
        let health = self.health.lock();
        Status {
            id: Arc::clone(&self.id),
            target: Arc::clone(&found.target),
            source: Arc::clone(&found.source),
            state: health.state(settings, age),
            interval: health.interval,
            failures: health.failures,
            error: health.trouble.as_ref().map(|(_, text)| Arc::clone(text)),
            poller: health.poller(),
            latest,
            age,
        }
    }

    /// Whether what it said last may stand for what it would say now; see [`Polls::standing`].
    pub(super) fn standing(
        &self,
        settings: &FleetSettings,
        changed: Option<Instant>,
        waiter: (u64, &Waker),
    ) -> Standing {
        // As long as one poll can fail and the next one answer in time: what is older than that is of a
        // server that is not there.
        let interval = self.health.lock().interval;
        let most = interval + interval / 10 + backoff(1) + 2 * settings.timeout;
        let asked = || self.latest.load().as_ref().map(|latest| latest.asked);
        self.polls.standing(asked, most, changed, waiter)
    }

    /// A poll that began then has ended, however it did.
    pub(super) fn polled(&self, began: Instant) {
        self.polls.ended(began);
    }

    /// Takes over where the watchers found it now. True when it has to be asked anew: it was
    /// gone, or is somewhere else.
    pub(super) fn find_again(&self, found: Found, settings: &FleetSettings) -> bool {
        let moved = self.found.load().target.endpoint != found.target.endpoint;
        self.found.store(Arc::new(found));
        let mut health = self.health.lock();
        let was_gone = health.gone.take().is_some();
        if moved || was_gone {
            health.interval = settings.interval_min;
            health.failures = 0;
            health.trouble = None;
        }
        moved || was_gone
    }

    /// No watcher names it any more. True when that is news.
    pub(super) fn leave(&self) -> bool {
        let mut health = self.health.lock();
        let news = health.gone.is_none();
        health.gone.get_or_insert_with(Instant::now);
        news
    }

    /// Since when no watcher has named it.
    pub(super) fn gone_since(&self) -> Option<Instant> {
        self.health.lock().gone
    }

    /// Keeps an answer; returns when to ask again, counted from `asked`.
    pub(super) fn answered(
        &self,
        snapshot: Snapshot,
        asked: Instant,
        settings: &FleetSettings,
    ) -> (Duration, News) {
        let reported = snapshot.number("instantaneous_ops_per_sec");
        let mut health = self.health.lock();
        let ops_per_sec = reported.map(|reported| others(reported, health.interval));
        self.keep(&mut health, snapshot, asked, ops_per_sec);
        health.interval = next_interval(settings, health.interval, reported);
        health.trouble = None;
        let failures = std::mem::take(&mut health.failures);
        let news = match failures {
            n if n >= settings.grace => News::Recovered(n),
            _ => News::None,
        };
        (health.interval, news)
    }

    fn keep(
        &self,
        health: &mut Health,
        snapshot: Snapshot,
        asked: Instant,
        ops_per_sec: Option<u64>,
    ) {
        health.loading = snapshot.field("loading") == Some(b"1");
        let latest = Latest {
            role: Role::of(&snapshot),
            snapshot,
            asked,
            ops_per_sec,
        };
        self.latest.store(Some(Arc::new(latest)));
    }

    /// Keeps a failure; returns when to ask again, counted from now.
    pub(super) fn failed(
        &self,
        trouble: Trouble,
        text: &str,
        settings: &FleetSettings,
    ) -> (Duration, News) {
        let mut health = self.health.lock();
        health.failures = health.failures.saturating_add(1);
        health.trouble = Some((trouble, text.into()));
        // From the grace-th on, and then as seldom as can be without falling silent.
        let rounds = health.failures / settings.grace;
        let news = match health.failures % settings.grace {
            0 if rounds.is_power_of_two() => News::Failing(health.failures),
            _ => News::None,
        };
        (backoff(health.failures), news)
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shard").field(&self.id).finish()
    }
}

impl Health {
    fn state(&self, settings: &FleetSettings, age: Option<Duration>) -> State {
        let trouble = self.trouble.as_ref().map(|(trouble, _)| *trouble);
        let fresh = self.interval.saturating_mul(3) + settings.timeout;
        match (trouble, age) {
            _ if self.gone.is_some() => State::Gone,
            (Some(Trouble::Auth), _) => State::AuthFail,
            (Some(Trouble::Loading), _) => State::Loading,
            (Some(_), _) if self.failures >= settings.grace => State::Down,
            (_, None) => State::Pending,
            (_, Some(age)) if age > fresh => State::Stale,
            _ if self.loading => State::Loading,
            _ => State::Live,
        }
    }
}

impl State {
    /// Every state, in the order of the documentation.
    pub const ALL: [State; 7] = [
        State::Pending,
        State::Live,
        State::Stale,
        State::Down,
        State::Loading,
        State::AuthFail,
        State::Gone,
    ];

    /// Its name in replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Live => "live",
            State::Stale => "stale",
            State::Down => "down",
            State::Loading => "loading",
            State::AuthFail => "authfail",
            State::Gone => "gone",
        }
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.name().eq_ignore_ascii_case(name))
            .ok_or(())
    }
}

impl Role {
    fn of(snapshot: &Snapshot) -> Option<Self> {
        // Valkey's name for it is the second.
        let mode = (snapshot.field("redis_mode")).or_else(|| snapshot.field("server_mode"));
        if mode == Some(b"sentinel") {
            return Some(Role::Sentinel);
        }
        match snapshot.field("role")? {
            b"master" => Some(Role::Master),
            b"slave" | b"replica" => Some(Role::Replica),
            _ => None,
        }
    }

    /// Its name in replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Replica => "replica",
            Role::Sentinel => "sentinel",
        }
    }
}

#[cfg(test)]
mod tests;
