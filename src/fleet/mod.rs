//! INFO of a fleet of Redis servers, kept in memory.
//!
//! [`Watcher`]s find the servers to track, the poller asks each for its `INFO`, and
//! everybody reads what it brought: `INFO`, `SHARD.*`, and whoever holds a [`Fleet`]. No client ever
//! reaches a tracked server through it, and it opens no socket itself.
//!
//! # Layout
//!
//! - `target`: a server to be tracked, as a watcher names it; [`watcher`]: where targets come from.
//! - `shard`: a tracked server, how it is and what it said last; `table`: all of them.
//! - `share`: dividing the shards among the Respites of one backing.
//! - `snapshot`: one INFO text with its index; `interval`: how often to ask; `poller`: asks.
//! - `info`: the text of `INFO`; `commands`: `SHARD.*`, with `list` and `fields`; `rows` declares them.
//! - `json` and `metrics`: the same for the pages of the admin listener.
//!
//! # Reading it
//!
//! [`Fleet::shards`] and [`Fleet::shard`] take no lock; a [`Shard`] gives its [`Status`], which holds its
//! [`Latest`] answer with the [`Snapshot`](snapshot::Snapshot): raw text, fields, sections.

mod commands;
mod fields;
mod info;
mod interval;
mod json;
mod list;
mod metrics;
mod poller;
mod rows;
mod shard;
mod share;
mod snapshot;
mod standing;
mod table;
mod target;
pub mod watcher;
mod words;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::runtime::Handle;

pub use commands::ShardFamily;
pub use json::ShardFilter;
pub use poller::PollStats;
pub use shard::{Latest, Role, Shard, State, Status};
#[cfg(any(test, fuzzing))]
pub use share::read_shared;
#[cfg(any(test, fuzzing))]
pub use snapshot::{Snapshot, Wanted};
pub use table::{Shards, Table};
pub use target::{Credentials, MAX_TARGETS, Target, check_id, parse_addr};

use crate::command::AboutRespite;
use crate::config::{Config, FleetSettings};
use crate::tasks::{self, Kind};
use crate::upstream::{Backing, ControlLink, Dialer};
use poller::Poller;
use share::{Share, Turns};
use watcher::{
    Added, BackingWatcher, ConfiguredWatchers, NodeSource, Supervisor, Watcher, WatcherReport,
};

/// `[fleet]`, replaced by a reload.
type Settings = Arc<ArcSwap<FleetSettings>>;

/// The tracked servers and everything that tracks them.
pub struct Fleet {
    settings: Settings,
    table: Arc<Table>,
    poller: Arc<Poller>,
    supervisor: Supervisor,
    backing: Arc<Backing>,
    configured: ConfiguredWatchers,
    added: Arc<Added>,
    share: Arc<Share>,
    about: OnceLock<Weak<dyn AboutRespite>>,
    /// When a command was last answered that changes what INFO of the backing tells.
    changed: Mutex<Option<Instant>>,
    /// What `about` said of late, and when.
    recent: ArcSwapOption<(Instant, String)>,
}

impl Fleet {
    /// Starts to watch and to poll on the runtime that it is called on; `nodes` knows the nodes of services.
    pub fn start(
        config: &Config,
        control: Arc<ControlLink>,
        nodes: Arc<dyn NodeSource>,
    ) -> Arc<Self> {
        let settings: Settings = Arc::new(ArcSwap::from_pointee(config.fleet.clone()));
        let table = Arc::new(Table::default());
        let dialer = Arc::new(Dialer::new(config.tls.upstream_ca.clone()));
        let turns = Arc::new(Turns::new());
        let poller = Poller::new(
            Arc::clone(&table),
            Arc::clone(&settings),
            dialer,
            Arc::clone(&turns),
        );
        let moved = Arc::clone(&poller);
        let share = Arc::new(Share::new(
            Arc::clone(&control),
            Arc::clone(&table),
            Arc::clone(&settings),
            turns,
            Box::new(move |moves| moved.moved(moves)),
        ));
        share.apply();
        let on_change = {
            let (table, settings) = (Arc::clone(&table), Arc::clone(&settings));
            let poller = Arc::clone(&poller);
            move |found| poller.adopt(table.apply(found, &settings.load()))
        };
        let credentials = Credentials::new(config.credentials.clone());
        let fleet = Arc::new(Fleet {
            supervisor: Supervisor::new(Handle::current(), on_change),
            backing: Arc::clone(control.backing()),
            configured: ConfiguredWatchers::new(nodes),
            added: Arc::new(Added::new(control, credentials, Arc::clone(&settings))),
            share,
            settings,
            table,
            poller: Arc::clone(&poller),
            about: OnceLock::new(),
            changed: Mutex::default(),
            recent: ArcSwapOption::empty(),
        });
        fleet.watch(config);
        tokio::spawn(tasks::named(Kind::Fleet, poller.run()));
        fleet
    }

    /// Names who knows what `# Respite` says of the process.
    pub fn attach(&self, about: Weak<dyn AboutRespite>) {
        let already = self.about.set(about).is_err();
        debug_assert!(!already, "attached once");
    }

    /// Puts a changed configuration in force.
    pub fn reload(&self, config: &Config) {
        self.settings.store(Arc::new(config.fleet.clone()));
        let dialer = Dialer::new(config.tls.upstream_ca.clone());
        self.poller.set_dialer(Arc::new(dialer));
        self.watch(config);
        self.share.apply();
    }

    /// Leaves shared shards to other Respites, which are told.
    pub async fn leave(&self) {
        self.share.leave().await;
    }

    fn watch(&self, config: &Config) {
        let credentials = Credentials::new(config.credentials.clone());
        let mut watchers: Vec<Arc<dyn Watcher>> =
            vec![Arc::new(BackingWatcher::new(Arc::clone(&self.backing)))];
        watchers.extend(self.configured.make(&config.targets, &credentials));
        self.added.set_credentials(credentials);
        watchers.push(Arc::clone(&self.added) as Arc<dyn Watcher>);
        self.supervisor.replace(watchers);
    }

    /// All shards, sorted by id; those that went within the last minute too.
    #[must_use]
    pub fn shards(&self) -> Arc<Shards> {
        self.table.shards()
    }

    /// The shard of this id.
    #[must_use]
    pub fn shard(&self, id: &str) -> Option<Arc<Shard>> {
        self.table.get(id)
    }

    /// The backing's master as a shard; none before its watcher has named it.
    #[must_use]
    pub fn backing_shard(&self) -> Option<Arc<Shard>> {
        self.table.get(&watcher::shard_id(&*self.backing.master()?))
    }

    /// How a shard is now.
    #[must_use]
    pub fn status(&self, shard: &Shard) -> Status {
        shard.status(&self.settings.load())
    }

    /// `[fleet]`, as it is in force.
    #[must_use]
    pub fn settings(&self) -> Arc<FleetSettings> {
        self.settings.load_full()
    }

    /// How each watcher does, in the order in which they win.
    #[must_use]
    pub fn watchers(&self) -> Vec<WatcherReport> {
        self.supervisor.reports()
    }

    /// The Respites that poll shards which are tracked here, in the form of [`Fleet::watchers`]; none when nothing is
    /// shared.
    #[must_use]
    pub fn pollers(&self) -> Vec<WatcherReport> {
        self.share
            .overview()
            .map_or_else(Vec::new, |overview| overview.reports(self.share.name()))
    }

    /// What the poller has done since the start.
    #[must_use]
    pub fn poll_stats(&self) -> PollStats {
        self.poller.stats()
    }

    /// Has a shard polled soon: at most once per `interval_min`.
    pub fn refresh(&self, shard: Arc<Shard>) {
        self.poller.refresh(shard);
    }
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").finish_non_exhaustive()
    }
}
