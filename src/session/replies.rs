//! The replies of one session, in the order of its requests.
//!
//! Each request takes a slot when it is accepted. Replies that are ready wait behind those that
//! are not; whatever has no unanswered slot in front of it goes straight into the write buffer.

mod inner;
mod slot;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;

use self::slot::{Fate, Slot};
use crate::cache::Guard;
use crate::stream::Stream;
use crate::upstream::ReplySink;

/// Bytes that wait for the client, beyond which nothing more is fetched for it.
const BACKLOG: usize = 1024 * 1024;
/// A write buffer that grew beyond this is given back when it is empty.
const KEEP_BYTES: usize = 4 * 1024;
/// From this size on, replies are counted by their bytes.
const LARGE_REPLY: usize = 16 * 1024;
/// Bytes of large replies that may be on their way to one client.
const WINDOW_BYTES: usize = 32 * 1024 * 1024;

/// Replies that may be outstanding before anything is known of their size; as many more as have come.
const FIRST_WINDOW: usize = 32;

/// What a reply of the backing is turned into before the client gets it.
pub(crate) type Rewrite = Box<dyn FnOnce(&[u8], &mut Vec<u8>)>;

/// Starts what has to be done before a reply may be shown; gets the slot to be released.
pub(crate) type Hold = Box<dyn FnOnce(u64)>;

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
}

/// The reply side of a session; shared with the links that owe it replies.
#[derive(Default)]
pub(crate) struct Replies {
    inner: RefCell<Inner>,
    watches_clock: Cell<bool>,
}

#[derive(Default)]
struct Inner {
    out: Vec<u8>,
    written: usize,
    /// Written to the stream, but it may still hold some of it.
    unflushed: bool,
    /// Nobody wants what comes.
    closed: bool,
    slots: VecDeque<Slot>,
    /// The number of the first slot; they are counted through the life of the session.
    first: u64,
    outstanding: usize,
    later: usize,
    /// Fetched replies so far; names the next one.
    laters: u64,
    held: usize,
    /// Bytes in the slots that are ready.
    ready: usize,
    task: Option<Waker>,
    limit: usize,
    cut: Option<Cut>,
    /// Bytes of a reply: the largest of late, forgotten slowly.
    mean: usize,
    /// Bytes that have come of the reply at hand.
    begun: usize,
    /// Replies that have come.
    seen: usize,
}

/// Why a client is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It reads too slowly for what it asked: `limits.client_output_bytes`.
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
        let fate = match then {
            Then::Pass => Fate::Pass,
            Then::Drop => Fate::Drop,
            Then::Rewrite(rewrite) => Fate::Rewrite(Some(rewrite)),
            Then::Hold(hold) => Fate::Hold(Some(hold)),
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
        inner.measure(bytes.len(), 1);
        inner.later -= 1;
        let mut whole = match &mut inner.slots[at] {
            Slot::Later(_, early) => std::mem::take(early),
            _ => Vec::new(),
        };
        whole.extend_from_slice(bytes);
        inner.ready += whole.len();
        inner.slots[at] = Slot::Ready(whole);
        inner.settle();
    }

    /// Brings the beginning of the reply of such a slot; [`Replies::fill`] brings the end.
    pub(crate) fn fill_part(&self, id: u64, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Some(at) = inner.later_at(id) else { return };
        inner.measure(bytes.len(), 0);
        if at == 0 && !inner.closed && inner.cut.is_none() {
            inner.out.extend_from_slice(bytes);
        } else if let Slot::Later(_, early) = &mut inner.slots[at] {
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
            inner.ready += bytes.len();
            inner.slots[at] = Slot::Ready(bytes);
            inner.settle();
        }
    }

    /// Lets `write` append a reply made here, in its turn; it may turn out to have none.
    pub(crate) fn reply<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        match inner.slots.back_mut() {
            None => write(&mut inner.out),
            Some(Slot::Ready(bytes)) => {
                let before = bytes.len();
                let result = write(bytes);
                inner.ready += bytes.len() - before;
                result
            }
            Some(_) => {
                let mut bytes = Vec::new();
                let result = write(&mut bytes);
                if !bytes.is_empty() {
                    inner.ready += bytes.len();
                    inner.slots.push_back(Slot::Ready(bytes));
                }
                result
            }
        }
    }

    /// Sends what answers no request (a message, an invalidation) at once. Only right between two
    /// replies.
    pub(crate) fn out_of_band(&self, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        inner.out.extend_from_slice(bytes);
        inner.check_limit();
    }

    /// Replies of the backing that are still to come.
    pub(crate) fn outstanding(&self) -> usize {
        self.inner.borrow().outstanding
    }

    /// Whether the client has to read before more is fetched for it.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.inner.borrow().unwritten() >= BACKLOG
    }

    /// Whether so much is ready for the client, written first or behind replies that are still to
    /// come, that its requests have to wait.
    pub(crate) fn is_full(&self) -> bool {
        let inner = self.inner.borrow();
        inner.unwritten() + inner.ready >= BACKLOG
    }

    /// How many replies may be outstanding, at most `most`: fewer when they are large, or not known
    /// yet not to be, so that what is on its way to a client stays bounded.
    pub(crate) fn window(&self, most: usize) -> usize {
        let inner = self.inner.borrow();
        let most = most.min(FIRST_WINDOW + inner.seen);
        if inner.mean < LARGE_REPLY {
            most
        } else {
            most.min((WINDOW_BYTES / inner.mean).max(2))
        }
    }

    /// Whether no reply is to come.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.borrow().slots.is_empty()
    }

    /// Whether everything that was asked is answered and written.
    pub(crate) fn is_settled(&self) -> bool {
        let inner = self.inner.borrow();
        inner.slots.is_empty() && inner.unwritten() == 0 && !inner.unflushed
    }

    /// Whether the client has to be cut off, and why.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.inner.borrow().cut
    }

    /// Cuts the client off; what it has not been sent is dropped.
    pub(crate) fn cut_off(&self, why: Cut) {
        let mut inner = self.inner.borrow_mut();
        inner.cut = Some(why);
        inner.out = Vec::new();
        inner.written = 0;
    }

    /// Drops what is there and what is still to come: the client is gone.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.closed = true;
        inner.out = Vec::new();
        inner.written = 0;
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
        if inner.out.is_empty() && !inner.unflushed {
            return Poll::Ready(Ok(()));
        }
        while inner.written < inner.out.len() {
            match Pin::new(&mut *stream).poll_write(cx, &inner.out[inner.written..]) {
                Poll::Pending => {
                    inner.compact();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => inner.written += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        inner.written = 0;
        if inner.out.capacity() > KEEP_BYTES {
            inner.out = Vec::new();
        } else {
            inner.out.clear();
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
        inner.measure(bytes.len(), replies as usize);
        if inner.closed {
            return;
        }
        inner.deliver(bytes, replies);
        inner.check_limit();
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
}

#[cfg(test)]
mod tests;
