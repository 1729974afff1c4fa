//! What a reply changes in the state of a pinned connection.

use super::expect::{Expect, Queued, Tracking, Transaction};
use super::{Answers, Pinned, exec};
use crate::resp::Proto;
use crate::upstream::{ReplySink, Ticket};

impl Pinned {
    fn apply_exec(
        &mut self,
        ticket: Ticket,
        frame: &[u8],
        transaction: &Transaction,
        answers: &mut Answers<'_>,
    ) {
        let mut out = Vec::with_capacity(frame.len());
        let tracking = &mut self.tracking;
        let mut apply = |queued: &Queued, element: &[u8], out: &mut Vec<u8>| match queued {
            Queued::Tracking(now) => {
                if element == b"+OK\r\n" {
                    *tracking = *now;
                }
                out.extend_from_slice(element);
            }
            _ => show_own_id(*tracking, element, out),
        };
        let done = exec::apply(frame, transaction, answers.local, &mut apply, &mut out);
        self.key.db = done.db.unwrap_or(self.key.db);
        self.key.proto = done.switched.unwrap_or(self.key.proto);
        for element in done.subscriptions {
            self.sticky = true;
            self.note_subscription(&frame[element]);
        }
        answers.replies.deliver(ticket, &out, 1);
        // The session may have refused a HELLO whose stand-in has switched the connection.
        if let Some(proto) = done.proto.filter(|proto| *proto != self.key.proto) {
            self.set_proto(proto);
        }
    }

    /// Applies a whole reply and passes it on.
    pub(super) fn apply(
        &mut self,
        expect: Expect,
        ticket: Ticket,
        frame: &[u8],
        answers: &mut Answers<'_>,
    ) {
        let ok = frame == b"+OK\r\n";
        // The backing closes the connection now, and so does Respite the client's.
        self.sticky |= frame.starts_with(b"-ERR Protocol error");
        match expect {
            Expect::Unknown => {
                let known = !frame.starts_with(b"-ERR unknown command");
                match &mut self.replay {
                    // State at one of several nodes is of no use.
                    Some(replay) => replay.void |= known,
                    None => self.sticky |= known,
                }
            }
            Expect::Plain
            | Expect::Blocking(_)
            | Expect::Swallow
            | Expect::Ignore
            | Expect::Replayed { .. }
            | Expect::Resubscribe { .. }
            | Expect::Subscribe { .. }
            | Expect::Unsubscribe { .. } => {}
            Expect::Queued(what) => {
                if let (Some(transaction), true) = (&mut self.transaction, frame == b"+QUEUED\r\n")
                {
                    transaction.queue(what);
                } else if let (Queued::Select(db), true) = (what, ok) {
                    self.key.db = db;
                }
            }
            Expect::Multi if ok => self.transaction = Some(Transaction::default()),
            Expect::Exec(lines, behind) => {
                // What was queued first, and in any case the EXEC itself.
                let from = if exec::was_executed(frame) {
                    0
                } else {
                    lines.len().saturating_sub(1)
                };
                answers.shared.show(&lines[from..]);
                answers.shared.show(&behind);
                if let Some(transaction) = self.transaction.take() {
                    self.watching = 0;
                    if !transaction.special.is_empty() {
                        return self.apply_exec(ticket, frame, &transaction, answers);
                    }
                }
            }
            Expect::Discard if ok => {
                self.transaction = None;
                self.watching = 0;
            }
            Expect::Watch(keys) if ok => self.watching = self.watching.saturating_add(keys),
            Expect::Unwatch if ok => self.watching = 0,
            Expect::Select(db) if ok => self.key.db = db,
            Expect::Tracking(now) if ok => self.tracking = now,
            Expect::NoTouch(on) if ok => self.no_touch = on,
            Expect::ShowsId => {
                let mut shown = Vec::with_capacity(frame.len());
                show_own_id(self.tracking, frame, &mut shown);
                answers.replies.deliver(ticket, &shown, 1);
                return;
            }
            Expect::Aborted(text) => {
                self.transaction = None;
                self.watching = 0;
                answers.replies.deliver(ticket, &text, 1);
                return;
            }
            Expect::Instead(text) => {
                answers.replies.deliver(ticket, &text, 1);
                return;
            }
            Expect::Multi => {
                self.sent_multi = false;
                // A subscriber may not begin one, as it may do nothing else.
                self.refused_multi = self.key.proto == Proto::Resp3 || !self.is_subscriber();
            }
            Expect::Discard
            | Expect::Watch(_)
            | Expect::Unwatch
            | Expect::Select(_)
            | Expect::Tracking(_)
            | Expect::NoTouch(_) => {}
        }
        answers.replies.deliver(ticket, frame, 1);
    }
}

/// Writes a reply that may show the backing's id of where invalidations go, with ours in its place.
fn show_own_id(tracking: Option<Tracking>, reply: &[u8], out: &mut Vec<u8>) {
    let redirect = tracking.and_then(|tracking| tracking.redirect);
    let found = redirect.and_then(|id| {
        let shown = format!(":{}\r\n", id.backing);
        let at = memchr::memmem::find(reply, shown.as_bytes())?;
        Some((at..at + shown.len(), id.own))
    });
    let Some((at, own)) = found else {
        return out.extend_from_slice(reply);
    };
    out.extend_from_slice(&reply[..at.start]);
    out.extend_from_slice(format!(":{own}\r\n").as_bytes());
    out.extend_from_slice(&reply[at.end..]);
}
