//! The replies of one session, in the order of its requests.
//!
//! Each request takes a slot when it is accepted. Replies that are ready wait behind those that
//! are not; whatever has no unanswered slot in front of it goes straight into the write buffer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWrite;

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

/// What a reply of the backing is turned into before the client gets it.
pub(crate) type Rewrite = Box<dyn FnOnce(&[u8], &mut Vec<u8>)>;

/// What happens to the replies of a slot.
pub(crate) enum Then {
    /// They go to the client as they come.
    Pass,
    /// Nobody wants them.
    Drop,
    /// The one reply is collected and rewritten.
    Rewrite(Rewrite),
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
    outstanding: usize,
    /// Bytes in the slots that are ready.
    ready: usize,
    task: Option<Waker>,
    limit: usize,
    cut: Option<Cut>,
    /// Bytes of a reply, a moving average.
    mean: usize,
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

enum Slot {
    /// `left` replies of the backing.
    Awaited { left: u32, fate: Fate },
    /// Replies made here, waiting for those in front.
    Ready(Vec<u8>),
}

enum Fate {
    Pass,
    Drop,
    Rewrite {
        raw: Vec<u8>,
        rewrite: Option<Rewrite>,
    },
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

    /// Takes a slot for `replies` replies of the backing.
    pub(crate) fn expect(&self, replies: u32, then: Then) {
        let mut inner = self.inner.borrow_mut();
        inner.outstanding += replies as usize;
        let fate = match then {
            Then::Pass => Fate::Pass,
            Then::Drop => Fate::Drop,
            Then::Rewrite(rewrite) => Fate::Rewrite {
                raw: Vec::new(),
                rewrite: Some(rewrite),
            },
        };
        if let (
            Some(Slot::Awaited {
                left,
                fate: Fate::Pass,
            }),
            Fate::Pass,
        ) = (inner.slots.back_mut(), &fate)
        {
            *left += replies;
            return;
        }
        inner.slots.push_back(Slot::Awaited {
            left: replies,
            fate,
        });
    }

    /// Lets `write` append a reply made here, in its turn.
    pub(crate) fn reply(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.inner.borrow_mut();
        if inner.slots.is_empty() {
            write(&mut inner.out);
            return;
        }
        if let Some(Slot::Ready(bytes)) = inner.slots.back_mut() {
            let before = bytes.len();
            write(bytes);
            let more = bytes.len() - before;
            inner.ready += more;
            return;
        }
        let mut bytes = Vec::new();
        write(&mut bytes);
        inner.ready += bytes.len();
        inner.slots.push_back(Slot::Ready(bytes));
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

    /// How many replies may be outstanding, at most `most`: fewer when they are large, so that
    /// what is on its way to a client stays bounded.
    pub(crate) fn window(&self, most: usize) -> usize {
        let mean = self.inner.borrow().mean;
        if mean < LARGE_REPLY {
            most
        } else {
            most.min((WINDOW_BYTES / mean).max(2))
        }
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
        let mean = bytes.len() / replies.max(1) as usize;
        inner.mean = (inner.mean * 7 + mean) / 8;
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

// === impl Inner ===

impl Inner {
    fn deliver(&mut self, bytes: &[u8], replies: u32) {
        let Some(Slot::Awaited { left, fate }) = self.slots.front_mut() else {
            debug_assert!(false, "a reply without a slot");
            return;
        };
        match fate {
            // A reply was broken off: anything more would look like the rest of it.
            _ if self.cut.is_some() => {}
            Fate::Pass => self.out.extend_from_slice(bytes),
            Fate::Drop => {}
            Fate::Rewrite { raw, .. } if *left > replies => raw.extend_from_slice(bytes),
            Fate::Rewrite { raw, rewrite } => {
                raw.extend_from_slice(bytes);
                if let Some(rewrite) = rewrite.take() {
                    rewrite(raw, &mut self.out);
                }
            }
        }
        *left -= replies;
        if *left == 0 {
            self.slots.pop_front();
            self.release_ready();
        }
    }

    fn release_ready(&mut self) {
        while let Some(Slot::Ready(bytes)) = self.slots.front_mut() {
            self.ready -= bytes.len();
            self.out.append(bytes);
            self.slots.pop_front();
        }
    }

    /// Bytes that the client has not taken yet.
    fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    fn check_limit(&mut self) {
        if self.unwritten() > self.limit {
            self.cut = Some(Cut::SlowReader);
            self.out = Vec::new();
            self.written = 0;
        }
    }

    /// Drops what was written when that is most of the buffer.
    fn compact(&mut self) {
        if self.written > KEEP_BYTES && self.written * 2 > self.out.len() {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(replies: &Replies) -> String {
        String::from_utf8(replies.inner.borrow().out.clone()).expect("text")
    }

    #[test]
    fn replies_leave_in_the_order_of_requests() {
        let replies = Replies::new(1000);
        replies.reply(|out| out.extend_from_slice(b"a"));
        replies.expect(2, Then::Pass);
        replies.expect(1, Then::Pass);
        replies.reply(|out| out.extend_from_slice(b"c"));
        replies.reply(|out| out.extend_from_slice(b"d"));
        replies.expect(1, Then::Drop);
        replies.reply(|out| out.extend_from_slice(b"f"));
        assert_eq!((out(&replies).as_str(), replies.outstanding()), ("a", 4));
        replies.deliver(b"b1b2", 2);
        assert_eq!(out(&replies), "ab1b2");
        replies.deliver(b"b3", 1);
        assert_eq!(out(&replies), "ab1b2b3cd");
        replies.deliver(b"dropped", 1);
        assert_eq!(
            (out(&replies).as_str(), replies.outstanding()),
            ("ab1b2b3cdf", 0)
        );
    }

    #[test]
    fn parts_of_a_reply_are_rewritten_as_a_whole() {
        let replies = Replies::new(1000);
        replies.expect(
            1,
            Then::Rewrite(Box::new(|raw, out| {
                out.extend(raw.iter().rev());
            })),
        );
        replies.deliver(b"12", 0);
        assert_eq!(out(&replies), "");
        replies.deliver(b"34", 1);
        assert_eq!(out(&replies), "4321");
    }

    #[test]
    fn what_waits_behind_a_reply_counts_as_well() {
        let replies = Replies::new(usize::MAX);
        replies.expect(1, Then::Pass);
        replies.reply(|out| out.resize(BACKLOG, b'x'));
        assert!(replies.is_full() && !replies.is_backlogged());
        replies.deliver(b"y", 1);
        assert!(replies.is_full() && replies.is_backlogged());
        replies.close();
        assert!(!replies.is_full());
    }

    #[test]
    fn too_much_unread_output_cuts_the_client_off() {
        let replies = Replies::new(10);
        replies.expect(2, Then::Pass);
        replies.deliver(&[b'x'; 10], 1);
        assert_eq!(replies.cut(), None);
        replies.deliver(b"y", 1);
        assert_eq!(replies.cut(), Some(Cut::SlowReader));
        assert_eq!(replies.inner.borrow().unwritten(), 0);
    }
}
