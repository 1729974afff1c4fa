//! What others have published, on its way to a client: it comes between replies, not in order with them.

use bytes::Bytes;

use super::place::{Fate, Place};
use super::{Cut, Inner, Output, Replies};

/// All of a message but its first byte, which tells the version of the protocol.
pub(crate) enum Rest<'a> {
    Small(&'a [u8]),
    /// Others get the same bytes.
    Large(Bytes),
}

impl Replies {
    /// Sends a message as soon as the reply that is being sent is whole. A client that does not take what waits for it is
    /// cut off: its messages come whether it reads or not.
    pub(crate) fn message(&self, first: u8, rest: &Rest<'_>) {
        let mut inner = self.inner.borrow_mut();
        if inner.ending || inner.closed || inner.cut.is_some() {
            return;
        }
        inner.message(first, rest);
        if inner.out.unwritten() + inner.stored >= inner.limit {
            inner.cut = Some(Cut::SlowReader);
            inner.out = Output::default();
            inner.messages = Vec::new();
        }
        if let Some(task) = &inner.task {
            task.wake_by_ref();
        }
    }
}

impl Inner {
    fn message(&mut self, first: u8, rest: &Rest<'_>) {
        let front = self.places.front();
        if let Some(Place::Awaited {
            fate: Fate::Pass,
            open: true,
            ..
        }) = front
        {
            let rest: &[u8] = match rest {
                Rest::Small(rest) => rest,
                Rest::Large(rest) => rest,
            };
            self.messages.push(first);
            self.messages.extend_from_slice(rest);
            self.stored += 1 + rest.len();
            return;
        }
        match rest {
            Rest::Small(rest) => self.out.write(|out| {
                out.push(first);
                out.extend_from_slice(rest);
            }),
            Rest::Large(rest) => {
                self.out.write(|out| out.push(first));
                self.out.append_shared(rest.clone());
            }
        }
    }

    /// A reply is whole: what waited for that comes now.
    #[inline]
    pub(super) fn show_messages(&mut self) {
        if !self.messages.is_empty() {
            self.stored -= self.messages.len();
            self.out.append(&mut self.messages);
        }
    }
}
