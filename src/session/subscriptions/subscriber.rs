//! One client's subscriptions.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::naming::{Name, Naming};
use crate::resp::Proto;
use crate::session::registry::ClientEntry;
use crate::session::replies::{Replies, Rest};
use crate::upstream::{ReplySink, Ticket};

/// What a name takes besides its bytes.
const EACH: usize = 64;

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Asked,
    Confirmed,
    /// Its end is asked for.
    Ending,
}

/// A client that is subscribed, or has asked to be.
pub(crate) struct Subscriber {
    pub(super) id: u64,
    pub(super) replies: Rc<Replies>,
    entry: Arc<ClientEntry>,
    proto: Cell<Proto>,
    /// By what they name; with the number of each, in the order in which they came.
    names: RefCell<[BTreeMap<Name, (State, u64)>; 2]>,
    next: Cell<u64>,
    counts: Cell<[u32; 2]>,
    bytes: Cell<usize>,
    /// Commands that are not answered.
    pending: Cell<usize>,
    /// One of them ends subscriptions.
    ending: Cell<bool>,
    gone: Cell<bool>,
}

impl Subscriber {
    pub(crate) fn new(entry: Arc<ClientEntry>, replies: Rc<Replies>, proto: Proto) -> Self {
        Subscriber {
            id: entry.id,
            replies,
            entry,
            proto: Cell::new(proto),
            names: RefCell::default(),
            next: Cell::default(),
            counts: Cell::default(),
            bytes: Cell::default(),
            pending: Cell::default(),
            ending: Cell::default(),
            gone: Cell::default(),
        }
    }

    /// Which version of the protocol the client speaks now.
    pub(crate) fn set_proto(&self, proto: Proto) {
        self.proto.set(proto);
    }

    /// Whether it is subscribed to anything.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.count() > 0
    }

    /// How many of its commands are not answered.
    pub(crate) fn pending(&self) -> usize {
        self.pending.get()
    }

    /// Whether one of those ends subscriptions.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Whether there is no name of this kind.
    pub(crate) fn is_without(&self, naming: Naming) -> bool {
        self.names.borrow()[naming as usize].is_empty()
    }

    /// How many channels and patterns it is subscribed to.
    pub(crate) fn count(&self) -> u32 {
        self.counts.get().iter().sum()
    }

    /// Writes that a subscription has ended.
    pub(super) fn write_ended(&self, naming: Naming, name: Option<&[u8]>, out: &mut Vec<u8>) {
        naming.write_ended(name, self.count(), self.proto.get(), out);
    }

    pub(super) fn add_pending(&self, ends: bool) {
        self.pending.set(self.pending.get() + 1);
        self.ending.set(self.ending.get() || ends);
    }

    pub(super) fn done_pending(&self) {
        self.pending.set(self.pending.get().saturating_sub(1));
        self.ending.set(self.ending.get() && self.pending.get() > 0);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    pub(super) fn go(&self) {
        self.gone.set(true);
        self.forget();
    }

    pub(super) fn wants(&self, naming: Naming, name: &[u8]) -> bool {
        self.names.borrow()[naming as usize].contains_key(name)
    }

    /// Adds a name that it asks for. False when it is there.
    pub(super) fn want(&self, naming: Naming, name: &Name) -> bool {
        let names = &mut self.names.borrow_mut()[naming as usize];
        let is_new = !names.contains_key(name);
        if is_new {
            self.bytes.set(self.bytes.get() + name.len() + EACH);
            names.insert(Rc::clone(name), (State::Asked, self.next.get()));
            self.next.set(self.next.get() + 1);
        }
        is_new
    }

    /// A subscription is there. False when it was before.
    pub(super) fn confirm(&self, naming: Naming, name: &Name) -> bool {
        let names = &mut self.names.borrow_mut()[naming as usize];
        let is_new = names.get_mut(name).is_some_and(|(state, _)| {
            std::mem::replace(state, State::Confirmed) != State::Confirmed
        });
        if is_new {
            self.note(naming, true);
        }
        is_new
    }

    /// Its end is asked for. False when there is nothing to end.
    pub(super) fn begin_to_end(&self, naming: Naming, name: &Name) -> bool {
        let names = &mut self.names.borrow_mut()[naming as usize];
        match names.get_mut(name) {
            Some((state, _)) if *state != State::Ending => {
                *state = State::Ending;
                true
            }
            _ => false,
        }
    }

    /// A subscription has ended. False when there was none.
    pub(super) fn drop_name(&self, naming: Naming, name: &Name) -> bool {
        let state = self.names.borrow_mut()[naming as usize].remove(name);
        if state.is_some() {
            self.bytes
                .set(self.bytes.get().saturating_sub(name.len() + EACH));
            self.note(naming, false);
        }
        state.is_some()
    }

    /// The backing has refused what was asked for. False when it is there all the same.
    pub(super) fn refuse_name(&self, naming: Naming, name: &Name) -> bool {
        let names = &mut self.names.borrow_mut()[naming as usize];
        let state = names.get(name).map(|(state, _)| *state);
        let asked = state == Some(State::Asked);
        if asked {
            names.remove(name);
            self.bytes
                .set(self.bytes.get().saturating_sub(name.len() + EACH));
        }
        asked
    }

    /// All names, in the order in which they came.
    pub(super) fn names(&self, naming: Naming) -> Vec<Name> {
        let names = &self.names.borrow()[naming as usize];
        let mut all: Vec<_> = names.iter().map(|(name, (_, n))| (*n, name)).collect();
        all.sort_unstable_by_key(|(n, _)| *n);
        all.into_iter().map(|(_, name)| Rc::clone(name)).collect()
    }

    pub(super) fn take_names(&self, naming: Naming) -> impl Iterator<Item = (Name, State)> {
        let names = std::mem::take(&mut self.names.borrow_mut()[naming as usize]);
        names.into_iter().map(|(name, (state, _))| (name, state))
    }

    /// All subscriptions are lost.
    pub(super) fn forget(&self) {
        *self.names.borrow_mut() = Default::default();
        self.counts.set([0; 2]);
        self.bytes.set(0);
        self.tell();
    }

    fn note(&self, naming: Naming, more: bool) {
        let mut counts = self.counts.get();
        let count = &mut counts[naming as usize];
        *count = match more {
            true => *count + 1,
            false => count.saturating_sub(1),
        };
        self.counts.set(counts);
        self.tell();
    }

    /// Shows others how many subscriptions there are.
    fn tell(&self) {
        self.entry.update(|facts| facts.shared = self.counts.get());
    }

    /// Says that a subscription is there.
    pub(super) fn tell_begun(&self, naming: Naming, name: &[u8], ticket: Ticket, last: bool) {
        let mut out = Vec::with_capacity(name.len() + 48);
        naming.write_begun(name, self.count(), self.proto.get(), &mut out);
        self.replies.deliver(ticket, &out, u32::from(last));
    }

    /// Shows what was published.
    pub(super) fn show(&self, rest: &Rest<'_>) {
        let first = match self.proto.get() {
            Proto::Resp2 => b'*',
            Proto::Resp3 => b'>',
        };
        self.replies.message(first, rest);
    }
}
