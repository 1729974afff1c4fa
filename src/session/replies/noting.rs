//! Notes which replies took long.

use std::time::Instant;

use super::Replies;
use super::asked::Asked;
use super::place::Place;
use super::slow::{SLOW, Slow, head};
use crate::cache::{Brought, Wanted};
use crate::upstream::{ReplySink, SlowReply, Ticket};

impl Replies {
    /// Whether there are slow replies that the client has been sent.
    #[inline]
    pub(crate) fn has_slow(&self) -> bool {
        let inner = self.inner.borrow();
        !inner.timing.slow.is_empty() && inner.out.unwritten() == 0
    }

    /// Takes them.
    pub(crate) fn take_slow(&self) -> Vec<Slow> {
        std::mem::take(&mut self.inner.borrow_mut().timing.slow)
    }

    /// Brings what was fetched by a read.
    pub(crate) fn deliver_fetched(&self, ticket: Ticket, wanted: Wanted<'_>, reply: &Brought<'_>) {
        let asked = self.inner.borrow().asked_for(ticket);
        match reply {
            Brought::Small(reply) => self.deliver(ticket, reply, 1),
            Brought::Large(reply) => {
                let mut inner = self.inner.borrow_mut();
                inner.window.measure(reply.len(), 1);
                inner.deliver_shared(ticket, reply);
            }
        }
        if let Some(asked) = asked.filter(|asked| asked.at.elapsed() >= SLOW) {
            let mut get = Vec::new();
            let request = wanted.request.unwrap_or_else(|| {
                crate::resp::write_command(&mut get, &[b"GET", wanted.key]);
                &get
            });
            self.note_slow(asked, wanted.begun.unwrap_or(asked.at), request);
        }
    }

    /// Notes a command that may have taken long, worked on since `begun`.
    pub(crate) fn note_slow(&self, asked: Asked, begun: Instant, request: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        if asked.at.elapsed() >= SLOW {
            inner.timing.note_slow(asked, begun, request, None);
        }
    }

    /// What is remembered of a request that may turn out to be slow.
    pub(crate) fn head(request: &[u8]) -> Box<[u8]> {
        head(request)
    }

    pub(super) fn note_slow_reply(&self, ticket: Ticket, reply: SlowReply<'_>) {
        let mut inner = self.inner.borrow_mut();
        if let Some(asked) = inner.asked_for(ticket) {
            inner
                .timing
                .note_slow(asked, reply.begun, reply.request, Some(reply.share));
        }
    }
}

impl super::Inner {
    fn asked_for(&self, ticket: Ticket) -> Option<Asked> {
        match &self.places[self.index(ticket)?] {
            Place::Awaited { asked, .. } => Some(*asked),
            _ => None,
        }
    }
}
