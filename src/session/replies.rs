//! The replies of one session, in the order of its requests.
//!
//! Each request takes a slot when it is accepted. Replies that are ready wait behind those that
//! are not; whatever has no unanswered slot in front of it goes straight into the write buffer.
//!
//! A client that reads gets all of it, however large. One that does not is asked for no more once
//! [`BACKLOG`] waits for it, unless it has to send before it can read: then its requests are
//! executed until `limits.client_output_bytes` wait.

mod ending;
mod inner;
mod output;
mod slot;
mod window;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;

use self::output::Output;
use self::slot::{Fate, Shown, Slot};
pub(crate) use self::window::Asks;
use self::window::Window;
use crate::cache::Guard;
use crate::stream::Stream;
use crate::upstream::{Failure, ReplySink};

/// Bytes that wait for the client, beyond which nothing more is fetched for one that can read.
const BACKLOG: usize = 1024 * 1024;
/// A client that more than `limits.client_output_bytes` wait for, and that has taken none of it for
/// so long, does not read. One that only began something else first does before.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// What a reply of the backing is turned into before the client gets it.
pub(crate) type Rewrite = Box<dyn FnOnce(&[u8], &mut Vec<u8>)>;

/// Starts what has to be done before a reply may be shown; gets the slot to be released and the
/// reply. False when there is nothing to wait for after all.
pub(crate) type Hold = Box<dyn FnOnce(u64, &[u8]) -> bool>;

/// What happens to the replies of a slot.
pub(crate) enum Then {
    /// They go to the client as they come.
    Pass,
    /// Nobody wants them.
    Drop,
    /// The one reply is collected and rewritten.
    Rewrite(Rewrite),
    /// The one reply is kept back until its slot is released; this is called when it is in.
    Hold(Hold),
    /// As [`Then::Hold`], and nobody wants the reply.
    HoldAndDrop(Hold),
}

/// The reply side of a session; shared with the links that owe it replies.
#[derive(Default)]
pub(crate) struct Replies {
    inner: RefCell<Inner>,
    watches_clock: Cell<bool>,
    /// The client may be unable to read before it has sent what it is sending.
    pressed: Cell<bool>,
    ends_with_loss: Cell<bool>,
}

#[derive(Default)]
struct Inner {
    out: Output,
    /// Written to the stream, but it may still hold some of it.
    unflushed: bool,
    /// Nobody wants what comes.
    closed: bool,
    /// Nothing more is owed to the client than what is in the slots: it is closed behind it.
    ending: bool,
    slots: VecDeque<Slot>,
    /// The number of the first slot; they are counted through the life of the session.
    first: u64,
    outstanding: usize,
    later: usize,
    /// Fetched replies so far; names the next one.
    laters: u64,
    held: usize,
    /// Bytes in the slots, of replies that are ready, kept back or still coming.
    stored: usize,
    task: Option<Waker>,
    limit: usize,
    cut: Option<Cut>,
    window: Window,
    /// Bytes that the client has taken so far.
    taken: u64,
    /// Since when more than the limit has waited, and what had been taken then.
    over: Option<(Instant, u64)>,
}

/// Why a client is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It does not read what it is shown of others: `limits.client_output_bytes`.
    SlowReader,
    /// It is an HTTP client: a web page may make a browser send commands.
    Http,
    /// A reply was begun that cannot be finished.
    BrokenReply,
}

// === impl Replies ===

impl Replies {
    pub(crate) fn new(limit: usize) -> Self {
        let inner = RefCell::new(Inner {
            limit,
            ..Inner::default()
        });
        Replies {
            inner,
            watches_clock: Cell::new(false),
            pressed: Cell::new(false),
            ends_with_loss: Cell::new(false),
        }
    }

    /// Says whether the client may be unable to read before it has sent more: then more waits for
    /// it than for others.
    pub(crate) fn press(&self, pressed: bool) {
        self.pressed.set(pressed);
    }

    /// Bytes that may wait for the client before no more is fetched for it.
    fn room(&self, inner: &Inner) -> usize {
        if self.pressed.get() {
            inner.limit.max(BACKLOG)
        } else {
            BACKLOG
        }
    }

    /// Asks to be woken now and then, to look at the clock.
    pub(crate) fn watch_clock(&self, watch: bool) {
        self.watches_clock.set(watch);
    }

    /// Whether the session wants to look at the clock.
    pub(crate) fn watches_clock(&self) -> bool {
        self.watches_clock.get()
    }

    /// Takes a slot for `replies` replies of the backing. `guard` is let go when they are in.
    pub(crate) fn expect(&self, replies: u32, then: Then, guard: Option<Guard>) {
        let mut inner = self.inner.borrow_mut();
        inner.outstanding += replies as usize;
        if inner.ending {
            return;
        }
        let fate = match then {
            Then::Pass => Fate::Pass,
            Then::Drop => Fate::Drop,
            Then::Rewrite(rewrite) => Fate::Rewrite(Some(rewrite)),
            Then::Hold(hold) => Fate::Hold(Some(hold), Shown::Yes),
            Then::HoldAndDrop(hold) => Fate::Hold(Some(hold), Shown::No),
        };
        if let (
            Some(Slot::Awaited {
                left,
                fate: Fate::Pass,
                guard: None,
                ..
            }),
            Fate::Pass,
            None,
        ) = (inner.slots.back_mut(), &fate, &guard)
        {
            *left += replies;
            return;
        }
        inner.slots.push_back(Slot::Awaited {
            left: replies,
            fate,
            early: Vec::new(),
            guard,
        });
    }

    /// The name of the next reply that [`Replies::expect_later`] takes a slot for.
    pub(crate) fn next_later(&self) -> u64 {
        self.inner.borrow().laters
    }

    /// Takes the next slot for a reply that [`Replies::fill`] will bring.
    pub(crate) fn expect_later(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.ending {
            return;
        }
        inner.later += 1;
        let id = inner.laters;
        inner.laters += 1;
        inner.slots.push_back(Slot::Later(id, Vec::new()));
    }

    /// Replies that are still being fetched into the cache.
    pub(crate) fn later(&self) -> usize {
        self.inner.borrow().later
    }

    /// Whether the reply of a slot is still being fetched.
    pub(crate) fn is_later(&self, id: u64) -> bool {
        let inner = self.inner.borrow();
        let mut slots = inner.slots.iter();
        slots.any(|slot| matches!(slot, Slot::Later(later, _) if *later == id))
    }

    /// Replies that are kept back.
    pub(crate) fn held(&self) -> usize {
        self.inner.borrow().held
    }

    /// Brings the reply of a slot that [`Replies::expect_later`] took.
    pub(crate) fn fill(&self, id: u64, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let Some(at) = inner.later_at(id) else { return };
        inner.later -= 1;
        inner.window.measure(bytes.len(), 1);
        inner.fill(at, bytes);
        inner.settle();
    }

    /// Brings the beginning of the reply of such a slot; [`Replies::fill`] brings the end.
    pub(crate) fn fill_part(&self, id: u64, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Some(at) = inner.later_at(id) else { return };
        inner.window.measure(bytes.len(), 0);
        if inner.closed || inner.cut.is_some() {
            return;
        }
        if at == 0 {
            inner.out.extend(bytes);
        } else if let Slot::Later(_, early) = &mut inner.slots[at] {
            inner.stored += bytes.len();
            early.extend_from_slice(bytes);
        }
        inner.settle();
    }

    /// Shows the reply of a slot that was kept back.
    pub(crate) fn release(&self, slot: u64) {
        let mut inner = self.inner.borrow_mut();
        let Some(at) = inner.index(slot) else { return };
        if let Slot::Held(bytes) = &mut inner.slots[at] {
            let bytes = std::mem::take(bytes);
            inner.held -= 1;
            inner.slots[at] = Slot::Ready(bytes);
            inner.settle();
        }
    }

    /// Lets `write` append a reply made here, in its turn; it may turn out to have none.
    pub(crate) fn reply<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        if inner.ending {
            return write(&mut Vec::new());
        }
        match inner.slots.back_mut() {
            None => inner.out.write(write),
            Some(Slot::Ready(bytes)) => {
                let before = bytes.len();
                let result = write(bytes);
                inner.stored += bytes.len() - before;
                result
            }
            Some(_) => {
                let mut bytes = Vec::new();
                let result = write(&mut bytes);
                if !bytes.is_empty() {
                    inner.stored += bytes.len();
                    inner.slots.push_back(Slot::Ready(bytes));
                }
                result
            }
        }
    }

    /// Sends what answers no request (a message, an invalidation) as soon as the replies that came
    /// before it may be shown. Only right between two replies.
    pub(crate) fn out_of_band(&self, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        if !inner.ending {
            inner.out_of_band(bytes);
        }
    }

    /// Replies of the backing that are still to come.
    pub(crate) fn outstanding(&self) -> usize {
        self.inner.borrow().outstanding
    }

    /// Whether the client has to read, or a fence has to end, before its own connection is read on.
    pub(crate) fn is_backlogged(&self) -> bool {
        let inner = self.inner.borrow();
        // Behind a reply that is still coming the connection has to be read.
        let stored = match inner.slots.front() {
            Some(Slot::Held(_)) => inner.stored,
            _ => 0,
        };
        inner.out.unwritten() + stored >= self.room(&inner)
    }

    /// Whether so much waits for the client, written first or behind replies that are still to
    /// come, that its requests have to wait.
    pub(crate) fn is_full(&self) -> bool {
        let inner = self.inner.borrow();
        inner.out.unwritten() + inner.stored >= self.room(&inner)
    }

    /// How many replies may be outstanding, at most `most`: fewer when they are large, or not known
    /// yet not to be, so that what is on its way to a client stays bounded.
    pub(crate) fn window(&self, most: usize, asks: Asks) -> usize {
        self.inner.borrow().window.size(most, asks)
    }

    /// Bytes that are kept for the client.
    pub(crate) fn bytes(&self) -> usize {
        let inner = self.inner.borrow();
        inner.out.bytes() + inner.stored
    }

    /// Whether `limits.client_output_bytes` wait for a client that could read.
    pub(crate) fn is_over(&self) -> bool {
        self.inner.borrow().is_over()
    }

    /// Whether the client does not read what is too much to keep: for how long is found out by
    /// asking now and then.
    pub(crate) fn has_stalled(&self, now: Instant) -> bool {
        let mut inner = self.inner.borrow_mut();
        let taken = inner.taken;
        if !inner.is_over() {
            inner.over = None;
            return false;
        }
        match inner.over {
            Some((since, before)) if before == taken => now.duration_since(since) > STALLED_AFTER,
            _ => {
                inner.over = Some((now, taken));
                false
            }
        }
    }

    /// Whether no reply is to come.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.borrow().slots.is_empty()
    }

    /// Whether everything that was asked is answered and written.
    pub(crate) fn is_settled(&self) -> bool {
        let inner = self.inner.borrow();
        inner.slots.is_empty() && inner.out.unwritten() == 0 && !inner.unflushed
    }

    /// Whether the client has to be cut off, and why.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.inner.borrow().cut
    }

    /// Cuts the client off; what it has not been sent is dropped.
    pub(crate) fn cut_off(&self, why: Cut) {
        let mut inner = self.inner.borrow_mut();
        inner.cut = Some(why);
        inner.out = Output::default();
    }

    /// Drops what is there and what is still to come: the client is gone.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.closed = true;
        inner.out = Output::default();
        inner.forget_stored();
        inner.task = None;
    }

    /// Wakes `cx` from now on when replies come.
    pub(crate) fn set_task(&self, cx: &Context<'_>) {
        let mut inner = self.inner.borrow_mut();
        if !inner
            .task
            .as_ref()
            .is_some_and(|task| task.will_wake(cx.waker()))
        {
            inner.task = Some(cx.waker().clone());
        }
    }

    /// Wakes the session.
    pub(crate) fn wake(&self) {
        if let Some(task) = &self.inner.borrow().task {
            task.wake_by_ref();
        }
    }

    /// Puts a new limit for unread output in force.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.inner.borrow_mut().limit = limit;
    }

    /// Writes what is ready. `Pending` when the client does not take all of it.
    pub(crate) fn poll_write(
        &self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        if inner.out.unwritten() == 0 && !inner.unflushed {
            return Poll::Ready(Ok(()));
        }
        while inner.out.unwritten() > 0 {
            match Pin::new(&mut *stream).poll_write(cx, inner.out.first()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    inner.out.advance(n);
                    inner.taken += n as u64;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        let flushed = Pin::new(stream).poll_flush(cx);
        inner.unflushed = flushed.is_pending();
        flushed
    }
}

impl ReplySink for Replies {
    fn deliver(&self, bytes: &[u8], replies: u32) {
        let mut inner = self.inner.borrow_mut();
        inner.outstanding -= replies as usize;
        inner.window.measure(bytes.len(), replies as usize);
        if inner.closed || !inner.owes() {
            return;
        }
        inner.deliver(bytes, replies);
        if let Some(task) = &inner.task {
            task.wake_by_ref();
        }
    }

    fn abort(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.cut = Some(Cut::BrokenReply);
        if let Some(task) = &inner.task {
            task.wake_by_ref();
        }
    }

    fn lost(&self, failure: &Failure, replies: u32) {
        if failure.refusal || !self.ends_with_loss.get() {
            return self.deliver(&failure.replies(replies), replies);
        }
        let mut inner = self.inner.borrow_mut();
        inner.outstanding -= replies as usize;
        inner.end_at_awaited();
    }

    fn ends_with_loss(&self) -> bool {
        self.ends_with_loss.get()
    }
}

#[cfg(test)]
mod tests;
