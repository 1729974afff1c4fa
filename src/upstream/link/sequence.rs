//! The replies of one batch that come from several connections, put back into their order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::{Failure, ReplySink, SlowReply, Ticket};

/// Stands in for the sink of a batch, for its parts: each has a ticket of its own.
pub(super) struct Sequence {
    sink: Rc<dyn ReplySink>,
    ticket: Ticket,
    parts: RefCell<VecDeque<Part>>,
}

/// Replies that follow each other and come from one connection.
struct Part {
    ticket: Ticket,
    left: u32,
    /// What came before its turn.
    early: Vec<Event>,
}

enum Event {
    Bytes(Vec<u8>, u32),
    Lost(Failure, u32),
}

impl Sequence {
    pub(super) fn new(sink: Rc<dyn ReplySink>, ticket: Ticket) -> Self {
        Sequence {
            sink,
            ticket,
            parts: RefCell::default(),
        }
    }

    /// Adds a part of so many replies behind the others.
    pub(super) fn expect(&self, replies: u32) -> Ticket {
        let mut parts = self.parts.borrow_mut();
        let ticket = Ticket(parts.back().map_or(0, |last| last.ticket.0 + 1));
        parts.push_back(Part {
            ticket,
            left: replies,
            early: Vec::new(),
        });
        ticket
    }

    /// One more reply belongs to the last part, which is this one.
    pub(super) fn widen(&self, ticket: Ticket) {
        let mut parts = self.parts.borrow_mut();
        if let Some(last) = parts.back_mut().filter(|last| last.ticket == ticket) {
            last.left += 1;
        }
    }

    fn take(&self, ticket: Ticket, event: Event) {
        let mut parts = self.parts.borrow_mut();
        let Some(at) = parts.iter().position(|part| part.ticket == ticket) else {
            return;
        };
        let (Event::Bytes(_, replies) | Event::Lost(_, replies)) = &event;
        let part = &mut parts[at];
        part.left = part.left.saturating_sub(*replies);
        part.early.push(event);
        if at > 0 {
            return;
        }
        let mut ready = Vec::new();
        while let Some(first) = parts.front_mut() {
            ready.append(&mut first.early);
            if first.left > 0 {
                break;
            }
            parts.pop_front();
        }
        drop(parts);
        for event in ready {
            match event {
                Event::Bytes(bytes, replies) => self.sink.deliver(self.ticket, &bytes, replies),
                Event::Lost(failure, replies) => self.sink.lost(self.ticket, &failure, replies),
            }
        }
    }
}

impl ReplySink for Sequence {
    fn deliver(&self, ticket: Ticket, bytes: &[u8], replies: u32) {
        self.take(ticket, Event::Bytes(bytes.to_vec(), replies));
    }

    fn slow(&self, _ticket: Ticket, reply: SlowReply<'_>) {
        self.sink.slow(self.ticket, reply);
    }

    fn abort(&self) {
        self.sink.abort();
    }

    fn lost(&self, ticket: Ticket, failure: &Failure, replies: u32) {
        self.take(ticket, Event::Lost(failure.clone(), replies));
    }

    fn ends_with_loss(&self) -> bool {
        self.sink.ends_with_loss()
    }

    fn identity(&self) -> *const () {
        self.sink.identity()
    }

    fn redirecting(&self, begins: bool) {
        self.sink.redirecting(begins);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Sent, UpstreamError};

    #[derive(Default)]
    struct Seen(RefCell<Vec<String>>);

    impl ReplySink for Seen {
        fn deliver(&self, ticket: Ticket, bytes: &[u8], replies: u32) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.0
                .borrow_mut()
                .push(format!("{}:{text}:{replies}", ticket.0));
        }

        fn abort(&self) {}

        fn lost(&self, _: Ticket, _: &Failure, replies: u32) {
            self.0.borrow_mut().push(format!("lost:{replies}"));
        }

        fn ends_with_loss(&self) -> bool {
            false
        }
    }

    #[test]
    fn parts_come_in_any_order_and_leave_in_theirs() {
        let seen = Rc::new(Seen::default());
        let sequence = Sequence::new(Rc::clone(&seen) as Rc<dyn ReplySink>, Ticket(7));
        let [first, second, third] = [2, 1, 2].map(|replies| sequence.expect(replies));
        let taken = || std::mem::take(&mut *seen.0.borrow_mut());
        sequence.deliver(third, b"d", 1);
        let failure = Failure::new(&UpstreamError::NotReady, Sent::No);
        sequence.lost(second, &failure, 1);
        assert!(taken().is_empty());
        sequence.deliver(first, b"a", 1);
        assert_eq!(taken(), ["7:a:1"]);
        sequence.deliver(first, b"b", 1);
        assert_eq!(taken(), ["7:b:1", "lost:1", "7:d:1"]);
        sequence.deliver(third, b"e", 1);
        assert_eq!(taken(), ["7:e:1"]);
    }
}
