//! What a reply changes in the state of a pinned connection.

use super::expect::{Expect, Queued, Transaction};
use super::{Answers, Pinned, exec};
use crate::upstream::ReplySink;

impl Pinned {
    fn apply_exec(&mut self, frame: &[u8], transaction: &Transaction, answers: &mut Answers<'_>) {
        let mut out = Vec::with_capacity(frame.len());
        let done = exec::apply(frame, transaction, answers.local, &mut out);
        self.db = done.db.unwrap_or(self.db);
        self.proto = done.switched.unwrap_or(self.proto);
        for element in done.subscriptions {
            self.sticky = true;
            self.note_subscription(&frame[element]);
        }
        answers.replies.deliver(&out, 1);
        // The session may have refused a HELLO whose stand-in has switched the connection.
        if let Some(proto) = done.proto.filter(|proto| *proto != self.proto) {
            self.set_proto(proto);
        }
    }

    /// Applies a whole reply and passes it on.
    pub(super) fn apply(&mut self, expect: Expect, frame: &[u8], answers: &mut Answers<'_>) {
        let ok = frame == b"+OK\r\n";
        match expect {
            Expect::Plain
            | Expect::Blocking
            | Expect::Swallow
            | Expect::Ignore
            | Expect::Subscribe { .. }
            | Expect::Unsubscribe { .. } => {}
            Expect::Queued(what) => {
                if let (Some(transaction), true) = (&mut self.transaction, frame == b"+QUEUED\r\n")
                {
                    if !matches!(what, Queued::Plain) {
                        transaction.special.push((transaction.queued, what));
                    }
                    transaction.queued += 1;
                } else if let (Queued::Select(db), true) = (what, ok) {
                    self.db = db;
                }
            }
            Expect::Multi if ok => self.transaction = Some(Transaction::default()),
            Expect::Exec => {
                if let Some(transaction) = self.transaction.take() {
                    self.watching = false;
                    if !transaction.special.is_empty() {
                        return self.apply_exec(frame, &transaction, answers);
                    }
                }
            }
            Expect::Discard if ok => {
                self.transaction = None;
                self.watching = false;
            }
            Expect::Watch if ok => self.watching = true,
            Expect::Unwatch if ok => self.watching = false,
            Expect::Select(db) if ok => self.db = db,
            Expect::Tracking(on) if ok => self.tracking = on,
            Expect::NoTouch(on) if ok => self.no_touch = on,
            Expect::Monitor if ok => self.monitor = true,
            Expect::ShowsId(id) => {
                let shown = format!(":{}\r\n", id.backing);
                if let Some(at) = memchr::memmem::find(frame, shown.as_bytes()) {
                    let ours = format!(":{}\r\n", id.own);
                    let rest = &frame[at + shown.len()..];
                    let frame = [&frame[..at], ours.as_bytes(), rest].concat();
                    answers.replies.deliver(&frame, 1);
                    return;
                }
            }
            Expect::Instead(text) => {
                if ok {
                    // What was replaced is a DISCARD.
                    self.transaction = None;
                    self.watching = false;
                }
                answers.replies.deliver(&text, 1);
                return;
            }
            // A subscriber may not begin one.
            Expect::Multi => self.sent_multi = self.transaction.is_some(),
            Expect::Discard
            | Expect::Watch
            | Expect::Unwatch
            | Expect::Select(_)
            | Expect::Tracking(_)
            | Expect::NoTouch(_)
            | Expect::Monitor => {}
        }
        answers.replies.deliver(frame, 1);
    }
}
