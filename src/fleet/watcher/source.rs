//! What each watcher said last, and the one list that follows from it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{debug, info, warn};

use super::super::target::{MAX_TARGETS, Target, check_id};
use super::added::ADDED;
use super::backing::BACKING;
use super::discovery::DISCOVERY;
use super::static_targets::STATIC;

/// A target with the name of the watcher that found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was found.
    pub target: Arc<Target>,
    /// The name of the watcher.
    pub source: Arc<str>,
}

/// The longest INFO that is taken of a server that the configuration names. One of a server with a
/// thousand databases and every command in its statistics has a tenth of it.
const INFO_BYTES: usize = 8 * 1024 * 1024;
/// The longest that is taken of one that was found: there may be thousands, and who names them can be
/// somebody else.
const FOUND_INFO_BYTES: usize = 1024 * 1024;

impl Found {
    /// The longest INFO that is taken of any server, in bytes.
    pub(in super::super) const MOST_INFO: usize = INFO_BYTES;

    /// The longest INFO that is taken of it, in bytes.
    #[must_use]
    pub fn most_info(&self) -> usize {
        match self.is_configured() {
            true => INFO_BYTES,
            false => FOUND_INFO_BYTES,
        }
    }

    /// Whether the configuration itself names it: it was not found at run time.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        [BACKING, STATIC].contains(&&*self.source)
    }
}

/// How a watcher does, for `SHARD.WATCHERS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherReport {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: &'static str,
    /// The targets of its last set, those that an earlier watcher names too included.
    pub targets: usize,
    /// How long ago it emitted a set; none when it never did.
    pub last_ok: Option<Duration>,
    /// What is wrong, if anything is.
    pub error: Option<String>,
    /// How often it ended or panicked and was started again.
    pub restarts: u64,
}

/// Is told of the list of all targets when it has changed, in the order of the changes.
pub(super) type OnChange = Box<dyn Fn(Vec<Found>) + Send + Sync>;

/// The last set of every watcher.
pub(super) struct Sources {
    /// The list is made and told under this lock, so that an older one never comes last.
    sources: Mutex<Vec<Source>>,
    on_change: OnChange,
}

struct Source {
    name: Arc<str>,
    kind: &'static str,
    /// Grows when the watcher is replaced, so that a former one is not listened to.
    generation: u64,
    targets: Vec<Arc<Target>>,
    last_ok: Option<Instant>,
    error: Option<String>,
    restarts: u64,
}

/// Where one watcher puts what it finds. Cheap to clone.
#[derive(Clone)]
pub struct TargetSink {
    sources: Arc<Sources>,
    name: Arc<str>,
    generation: u64,
}

impl TargetSink {
    /// Replaces the watcher's set. Targets with ids that are not allowed are left out and reported.
    pub fn set(&self, targets: Vec<Target>) {
        self.replace(targets, None);
    }

    /// Replaces the watcher's set, although something is wrong that others should know: one of
    /// several files, say, cannot be read.
    pub fn set_partly(&self, targets: Vec<Target>, problem: impl Into<String>) {
        self.replace(targets, Some(problem.into()));
    }

    /// Reports that the watcher cannot tell its set. The last one stays.
    pub fn failed(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.sources.with(self, |source| {
            // What these need is the backing, whose loss is logged elsewhere.
            let quiet = matches!(source.kind, ADDED | DISCOVERY);
            source.note(Some(reason), quiet);
        });
    }

    /// Reports that the watcher's last set still is its set.
    pub fn well(&self) {
        self.sources
            .with(self, |source| source.last_ok = Some(Instant::now()));
    }

    /// Counts a restart and reports its reason.
    pub(super) fn restarted(&self, reason: &str) {
        self.sources.with(self, |source| {
            source.restarts += 1;
            source.note(Some(reason.to_owned()), false);
        });
    }

    fn replace(&self, targets: Vec<Target>, mut problem: Option<String>) {
        let mut seen = HashSet::new();
        let mut refuse = |id: &str, reason: &str| {
            problem.get_or_insert_with(|| format!("{}: {reason}", id.escape_debug()));
        };
        let mut kept = Vec::with_capacity(targets.len());
        for target in targets {
            if let Err(reason) = check_id(&target.id) {
                refuse(&target.id, reason);
            } else if !seen.insert(target.id.clone()) {
                refuse(&target.id, "there are two of this id");
            } else if kept.len() == MAX_TARGETS {
                refuse(&target.id, "no more than 100000 shards are tracked");
                break;
            } else {
                kept.push(Arc::new(target));
            }
        }
        let changed = |source: &mut Source| {
            source.last_ok = Some(Instant::now());
            source.note(problem, false);
            let changed = source.targets != kept;
            source.targets = kept;
            changed
        };
        let mut sources = self.sources.sources.lock();
        if find(&mut sources, self).is_some_and(changed) {
            (self.sources.on_change)(merged(&sources));
        }
    }
}

impl fmt::Debug for TargetSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TargetSink").field(&self.name).finish()
    }
}

impl Source {
    /// Keeps what is wrong and logs it when it is news; `quiet` if somebody else tells of it.
    fn note(&mut self, error: Option<String>, quiet: bool) {
        match (&self.error, &error) {
            (old, new) if old == new => {}
            (_, Some(reason)) if quiet => debug!("watcher {}: {reason}", self.name),
            (_, Some(reason)) => warn!("watcher {}: {reason}", self.name),
            (_, None) => info!("watcher {}: well again", self.name),
        }
        self.error = error;
    }
}

impl Sources {
    pub(super) fn new(on_change: OnChange) -> Arc<Self> {
        Arc::new(Sources {
            sources: Mutex::default(),
            on_change,
        })
    }

    /// Makes these the watchers, by name and kind, and returns their sinks. Those that were there
    /// before under the same name keep their set until they emit another.
    pub(super) fn replace(
        self: &Arc<Self>,
        watchers: Vec<(String, &'static str)>,
    ) -> Vec<TargetSink> {
        let mut sources = self.sources.lock();
        let generation = 1 + sources.iter().map(|s| s.generation).max().unwrap_or(0);
        let mut former = std::mem::take(&mut *sources);
        for (name, kind) in watchers {
            debug_assert!(sources.iter().all(|s| *s.name != name), "two {name}");
            let known = former
                .iter()
                .position(|s| *s.name == name && s.kind == kind);
            let mut source = known.map_or_else(
                || Source {
                    name: name.into(),
                    kind,
                    generation,
                    targets: Vec::new(),
                    last_ok: None,
                    error: None,
                    restarts: 0,
                },
                |at| former.swap_remove(at),
            );
            source.generation = generation;
            sources.push(source);
        }
        (self.on_change)(merged(&sources));
        let sink = |source: &Source| TargetSink {
            sources: Arc::clone(self),
            name: Arc::clone(&source.name),
            generation,
        };
        sources.iter().map(sink).collect()
    }

    pub(super) fn reports(&self) -> Vec<WatcherReport> {
        let now = Instant::now();
        let report = |source: &Source| WatcherReport {
            name: Arc::clone(&source.name),
            kind: source.kind,
            targets: source.targets.len(),
            last_ok: source.last_ok.map(|at| now.saturating_duration_since(at)),
            error: source.error.clone(),
            restarts: source.restarts,
        };
        self.sources.lock().iter().map(report).collect()
    }

    fn with(&self, sink: &TargetSink, change: impl FnOnce(&mut Source)) {
        let mut sources = self.sources.lock();
        if let Some(source) = find(&mut sources, sink) {
            change(source);
        }
    }
}

fn find<'a>(sources: &'a mut [Source], sink: &TargetSink) -> Option<&'a mut Source> {
    let is_it =
        |source: &&mut Source| source.name == sink.name && source.generation == sink.generation;
    sources.iter_mut().find(is_it)
}

/// All targets, the first of each id.
fn merged(sources: &[Source]) -> Vec<Found> {
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for source in sources {
        for target in &source.targets {
            if all.len() < MAX_TARGETS && seen.insert(target.id.as_str()) {
                all.push(Found {
                    target: Arc::clone(target),
                    source: Arc::clone(&source.name),
                });
            }
        }
    }
    all
}
