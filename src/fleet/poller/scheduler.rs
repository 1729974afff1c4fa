//! The one task that starts polls when they are due and takes in what they brought.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::super::Settings;
use super::super::interval::spread;
use super::super::shard::{News, Shard, Trouble};
use super::super::share::{Move, Turns};
use super::super::table::{Changes, Table};
use super::exchange::{Outcome, PollConn, poll};
use super::lateness::Lateness;
use super::queue::Queue;
use crate::tasks::{self, Kind};
use crate::upstream::Dialer;

/// How long a shard that no watcher names is kept.
const KEEP_GONE: Duration = Duration::from_secs(60);
/// The part of an interval by which polls are moved at random, so that they do not go in step.
const JITTER: f64 = 0.05;
/// The wait before the scheduler is started again, should it ever end.
const RESTART: Duration = Duration::from_secs(1);

/// Polls the shards of a table.
#[derive(Debug)]
pub(in super::super) struct Poller {
    table: Arc<Table>,
    settings: Settings,
    dialer: ArcSwap<Dialer>,
    turns: Arc<Turns>,
    /// What others want; each shard is in it once.
    orders: Mutex<Orders>,
    ordered: Notify,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Orders {
    /// Shards to be polled anew, without their former connection and with no regard to when they were
    /// polled last.
    ask: HashMap<Arc<str>, Arc<Shard>>,
    /// Shards to be polled as soon as `interval_min` allows.
    refresh: HashMap<Arc<str>, Arc<Shard>>,
    /// Shards to be polled at once: somebody has seen that they have changed.
    now: HashMap<Arc<str>, Arc<Shard>>,
    gone: HashMap<Arc<str>, Arc<Shard>>,
    /// Shards that are this Respite's to poll from then on, or another's.
    moved: HashMap<Arc<str>, Move>,
}

#[derive(Debug)]
struct Counters {
    polls: AtomicU64,
    failures: AtomicU64,
    panics: AtomicU64,
    restarts: AtomicU64,
    lateness: Mutex<Lateness>,
}

/// What the poller has done since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollStats {
    /// Polls that have ended.
    pub polls: u64,
    /// Those that brought no INFO.
    pub failures: u64,
    /// Those that ended in a panic; the shard was polled again after a moment.
    pub panics: u64,
    /// Times that the scheduler itself ended and was started again.
    pub restarts: u64,
    /// Half of the polls of the last seconds began at most so late.
    pub lateness_p50: Duration,
    /// 99 of 100 of them began at most so late.
    pub lateness_p99: Duration,
}

/// What the scheduler knows of a shard between its polls.
#[derive(Debug, Default)]
struct Known {
    conn: Option<Box<PollConn>>,
    /// When its last poll began.
    began: Option<Instant>,
    polling: bool,
    /// It is to be polled whoever polls it else: somebody here has asked for that.
    wanted: bool,
    /// It is to be polled once more as soon as it may be.
    again: Option<Again>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Refresh,
    Now,
    Anew,
}

type Done = (Arc<Shard>, Option<Outcome>);

impl Poller {
    pub(in super::super) fn new(
        table: Arc<Table>,
        settings: Settings,
        dialer: Arc<Dialer>,
        turns: Arc<Turns>,
    ) -> Arc<Self> {
        Arc::new(Poller {
            table,
            settings,
            dialer: ArcSwap::new(dialer),
            turns,
            orders: Mutex::default(),
            ordered: Notify::new(),
            counters: Counters {
                polls: AtomicU64::default(),
                failures: AtomicU64::default(),
                panics: AtomicU64::default(),
                restarts: AtomicU64::default(),
                lateness: Mutex::new(Lateness::new(Instant::now())),
            },
        })
    }

    /// Connects with this from now on.
    pub(in super::super) fn set_dialer(&self, dialer: Arc<Dialer>) {
        self.dialer.store(dialer);
    }

    /// Takes notice of changed targets.
    pub(in super::super) fn adopt(&self, changes: Changes) {
        let mut orders = self.orders.lock();
        for shard in changes.gone {
            orders.ask.remove(shard.id());
            orders.gone.insert(Arc::clone(shard.id()), shard);
        }
        for shard in changes.ask {
            orders.gone.remove(shard.id());
            orders.ask.insert(Arc::clone(shard.id()), shard);
        }
        drop(orders);
        self.ordered.notify_one();
    }

    /// Takes notice of shards that another Respite polls from now on, or polled until now.
    pub(in super::super) fn moved(&self, moves: Vec<Move>) {
        let mut orders = self.orders.lock();
        for moved in moves {
            let (Move::Take(shard, _) | Move::Leave(shard)) = &moved;
            orders.moved.insert(Arc::clone(shard.id()), moved);
        }
        drop(orders);
        self.ordered.notify_one();
    }

    /// Has a shard polled soon, though not within `interval_min` of its last poll.
    pub(in super::super) fn refresh(&self, shard: Arc<Shard>) {
        let mut orders = self.orders.lock();
        orders.refresh.insert(Arc::clone(shard.id()), shard);
        drop(orders);
        self.ordered.notify_one();
    }

    /// Has a shard polled at once. A poll that is under way does not count: it may have been answered before.
    pub(in super::super) fn poll_now(&self, shard: Arc<Shard>) {
        self.orders.lock().now.insert(Arc::clone(shard.id()), shard);
        self.ordered.notify_one();
    }

    pub(in super::super) fn stats(&self) -> PollStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let late = self.counters.lateness.lock();
        PollStats {
            polls: get(&self.counters.polls),
            failures: get(&self.counters.failures),
            panics: get(&self.counters.panics),
            restarts: get(&self.counters.restarts),
            lateness_p50: late.quantile(0.5),
            lateness_p99: late.quantile(0.99),
        }
    }

    /// Polls for ever.
    pub(in super::super) async fn run(self: Arc<Self>) {
        loop {
            let mut scheduler = Scheduler::new(Arc::clone(&self));
            let running = tasks::catch(Kind::Fleet, scheduler.run());
            if running.await.is_none() {
                count(&self.counters.restarts);
            }
            sleep(RESTART).await;
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

struct Scheduler {
    poller: Arc<Poller>,
    queue: Queue,
    known: HashMap<Arc<str>, Known>,
    polls: JoinSet<Done>,
    /// When the next shard is to be forgotten.
    sweep: Option<Instant>,
}

impl Scheduler {
    /// Begins with all shards of the table, as new ones.
    fn new(poller: Arc<Poller>) -> Self {
        let shards = poller.table.shards();
        let (gone, ask): (Vec<_>, Vec<_>) = shards
            .sorted()
            .iter()
            .cloned()
            .partition(|shard| shard.gone_since().is_some());
        poller.adopt(Changes { ask, gone });
        Scheduler {
            poller,
            queue: Queue::default(),
            known: HashMap::new(),
            polls: JoinSet::new(),
            sweep: None,
        }
    }

    async fn run(&mut self) {
        loop {
            self.take_orders();
            if self.sweep.is_some_and(|at| at <= Instant::now()) {
                self.sweep = self.poller.table.sweep(KEEP_GONE);
            }
            let most = self.poller.settings.load().max_concurrent_polls;
            let due = loop {
                match self.queue.next_due() {
                    _ if self.polls.len() >= most => break None,
                    Some(due) if due <= Instant::now() => self.start_next(),
                    due => break due,
                }
            };
            let next = [due, self.sweep].into_iter().flatten().min();
            let wait = async {
                match next {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.poller.ordered.notified() => {}
                Some(done) = self.polls.join_next() => {
                    // What a poll could panic of is caught inside it.
                    if let Ok((shard, outcome)) = done {
                        self.finish(&shard, outcome);
                    }
                    while let Some(Ok((shard, outcome))) = self.polls.try_join_next() {
                        self.finish(&shard, outcome);
                    }
                }
            }
        }
    }

    fn take_orders(&mut self) {
        let orders = std::mem::take(&mut *self.poller.orders.lock());
        let now = Instant::now();
        for id in orders.gone.keys() {
            if let Some(known) = self.known.get_mut(id) {
                known.conn = None;
                known.again = None;
            }
            self.sweep.get_or_insert(now + KEEP_GONE);
        }
        let shortest = self.poller.settings.load().interval_min;
        let spread = spread(orders.ask.len(), shortest);
        for (id, shard) in orders.ask {
            let known = self.known.entry(id).or_default();
            known.conn = None;
            if known.polling {
                known.again = Some(Again::Anew);
            } else {
                self.queue.put(shard, now + spread.mul_f64(fastrand::f64()));
            }
        }
        for (id, moved) in orders.moved {
            let known = self.known.entry(id).or_default();
            match moved {
                Move::Take(shard, due) if !known.polling => self.queue.put(shard, due),
                Move::Take(..) => {}
                Move::Leave(_) => known.conn = None,
            }
        }
        for (id, shard) in orders.now {
            let known = self.known.entry(id).or_default();
            known.wanted = true;
            if !known.polling {
                self.queue.put(shard, now);
            } else if known.again != Some(Again::Anew) {
                known.again = Some(Again::Now);
            }
        }
        for (id, shard) in orders.refresh {
            let known = self.known.entry(id).or_default();
            if known.polling {
                known.again.get_or_insert(Again::Refresh);
            } else {
                known.wanted = true;
                let last = known.began.max(shard.tried());
                let due = last.map_or(now, |began| began + shortest);
                self.queue.put(shard, due.max(now));
            }
        }
    }

    fn start_next(&mut self) {
        let Some((due, shard)) = self.queue.pop() else {
            return;
        };
        if shard.gone_since().is_some() {
            self.known.remove(shard.id());
            return;
        }
        let now = Instant::now();
        let settings = self.poller.settings.load();
        let known = self.known.entry(Arc::clone(shard.id())).or_default();
        if std::mem::take(&mut known.wanted) {
            shard.begin(now);
        } else if let Some(later) = self.poller.turns.begin(&shard, now, &settings) {
            if !shard.is_held() {
                known.conn = None;
            }
            self.queue.put(shard, later);
            return;
        }
        self.poller.counters.lateness.lock().record(due, now);
        known.began = Some(now);
        known.polling = true;
        let conn = known.conn.take();
        let limit = settings.timeout;
        let dialer = self.poller.dialer.load_full();
        self.polls.spawn(async move {
            let found = shard.found();
            let poll = tasks::catch(Kind::Fleet, poll(dialer, &found, conn));
            let polled = timeout(limit, poll);
            let outcome = polled.await.unwrap_or_else(|_| {
                let text = format!("no answer within {limit:?}");
                Some(Outcome::Failed(Trouble::Other, text))
            });
            (shard, outcome)
        });
    }

    /// Takes in what a poll brought; nothing when it panicked.
    fn finish(&mut self, shard: &Arc<Shard>, outcome: Option<Outcome>) {
        let counters = &self.poller.counters;
        count(&counters.polls);
        let known = self.known.entry(Arc::clone(shard.id())).or_default();
        known.polling = false;
        let began = known.began.unwrap_or_else(Instant::now);
        let again = known.again.take();
        if shard.gone_since().is_some() {
            self.known.remove(shard.id());
            return;
        }
        let settings = self.poller.settings.load();
        let (wait, news) = match outcome {
            // The target has changed meanwhile: this was the other one.
            _ if again == Some(Again::Anew) => {
                self.queue.put(Arc::clone(shard), Instant::now());
                return;
            }
            Some(Outcome::Answered {
                snapshot,
                asked,
                conn,
            }) => {
                known.conn = Some(conn);
                let (wait, news) = shard.answered(snapshot, asked, &settings);
                // From when it began, so that the time it took does not add up.
                let factor = 1.0 - JITTER + 2.0 * JITTER * fastrand::f64();
                (began + wait.mul_f64(factor), news)
            }
            failed => {
                count(&counters.failures);
                let (trouble, text) = match failed {
                    Some(Outcome::Failed(trouble, text)) => (trouble, text),
                    _ => {
                        count(&counters.panics);
                        (Trouble::Other, "the poll panicked".to_owned())
                    }
                };
                let (wait, news) = shard.failed(trouble, &text, &settings);
                let factor = 1.0 - JITTER * fastrand::f64();
                (Instant::now() + wait.mul_f64(factor), news)
            }
        };
        shard.polled(began);
        self.poller.turns.polled(shard);
        let mut due = wait.max(Instant::now());
        known.wanted = matches!(again, Some(Again::Refresh | Again::Now));
        if again == Some(Again::Refresh) {
            due = due.min(began + settings.interval_min);
        }
        if again == Some(Again::Now) {
            due = Instant::now();
        }
        self.queue.put(Arc::clone(shard), due);
        tell(shard, news, &settings);
    }
}

/// Logs what those who run the server should know.
fn tell(shard: &Shard, news: News, settings: &crate::config::FleetSettings) {
    let id = &**shard.id();
    match news {
        News::None => {}
        News::Recovered(failures) => info!(shard = id, "answers again after {failures} failures"),
        News::Failing(failures) => {
            let status = shard.status(settings);
            let address = &status.target.endpoint.address;
            let error = status.error.as_deref().unwrap_or_default();
            // The backing has a monitor of its own, which has said so.
            if &*status.source == super::super::watcher::BACKING {
                debug!(shard = id, %address, failures, "not usable: {error}");
            } else {
                warn!(shard = id, %address, failures, "not usable: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
