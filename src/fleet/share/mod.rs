//! Many Respites, one fleet: those in front of one backing divide the shards among themselves, and each reads of the
//! backing what the others have polled.
//!
//! It polls nothing itself: the scheduler of polls asks [`Turns`] before each poll.
//!
//! # Layout
//!
//! - `identity`: what makes two Respites' shards the same one; `view`: who is there, and who of them polls a shard.
//! - `holdings`: what this one may poll; `membership`: what it says and hears; all three without I/O.
//! - `heartbeat`: the script at the backing; `record`: what is told of a shard; `news`: how little of it; `task`: sends and applies all of it.
//! - `turns`: what the scheduler asks; `overview`: what people are told.

mod heartbeat;
mod holdings;
mod identity;
mod membership;
mod news;
mod overview;
mod record;
mod task;
mod turns;
mod view;

#[cfg(any(test, fuzzing))]
mod anything;
#[cfg(test)]
mod simulation;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::Settings;
use super::table::Table;
use crate::random;
use crate::tasks::{self, Kind};
use crate::upstream::ControlLink;
#[cfg(any(test, fuzzing))]
pub use anything::read_shared;
pub(super) use overview::{Counters, Overview};
use task::Task;
pub(super) use turns::{Move, Turns};
use view::is_name;

/// How long a Respite that stops waits until the others have been told.
const FAREWELL: Duration = Duration::from_millis(500);
/// The longest part of a host's name that is shown.
const HOST_CHARS: usize = 64;

/// Is told of shards whose turn has changed.
type OnMove = Box<dyn Fn(Vec<Move>) + Send + Sync>;

/// This Respite's part in a fleet that is shared.
pub(super) struct Share {
    name: Arc<str>,
    control: Arc<ControlLink>,
    table: Arc<Table>,
    settings: Settings,
    turns: Arc<Turns>,
    on_move: OnMove,
    overview: ArcSwap<Overview>,
    counters: Counters,
    /// The settings, or the logins, are other ones.
    changed: Notify,
    reconsider: AtomicBool,
    leaving: AtomicBool,
    /// True when the others have been told that it leaves.
    left: watch::Sender<bool>,
    running: AtomicBool,
}

/// The name of this process among the members: the host's, for people, and what no other process has.
fn name() -> Arc<str> {
    let host = nix::unistd::gethostname().ok();
    let host = host.map(|name| name.to_string_lossy().into_owned());
    let host: String = host
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_graphic)
        .take(HOST_CHARS)
        .collect();
    let name = format!("{host}:{}:{}", std::process::id(), &random::word()[..8]);
    debug_assert!(is_name(&name));
    name.into()
}

impl Share {
    /// Takes no part yet.
    pub(super) fn new(
        control: Arc<ControlLink>,
        table: Arc<Table>,
        settings: Settings,
        turns: Arc<Turns>,
        on_move: OnMove,
    ) -> Self {
        Share {
            name: name(),
            control,
            table,
            settings,
            turns,
            on_move,
            overview: ArcSwap::default(),
            counters: Counters::default(),
            changed: Notify::new(),
            reconsider: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            left: watch::Sender::new(false),
            running: AtomicBool::new(false),
        }
    }

    /// Takes part, or no longer, as the settings say.
    pub(super) fn apply(self: &Arc<Self>) {
        self.reconsider.store(true, Ordering::Release);
        let wanted = self.settings.load().share;
        if wanted && !self.running.swap(true, Ordering::AcqRel) {
            // Before the first poll: what is shared is not polled by everybody meanwhile.
            self.turns.set_on(true);
            let share = Arc::clone(self);
            let run = move || Task::new(Arc::clone(&share)).run();
            tokio::spawn(tasks::keep(Kind::Fleet, run));
        }
        self.changed.notify_one();
    }

    /// Leaves its shards to the others, and waits until they have been told or that takes too long.
    pub(super) async fn leave(&self) {
        let mut left = self.left.subscribe();
        if !self.running.load(Ordering::Acquire) || !self.turns.is_on() {
            return;
        }
        self.leaving.store(true, Ordering::Release);
        self.changed.notify_one();
        let told = left.wait_for(|left| *left);
        let _ = tokio::time::timeout(FAREWELL, told).await; // they notice anyway
    }

    /// Who polls what, as it was a moment ago; none when nothing is shared.
    pub(super) fn overview(&self) -> Option<Arc<Overview>> {
        self.turns.is_on().then(|| self.overview.load_full())
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn orphans(&self) -> u64 {
        self.turns.orphans()
    }
}
