//! What becomes of requests when there is no connection: which are sent again, which fail, and in
//! which order those who asked hear of it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Failure, Inner, Link, LinkState, Pending, ReplySink, Retryable, What};
use crate::resp::{Parsed, RequestLimits, RequestParser};
use crate::upstream::error::{Sent, UpstreamError};
use crate::upstream::frame_reader::FrameReader;

/// Where among what is pending the last request of each client stands that failed and may have been executed.
pub(super) type LastWrites = HashMap<*const (), usize>;

impl Link {
    /// Nobody knows what was done last: everything that is asked for here fails, and the next command begins anew.
    pub(in crate::upstream) fn break_off(&self) {
        let mut inner = self.inner.borrow_mut();
        let error = UpstreamError::Lost("internal error".to_owned());
        inner.lose(&error);
        inner.fail_all(&error);
    }
}

impl Inner {
    /// Answers the commands that have come to the front and are answered already.
    pub(super) fn settle_failed(&mut self) {
        while let Some(Pending {
            what: What::Failed(_) | What::Answered(_),
            ..
        }) = self.pending.front()
        {
            let Some(front) = self.pending.pop_front() else {
                return;
            };
            self.answer_with_error(&front);
        }
    }

    /// Answers the failed commands that have nothing of their own sink's in front of them: while
    /// there is no connection, nobody waits for the requests of others.
    pub(super) fn settle_failed_anywhere(&mut self) {
        let mut waiting = HashSet::new();
        for pending in std::mem::take(&mut self.pending) {
            let sink = Rc::as_ptr(&pending.sink).cast::<()>();
            let failed = matches!(pending.what, What::Failed(_) | What::Answered(_));
            if failed && !waiting.contains(&sink) {
                self.answer_with_error(&pending);
            } else {
                waiting.insert(sink);
                self.pending.push_back(pending);
            }
        }
    }

    fn answer_with_error(&mut self, pending: &Pending) {
        let failure = match &pending.what {
            What::Requests { .. } => return,
            What::Failed(failure) => failure,
            What::Answered(reply) => {
                self.in_flight -= pending.replies as usize;
                return pending.deliver(reply, pending.replies);
            }
        };
        self.in_flight -= pending.replies as usize;
        self.failures -= 1;
        pending.sink.lost(pending.ticket, failure, pending.replies);
    }

    /// Whether nothing is owed and nothing waits to be sent.
    pub(in crate::upstream) fn is_quiet(&self) -> bool {
        self.in_flight == 0 && self.pending.is_empty()
    }

    /// Has a connection replaced that should be and on which nothing is owed: its task looks when it is woken.
    pub(super) fn wake_to_leave(&self) {
        if self.outdated.load(Ordering::Relaxed)
            && self.is_quiet()
            && let Some(task) = &self.task
        {
            task.wake_by_ref();
        }
    }

    /// The connection is gone: requests that did not leave are queued for the next one, and so are reads that were not
    /// answered, unless their client has asked for something behind them that may have been executed; the rest fails,
    /// each in its turn.
    pub(in crate::upstream) fn lose(&mut self, error: &UpstreamError) {
        let lost = std::mem::take(&mut self.out);
        let mut pending = std::mem::take(&mut self.pending);
        if let Some(front) = pending.front_mut().filter(|front| front.scanned > 0) {
            front.deliver_part(self.reader.whole(), 0, &mut self.begun);
        }
        self.forget_received();
        self.done.clear();
        self.silent = false;
        self.in_flight = 0;
        self.failures = 0;
        self.state = LinkState::Connecting {
            since: Instant::now(),
            error: None,
        };
        let mut begun = std::mem::take(&mut self.begun);
        self.passed = 0;
        let mut writes = LastWrites::new();
        self.requeue_demoted(error, &mut writes);
        for old in pending {
            match &old.what {
                What::Answered(reply) => {
                    let reply = What::Answered(reply.clone());
                    self.queue((old.sink, old.ticket), old.replies, old.at, reply);
                }
                What::Failed(failure) => {
                    let failed = What::Failed(failure.clone());
                    self.queue((old.sink, old.ticket), old.replies, old.at, failed);
                }
                What::Requests { start, end, .. } => {
                    if std::mem::take(&mut begun) {
                        old.sink.abort();
                    }
                    let bytes = lost.bytes(*start, (end - start) as usize);
                    let written = lost.written().saturating_sub(*start) as usize;
                    self.requeue(&old, bytes, written, error, &mut writes);
                }
            }
        }
        self.fail_overtaken(error, &writes);
        self.withdraw_ended(error, HashSet::new());
        self.settle_failed_anywhere();
        self.wake_waiting();
    }

    /// The failure that ends somebody, while it waits for its turn.
    pub(super) fn ended(&self, sink: &Rc<dyn ReplySink>) -> Option<Failure> {
        if !sink.ends_with_loss() {
            return None;
        }
        self.pending
            .iter()
            .filter(|pending| Rc::ptr_eq(&pending.sink, sink))
            .find_map(|pending| match &pending.what {
                What::Failed(failure) if !failure.refusal => Some(failure.clone()),
                _ => None,
            })
    }

    /// Fails all that was asked behind a failure by somebody whom it ends: Redis would not have read
    /// it, and what nobody sees the reply of must not be executed. There is no connection.
    fn withdraw_ended(&mut self, error: &UpstreamError, mut ended: HashSet<*const ()>) {
        let mut any = false;
        for pending in &mut self.pending {
            let sink = Rc::as_ptr(&pending.sink).cast::<()>();
            match &pending.what {
                What::Failed(failure) if !failure.refusal && pending.sink.ends_with_loss() => {
                    ended.insert(sink);
                }
                What::Requests { .. } if ended.contains(&sink) => {
                    pending.what = What::Failed(Failure::new(error, Sent::No));
                    self.failures += 1;
                    any = true;
                }
                _ => {}
            }
        }
        if any {
            self.close_up();
        }
    }

    /// Fails the reads behind which the same client has asked for something that may have been executed: asked again,
    /// they would show what came after them.
    fn fail_overtaken(&mut self, error: &UpstreamError, writes: &LastWrites) {
        let mut any = false;
        for (at, pending) in self.pending.iter_mut().enumerate() {
            let last = writes.get(&pending.sink.identity());
            if matches!(pending.what, What::Requests { again: true, .. })
                && last.is_some_and(|last| *last > at)
            {
                pending.what = What::Failed(Failure::new(error, Sent::Yes));
                self.failures += 1;
                any = true;
            }
        }
        if any {
            self.close_up();
        }
    }

    /// Keeps the bytes of what is still to be sent.
    fn close_up(&mut self) {
        let old = std::mem::take(&mut self.out);
        for pending in &mut self.pending {
            if let What::Requests { start, end, .. } = &mut pending.what {
                let bytes = old.bytes(*start, (*end - *start) as usize);
                *start = self.out.push(bytes);
                *end = self.out.end();
            }
        }
    }

    fn forget_received(&mut self) {
        self.skipping = false;
        self.reader = FrameReader::default();
    }

    /// Queues the unanswered requests of `old` once more: those that may be sent again as
    /// requests, the others as failures. Of their `bytes`, the first `written` have left.
    fn requeue(
        &mut self,
        old: &Pending,
        bytes: &[u8],
        written: usize,
        error: &UpstreamError,
        writes: &mut LastWrites,
    ) {
        let again = matches!(old.what, What::Requests { again: true, .. });
        let retryable = Rc::clone(&self.retryable);
        for (request, sent) in unanswered(bytes, written, old.delivered) {
            let may = sent == Sent::No || (!again && is_retryable(request, &*retryable));
            let what = match may {
                true => self.requests(request, again || sent == Sent::Yes),
                false => {
                    writes.insert(old.sink.identity(), self.pending.len());
                    What::Failed(Failure::new(error, sent))
                }
            };
            self.queue((Rc::clone(&old.sink), old.ticket), 1, old.at, what);
        }
    }

    /// Puts a request behind those that are to be sent.
    pub(super) fn requests(&mut self, bytes: &[u8], again: bool) -> What {
        let start = self.out.push(bytes);
        let end = self.out.end();
        What::Requests { start, end, again }
    }

    /// Fails what has waited too long for a connection.
    pub(in crate::upstream) fn expire(&mut self, now: Instant) {
        let LinkState::Connecting { error, .. } = &self.state else {
            return;
        };
        let error = error.clone().unwrap_or(UpstreamError::NotReady);
        let mut ended = HashSet::new();
        let mut any = false;
        while let Some(front) = self.pending.front() {
            if now.duration_since(front.at) < self.limits.wait {
                break;
            }
            if front.sink.ends_with_loss() && !error.is_refusal() {
                ended.insert(Rc::as_ptr(&front.sink).cast::<()>());
            }
            self.fail_front(&error);
            any = true;
        }
        if any {
            self.withdraw_ended(&error, ended);
            self.settle_failed_anywhere();
            self.wake_waiting();
        }
    }

    /// Counts the time for a reply from now, when the requests are about to be sent.
    pub(in crate::upstream) fn restart_clocks(&mut self, now: Instant) {
        self.pending.iter_mut().for_each(|pending| pending.at = now);
    }

    pub(in crate::upstream) fn fail_all(&mut self, error: &UpstreamError) {
        while !self.pending.is_empty() {
            self.fail_front(error);
        }
    }

    /// Fails the first batch, which was not sent on a connection that is still there.
    fn fail_front(&mut self, error: &UpstreamError) {
        let Some(mut front) = self.pending.pop_front() else {
            return;
        };
        if let What::Requests { end, again, .. } = front.what {
            self.out.release(end);
            let sent = if again { Sent::Yes } else { Sent::No };
            front.what = What::Failed(Failure::new(error, sent));
            self.failures += 1;
        }
        self.answer_with_error(&front);
        self.wake_waiting();
    }

    pub(super) fn wake_waiting(&mut self) {
        if !self.waiting_for_room.is_empty() && self.has_room() {
            self.waiting_for_room
                .drain()
                .for_each(|(_, waker)| waker.wake());
        }
    }
}

/// The requests of a batch behind the first `delivered`, and which of them were sent: a batch may have left in part, as
/// far as its first `written` bytes, and each request in it has its own fate.
pub(super) fn unanswered(
    bytes: &[u8],
    written: usize,
    delivered: u32,
) -> impl Iterator<Item = (&[u8], Sent)> {
    let mut parser = RequestParser::default();
    let mut pos = 0;
    let requests = std::iter::from_fn(move || {
        let Ok(Parsed::Request { len }) = parser.parse(&bytes[pos..], &RequestLimits::TRUSTED)
        else {
            return None;
        };
        let request = &bytes[pos..pos + len];
        pos += len;
        Some((request, if pos <= written { Sent::Yes } else { Sent::No }))
    });
    requests.skip(delivered as usize)
}

/// Whether a request may be sent a second time.
pub(super) fn is_retryable(request: &[u8], retryable: &Retryable) -> bool {
    let mut parser = RequestParser::default();
    parser.parse(request, &RequestLimits::TRUSTED).is_ok() && retryable(parser.args(request))
}
