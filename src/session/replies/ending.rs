//! The end of a client whose replies were lost with a connection to the backing: what was asked
//! before is still answered, then its own connection is closed, as Redis' would have been.

use super::place::{Fate, Place, Source};
use super::{Cut, Inner, Output, Replies};
use crate::upstream::Ticket;

impl Replies {
    /// Whether a loss closes the client instead of being told as an error.
    pub(crate) fn end_with_loss(&self, ends: bool) {
        self.ends_with_loss.set(ends);
    }

    /// Whether [`Replies::end_with_loss`] was asked for.
    pub(crate) fn closes_on_loss(&self) -> bool {
        self.ends_with_loss.get()
    }

    /// Closes the client behind what it is owed now.
    pub(crate) fn end(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.ending = true;
        inner.settle();
    }

    /// Closes the client in the place of a reply that will not come.
    pub(crate) fn end_at(&self, ticket: Ticket) {
        self.inner.borrow_mut().end_at(ticket);
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

    /// Whether the client is closed as soon as it has what is owed to it.
    pub(crate) fn is_ending(&self) -> bool {
        self.inner.borrow().ending
    }
}

impl Inner {
    fn end_at(&mut self, ticket: Ticket) {
        let Some(at) = self.index(ticket) else { return };
        self.ending = true;
        let mut before = Vec::new();
        for (n, place) in self.places.drain(at..).enumerate() {
            match place {
                Place::Held { reply, behind } => {
                    self.held -= 1;
                    self.stored -= reply.len() + behind.len();
                }
                Place::Ready(bytes) => self.stored -= bytes.len(),
                Place::Shared(bytes) => self.stored -= bytes.len(),
                Place::Awaited {
                    left,
                    from,
                    fate,
                    early,
                    ..
                } => {
                    match from {
                        Source::Link => self.outstanding -= left as usize,
                        Source::Fetch => self.later -= left as usize,
                    }
                    if n == 0 && matches!(fate, Fate::Pass) && from == Source::Link {
                        // Replies of the same place that came before the one that will not.
                        before = early;
                    } else {
                        self.stored -= early.len();
                    }
                }
            }
        }
        if !before.is_empty() {
            self.places.push_back(Place::Ready(before));
        }
        self.settle();
    }
}
