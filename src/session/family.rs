//! Respite's own commands: calls into a family, and replies that it brings later.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::AbortHandle;
use tracing::error;

use super::dispatch::{Flow, Request};
use super::registry::{ClientEntry, Unblock};
use super::replies::Replies;
use super::run::Session;
use super::shared::Shared;
use crate::command::{Answer, Call, Caller, Pending, arity_error, arity_ok};
use crate::resp::ReplyWriter;

/// A family's command that is under way: the client's next command waits for it.
pub(super) struct Occupied {
    done: Rc<Cell<bool>>,
    /// The slot of its reply; none when the client wants no reply.
    slot: Option<u64>,
    /// The wait for something to happen; none for a command that is carried out anyway.
    blocked: Option<(Wait, AbortHandle)>,
}

/// What a client waits for, here to be dropped at once when it goes.
type Wait = Rc<RefCell<Option<Pending>>>;

impl Drop for Occupied {
    fn drop(&mut self) {
        if let Some((wait, task)) = &self.blocked {
            drop(wait.take());
            task.abort();
        }
    }
}

/// The client as the families know it; they are told when it goes.
pub(super) struct AsCaller {
    pub(super) caller: Arc<Caller>,
    shared: Arc<Shared>,
    /// The families that it has called.
    called: u64,
}

impl AsCaller {
    pub(super) fn new(entry: &ClientEntry, shared: Arc<Shared>) -> Self {
        let peer = entry.addr().parse().ok();
        AsCaller {
            caller: Arc::new(Caller::new(entry.id, peer)),
            shared,
            called: 0,
        }
    }
}

impl Drop for AsCaller {
    fn drop(&mut self) {
        for (index, family) in self.shared.families.iter().enumerate() {
            if self.called & (1 << index) != 0 {
                family.gone(&self.caller);
            }
        }
    }
}

/// Where the reply of a family's command goes. Whatever becomes of the command, there is one.
struct Owed {
    replies: Rc<Replies>,
    /// The slot; none when the client wants no reply.
    slot: Option<u64>,
    done: Rc<Cell<bool>>,
}

impl Owed {
    fn give(&self, reply: &[u8]) {
        self.done.set(true);
        match self.slot {
            Some(slot) => self.replies.fill(slot, reply),
            None => self.replies.wake(),
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if !self.done.get() {
            if std::thread::panicking() {
                error!("a command of a family panicked");
            }
            self.give(b"-ERR internal error\r\n");
        }
    }
}

impl Session {
    /// Executes one of Respite's own commands.
    pub(super) fn family(&mut self, index: usize, request: Request<'_>) -> Flow {
        let Request { args, row, .. } = request;
        if let Some(row) = row.filter(|row| !arity_ok(row, args.len())) {
            return self.answer_error(arity_error(row));
        }
        let shared = Arc::clone(&self.worker.shared);
        let Some(family) = shared.families.get(index) else {
            return Flow::Done;
        };
        let owed = self.replies.outstanding() + self.replies.later() + self.replies.held();
        if family.uses_backing() && owed > 0 {
            return Flow::Wait;
        }
        self.as_caller.called |= 1 << index;
        let call = Call {
            args,
            proto: self.state.proto,
            db: self.state.db,
            caller: &self.as_caller.caller,
        };
        let answer = if self.is_silent() {
            family.call(&call, &mut Vec::new())
        } else {
            self.replies.reply(|out| family.call(&call, out))
        };
        match answer {
            Answer::Given => {}
            Answer::Later(pending) => self.occupy(pending, false),
            Answer::Blocked(pending) => self.occupy(pending, true),
        }
        Flow::Done
    }

    fn occupy(&mut self, pending: Pending, blocks: bool) {
        let slot = (!self.is_silent()).then(|| {
            let slot = self.replies.next_later();
            self.replies.expect_later();
            slot
        });
        let done = Rc::new(Cell::new(false));
        let owed = Owed {
            replies: Rc::clone(&self.replies),
            slot,
            done: Rc::clone(&done),
        };
        let wait: Wait = Rc::new(RefCell::new(Some(pending)));
        let polled = Rc::clone(&wait);
        let task = tokio::task::spawn_local(async move {
            let reply = poll_fn(|cx| match polled.borrow_mut().as_mut() {
                Some(pending) => pending.as_mut().poll(cx),
                None => Poll::Pending,
            });
            owed.give(&reply.await);
        });
        self.state.entry.update(|facts| facts.blocked = blocks);
        self.replies.watch_clock(true);
        // What was asked before this command began is not meant for it.
        self.state.entry.take_unblock();
        self.occupied = Some(Occupied {
            done,
            slot,
            blocked: blocks.then(|| (wait, task.abort_handle())),
        });
    }

    /// Whether the next command has to wait for one of a family.
    #[inline]
    pub(super) fn is_occupied(&mut self) -> bool {
        self.occupied.is_some() && !self.was_done()
    }

    fn was_done(&mut self) -> bool {
        let done = self.occupied.as_ref().is_some_and(|o| o.done.get());
        if done {
            self.occupied = None;
            self.state.entry.update(|facts| facts.blocked = false);
        }
        done
    }

    /// Ends the wait of the client's command, if `CLIENT UNBLOCK` says so.
    pub(super) fn heed_unblock(&mut self) {
        if !self.is_blocked_in_family() {
            return;
        }
        let how = self.state.entry.take_unblock();
        let Some(occupied) = self.occupied.take_if(|_| how != Unblock::Not) else {
            return;
        };
        occupied.done.set(true);
        self.state.entry.update(|facts| facts.blocked = false);
        let mut reply = Vec::new();
        let mut writer = ReplyWriter::new(&mut reply, self.state.proto);
        match how {
            Unblock::Error => writer.error("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
            _ => writer.null_array(),
        }
        if let Some(slot) = occupied.slot {
            self.replies.fill(slot, &reply);
        }
    }

    /// Whether the client waits for something to happen.
    pub(super) fn is_blocked_in_family(&self) -> bool {
        self.occupied
            .as_ref()
            .is_some_and(|occupied| occupied.blocked.is_some() && !occupied.done.get())
    }
}
