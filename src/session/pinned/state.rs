//! What state a pinned connection carries: for its session, for `CLIENT LIST`, and to tell when it is
//! free of it.

use std::time::{Duration, Instant};

use super::{Awaited, Expect, Io, Pinned, UNSENT_BYTES};
use crate::resp::Proto;
use crate::session::registry::Facts;
use crate::upstream::{LoginId, NodeId};

impl Pinned {
    /// Notes that something of our own ends the transaction.
    pub(crate) fn leave_multi(&mut self) {
        self.sent_multi = false;
    }

    /// Whether the connection is used to wait for something that may never come.
    pub(crate) fn waits_for_ever(&self) -> bool {
        self.is_blocked() || self.is_subscriber()
    }

    /// Has a line shown behind an `EXEC` that has not run yet; gives it back when there is none.
    pub(crate) fn show_behind_exec(&mut self, line: Box<[u8]>) -> Option<Box<[u8]>> {
        let expected = self.expected.iter_mut().rev();
        let mut execs = expected.filter_map(|awaited| match &mut awaited.expect {
            Expect::Exec(lines, behind) if !lines.is_empty() => Some(behind),
            _ => None,
        });
        match execs.next() {
            Some(behind) => behind.push(line),
            None => return Some(line),
        }
        None
    }

    /// Whether commands are being queued in a transaction, by what was sent.
    pub(crate) fn in_multi(&self) -> bool {
        self.sent_multi
    }

    /// Whether the client is, or may soon be, restricted to pub/sub commands (RESP2).
    pub(crate) fn is_subscriber(&self) -> bool {
        self.subscriptions.iter().any(|n| *n > 0)
    }

    /// Whether a change of subscriptions is not confirmed yet.
    pub(crate) fn subscription_pending(&self) -> bool {
        self.expected.iter().any(|awaited| {
            matches!(
                awaited.expect,
                Expect::Subscribe { .. } | Expect::Unsubscribe { .. }
            )
        })
    }

    /// Whether a `MULTI` has no reply yet. What follows it must not be sent before: it would be
    /// executed at once if the backing refused the `MULTI`.
    pub(crate) fn awaits_multi(&self) -> bool {
        self.sent_multi
            && matches!(
                self.expected.back(),
                Some(Awaited {
                    expect: Expect::Multi,
                    ..
                })
            )
    }

    /// Whether the backing has refused a `MULTI`, once.
    pub(crate) fn take_refused_multi(&mut self) -> bool {
        std::mem::take(&mut self.refused_multi)
    }

    /// Ends `WATCH` for a transaction that is not executed.
    pub(crate) fn unwatch(&mut self) {
        if self.leaves_watch() {
            self.swallow(&[b"UNWATCH"]);
            self.watching = 0;
        }
    }

    /// Notes that what is queued may write.
    pub(crate) fn note_queued_write(&mut self) {
        self.queued_writes = true;
    }

    /// Whether what is queued may write.
    pub(crate) fn queued_writes(&self) -> bool {
        self.sent_multi && self.queued_writes
    }

    /// Keeps the connection to the end of the session, since others redirect invalidations to it.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    /// Whether it waits for a reply that may never come.
    pub(crate) fn is_blocked(&self) -> bool {
        let front = self.expected.front().map(|awaited| &awaited.expect);
        matches!(front, Some(Expect::Blocking(_)))
    }

    /// Whether what is sent next is to be answered before anything else is sent.
    pub(crate) fn send_alone(&mut self, alone: bool) {
        self.alone = alone;
    }

    /// Whether something has to be read, by the backing or from it, before it is sent more.
    pub(crate) fn is_clogged(&self) -> bool {
        (self.alone && !self.is_quiet()) || self.out.unwritten_bytes() >= UNSENT_BYTES
    }

    /// Whether every reply is in.
    pub(crate) fn is_quiet(&self) -> bool {
        self.expected.is_empty()
    }

    /// Shows the state in `CLIENT LIST`.
    pub(crate) fn show(&self, facts: &mut Facts) {
        let redirect = self.tracking.and_then(|tracking| tracking.redirect);
        facts.subscriptions = self.subscriptions;
        facts.multi = self.transaction.as_ref().map(|t| t.queued);
        facts.watching = self.watching;
        facts.blocked = self
            .expected
            .iter()
            .any(|awaited| matches!(awaited.expect, Expect::Blocking(_)));
        facts.tracking = self.tracking.is_some();
        facts.broadcast = self.tracking.is_some_and(|tracking| tracking.broadcast);
        facts.redirect = redirect.map(|redirect| redirect.own);
        facts.no_touch = self.no_touch;
    }

    /// Adds its state to what is shown of another one.
    pub(crate) fn show_more(&self, facts: &mut Facts) {
        let all = facts.subscriptions.iter_mut().zip(self.subscriptions);
        all.for_each(|(shown, more)| *shown += more);
        facts.watching += self.watching;
    }

    /// Who is logged in on it after what was sent.
    pub(crate) fn login(&self) -> LoginId {
        self.key.login
    }

    /// Logs in as somebody else. Where that is refused, the connection is lost with all that it keeps.
    pub(crate) fn log_in(&mut self, login: LoginId, name: &[u8], password: &[u8]) {
        self.swallow(&[b"AUTH", name, password]);
        self.key.login = login;
    }

    /// What the next connection in its place has to be good for.
    pub(crate) fn good_for(&self) -> (Proto, LoginId) {
        (self.key.proto, self.key.login)
    }

    /// The node that it leads to.
    pub(crate) fn node(&self) -> NodeId {
        self.key.node
    }

    /// The protocol version in force after what was sent.
    pub(crate) fn proto(&self) -> Proto {
        self.key.proto
    }

    /// The database in force after the replies so far.
    pub(crate) fn db(&self) -> u32 {
        self.key.db
    }

    /// The backing's id of this connection, once it is open.
    pub(crate) fn backing_id(&self) -> Option<u64> {
        match &self.io {
            Io::Open(pooled) => Some(pooled.conn.hello.id),
            Io::Opening(_) | Io::Undecided(_) => None,
        }
    }

    /// Whether the backing owes the front's reply for longer than it may.
    pub(crate) fn is_overdue(&self, limit: Option<Duration>) -> bool {
        let owed = limit.zip(self.waits_since());
        owed.is_some_and(|(limit, since)| since.elapsed() > limit)
    }

    /// From when on the backing owes the front's reply, which may be in the future.
    fn waits_since(&self) -> Option<Instant> {
        match self.expected.front().map(|awaited| &awaited.expect) {
            // Connecting has a limit of its own.
            _ if !matches!(self.io, Io::Open(_)) => None,
            None => None,
            // It may wait for ever to begin, but not in its middle.
            Some(Expect::Blocking(time)) if self.reader.is_empty() && !self.begun => {
                time.and_then(|time| self.since.checked_add(time))
            }
            Some(_) => Some(self.since),
        }
    }

    /// Whether no state is left, so that the connection can serve another session.
    pub(crate) fn is_free(&self) -> bool {
        !matches!(self.io, Io::Opening(_))
            && self.expected.is_empty()
            && self.out.held() == 0
            && self.reader.is_empty()
            && !self.sent_multi
            && self.transaction.is_none()
            && self.watching == 0
            && !self.is_subscriber()
            && self.tracking.is_none()
            && !self.no_touch
            && !self.kept
            && !self.sticky
    }

    /// Whether keys are watched when all replies are in, as far as can be known.
    pub(super) fn leaves_watch(&self) -> bool {
        let watched = self.watching > 0;
        self.expected
            .iter()
            .fold(watched, |watched, awaited| match awaited.expect {
                Expect::Watch(_) => true,
                Expect::Exec(..)
                | Expect::Discard
                | Expect::Unwatch
                | Expect::Instead(_)
                | Expect::Aborted(_) => false,
                _ => watched,
            })
    }
}
