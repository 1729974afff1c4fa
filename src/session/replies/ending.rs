//! The end of a client whose replies were lost with a connection to the backing: what was asked
//! before is still answered, then its own connection is closed, as Redis' would have been.

use super::slot::{Fate, Slot};
use super::{Inner, Replies};

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

    /// Closes the client in the place of the fetched reply `id`, which will not come.
    pub(crate) fn end_at(&self, id: u64) {
        let later = |slot: &Slot| matches!(slot, Slot::Later(later, _) if *later == id);
        self.inner.borrow_mut().end_at(later);
    }

    /// Whether the client is closed as soon as it has what is owed to it.
    pub(crate) fn is_ending(&self) -> bool {
        self.inner.borrow().ending
    }
}

impl Inner {
    /// Closes the client in the place of the next reply of the backing.
    pub(super) fn end_at_awaited(&mut self) {
        self.end_at(|slot| matches!(slot, Slot::Awaited { .. }));
    }

    /// Whether a reply of the backing has a place: not when the client is closed before it.
    pub(super) fn owes(&self) -> bool {
        !self.ending
            || self
                .slots
                .iter()
                .any(|slot| matches!(slot, Slot::Awaited { .. }))
    }

    fn end_at(&mut self, is: impl Fn(&Slot) -> bool) {
        let Some(at) = self.slots.iter().position(is) else {
            return;
        };
        self.ending = true;
        let mut before = Vec::new();
        for (n, slot) in self.slots.drain(at..).enumerate() {
            match slot {
                Slot::Later(_, early) => {
                    self.later -= 1;
                    self.stored -= early.len();
                }
                Slot::Held(bytes) => {
                    self.held -= 1;
                    self.stored -= bytes.len();
                }
                Slot::Ready(bytes) => self.stored -= bytes.len(),
                // Replies of the same slot that came before the one that will not.
                Slot::Awaited {
                    fate: Fate::Pass,
                    early,
                    ..
                } if n == 0 => before = early,
                Slot::Awaited { early, .. } => self.stored -= early.len(),
            }
        }
        if !before.is_empty() {
            self.slots.push_back(Slot::Ready(before));
        }
        self.settle();
    }
}
