//! A shard that several Respites track: whose turn it is to poll it, and what they tell each other of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Health, Latest, Shard, Trouble};
use crate::config::FleetSettings;
use crate::fleet::interval::backoff;
use crate::fleet::snapshot::Snapshot;

/// What only a shard has that is shared.
#[derive(Debug)]
pub(super) struct Shared {
    created: Instant,
    /// This Respite polls it.
    held: bool,
    /// When its last poll began, whoever made it.
    tried: Option<Instant>,
    /// The other Respite that was last heard to have polled it.
    poller: Option<Arc<str>>,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            created: Instant::now(),
            held: false,
            tried: None,
            poller: None,
        }
    }
}

/// What one Respite knows of a shard after a poll, for the others.
#[derive(Debug)]
pub(in super::super) struct Account {
    /// When the last poll began, whether it was answered or not.
    pub(in super::super) tried: Instant,
    /// When the answer was asked for.
    pub(in super::super) asked: Option<Instant>,
    pub(in super::super) interval: Duration,
    pub(in super::super) failures: u32,
    pub(in super::super) trouble: Option<(Trouble, Arc<str>)>,
}

/// Whether a shard may be polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Turn {
    /// Its poll has begun.
    Now,
    /// Another Respite polls it, which has been heard of it then.
    Theirs { heard: Option<Instant> },
}

impl Health {
    /// The other Respite that was last heard to have polled it; none while this one holds it.
    pub(super) fn poller(&self) -> Option<Arc<str>> {
        let poller = self.shared.poller.as_ref();
        poller.filter(|_| !self.shared.held).cloned()
    }
}

impl Shard {
    /// Notes that a poll begins.
    pub(in super::super) fn begin(&self, now: Instant) {
        self.health.lock().shared.tried = Some(now);
    }

    /// Begins a poll if it is this Respite's turn. Whoever takes the turn away afterwards sees that it has begun.
    pub(in super::super) fn begin_turn(&self, now: Instant) -> Turn {
        let mut health = self.health.lock();
        if !health.shared.held {
            let heard = health.shared.tried;
            return Turn::Theirs { heard };
        }
        health.shared.tried = Some(now);
        Turn::Now
    }

    /// Makes it this Respite's turn, or no longer.
    pub(in super::super) fn hold(&self, held: bool) {
        let mut health = self.health.lock();
        health.shared.held = held;
    }

    /// Whether this Respite polls it.
    pub(in super::super) fn is_held(&self) -> bool {
        self.health.lock().shared.held
    }

    /// Since when it is tracked here.
    pub(in super::super) fn created(&self) -> Instant {
        self.health.lock().shared.created
    }

    /// When its last poll began, whoever made it.
    pub(in super::super) fn tried(&self) -> Option<Instant> {
        self.health.lock().shared.tried
    }

    /// The wait between the polls of it at present.
    pub(in super::super) fn wait(&self) -> Duration {
        let health = self.health.lock();
        match health.failures {
            0 => health.interval,
            failures => backoff(failures),
        }
    }

    /// What is known of it, with its last answer; none before its first poll.
    pub(in super::super) fn account(&self) -> Option<(Account, Option<Arc<Latest>>)> {
        let health = self.health.lock();
        let latest = self.latest();
        let account = Account {
            tried: health.shared.tried?,
            asked: latest.as_ref().map(|latest| latest.asked),
            interval: health.interval,
            failures: health.failures,
            trouble: health.trouble.clone(),
        };
        Some((account, latest))
    }

    /// Takes in what another Respite knows of it, unless more recent things are known here. `snapshot` is what it
    /// said when it was asked at `asked`.
    pub(in super::super) fn hear(
        &self,
        account: Account,
        said: Option<(Snapshot, Option<u64>)>,
        poller: Arc<str>,
        settings: &FleetSettings,
    ) -> bool {
        let mut health = self.health.lock();
        let known = health.shared.tried;
        if health.gone.is_some() || known.is_some_and(|known| known >= account.tried) {
            return false;
        }
        let newer = |asked: &Instant| {
            let latest = self.latest.load();
            latest.as_ref().is_none_or(|latest| latest.asked < *asked)
        };
        if let (Some(asked), Some((snapshot, ops_per_sec))) = (account.asked.filter(newer), said) {
            self.keep(&mut health, snapshot, asked, ops_per_sec);
        }
        let bounds = (settings.interval_min, settings.interval_max);
        health.interval = account.interval.clamp(bounds.0, bounds.1);
        health.failures = account.failures;
        health.trouble = account.trouble;
        health.shared.tried = Some(account.tried);
        health.shared.poller = Some(poller);
        drop(health);
        self.polled(account.tried);
        true
    }
}
