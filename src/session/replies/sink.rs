//! The replies of a session as the links see them.

use super::{Cut, Replies};
use crate::upstream::{Failure, ReplySink, SlowReply, Ticket};

impl ReplySink for Replies {
    fn deliver(&self, ticket: Ticket, bytes: &[u8], replies: u32) {
        let mut inner = self.inner.borrow_mut();
        inner.window.measure(bytes.len(), replies as usize);
        inner.deliver(ticket, bytes, replies);
        if let Some(task) = &inner.task {
            task.wake_by_ref();
        }
    }

    fn slow(&self, ticket: Ticket, reply: SlowReply<'_>) {
        self.note_slow_reply(ticket, reply);
    }

    fn abort(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.cut = Some(Cut::BrokenReply);
        if let Some(task) = &inner.task {
            task.wake_by_ref();
        }
    }

    fn lost(&self, ticket: Ticket, failure: &Failure, replies: u32) {
        if failure.refusal || !self.ends_with_loss.get() {
            self.deliver(ticket, &failure.replies(replies), replies);
            if failure.logged_out && self.account.borrow().is_some() {
                self.end();
            }
            return;
        }
        self.end_at(ticket);
    }

    fn redirecting(&self, begins: bool) {
        let before = self.redirected.get();
        let now = if begins {
            before + 1
        } else {
            before.saturating_sub(1)
        };
        self.redirected.set(now);
        if now == 0 {
            self.wake();
        }
    }

    fn is_last(&self, ticket: Ticket) -> bool {
        self.asked_nothing_behind(ticket)
    }

    fn ends_with_loss(&self) -> bool {
        self.ends_with_loss.get()
    }
}
