//! A shared, pipelined connection to the backing, as its users see it.
//!
//! Sessions hand it runs of requests together with a [`ReplySink`]; it hands back the replies, in
//! order, as the bytes that came. The socket is [`link_task`](super::link_task)'s.
//!
//! ```text
//!            push                       connected
//!   Idle ───────────▶ Connecting ───────────────────▶ Up
//!                      ▲      │ failed: back off        │ lost: reads are queued again,
//!                      └──────┘ (what waits too long    │ sent writes fail
//!                                fails)  ◀──────────────┘
//! ```

mod batching;
mod demotion;
mod done;
mod loss;
mod pending;
mod redirect;
mod sequence;
mod sink;
mod usable;
mod wait;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub(super) use self::batching::Batching;
use self::demotion::{Demotion, may_be_refused};
use self::done::Done;
pub use self::redirect::{Redirect, Redirected, is_redirect};
use self::redirect::{may_hold_error, may_redirect};
pub use self::sink::{Failure, ReplySink, SlowReply, Ticket};
pub use self::wait::{Share, Weigh};
use self::wait::{Slowest, Waits};
use super::error::{Sent, UpstreamError};
use super::frame_reader::{FrameReader, Frames};
use super::write_buf::WriteBuf;
use crate::clock;
use crate::resp::Args;

/// A reply that is longer than this is passed on in pieces.
const HOLD_BYTES: usize = 64 * 1024;
/// Request bytes a link holds before its users must wait.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The bounds of a link.
#[derive(Debug, Clone, Copy)]
pub struct LinkLimits {
    /// Replies that may be outstanding before users wait.
    pub in_flight: usize,
    /// How long a connection may take to open.
    pub connect: Duration,
    /// How long a command may wait for a connection.
    pub wait: Duration,
    /// How long a reply may take.
    pub reply: Option<Duration>,
    /// Replies that took so long are told of apart.
    pub slow: Duration,
}

/// Says which requests may be sent twice.
pub type Retryable = dyn Fn(Args<'_>) -> bool;

/// A handle to one link. Cheap to clone; all clones are the same link.
#[derive(Clone)]
pub struct Link {
    pub(super) inner: Rc<RefCell<Inner>>,
}

pub(super) struct Inner {
    pub(super) out: WriteBuf,
    pending: VecDeque<Pending>,
    pub(super) in_flight: usize,
    pub(super) batching: Batching,
    /// Failed commands in `pending`, which wait for their turn to be told.
    failures: usize,
    /// Keeps what came of the front's replies and is not delivered yet.
    reader: FrameReader,
    /// Part of the front's current reply was delivered already.
    begun: bool,
    /// Bytes of that reply that have been passed on.
    passed: usize,
    /// In the middle of a push that nobody asked for.
    skipping: bool,
    /// Such pushes so far, on all links of the process.
    dropped: Arc<AtomicU64>,
    pub(super) state: LinkState,
    pub(super) task: Option<Waker>,
    /// By the task that waits, so that each is there once.
    waiting_for_room: HashMap<*const (), Waker>,
    pub(super) limits: LinkLimits,
    retryable: Rc<Retryable>,
    /// The clock found that the backing does not answer.
    pub(super) reply_overdue: bool,
    last_used: Instant,
    waits: Waits,
    silent: bool,
    /// It is to be connected before anything is asked of it.
    eager: bool,
    /// The master may become another server.
    pub(super) follows: bool,
    /// The server has said that it is no master any more.
    demotion: Option<Demotion>,
    /// What was done once on the connection that is there.
    done: Done,
    /// Set when the connection that is there should be replaced once nothing is owed on it.
    pub(super) outdated: Arc<AtomicBool>,
    /// Takes what the server, a node of a cluster, says is not for it.
    redirect: Option<Rc<Redirect>>,
}

#[derive(Debug, Clone)]
pub(super) enum LinkState {
    /// Nothing has been asked of it yet.
    Idle,
    /// Being connected; `since` it was last usable, `error` is the last failure.
    Connecting {
        since: Instant,
        error: Option<UpstreamError>,
    },
    Up,
    /// Its worker gave it up.
    Closed,
}

struct Pending {
    sink: Rc<dyn ReplySink>,
    ticket: Ticket,
    /// Replies still to be delivered.
    replies: u32,
    /// Of these, the ones that have come in whole but are held.
    scanned: u32,
    /// Requests at the start that are answered and delivered.
    delivered: u32,
    at: Instant,
    slowest: Slowest,
    what: What,
}

enum What {
    /// Requests at `start..end` of the queue.
    Requests { start: u64, end: u64, again: bool },
    /// An error that takes the place of replies, in its turn.
    Failed(Failure),
    /// A reply that is in, in its turn.
    Answered(Vec<u8>),
}

// === impl Link ===

impl Link {
    pub(super) fn new(limits: LinkLimits, retryable: Rc<Retryable>) -> Self {
        Link {
            inner: Rc::new(RefCell::new(Inner {
                out: WriteBuf::default(),
                pending: VecDeque::new(),
                in_flight: 0,
                batching: Batching::default(),
                failures: 0,
                reader: FrameReader::default(),
                begun: false,
                passed: 0,
                skipping: false,
                dropped: Arc::default(),
                state: LinkState::Idle,
                task: None,
                waiting_for_room: HashMap::new(),
                limits,
                retryable,
                reply_overdue: false,
                last_used: Instant::now(),
                waits: Waits::new(),
                silent: false,
                eager: false,
                follows: false,
                demotion: None,
                done: Done::default(),
                outdated: Arc::default(),
                redirect: None,
            })),
        }
    }

    /// Whether one more batch may be pushed; when not, `cx` is woken once it may.
    pub fn poll_room(&self, cx: &Context<'_>) -> bool {
        let mut inner = self.inner.borrow_mut();
        if inner.has_room() {
            return true;
        }
        let waker = cx.waker();
        inner.waiting_for_room.insert(waker.data(), waker.clone());
        false
    }

    /// Queues whole requests, `replies` of them, and promises `sink` as many replies for `ticket`.
    pub fn push(&self, requests: &[u8], replies: u32, sink: Rc<dyn ReplySink>, ticket: Ticket) {
        self.push_shared((requests, None), replies, sink, ticket);
    }

    /// The same; what is `shared` are the same bytes, which are not copied then.
    pub fn push_shared(
        &self,
        (requests, shared): (&[u8], Option<Bytes>),
        replies: u32,
        sink: Rc<dyn ReplySink>,
        ticket: Ticket,
    ) {
        let mut inner = self.inner.borrow_mut();
        let now = clock::now();
        inner.last_used = now;
        if inner.failures > 0
            && let Some(failure) = inner.ended(&sink)
        {
            inner.queue((sink, ticket), replies, now, What::Failed(failure));
            return;
        }
        if let Some(error) = inner.fails_fast(now) {
            let failure = Failure::new(&error, Sent::No);
            inner.queue((sink, ticket), replies, now, What::Failed(failure));
            inner.settle_failed_anywhere();
            return;
        }
        let start = match shared {
            None => inner.out.push(requests),
            Some(shared) => inner.out.push_shared(shared),
        };
        inner.batching.queued(replies as usize);
        let (end, again) = (inner.out.end(), false);
        let what = What::Requests { start, end, again };
        inner.queue((sink, ticket), replies, now, what);
        if let Some(task) = &inner.task {
            task.wake_by_ref();
        }
    }

    /// Looks at the clock: fails what waited too long, and reports a backing that does not answer.
    pub fn tick(&self, now: Instant) {
        let mut inner = self.inner.borrow_mut();
        if inner.is_reply_overdue(now) {
            inner.reply_overdue = true;
            if let Some(task) = &inner.task {
                task.wake_by_ref();
            }
        }
        inner.silent = inner.is_silent(now);
        inner.expire(now);
        inner.wake_to_leave();
    }

    /// Connects, although nothing is asked of it yet.
    pub fn open(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.eager = true;
        inner.last_used = Instant::now();
        if let Some(task) = &inner.task {
            task.wake_by_ref();
        }
    }

    /// Counts in `dropped` the pushes that nobody asked for.
    pub fn count_dropped_in(&self, dropped: Arc<AtomicU64>) {
        self.inner.borrow_mut().dropped = dropped;
    }

    /// Tells of slow replies by how much work their requests may be.
    pub fn weigh_by(&self, weigh: Rc<Weigh>) {
        self.inner.borrow_mut().waits.weigh = Some(weigh);
    }

    /// Has requests sent on that are not for the node behind it.
    pub fn redirect_to(&self, redirect: Rc<Redirect>) {
        self.inner.borrow_mut().redirect = Some(redirect);
    }

    /// Gives up the link: its task ends, what is queued fails.
    pub fn close(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.lose(&UpstreamError::NotReady);
        inner.fail_all(&UpstreamError::NotReady);
        inner.state = LinkState::Closed;
        if let Some(task) = inner.task.take() {
            task.wake();
        }
    }

    /// The node behind has left and nobody is in its place: gives up the link, and has sent on what can be.
    pub fn abandon(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.lose(&UpstreamError::NotReady);
        if let Some(redirect) = inner.redirect.clone() {
            inner.send_all_on(&*redirect);
        }
        drop(inner);
        self.close();
    }

    /// Handles that sessions hold, besides the worker's and the task's.
    pub fn users(&self) -> usize {
        Rc::strong_count(&self.inner).saturating_sub(2)
    }

    /// Outstanding replies.
    pub fn in_flight(&self) -> usize {
        self.inner.borrow().in_flight
    }

    /// When something was last pushed.
    pub fn last_used(&self) -> Instant {
        self.inner.borrow().last_used
    }

    /// Puts new bounds in force.
    pub fn set_limits(&self, limits: LinkLimits) {
        self.inner.borrow_mut().limits = limits;
    }
}

// === impl Inner ===

impl Inner {
    fn has_room(&self) -> bool {
        self.in_flight < self.limits.in_flight && self.out.held() < QUEUE_BYTES
    }

    fn queue(
        &mut self,
        (sink, ticket): (Rc<dyn ReplySink>, Ticket),
        replies: u32,
        at: Instant,
        what: What,
    ) {
        self.in_flight += replies as usize;
        self.failures += usize::from(matches!(what, What::Failed(_)));
        self.pending.push_back(Pending {
            sink,
            ticket,
            replies,
            scanned: 0,
            delivered: 0,
            at,
            slowest: Slowest::default(),
            what,
        });
    }

    pub(super) fn wanted(&self) -> bool {
        self.eager || !self.pending.is_empty()
    }

    /// The failure that new commands get at once, when connecting has failed for too long.
    fn fails_fast(&self, now: Instant) -> Option<UpstreamError> {
        match &self.state {
            LinkState::Connecting {
                since,
                error: Some(error),
            } if now.duration_since(*since) >= self.limits.wait => Some(error.clone()),
            LinkState::Closed => Some(UpstreamError::NotReady),
            _ => None,
        }
    }

    fn is_reply_overdue(&self, now: Instant) -> bool {
        matches!(self.state, LinkState::Up)
            && self.limits.reply.is_some_and(|limit| {
                self.pending
                    .front()
                    .is_some_and(|front| now.duration_since(front.at) > limit)
            })
    }

    /// Applies bytes from the backing. `fresh` is used in place; only what is incomplete is kept.
    pub(super) fn receive(&mut self, fresh: &[u8]) -> Result<(), UpstreamError> {
        self.silent = false;
        let (now, _held) = clock::hold();
        self.note_wait(now);
        self.batching.heard(now);
        // What was understood in front of an error is kept, for `lose`.
        let mut reader = std::mem::take(&mut self.reader);
        let result = reader.feed(fresh, |frames| self.apply(frames));
        self.reader = reader;
        result
    }

    /// Delivers what is complete.
    fn apply(&mut self, frames: &mut Frames<'_>) -> Result<(), UpstreamError> {
        if self.demotion.is_some() {
            return self.hear_out(frames);
        }
        while !frames.is_scanned() {
            if self.skipping || frames.at_push() {
                self.deliver_whole(frames.take());
                self.skip_push(frames)?;
                if self.skipping {
                    break;
                }
                continue;
            }
            let Some(front) = self.pending.front_mut() else {
                return Err(UpstreamError::Protocol(
                    "a reply that nobody asked for".into(),
                ));
            };
            // What was begun is finished first: what follows may be a refusal.
            let alone = self.follows && self.begun;
            let most = if alone {
                1
            } else {
                front.replies - front.scanned
            };
            let (moved, replies) = frames.scan_replies(most)?;
            front.scanned += replies;
            self.in_flight -= replies as usize;
            let (scanned, all) = (front.scanned, front.replies);
            if alone && replies > 0 && scanned < all {
                self.deliver_whole(frames.take());
                continue;
            }
            let errs = self.follows && !self.begun && may_hold_error(frames.seen());
            if errs && may_be_refused(frames.seen()) {
                let replies = frames.seen().len() - if scanned < all { frames.begun() } else { 0 };
                if self.is_demoted(&frames.seen()[..replies], scanned) {
                    frames.take_first(replies);
                    return self.hear_out(frames);
                }
            }
            if errs && self.redirect.is_some() && scanned > 0 && may_redirect(frames.seen()) {
                let replies = frames.seen().len() - if scanned < all { frames.begun() } else { 0 };
                if let Some(taken) = self.send_on(&frames.seen()[..replies], scanned) {
                    frames.take_first(taken);
                    continue;
                }
            }
            let Some(front) = self.pending.front_mut() else {
                return Ok(());
            };
            if front.scanned == front.replies {
                self.waits.note_answered(front, &self.out, self.limits.slow);
                front.deliver(frames.take(), front.replies);
                self.begun = false;
                self.passed = 0;
                self.pop_answered();
                continue;
            }
            if frames.seen().len() > HOLD_BYTES {
                let (seen, begun) = (frames.seen(), frames.begun());
                let part = front.deliver_part(seen, begun, &mut self.begun);
                self.passed = if self.begun { self.passed + part } else { 0 };
                frames.take_first(part);
            }
            if !moved && !frames.at_push() {
                break;
            }
        }
        Ok(())
    }

    /// Delivers replies of the front that are in, before something else comes between them and the
    /// next.
    fn deliver_whole(&mut self, data: &[u8]) {
        if let Some(front) = self.pending.front_mut().filter(|_| !data.is_empty()) {
            front.deliver_part(data, 0, &mut self.begun);
        }
    }

    /// Passes over a push: nobody asked for one on a shared link, and taken for a reply it would give
    /// everyone behind it a wrong one.
    fn skip_push(&mut self, frames: &mut Frames<'_>) -> Result<(), UpstreamError> {
        let whole = frames.scan()?;
        frames.take();
        if whole {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.skipping = !whole;
        Ok(())
    }

    fn pop_answered(&mut self) {
        if let Some(Pending {
            what: What::Requests { end, .. },
            ..
        }) = self.pending.pop_front()
        {
            self.out.release(end);
        }
        self.settle_failed();
        self.wake_waiting();
    }
}

#[cfg(test)]
mod tests;
