//! The replies of one session, in the order of its requests.
//!
//! Each request takes a place when it is accepted, and a ticket for it goes with the request. Whoever
//! brings the reply gives the ticket back: places fill in any order and leave in order. Whatever has no
//! unanswered place in front of it goes straight into the write buffer.
//!
//! A client that reads gets all of it, however large. One that does not is asked for no more once
//! [`BACKLOG`] waits for it, unless it has to send before it can read: then its requests are
//! executed until `limits.client_output_bytes` wait.

mod asked;
mod ending;
mod inner;
mod message;
mod noting;
mod output;
mod place;
mod sink;
mod slow;
mod timing;
mod window;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;

pub(crate) use self::asked::Asked;
use self::asked::Sent;
pub(crate) use self::message::Rest;
use self::output::Output;
use self::place::{Fate, Place, Shown, Source};
pub(crate) use self::slow::Slow;
use self::timing::Timing;
pub(crate) use self::window::Asks;
use self::window::Window;
use super::users::BackingUser;
use crate::cache::Guard;
use crate::latency::Kind;
use crate::stream::Stream;
use crate::upstream::Ticket;

/// Bytes that wait for the client, beyond which nothing more is fetched for one that can read.
const BACKLOG: usize = 1024 * 1024;
/// A client that more than `limits.client_output_bytes` wait for, and that has taken none of it for
/// so long, does not read. One that only began something else first does before.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// What a reply of the backing is turned into before the client gets it.
pub(crate) type Rewrite = Box<dyn FnOnce(&[u8], &mut Vec<u8>)>;

/// Starts what has to be done before a reply may be shown; gets the ticket to be released and the
/// reply. False when there is nothing to wait for after all.
pub(crate) type Hold = Box<dyn FnOnce(Ticket, &[u8]) -> bool>;

/// Goes with a request that nobody waits for any more.
pub(crate) const NOBODY: Ticket = Ticket(u64::MAX);

/// What happens to the replies of a place.
pub(crate) enum Then {
    /// They go to the client as they come.
    Pass,
    /// Nobody wants them.
    Drop,
    /// The one reply is collected and rewritten.
    Rewrite(Rewrite),
    /// The one reply is kept back until its ticket is released; this is called when it is in.
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
    /// Requests that are being sent from node to node.
    redirected: Cell<usize>,
    /// Bytes of replies to parts of commands.
    parts: Cell<usize>,
    /// Who gets them, if it is a user of the backing.
    account: RefCell<Option<Arc<BackingUser>>>,
}

#[derive(Default)]
struct Inner {
    out: Output,
    /// Written to the stream, but it may still hold some of it.
    unflushed: bool,
    /// Nobody wants what comes.
    closed: bool,
    /// Nothing more is owed to the client than what is in the places: it is closed behind it.
    ending: bool,
    places: VecDeque<Place>,
    /// The ticket of the first place; they are counted through the life of the session.
    first: u64,
    /// Replies that are to come from [`Source::Link`].
    outstanding: usize,
    /// Those from [`Source::Fetch`].
    later: usize,
    held: usize,
    /// Messages that came in the middle of a reply.
    messages: Vec<u8>,
    /// Bytes in the places and of messages, of replies that are ready, kept back or still coming.
    stored: usize,
    task: Option<Waker>,
    limit: usize,
    cut: Option<Cut>,
    window: Window,
    timing: Timing,
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
            redirected: Cell::new(0),
            parts: Cell::new(0),
            account: RefCell::default(),
        }
    }

    /// Says who gets them.
    pub(crate) fn set_account(&self, account: Option<Arc<BackingUser>>) {
        *self.account.borrow_mut() = account;
    }

    /// Who gets them, if it is a user of the backing.
    pub(crate) fn account(&self) -> Option<Arc<BackingUser>> {
        self.account.borrow().clone()
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

    /// Whether requests are being sent from node to node: what comes behind them waits.
    #[inline]
    pub(crate) fn is_redirecting(&self) -> bool {
        self.redirected.get() > 0
    }

    /// Of the parts of a command, so many bytes are kept instead of those before.
    pub(crate) fn hold_parts(&self, before: usize, now: usize) {
        self.parts.set(self.parts.get() + now - before);
    }

    /// Asks to be woken now and then, to look at the clock.
    pub(crate) fn watch_clock(&self, watch: bool) {
        self.watches_clock.set(watch);
    }

    /// Whether the session wants to look at the clock.
    pub(crate) fn watches_clock(&self) -> bool {
        self.watches_clock.get()
    }

    /// Takes a place for `replies` replies that come over one connection. `guard` is let go when they
    /// are in.
    pub(crate) fn expect(&self, replies: u32, then: Then, guard: Option<Guard>) -> Ticket {
        let asked = self.asked(Some(Kind::FORWARD));
        self.expect_as(asked, None, replies, then, guard)
    }

    fn expect_as(
        &self,
        asked: Asked,
        sent: Option<Sent>,
        replies: u32,
        then: Then,
        guard: Option<Guard>,
    ) -> Ticket {
        let mut inner = self.inner.borrow_mut();
        if inner.ending {
            return NOBODY;
        }
        let fate = match then {
            Then::Pass => Fate::Pass,
            Then::Drop => Fate::Drop,
            Then::Rewrite(rewrite) => Fate::Rewrite(Some(rewrite)),
            Then::Hold(hold) => Fate::Hold(Some(hold), Shown::Yes),
            Then::HoldAndDrop(hold) => Fate::Hold(Some(hold), Shown::No),
        };
        inner.outstanding += replies as usize;
        inner.push(Place::Awaited {
            left: replies,
            from: Source::Link,
            fate,
            early: Vec::new(),
            guard,
            asked,
            sent,
            open: false,
        })
    }

    /// Takes a place for a reply that is fetched into the cache.
    pub(crate) fn expect_later(&self) -> Ticket {
        self.expect_asked(self.asked(Some(Kind::FETCH)))
    }

    /// Takes a place for a reply that somebody else than a connection brings.
    pub(crate) fn expect_asked(&self, asked: Asked) -> Ticket {
        let mut inner = self.inner.borrow_mut();
        if inner.ending {
            return NOBODY;
        }
        inner.later += 1;
        inner.push(Place::Awaited {
            left: 1,
            from: Source::Fetch,
            fate: Fate::Pass,
            early: Vec::new(),
            guard: None,
            asked,
            sent: None,
            open: false,
        })
    }

    /// The ticket of the place that is taken after `ahead` others.
    pub(crate) fn next_ticket(&self, ahead: usize) -> Ticket {
        let inner = self.inner.borrow();
        Ticket(inner.first + (inner.places.len() + ahead) as u64)
    }

    /// Replies that are still to come from elsewhere than a connection.
    pub(crate) fn later(&self) -> usize {
        self.inner.borrow().later
    }

    /// Whether what a ticket was given for is still to come, whole or in part.
    #[inline]
    pub(crate) fn is_awaited(&self, ticket: Ticket) -> bool {
        let inner = self.inner.borrow();
        let place = inner.index(ticket).and_then(|at| inner.places.get(at));
        place.is_some_and(|place| matches!(place, Place::Awaited { .. }))
    }

    /// Whether nothing was asked behind what a ticket is for.
    fn asked_nothing_behind(&self, ticket: Ticket) -> bool {
        let inner = self.inner.borrow();
        inner.index(ticket) == inner.places.len().checked_sub(1)
    }

    /// Whether such a reply is still to come.
    pub(crate) fn is_later(&self, ticket: Ticket) -> bool {
        let inner = self.inner.borrow();
        let place = inner.index(ticket).and_then(|at| inner.places.get(at));
        let fetched =
            |place: &Place| matches!(place, Place::Awaited { from, .. } if *from == Source::Fetch);
        place.is_some_and(fetched)
    }

    /// Replies that are kept back.
    pub(crate) fn held(&self) -> usize {
        self.inner.borrow().held
    }

    /// Shows a reply that was kept back.
    pub(crate) fn release(&self, ticket: Ticket) {
        let mut inner = self.inner.borrow_mut();
        let Some(at) = inner.index(ticket) else {
            return;
        };
        if let Place::Held { reply, behind } = &mut inner.places[at] {
            let mut bytes = std::mem::take(reply);
            bytes.append(behind);
            inner.held -= 1;
            inner.places[at] = Place::Ready(bytes);
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
        match inner.places.back_mut() {
            None => inner.out.write(write),
            Some(Place::Ready(bytes)) => {
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
                    inner.push(Place::Ready(bytes));
                }
                result
            }
        }
    }

    /// A reply made here, in its turn, of bytes that others have as well.
    #[cold]
    pub(crate) fn reply_shared(&self, bytes: Bytes) {
        let mut inner = self.inner.borrow_mut();
        if inner.ending {
            return;
        }
        if inner.places.is_empty() {
            return inner.out.append_shared(bytes);
        }
        inner.stored += bytes.len();
        inner.push(Place::Shared(bytes));
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
        let stored = match inner.places.front() {
            Some(Place::Held { .. }) => inner.stored,
            _ => 0,
        };
        inner.out.unwritten() + stored >= self.room(&inner)
    }

    /// Whether so much waits for the client, written first or behind replies that are still to
    /// come, that its requests have to wait.
    pub(crate) fn is_full(&self) -> bool {
        let inner = self.inner.borrow();
        inner.out.unwritten() + inner.stored + self.parts.get() >= self.room(&inner)
    }

    /// How many replies may be outstanding, at most `most`: fewer when they are large, or not known
    /// yet not to be, so that what is on its way to a client stays bounded.
    pub(crate) fn window(&self, most: usize, asks: Asks) -> usize {
        self.inner.borrow().window.size(most, asks)
    }

    /// Bytes that are kept for the client.
    pub(crate) fn bytes(&self) -> usize {
        let inner = self.inner.borrow();
        inner.out.bytes() + inner.stored + self.parts.get()
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
        self.inner.borrow().places.is_empty()
    }

    /// Whether everything that was asked is answered and written.
    pub(crate) fn is_settled(&self) -> bool {
        let inner = self.inner.borrow();
        inner.places.is_empty() && inner.out.unwritten() == 0 && !inner.unflushed
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

#[cfg(test)]
mod tests;
