//! Respite's own commands: calls into a family, and replies that it brings later.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::client::Session;
use super::dispatch::Flow;
use super::families::{LocalPending, Occupied, Wait};
use super::mailbox::ToWorker;
use super::registry::Wish;
use super::replies::{Asked, Replies};
use super::request::Request;
use crate::access::{Denied, DeniedReason};
use crate::command::{Answer, Call, Rights, Row, arity_error, arity_ok};
use crate::latency::Kind;
use crate::resp::ReplyWriter;
use crate::tasks::{self, Kind as TaskKind};
use crate::upstream::{ReplySink, Ticket};

/// What is remembered of a command whose time counts.
struct Timed {
    kind: Kind,
    begun: Instant,
    /// The beginning of its request; none for one that does not belong into the slow log.
    head: Option<Box<[u8]>>,
}

/// Where the reply of a family's command goes. Whatever becomes of the command, there is one.
struct Owed {
    replies: Rc<Replies>,
    /// None when the client wants no reply.
    ticket: Option<Ticket>,
    done: Rc<Cell<bool>>,
    timed: Option<Timed>,
}

impl Owed {
    fn give(&self, reply: &[u8]) {
        self.done.set(true);
        match self.ticket {
            Some(ticket) => self.replies.deliver(ticket, reply, 1),
            None => self.replies.wake(),
        }
        if let Some(timed) = &self.timed
            && let Some(head) = &timed.head
        {
            let asked = timed.asked();
            self.replies.note_slow(asked, asked.at, head);
        }
    }
}

impl Timed {
    fn asked(&self) -> Asked {
        Asked {
            at: self.begun,
            kind: Some(self.kind),
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if !self.done.get() {
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
        self.families.as_caller.called |= 1 << index;
        let mut timed = Timed {
            kind: Kind::family(index),
            begun: Instant::now(),
            head: None,
        };
        let rights = self.rights();
        let call = Call {
            args,
            proto: self.state.proto,
            db: self.state.db,
            caller: &self.families.as_caller.caller,
            rights: &rights,
        };
        if rights.are_restricted()
            && let Some(key) = family.key(&call)
            && !match row.is_some_and(Row::is_readonly) {
                true => rights.may_use(key.as_bytes()),
                false => rights.may_change(key.as_bytes()),
            }
        {
            let user = self.state.user_id();
            self.note_refusal(request.raw, (DeniedReason::Key, key.as_bytes()), user);
            return self.answer_error(self.words_of(&Denied::Key(None)));
        }
        let answer = if self.is_silent() {
            family.call(&call, &mut Vec::new())
        } else {
            self.replies.reply(|out| family.call(&call, out))
        };
        match answer {
            Answer::Given => {
                self.replies.count_time(timed.kind, timed.begun, 1);
                self.note_family(timed.begun, args);
            }
            Answer::Later(pending) => {
                timed.head = Some(Replies::head(request.raw));
                self.occupy_with(pending, false, Some(timed));
            }
            Answer::Agreed(pending) => self.occupy_with(pending, false, Some(timed)),
            Answer::Cancelled(pending) => self.occupy_with(pending, true, Some(timed)),
            Answer::Blocked(pending) => self.occupy_with(pending, true, None),
        }
        Flow::Done
    }

    /// What the client may see and do of Respite's own.
    pub(super) fn rights(&self) -> Rights {
        let settings = self.worker.settings();
        let list = self.known_rules();
        let list = list.as_ref().unwrap_or(&settings.access);
        list.rights(self.user_in(list))
    }

    /// Lets the client's next command wait for this one's reply.
    pub(super) fn occupy(&mut self, pending: LocalPending) {
        self.occupy_with(pending, false, None);
    }

    /// As [`Session::occupy`], for something that the client waits for on purpose.
    pub(super) fn occupy_blocked(&mut self, pending: LocalPending) {
        self.occupy_with(pending, true, None);
    }

    /// The same for a command of the backing's, whose time counts as such.
    pub(super) fn occupy_with_command(&mut self, pending: LocalPending, request: &[u8]) {
        let timed = Timed {
            kind: Kind::FORWARD,
            begun: Instant::now(),
            head: Some(Replies::head(request)),
        };
        self.occupy_with(pending, false, Some(timed));
    }

    /// `timed` unless the time does not count as the family's.
    fn occupy_with(&mut self, pending: LocalPending, blocks: bool, timed: Option<Timed>) {
        let ticket = (!self.is_silent()).then(|| {
            let untimed = || self.replies.asked(None);
            let asked = timed.as_ref().map_or_else(untimed, Timed::asked);
            self.replies.expect_asked(asked)
        });
        let done = Rc::new(Cell::new(false));
        let owed = Owed {
            replies: Rc::clone(&self.replies),
            ticket,
            done: Rc::clone(&done),
            timed,
        };
        let wait: Wait = Rc::new(RefCell::new(Some(pending)));
        let polled = Rc::clone(&wait);
        let task = tokio::task::spawn_local(tasks::named(TaskKind::Client, async move {
            tasks::point("a command of a family");
            let reply = poll_fn(|cx| match polled.borrow_mut().as_mut() {
                Some(pending) => pending.as_mut().poll(cx),
                None => Poll::Pending,
            });
            owed.give(&reply.await);
        }));
        // What was asked before this command began is not meant for it.
        self.heed_wishes();
        self.state.entry.update(|facts| facts.blocked_here = blocks);
        self.replies.watch_clock(true);
        self.families.occupied = Some(Occupied {
            done,
            ticket,
            blocked: blocks.then(|| (wait, task.abort_handle())),
        });
    }

    /// Does what other clients want of this session.
    pub(super) fn heed_wishes(&mut self) {
        for wish in self.state.entry.take_wishes() {
            match wish {
                Wish::Unblock { error, done } => {
                    // Who asked may be gone.
                    let _ = done.send(self.unblock(error));
                }
                Wish::Keep { worker, session } => {
                    let settings = self.worker.settings();
                    if self.keep_connection(&settings) {
                        self.worker.shared.tell(worker, ToWorker::Wake(session));
                    } else {
                        // Later: replies are outstanding, or the connection is being opened.
                        let _ = self.state.entry.wish(wish);
                    }
                }
            }
        }
    }

    /// Ends the wait of the client's command. False when it does not wait.
    fn unblock(&mut self, error: bool) -> bool {
        if !self.families.is_blocked() {
            return false;
        }
        let Some(occupied) = self.families.occupied.take() else {
            return false;
        };
        occupied.done.set(true);
        self.state.entry.update(|facts| facts.blocked_here = false);
        let mut reply = Vec::new();
        let mut writer = ReplyWriter::new(&mut reply, self.state.proto);
        if error {
            writer.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        } else {
            writer.null_array();
        }
        if let Some(ticket) = occupied.ticket {
            self.replies.deliver(ticket, &reply, 1);
        }
        true
    }
}
