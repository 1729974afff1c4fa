//! What all workers share.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use super::mailbox::ToWorker;
use super::memory::Memory;
use super::monitors::Monitors;
use super::pause::Pause;
use super::registry::Registry;
use super::scripts::Scripts;
use super::settings::Settings;
use super::subscriptions::Audience;
use super::users::BackingUsers;
use crate::cache::{Cache, Guard};
use crate::command::{Family, InfoSource, OwnRow, Table};
use crate::config::CacheSettings;
use crate::latency::Latency;
use crate::resp::{Proto, Value, parse_reply};
use crate::slowlog::SlowLog;
use crate::upstream::{Backing, BackingState, Fence, PinnedCount, ServerHello, SwapWatch};

/// Counters of one worker, which only that worker writes, and its clients.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Clients dealt to it that have not gone yet.
    pub clients: AtomicUsize,
    /// Requests that clients sent.
    pub commands: AtomicU64,
    /// Of these, the ones passed to the backing.
    pub forwarded: AtomicU64,
    /// Times that a session was given a connection of its own.
    pub pins: AtomicU64,
    /// Pinned connections that had to be opened.
    pub pins_opened: AtomicU64,
}

/// The state of the whole process that sessions can reach.
pub struct Shared {
    /// The Redis behind.
    pub backing: Arc<Backing>,
    /// The cache.
    pub cache: Arc<Cache>,
    /// Tells whether a script has exchanged databases.
    pub swaps: SwapWatch,
    /// All clients.
    pub clients: Registry,
    /// `CLIENT PAUSE`.
    pub pause: Pause,
    /// Who is shown what clients send.
    pub(super) monitors: Monitors,
    /// Pinned connections of all workers.
    pub pinned: Arc<PinnedCount>,
    /// Respite's own commands; [`Handling::Family`](crate::command::Handling) is an index here.
    pub families: Vec<Arc<dyn Family>>,
    /// The scripts that clients have shown, where a cluster is behind.
    pub(super) scripts: Scripts,
    /// Who answers `INFO`.
    pub info: Arc<dyn InfoSource>,
    /// One for each worker.
    pub stats: Vec<WorkerStats>,
    /// Pushes on shared links that nobody asked for.
    pub dropped_pushes: Arc<AtomicU64>,
    /// Subscribers that the backing does not know of.
    pub(super) audience: Arc<Audience>,
    /// How long commands took.
    pub latency: Latency,
    /// Commands that took long.
    pub slowlog: SlowLog,
    /// When the process began to serve.
    pub started: Instant,
    /// What all clients make Respite keep.
    pub(super) memory: Memory,
    /// The backing's users, if they are the users here.
    users: OnceLock<Arc<BackingUsers>>,
    settings: ArcSwap<Settings>,
    replacing: Mutex<()>,
    workers: OnceLock<Vec<UnboundedSender<ToWorker>>>,
}

impl WorkerStats {
    /// Adds without a locked instruction: each counter has one writer.
    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }
}

impl Shared {
    /// The state of a process that serves nobody yet.
    pub fn new(
        backing: Arc<Backing>,
        cache: Arc<Cache>,
        swaps: SwapWatch,
        families: Vec<Arc<dyn Family>>,
        info: Arc<dyn InfoSource>,
        workers: usize,
        mut settings: Settings,
    ) -> Self {
        let rows: Vec<_> = families.iter().map(|family| family.rows()).collect();
        settings.table = Arc::new(Table::shipped().with_families(&rows));
        let names = rows.iter().map(|rows| family_name(rows));
        let latency = Latency::new(workers, names);
        Shared {
            backing,
            cache,
            swaps,
            clients: Registry::default(),
            pause: Pause::default(),
            monitors: Monitors::default(),
            pinned: Arc::default(),
            families,
            scripts: Scripts::default(),
            info,
            stats: (0..workers).map(|_| WorkerStats::default()).collect(),
            dropped_pushes: Arc::default(),
            audience: Arc::default(),
            latency,
            slowlog: SlowLog::new(settings.slowlog.slower_than, settings.slowlog.max_len),
            started: Instant::now(),
            memory: Memory::default(),
            users: OnceLock::new(),
            settings: ArcSwap::from_pointee(settings),
            replacing: Mutex::new(()),
            workers: OnceLock::new(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Replaces settings and tells every worker.
    pub fn replace_settings(&self, change: impl FnOnce(&mut Settings)) {
        let replacing = self.replacing.lock();
        let mut settings = Settings::clone(&self.settings.load());
        settings.generation += 1;
        change(&mut settings);
        self.slowlog
            .set(settings.slowlog.slower_than, settings.slowlog.max_len);
        self.settings.store(Arc::new(settings));
        drop(replacing);
        self.broadcast(|| ToWorker::Refresh);
    }

    /// Puts other settings of the cache in force, before all others are ([`Shared::replace_settings`]). What is cached
    /// goes.
    pub fn set_cache(&self, settings: CacheSettings) {
        let (was_off, is_off) = (self.cache.settings().is_off(), settings.is_off());
        let opening = (was_off && !is_off).then(|| {
            let mut guard = Guard::new(Arc::clone(&self.cache));
            guard.protect_all();
            Arc::new(guard)
        });
        self.cache.set_settings(settings);
        if was_off == is_off {
            return;
        }
        let opening = opening.map(|guard| guard as Fence);
        self.broadcast(|| ToWorker::Caching(opening.clone()));
    }

    /// Takes over what was learnt from the backing.
    pub fn learn(&self, state: &BackingState) {
        let table = match parse_reply(&state.commands) {
            Ok(Some((reply, _))) => Table::from_backing(&reply, &self.family_rows()),
            _ => return,
        };
        let hello = state.hello.as_deref();
        let table = table.map(|table| match hello.is_some_and(has_foreign_modules) {
            true => table.with_unknown_writes(),
            false => table,
        });
        match table {
            Ok(table) => self.replace_settings(|settings| {
                settings.table = Arc::new(table);
                settings.hello.clone_from(&state.hello);
            }),
            Err(error) => {
                warn!("the backing's list of commands is of no use: {error}");
                self.replace_settings(|settings| settings.hello.clone_from(&state.hello));
            }
        }
    }

    fn family_rows(&self) -> Vec<&'static [OwnRow]> {
        self.families.iter().map(|family| family.rows()).collect()
    }

    /// All of Respite's own commands.
    pub fn own_rows(&self) -> Vec<&'static OwnRow> {
        self.families
            .iter()
            .flat_map(|family| family.rows())
            .collect()
    }

    /// Says, once, that the users are the backing's.
    pub fn set_users(&self, users: Arc<BackingUsers>) {
        let already = self.users.set(users).is_err();
        debug_assert!(!already, "the users are set once");
    }

    /// The backing's users, if they are the users here.
    pub(super) fn users(&self) -> Option<&Arc<BackingUsers>> {
        self.users.get()
    }

    /// Has every client look whether it may stay.
    pub fn look_again(&self) {
        self.replace_settings(|_| {});
    }

    /// Connects the workers' mailboxes, once.
    pub fn set_workers(&self, workers: Vec<UnboundedSender<ToWorker>>) {
        let already = self.workers.set(workers).is_err();
        debug_assert!(!already, "the workers are set once");
    }

    /// Sends one worker a message. A worker that has ended needs none.
    pub fn tell(&self, worker: usize, message: ToWorker) {
        if let Some(mailbox) = self.workers.get().and_then(|workers| workers.get(worker)) {
            let _ = mailbox.send(message);
        }
    }

    /// Sends every worker a message.
    pub fn broadcast(&self, message: impl Fn() -> ToWorker) {
        for mailbox in self.workers.get().into_iter().flatten() {
            let _ = mailbox.send(message());
        }
    }

    /// The sum of a counter over all workers.
    pub fn total(&self, counter: impl Fn(&WorkerStats) -> &AtomicU64) -> u64 {
        self.stats
            .iter()
            .map(|stats| counter(stats).load(Ordering::Relaxed))
            .sum()
    }
}

/// Modules that write no key because somebody else writes one. `lua` is what runs the scripts of a Valkey since 9.1, and
/// scripts are known to write keys of their own choice.
const HARMLESS_MODULES: [&str; 10] = [
    "ReJSON",
    "bf",
    "graph",
    "json",
    "ldap",
    "lua",
    "search",
    "searchlight",
    "timeseries",
    "vectorset",
];

/// Whether the backing has a module that may write keys of its own choice when a key is written.
fn has_foreign_modules(hello: &ServerHello) -> bool {
    let Ok(Some((Value::Array(modules), _))) = parse_reply(hello.modules(Proto::Resp2)) else {
        return false;
    };
    let is_foreign = |module: &Value<'_>| {
        let (pairs, _) = module.as_array().unwrap_or_default().as_chunks::<2>();
        let mut names = pairs.iter().filter(|[key, _]| key.as_str() == Some("name"));
        names.any(|[_, name]| {
            !name
                .as_str()
                .is_some_and(|name| HARMLESS_MODULES.contains(&name))
        })
    };
    modules.iter().any(is_foreign)
}

/// The name of a family: what its commands have in common, `cache` of `CACHE.STATS`.
fn family_name(rows: &[OwnRow]) -> String {
    let first = rows.first().map_or("", |row| row.name);
    let name = first.split('.').next().unwrap_or_default();
    name.to_ascii_lowercase()
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("clients", &self.clients.len())
            .finish_non_exhaustive()
    }
}
