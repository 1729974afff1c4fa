//! Since when the client waits for its replies, and what that counts as.

use std::sync::Arc;
use std::time::Instant;

use super::asked::{Asked, Sent};
use super::place::Place;
use super::slow::{self, MOST, SLOW, Slow};
use super::{Inner, Replies, Then};
use crate::cache::Guard;
use crate::clock;
use crate::latency::{Kind, Times};
use crate::upstream::{Share, Ticket};

/// How long one client's commands take.
#[derive(Default)]
pub(super) struct Timing {
    /// When the requests at hand were read.
    at: Option<Instant>,
    /// Where it is counted.
    times: Option<Arc<Times>>,
    /// What took long and is not written yet.
    pub(super) slow: Vec<Slow>,
}

// === impl Timing ===

impl Timing {
    /// Counts `n` commands whose replies are in by `now`.
    #[inline]
    pub(super) fn count(&self, asked: Asked, now: Instant, n: u64) {
        if let (Some(kind), Some(times)) = (asked.kind, &self.times) {
            times.record(kind, now.duration_since(asked.at), n);
        }
    }

    /// Notes what took long.
    pub(super) fn note_slow(
        &mut self,
        asked: Asked,
        begun: Instant,
        request: &[u8],
        share: Option<Share>,
    ) {
        // Waiting on purpose is not slow.
        if asked.kind.is_some() && self.slow.len() < MOST {
            self.slow.push(Slow {
                request: slow::head(request),
                asked: asked.at,
                begun: begun.max(asked.at),
                came: Instant::now(),
                share,
            });
        }
    }
}

// === impl Replies ===

impl Replies {
    /// Notes when the requests that come next were read.
    #[inline]
    pub(crate) fn asked_at(&self, at: Instant) {
        self.inner.borrow_mut().timing.at = Some(at);
    }

    /// Counts somewhere else from now on: the client is somebody else.
    pub(crate) fn set_times(&self, times: Arc<Times>) {
        self.inner.borrow_mut().timing.times = Some(times);
    }

    /// Counts `n` commands that are answered by now, as the clock tells it: it may be held since they were read.
    #[inline]
    pub(crate) fn count_time(&self, kind: Kind, since: Instant, n: u64) {
        let asked = Asked {
            at: since,
            kind: Some(kind),
        };
        self.inner.borrow().timing.count(asked, Instant::now(), n);
    }

    /// What is asked for now.
    #[inline]
    pub(crate) fn asked(&self, kind: Option<Kind>) -> Asked {
        let at = self.inner.borrow().timing.at;
        Asked {
            at: at.unwrap_or_else(clock::now),
            kind,
        }
    }

    /// Takes a place for a reply of the client's own connection, which may be to wait on purpose.
    pub(crate) fn expect_pinned(
        &self,
        request: &[u8],
        blocks: bool,
        then: Then,
        guard: Option<Guard>,
    ) -> Ticket {
        let kind = (!blocks).then_some(Kind::PINNED);
        let sent = (!blocks).then(|| Sent {
            head: slow::head(request),
            at: Instant::now(),
        });
        self.expect_as(self.asked(kind), sent, 1, then, guard)
    }
}

// === impl Inner ===

impl Inner {
    /// `replies` replies are in that were asked for like this.
    pub(super) fn count_delivered(&mut self, asked: Asked, sent: Option<Sent>, replies: u32) {
        self.timing.count(asked, clock::now(), u64::from(replies));
        if asked.kind.is_none() {
            self.restart_times();
        }
        if let Some(sent) = sent.filter(|sent| sent.at.elapsed() >= SLOW) {
            self.timing.note_slow(asked, sent.at, &sent.head, None);
        }
    }

    /// The client has waited on purpose: what it sent behind that begins to count now.
    fn restart_times(&mut self) {
        let now = Instant::now();
        for place in &mut self.places {
            if let Place::Awaited { asked, sent, .. } = place {
                asked.at = now;
                if let Some(sent) = sent {
                    sent.at = now;
                }
            }
        }
    }
}
