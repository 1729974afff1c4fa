//! A worker's thread: an OS thread with a runtime of its own that serves the worker's sessions.

use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use super::mailbox::{NewClient, ToWorker};
use super::registry::Wish;
use super::replies::Replies;
use super::run;
use super::settings::Settings;
use super::shared::Shared;
use super::worker::Worker;
use crate::spare;
use crate::tasks::{self, Kind};
use crate::upstream::ReplySink;

/// How often a worker looks at the clock.
const TICK: Duration = Duration::from_millis(100);

/// Whom a client's commands count for before it logs in, as `CLIENT LIST` has it.
const NOBODY: &str = "default";

/// Starts a worker's thread.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    index: usize,
    shared: Arc<Shared>,
) -> io::Result<(UnboundedSender<ToWorker>, JoinHandle<()>)> {
    let (mailbox, messages) = unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, Worker::new(index, shared).run(messages));
        })?;
    Ok((mailbox, thread))
}

impl Worker {
    async fn run(self: Rc<Self>, mut messages: UnboundedReceiver<ToWorker>) {
        let mut clock = tokio::time::interval(TICK);
        let follows = Rc::clone(&self);
        tokio::task::spawn_local(tasks::keep(Kind::Worker, move || {
            Rc::clone(&follows).follow()
        }));
        let feeds = Rc::clone(&self);
        tokio::task::spawn_local(tasks::keep(Kind::Worker, move || Rc::clone(&feeds).feed()));
        if self.shared.backing.is_cluster() {
            let sends = Rc::clone(&self);
            tokio::task::spawn_local(tasks::keep(Kind::Worker, move || {
                Rc::clone(&sends).send_on()
            }));
        }
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(ToWorker::Stop) | None => break,
                    Some(message) => {
                        tasks::run(Kind::Worker, || self.handle(message));
                    }
                },
                () = tasks::hurt() => {
                    tasks::run(Kind::Worker, || self.recover());
                }
                _ = clock.tick() => {
                    tasks::run(Kind::Worker, || self.tick());
                }
            }
        }
        self.sessions.borrow_mut().clear();
    }

    /// Follows the topology. A task of its own, since what the worker itself waits for is looked at each
    /// turn.
    async fn follow(self: Rc<Self>) {
        let mut topologies = self.shared.backing.watch_topology();
        // It may have changed since the worker was made.
        topologies.mark_changed();
        while topologies.changed().await.is_ok() {
            let topology = Arc::clone(&topologies.borrow_and_update());
            self.links.keep(&topology);
            self.fills.keep(&topology);
            self.pool.keep(&topology);
            self.direct(topology);
        }
    }

    fn handle(self: &Rc<Self>, message: ToWorker) {
        match message {
            ToWorker::Serve(client) => self.serve(client),
            ToWorker::Wake(id) => {
                if let Some(replies) = self.sessions.borrow().get(&id) {
                    replies.wake();
                }
            }
            ToWorker::WakeAll => self.wake_all(),
            ToWorker::Refresh => self.refresh(),
            ToWorker::Caching(Some(guard)) => self.begin_caching(guard),
            ToWorker::Caching(None) => self.end_caching(),
            ToWorker::Fence(node, fence) => self.fills.fence(node, &fence),
            ToWorker::Release { session, ticket } => {
                if let Some(replies) = self.sessions.borrow().get(&session) {
                    replies.release(ticket);
                }
            }
            ToWorker::Filled(waiter, fetched) => self.deliver_fetched(waiter, &fetched),
            ToWorker::CutOff => self.cut_off(),
            ToWorker::Leave(silent) => {
                self.leaving.set(Some(silent));
                self.wake_all();
            }
            ToWorker::Drain => {
                self.draining.set(true);
                self.wake_all();
            }
            ToWorker::Stop => {}
        }
    }

    fn serve(self: &Rc<Self>, client: NewClient) {
        let settings = self.settings();
        let times = self.shared.latency.times(self.index, NOBODY);
        let replies = Rc::new(Replies::new(settings.limits.client_output_bytes));
        replies.set_times(times);
        let id = client.entry.id;
        self.sessions.borrow_mut().insert(id, Rc::clone(&replies));
        let worker = Rc::clone(self);
        tokio::task::spawn_local(tasks::named(Kind::Client, async move {
            // The guard also removes a session whose task panicked.
            let _registered = Registered {
                worker: Rc::clone(&worker),
                id,
            };
            run::serve(worker, client, replies).await;
        }));
    }

    fn wake_all(&self) {
        self.sessions
            .borrow()
            .values()
            .for_each(|replies| replies.wake());
    }

    fn refresh(&self) {
        let new = self.shared.settings();
        let old = self.settings();
        if new.hello != old.hello {
            let first = self.shared.backing.first_db();
            *self.databases.borrow_mut() = HashSet::from([first]);
        }
        self.links
            .set_limits(&new, self.shared.backing.is_cluster());
        let output = new.limits.client_output_bytes;
        self.sessions
            .borrow()
            .values()
            .for_each(|replies| replies.set_limit(output));
        *self.settings.borrow_mut() = Rc::new(Settings::clone(&new));
        self.wake_all();
    }

    /// Something that many clients depend on has panicked, and nobody knows what was lost with it: what was read
    /// before is forgotten, and clients that wait for anything are closed.
    #[cold]
    fn recover(&self) {
        self.shared.cache.flush();
        self.shared.broadcast(|| ToWorker::CutOff);
    }

    fn cut_off(&self) {
        for replies in self.sessions.borrow().values() {
            if replies.outstanding() + replies.later() + replies.held() > 0 {
                replies.abort();
            }
        }
    }

    fn tick(&self) {
        let now = Instant::now();
        self.pool.tick(now);
        self.tick_links(now);
        self.fills.tick(now);
        let limit = self.settings().timeouts.reply;
        self.subscriptions.ask_if_quiet(now);
        if limit.is_some_and(|limit| self.subscriptions.is_overdue(limit, now)) {
            self.subscriptions.wake();
        }
        spare::trim();
        if self.index == 0 {
            self.shared.cache.sweep();
        }
        // Sessions that have something to do with the clock look at it themselves.
        for replies in self.sessions.borrow().values() {
            if replies.watches_clock() {
                replies.wake();
            }
        }
    }
}

/// Takes a session off the lists when it ends, however it ends.
struct Registered {
    worker: Rc<Worker>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.sessions.borrow_mut().remove(&self.id);
        for wish in self.worker.shared.clients.remove(self.id) {
            if let Wish::Keep { worker, session } = wish {
                self.worker.shared.tell(worker, ToWorker::Wake(session));
            }
        }
        self.worker.stats().clients.fetch_sub(1, Ordering::Relaxed);
    }
}
