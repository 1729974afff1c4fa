//! Keeps the watchers running: one that ends or panics is started again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Watcher;
use super::source::{Found, Sources, TargetSink, WatcherReport};
use crate::backoff::Backoff;
use crate::tasks::{self, Kind};

/// The wait before a watcher is started again: doubling from the first to the last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The watchers and their tasks. Dropping it ends them.
pub struct Supervisor {
    sources: Arc<Sources>,
    runtime: Handle,
    tasks: Mutex<JoinSet<()>>,
}

impl Supervisor {
    /// No watchers yet. `on_change` is told of the list of all targets whenever it changes, one call after the
    /// other; `runtime` is where the watchers run.
    pub fn new(runtime: Handle, on_change: impl Fn(Vec<Found>) + Send + Sync + 'static) -> Self {
        Supervisor {
            sources: Sources::new(Box::new(on_change)),
            runtime,
            tasks: Mutex::default(),
        }
    }

    /// Makes these the watchers, in this order. Former ones end; the set of a former one with the
    /// same name and kind stays until the new one emits its own.
    pub fn replace(&self, watchers: Vec<Arc<dyn Watcher>>) {
        let mut tasks = self.tasks.lock();
        tasks.abort_all();
        *tasks = JoinSet::new();
        let names = watchers.iter().map(|w| (w.name(), w.kind())).collect();
        let sinks = self.sources.replace(names);
        for (watcher, sink) in watchers.into_iter().zip(sinks) {
            tasks.spawn_on(keep_running(watcher, sink), &self.runtime);
        }
    }

    /// How each watcher does, in their order.
    pub fn reports(&self) -> Vec<WatcherReport> {
        self.sources.reports()
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").finish_non_exhaustive()
    }
}

async fn keep_running(watcher: Arc<dyn Watcher>, sink: TargetSink) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let began = Instant::now();
        let watching = async { Arc::clone(&watcher).watch(sink.clone()).await };
        let reason = match tasks::catch(Kind::Fleet, watching).await {
            Some(()) => "it ended; it is started again",
            None => "it panicked; it is started again",
        };
        sink.restarted(reason);
        if began.elapsed() > LONGEST_WAIT {
            backoff.reset();
        }
        sleep(backoff.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::{TargetSink, Watching};
    use super::*;
    use crate::fleet::Target;

    type Script = fn(usize, TargetSink) -> Watching;

    struct Fake {
        name: &'static str,
        starts: AtomicUsize,
        script: Script,
    }

    impl Watcher for Fake {
        fn name(&self) -> String {
            self.name.to_owned()
        }

        fn kind(&self) -> &'static str {
            "fake"
        }

        fn watch(self: Arc<Self>, sink: TargetSink) -> Watching {
            (self.script)(self.starts.fetch_add(1, Ordering::SeqCst), sink)
        }
    }

    fn fake(name: &'static str, script: Script) -> Arc<dyn Watcher> {
        let starts = AtomicUsize::new(0);
        Arc::new(Fake {
            name,
            starts,
            script,
        })
    }

    fn targets(ids: &[&str], host: &str) -> Vec<Target> {
        let target = |id: &&str| Target {
            id: (*id).to_owned(),
            endpoint: format!("redis://{host}").parse().expect("a URL"),
            labels: Default::default(),
        };
        ids.iter().map(target).collect()
    }

    fn supervisor() -> (Arc<Mutex<Vec<String>>>, Supervisor) {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let keep = Arc::clone(&told);
        let on_change = move |found: Vec<Found>| {
            let shown = |f: &Found| format!("{}@{}", f.target.id, f.source);
            *keep.lock() = found.iter().map(shown).collect();
        };
        (told, Supervisor::new(Handle::current(), on_change))
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_watcher_of_an_id_wins() {
        let (told, supervisor) = supervisor();
        let emit = |_, sink: TargetSink| -> Watching {
            Box::pin(async move {
                sink.set(targets(&["x", "both", "server", "x"], "h"));
                std::future::pending().await
            })
        };
        let other = |_, sink: TargetSink| -> Watching {
            Box::pin(async move {
                sink.set(targets(&["both", "y"], "h"));
                std::future::pending().await
            })
        };
        supervisor.replace(vec![fake("a", emit), fake("b", other)]);
        settle().await;
        assert_eq!(*told.lock(), ["x@a", "both@a", "y@b"]);
        let reports = supervisor.reports();
        assert_eq!((reports[0].targets, reports[1].targets), (2, 2));
        let error = reports[0]
            .error
            .as_deref()
            .expect("refused ids are reported");
        assert!(
            error.starts_with("server: a shard id may not be"),
            "{error}"
        );
        assert_eq!(reports[1].error, None);

        // Without the first, the second's are what is tracked.
        supervisor.replace(vec![fake("b", |_, _| Box::pin(std::future::pending()))]);
        assert_eq!(*told.lock(), ["both@b", "y@b"], "its last set stays");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_watcher_keeps_its_set_and_is_started_again() {
        let (told, supervisor) = supervisor();
        let broken = |start, sink: TargetSink| -> Watching {
            Box::pin(async move {
                match start {
                    0 => sink.set(targets(&["x"], "h")),
                    1 => panic!("on purpose"),
                    _ => {
                        sink.failed("no idea");
                        std::future::pending().await
                    }
                }
            })
        };
        supervisor.replace(vec![fake("a", broken)]);
        settle().await;
        let report = supervisor.reports().remove(0);
        assert_eq!(
            report.error.as_deref(),
            Some("it ended; it is started again")
        );
        tokio::time::sleep(Duration::from_millis(1001)).await;
        settle().await;
        let report = supervisor.reports().remove(0);
        assert_eq!(
            report.error.as_deref(),
            Some("it panicked; it is started again")
        );
        tokio::time::sleep(Duration::from_millis(2001)).await;
        settle().await;
        let report = supervisor.reports().remove(0);
        assert_eq!(report.error.as_deref(), Some("no idea"));
        assert_eq!((report.restarts, report.targets), (2, 1));
        assert!(report.last_ok.is_some());
        assert_eq!(*told.lock(), ["x@a"]);
    }
}
