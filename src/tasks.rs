//! Tasks by kind, and what a panic in one means: it is counted and logged, and what goes on for ever is started again.
//!
//! It does not know what a task does. Who waits for one that panicked is answered by whoever started it: a dropped
//! sender, a lost connection, a closed client.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::error;

use crate::backoff::Backoff;

/// How long after a panic a task is started again, at first.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// And after many of them.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

macro_rules! kinds {
    ($($kind:ident $name:literal $doc:literal)+) => {
        /// What a task is for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $doc] $kind,)+
        }

        impl Kind {
            const ALL: &[Kind] = &[$(Kind::$kind),+];

            /// As metrics and the log have it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    Other "other" "None of the others: the main task, and code that named nothing."
    Client "client" "One client, or one command of it."
    Worker "worker" "A worker's own loops."
    Link "link" "A shared connection to the backing."
    Fill "fill_link" "A connection that fetches for the cache."
    Backing "backing" "Watches of the backing, its sentinels, its cluster."
    Listener "listener" "A listener for Redis clients."
    Http "http" "The admin listener and its connections."
    Gateway "gateway" "The gateway: listener, connections, polls, instances."
    Bus "bus" "The bus: orders, hints, upkeep."
    Discovery "discovery" "Service discovery: reads, events, presence."
    Fleet "fleet" "The fleet: watchers, polls."
    Upkeep "upkeep" "What looks after the server itself: figures, certificates, reloads."
    Passwords "passwords" "The threads that check slow hashes."
    Embedded "embedded" "The threads that keep embedded servers running."
}

static ALIVE: [AtomicU64; Kind::ALL.len()] = [const { AtomicU64::new(0) }; Kind::ALL.len()];
static CAUGHT: [AtomicU64; Kind::ALL.len()] = [const { AtomicU64::new(0) }; Kind::ALL.len()];

thread_local! {
    /// The kind of what runs on this thread now.
    static NOW: Cell<Kind> = const { Cell::new(Kind::Other) };
    /// Something that many clients of this thread depend on has panicked.
    static HURT: Rc<Notify> = Rc::default();
}

/// Sees to it that panics are counted and logged. Once for the process, when it logs.
pub fn watch() {
    panic::set_hook(Box::new(note));
    #[cfg(debug_assertions)]
    injected::listen();
}

/// Must not panic: the process would end.
fn note(panicked: &PanicHookInfo<'_>) {
    // Not there while a thread ends.
    let kind = NOW.try_with(Cell::get).unwrap_or(Kind::Other);
    CAUGHT[kind as usize].fetch_add(1, Ordering::Relaxed);
    if matches!(kind, Kind::Worker | Kind::Link | Kind::Fill) {
        let _ = HURT.try_with(|hurt| hurt.notify_one()); // the same
    }
    let payload = panicked.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let why = text.unwrap_or("no text");
    match panicked.location() {
        Some(place) => error!(task = kind.name(), "panicked at {place}: {why}"),
        None => error!(task = kind.name(), "panicked: {why}"),
    }
}

/// How many panics there were in each kind of task.
pub fn caught() -> impl Iterator<Item = (&'static str, u64)> {
    let count = |kind: &Kind| CAUGHT[*kind as usize].load(Ordering::Relaxed);
    Kind::ALL.iter().map(move |kind| (kind.name(), count(kind)))
}

/// How many panics there were.
#[must_use]
pub fn total() -> u64 {
    caught().map(|(_, count)| count).sum()
}

/// How many tasks of each kind there are, those within others included.
pub fn alive() -> impl Iterator<Item = (&'static str, u64)> {
    let count = |kind: &Kind| ALIVE[*kind as usize].load(Ordering::Relaxed);
    Kind::ALL.iter().map(move |kind| (kind.name(), count(kind)))
}

/// Counts a task for as long as it is there.
struct Alive(Kind);

impl Alive {
    fn begin(kind: Kind) -> Self {
        ALIVE[kind as usize].fetch_add(1, Ordering::Relaxed);
        Alive(kind)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE[self.0 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits until something that many clients of this thread depend on has panicked.
pub async fn hurt() {
    let hurt = HURT.with(Rc::clone);
    hurt.notified().await;
}

/// Sets the kind of what runs while it is there.
struct Running(Kind);

impl Running {
    fn begin(kind: Kind) -> Self {
        Running(NOW.replace(kind))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        NOW.set(self.0);
    }
}

/// A task of this kind. A panic goes on to whoever runs it: tokio ends the task and goes on.
pub fn named<T>(kind: Kind, task: impl Future<Output = T>) -> impl Future<Output = T> {
    // There are many, and an async function would keep two places for what it is given.
    let mut task = Box::pin(task);
    let mut alive = None;
    poll_fn(move |cx| {
        alive.get_or_insert_with(|| Alive::begin(kind));
        let _running = Running::begin(kind);
        point(kind.name());
        task.as_mut().poll(cx)
    })
}

/// What the task comes to; none when it panicked.
pub async fn catch<T>(kind: Kind, task: impl Future<Output = T>) -> Option<T> {
    let _alive = Alive::begin(kind);
    let mut task = pin!(task);
    poll_fn(|cx| {
        // A task that panicked is not polled again; what it shares has to be looked after by whoever calls this.
        match run(kind, || task.as_mut().poll(cx)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(done)) => Poll::Ready(Some(done)),
            None => Poll::Ready(None),
        }
    })
    .await
}

/// A task that is made anew whenever it has panicked, until it ends.
pub async fn keep<T, F: Future<Output = T>>(kind: Kind, mut task: impl FnMut() -> F) -> T {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        if let Some(done) = catch(kind, task()).await {
            return done;
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// What a step comes to; none when it panicked.
pub fn run<T>(kind: Kind, step: impl FnOnce() -> T) -> Option<T> {
    let _running = Running::begin(kind);
    let stepped = catch_unwind(AssertUnwindSafe(|| {
        point(kind.name());
        step()
    }));
    stepped.ok()
}

/// A place where tests can ask for a panic; nothing in a release.
#[inline]
pub fn point(place: &'static str) {
    #[cfg(debug_assertions)]
    injected::at(place);
    #[cfg(not(debug_assertions))]
    let _ = place;
}

/// Panics for tests. Builds with debug assertions only, and only when `INJECT_PANICS` names a file: what is written
/// there is the place that panics once, when it is come to next.
#[cfg(debug_assertions)]
mod injected {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use parking_lot::Mutex;

    static ARMED: AtomicBool = AtomicBool::new(false);
    static PLACES: Mutex<Vec<String>> = Mutex::new(Vec::new());

    pub(super) fn at(place: &str) {
        if !ARMED.load(Ordering::Acquire) {
            return;
        }
        let mut places = PLACES.lock();
        let Some(at) = places.iter().position(|armed| armed == place) else {
            return;
        };
        places.remove(at);
        ARMED.store(!places.is_empty(), Ordering::Release);
        drop(places);
        panic!("a test asked for it");
    }

    pub(super) fn listen() {
        let Some(file) = std::env::var_os("INJECT_PANICS").map(PathBuf::from) else {
            return;
        };
        std::thread::spawn(move || {
            loop {
                if let Ok(text) = std::fs::read_to_string(&file)
                    && std::fs::remove_file(&file).is_ok()
                {
                    PLACES.lock().extend(text.lines().map(str::to_owned));
                    ARMED.store(true, Ordering::Release);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_places_in_the_counters() {
        for (at, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_made_anew_until_it_ends() {
        let mut tries = 0;
        let made = keep(Kind::Other, || {
            tries += 1;
            let this = tries;
            async move {
                tokio::task::yield_now().await;
                assert!(this > 2, "on purpose");
                this
            }
        });
        assert_eq!(made.await, 3);
    }

    #[tokio::test]
    async fn tasks_are_counted_while_they_are_there() {
        // A kind that no other test of this process has.
        let count = || ALIVE[Kind::Embedded as usize].load(Ordering::Relaxed);
        let task = tokio::spawn(named(Kind::Embedded, std::future::pending::<()>()));
        let caught = tokio::spawn(catch(Kind::Embedded, async { panic!("on purpose") }));
        assert_eq!(caught.await.expect("caught"), None::<()>);
        tokio::task::yield_now().await;
        assert_eq!(count(), 1);
        task.abort();
        assert!(task.await.expect_err("aborted").is_cancelled());
        assert_eq!(count(), 0);
    }

    #[tokio::test]
    async fn the_kind_is_that_of_what_runs() {
        let inner = named(Kind::Link, async {
            let before = NOW.get();
            tokio::task::yield_now().await;
            (before, NOW.get())
        });
        let outer = named(Kind::Client, async {
            let inner = inner.await;
            (inner, NOW.get())
        });
        let (inner, outer) = outer.await;
        assert_eq!(inner, (Kind::Link, Kind::Link));
        assert_eq!(outer, Kind::Client);
        assert_eq!(NOW.get(), Kind::Other);
        assert_eq!(run(Kind::Bus, || -> u8 { panic!("on purpose") }), None);
        assert_eq!(NOW.get(), Kind::Other);
    }
}
