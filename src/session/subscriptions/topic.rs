//! Who is subscribed to one name.

use std::rc::Rc;

use super::subscriber::Subscriber;

/// The subscribers of a channel or a pattern.
#[derive(Default)]
pub(super) struct Topic {
    /// How many there will be when all that was asked is answered.
    pub(super) wanted: usize,
    /// Those that there are, by their ids.
    subscribers: Vec<Rc<Subscriber>>,
}

impl Topic {
    pub(super) fn subscribers(&self) -> &[Rc<Subscriber>] {
        &self.subscribers
    }

    /// Adds one that is not there.
    pub(super) fn add(&mut self, who: &Rc<Subscriber>) {
        let found = self.subscribers.binary_search_by_key(&who.id, |it| it.id);
        if let Err(at) = found {
            self.subscribers.insert(at, Rc::clone(who));
        }
    }

    /// Takes one out. False when it is not there.
    pub(super) fn remove(&mut self, who: &Subscriber) -> bool {
        let found = self.subscribers.binary_search_by_key(&who.id, |it| it.id);
        if let Ok(at) = found {
            self.subscribers.remove(at);
        }
        found.is_ok()
    }
}
