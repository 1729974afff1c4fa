//! A connection that fetches values for the cache and hears what changes.
//!
//! It speaks RESP3 with `CLIENT TRACKING ON` in its default mode: the backing sends a push for each
//! key that was read here, once, when it changes. One task applies replies and pushes in the order
//! of the wire, so a value that was replaced while it was on its way is never kept. The order
//! within Redis is described in its "Client-side caching" reference.

//!
//! ```text
//!                 tracks, or says that it never will
//!   Connecting ───────────────────────────────────────▶ Up ◀────────────┐
//!       ▲                                               │  │ silent for δ │ an answer
//!       │  back off                                     │  └──────────▶ Stalled
//!       └──────────── lost, or silent for HUNG_AFTER ◀──┴─────────────────┘
//! ```

mod fetch;
mod receive;
mod setup;
mod stall;
mod task;

use self::fetch::Life;
pub use self::fetch::{Fetch, FetchFields, FetchRead};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::backing::Backing;
use super::frame_reader::FrameReader;
use super::link_key::LinkKey;
use super::link_task::Scratch;
use super::write_buf::WriteBuf;

/// Fetches that may be under way on one link.
const MOST_FETCHES: usize = 65_536;
/// A link that owes an answer and sends nothing at all for longer than this is given up.
const HUNG_AFTER: Duration = Duration::from_secs(5);

/// When a fetch was sent, and when the backing could begin with it: all before it were answered.
pub type FetchTimes = (Instant, Instant);

/// Who is told what a fill link hears. Called while the link works on its queue: must not call
/// back into the link.
pub trait FillEvents {
    /// The command that asks for tracking, if it is wanted.
    fn tracking(&self) -> Option<&'static [&'static [u8]]>;
    /// How often to prove that the link is alive.
    fn heartbeat(&self) -> Duration;
    /// How long a link may owe an answer and send nothing before nobody waits for it any more.
    fn patience(&self) -> Duration;
    /// The largest value that is kept.
    fn max_value_bytes(&self) -> usize;
    /// The link is connected; `table` is how many keys the backing tracks at most, 0 for any
    /// number, if it says so. Returns the epoch of what the link will bring.
    fn connected(&self, tracking: &Tracking, table: Option<usize>) -> u64;
    /// A request sent at `sent` was answered.
    fn answered(&self, sent: Instant);
    /// A fetch was answered.
    fn filled(&self, fetch: Fetch, pttl: i64, reply: &[u8], times: FetchTimes, epoch: u64);
    /// A fetch brings a value that is too large to be kept; it will not be answered.
    fn oversized(&self, fetch: Fetch);
    /// A value has so many bytes; `None` when that was not to be learnt.
    fn measured(&self, key: &[u8], bytes: Option<u64>);
    /// A key has changed.
    fn invalidated(&self, key: &[u8]);
    /// Everything has changed.
    fn flushed(&self);
    /// A fence has reached a link that does not track: what is there, and what is on its way, may be
    /// from before.
    fn doubted(&self);
    /// Nobody waits for the pushes that the link owes: what it brought in `epoch` is over. Returns the
    /// epoch of what it will bring.
    fn renounced(&self, epoch: u64) -> u64;
    /// Epochs may have ended for everybody. Returns the epoch of what the link will bring.
    fn renewed(&self) -> u64;
    /// The connection is gone; comes before `failed` of what was under way on it.
    fn lost(&self);
    /// A fetch will not be answered.
    fn failed(&self, fetch: Fetch);
}

/// Whether a link hears what changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tracking {
    /// It does.
    On,
    /// It was not to.
    NotAsked,
    /// The backing has no tracking, or not for this user; what it said.
    Refused(String),
}

/// Something to be dropped when every push that was caused before now has been applied.
pub type Fence = Arc<dyn Send + Sync>;

enum Asked {
    Pttl,
    FieldLives,
    Encoding,
    Keyspace,
    /// The read. With the epoch that it was sent in.
    Get(Fetch, u64),
    /// The length of a value that was too large.
    Length(Box<[u8]>),
    Ping(Option<Fence>),
    /// Nobody waits for it any more.
    Nothing,
}

/// A handle to one fill link.
#[derive(Clone)]
pub struct FillLink {
    inner: Rc<RefCell<Inner>>,
}

struct Inner {
    up: bool,
    closed: bool,
    tracks: bool,
    asked_to_track: bool,
    /// It was silent for δ while it owed an answer, and has not answered since.
    stalled: bool,
    out: WriteBuf,
    asked: VecDeque<(Asked, Instant)>,
    last_sent: Instant,
    /// When bytes last came.
    last_heard: Instant,
    /// When bytes had come before that.
    heard_before: Instant,
    /// When the backing could begin with the fetch that is being answered: it was sent, and all before it were answered.
    begun: Instant,
    /// When a session was last seen to hold the link.
    last_used: Instant,
    db: u32,
    life: Life,
    has_field_lives: bool,
    /// The master may become another server.
    follows: bool,
    epoch: u64,
    reader: FrameReader,
    /// The rest of the reply at hand is dropped as it comes.
    skipping: bool,
    task: Option<Waker>,
    events: Rc<dyn FillEvents>,
}

/// Starts a fill link for what `key` says.
pub fn spawn_fill_link(
    backing: Arc<Backing>,
    key: LinkKey,
    events: Rc<dyn FillEvents>,
    scratch: Scratch,
) -> FillLink {
    let now = Instant::now();
    let link = FillLink {
        inner: Rc::new(RefCell::new(Inner {
            up: false,
            closed: false,
            tracks: false,
            asked_to_track: false,
            stalled: false,
            out: WriteBuf::default(),
            asked: VecDeque::new(),
            last_sent: now,
            last_heard: now,
            heard_before: now,
            begun: now,
            last_used: now,
            db: key.db,
            life: Life::default(),
            has_field_lives: true,
            follows: false,
            epoch: 0,
            reader: FrameReader::default(),
            skipping: false,
            task: None,
            events,
        })),
    };
    tokio::task::spawn_local(task::run_for_ever(link.clone(), backing, key, scratch));
    link
}

// === impl FillLink ===

impl FillLink {
    /// Whether it can fetch now.
    pub fn can_fetch(&self) -> bool {
        let inner = self.inner.borrow();
        // A link that answers late would only keep readers waiting.
        let late = || {
            let oldest = inner.asked.front();
            oldest.is_some_and(|(_, sent)| sent.elapsed() > inner.events.patience())
        };
        inner.up && inner.asked.len() < MOST_FETCHES && !late()
    }

    /// Makes a read.
    pub fn fetch(&self, fetch: Fetch) {
        let mut inner = self.inner.borrow_mut();
        if !inner.up {
            let events = Rc::clone(&inner.events);
            drop(inner);
            return events.failed(fetch);
        }
        let now = Instant::now();
        inner.ask(fetch, now);
        inner.wake(now);
    }

    /// Asks how long a value is that was too large to keep.
    pub fn measure(&self, key: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        if !inner.up {
            let events = Rc::clone(&inner.events);
            drop(inner);
            return events.measured(key, None);
        }
        let now = Instant::now();
        inner.out.command(&[b"STRLEN", key]);
        inner.asked.push_back((Asked::Length(key.into()), now));
        inner.wake(now);
    }

    /// Drops `fence` when all that the backing has sent up to now is applied, or when nothing that
    /// this link has brought is served any more.
    pub fn fence(&self, fence: Fence) {
        self.inner.borrow_mut().fence(fence);
    }

    /// Notes at `now` whether a session holds the link; returns when one last did.
    pub fn last_used(&self, now: Instant) -> Instant {
        // The worker and the task hold it as well.
        let used = Rc::strong_count(&self.inner) > 2;
        let mut inner = self.inner.borrow_mut();
        if used {
            inner.last_used = now;
        }
        inner.last_used
    }

    /// Epochs may have ended for everybody: what it brings from now on is of the present one.
    pub fn renew(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.up {
            inner.epoch = inner.events.renewed();
        }
    }

    /// Gives the link up.
    pub fn close(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.closed = true;
        if let Some(task) = inner.task.take() {
            task.wake();
        }
    }
}

// === impl Inner ===

impl Inner {
    fn wake(&mut self, now: Instant) {
        self.last_sent = now;
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    fn ping(&mut self, fence: Option<Fence>) {
        let now = Instant::now();
        // A server that is no master any more may have another's writes missing.
        let word: &[u8] = if self.follows { b"ROLE" } else { b"PING" };
        self.out.command(&[word]);
        self.asked.push_back((Asked::Ping(fence), now));
        self.wake(now);
    }

    fn connected(&mut self, tracking: &Tracking, table: Option<usize>) {
        self.epoch = self.events.connected(tracking, table);
        self.tracks = *tracking == Tracking::On;
        self.asked_to_track = *tracking != Tracking::NotAsked;
        self.up = true;
        self.stalled = false;
        self.last_heard = Instant::now();
        self.ping(None);
    }

    /// The connection is gone: what it brought is void before anything else happens.
    fn lose(&mut self) {
        self.up = false;
        self.out = WriteBuf::default();
        self.reader = FrameReader::default();
        self.skipping = false;
        self.events.lost();
        for (asked, _) in std::mem::take(&mut self.asked) {
            match asked {
                Asked::Get(fetch, _) => self.events.failed(fetch),
                Asked::Length(key) => self.events.measured(&key, None),
                _ => {}
            }
        }
    }
}
