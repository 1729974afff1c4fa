//! How replies that come move through their places into the write buffer.

use bytes::Bytes;

use super::Inner;
use super::place::{Fate, Place, Shown, Source};
use crate::upstream::Ticket;

impl Inner {
    /// Appends a place.
    pub(super) fn push(&mut self, place: Place) -> Ticket {
        let ticket = Ticket(self.first + self.places.len() as u64);
        self.places.push_back(place);
        ticket
    }

    /// Where the place is that a ticket is for, while it is there.
    pub(super) fn index(&self, ticket: Ticket) -> Option<usize> {
        let at = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        (at < self.places.len()).then_some(at)
    }

    /// Puts `bytes`, in which `replies` replies end, into their place. One that the client was closed
    /// before has none.
    pub(super) fn deliver(&mut self, ticket: Ticket, bytes: &[u8], replies: u32) {
        let Some(at) = self.index(ticket) else { return };
        let Place::Awaited {
            left,
            from,
            fate,
            early,
            guard,
            asked,
            sent,
            open,
        } = &mut self.places[at]
        else {
            return;
        };
        *open = replies == 0 && (*open || !bytes.is_empty());
        let asked = *asked;
        let sent = if replies > 0 { sent.take() } else { None };
        *left -= replies;
        match from {
            Source::Link => self.outstanding -= replies as usize,
            Source::Fetch => self.later -= replies as usize,
        }
        if self.closed {
            return;
        }
        let whole = *left == 0;
        if let Some(guard) = guard {
            guard.show(bytes);
        }
        match fate {
            // A reply was broken off: anything more would look like the rest of it.
            _ if self.cut.is_some() => {}
            Fate::Drop => {}
            Fate::Pass if at == 0 => {
                self.out.extend(bytes);
                if replies > 0 {
                    self.show_messages();
                }
            }
            _ => {
                self.stored += bytes.len();
                early.extend_from_slice(bytes);
            }
        }
        if whole {
            self.finish(at);
        }
        if replies > 0 {
            self.count_delivered(asked, sent, replies);
        }
    }

    /// Passes on a fetched reply that others get as well.
    pub(super) fn deliver_shared(&mut self, ticket: Ticket, bytes: &Bytes) {
        let plain = self.index(ticket).filter(|at| {
            let place = &self.places[*at];
            matches!(place, Place::Awaited { left: 1, from: Source::Fetch, fate: Fate::Pass, early, .. } if early.is_empty())
        });
        let Some(at) = plain.filter(|_| !self.closed && self.cut.is_none()) else {
            return self.deliver(ticket, bytes, 1);
        };
        let place = std::mem::replace(&mut self.places[at], Place::Shared(bytes.clone()));
        self.later -= 1;
        self.stored += bytes.len();
        self.settle();
        if let Place::Awaited { asked, .. } = place {
            self.count_delivered(asked, None, 1);
        }
    }

    /// All replies of a place are in.
    pub(super) fn finish(&mut self, at: usize) {
        let Place::Awaited {
            fate, early, guard, ..
        } = &mut self.places[at]
        else {
            return;
        };
        // From here on the cache may keep what is fetched: it is fetched after this reply.
        drop(guard.take());
        let mut bytes = std::mem::take(early);
        match fate {
            Fate::Pass | Fate::Drop => {}
            Fate::Rewrite(rewrite) => {
                if let Some(rewrite) = rewrite.take() {
                    let raw = std::mem::take(&mut bytes);
                    rewrite(&raw, &mut bytes);
                    self.stored = self.stored - raw.len() + bytes.len();
                }
            }
            Fate::Hold(hold, shown) => {
                let (hold, shown) = (hold.take(), *shown);
                let ticket = Ticket(self.first + at as u64);
                let waits = hold.is_some_and(|hold| hold(ticket, &bytes));
                if shown == Shown::No {
                    self.stored -= bytes.len();
                    bytes = Vec::new();
                }
                if waits {
                    self.places[at] = Place::Held {
                        reply: bytes,
                        behind: Vec::new(),
                    };
                    self.held += 1;
                    return;
                }
            }
        }
        self.places[at] = Place::Ready(bytes);
        if at == 0 {
            self.release_ready();
        }
    }

    /// Puts what the backing said unasked behind the replies that it gave before.
    pub(super) fn out_of_band(&mut self, bytes: &[u8]) {
        if self.held == 0 {
            return self.out.extend(bytes);
        }
        let held = |place: &Place| matches!(place, Place::Held { .. });
        let Some(last) = self.places.iter().rposition(held) else {
            return self.out.extend(bytes);
        };
        self.stored += bytes.len();
        let ready = |place: &&Place| matches!(place, Place::Ready(_) | Place::Shared(_));
        let at = last + 1 + self.places.range(last + 1..).take_while(ready).count();
        match self.places.get_mut(at) {
            Some(Place::Awaited { early, .. }) if !early.is_empty() => {
                return early.extend_from_slice(bytes);
            }
            _ => {}
        }
        match &mut self.places[at - 1] {
            Place::Ready(before) | Place::Held { behind: before, .. } => {
                before.extend_from_slice(bytes);
            }
            Place::Awaited { early, .. } => early.extend_from_slice(bytes),
            shared @ Place::Shared(_) => {
                if let Place::Shared(before) = &*shared {
                    *shared = Place::Ready([before, bytes].concat());
                }
            }
        }
    }

    /// Something that was waited for is in.
    pub(super) fn settle(&mut self) {
        self.release_ready();
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    pub(super) fn release_ready(&mut self) {
        loop {
            match self.places.front_mut() {
                Some(Place::Ready(bytes)) => {
                    self.stored -= bytes.len();
                    self.out.append(bytes);
                }
                Some(Place::Shared(bytes)) => {
                    self.stored -= bytes.len();
                    self.out.append_shared(std::mem::take(bytes));
                }
                _ => break,
            }
            self.places.pop_front();
            self.first += 1;
        }
        if let Some(Place::Awaited {
            fate: Fate::Pass,
            early,
            ..
        }) = self.places.front_mut()
        {
            // What came before its turn.
            self.stored -= early.len();
            self.out.append(early);
        }
    }

    /// Whether too much waits for a client whose socket takes no more.
    pub(super) fn is_over(&self) -> bool {
        let unwritten = self.out.unwritten();
        unwritten > 0 && unwritten + self.stored >= self.limit
    }

    /// Drops the bytes that are kept in places; guards stay until their replies are in.
    pub(super) fn forget_stored(&mut self) {
        for place in &mut self.places {
            match place {
                Place::Awaited { early: bytes, .. } | Place::Ready(bytes) => *bytes = Vec::new(),
                Place::Shared(bytes) => *bytes = Bytes::new(),
                Place::Held { reply, behind } => {
                    *reply = Vec::new();
                    *behind = Vec::new();
                }
            }
        }
        self.messages = Vec::new();
        self.stored = 0;
    }
}
