//! How many clients the backing does not know of: it counts one subscriber for all that a worker has of a name. With
//! these added, `PUBLISH` and `PUBSUB NUMSUB` tell the clients.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::naming::{Name, Naming};
use super::topic::Topic;
use crate::resp::glob_match;

/// By names, the clients of all workers beyond the first of each.
#[derive(Default)]
pub(crate) struct Audience {
    all: AtomicUsize,
    names: RwLock<[HashMap<Box<[u8]>, usize>; 2]>,
}

impl Audience {
    /// Whether the backing knows all subscribers.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.all.load(Ordering::Relaxed) == 0
    }

    /// How many more get what is published on a channel.
    pub(crate) fn of_message(&self, channel: &[u8]) -> usize {
        let [channels, patterns] = &*self.names.read();
        let matching = patterns
            .iter()
            .filter(|(pattern, _)| glob_match(pattern, channel, false));
        let by_pattern: usize = matching.map(|(_, more)| more).sum();
        channels.get(channel).copied().unwrap_or(0) + by_pattern
    }

    /// How many more are subscribed to a channel by its name.
    pub(crate) fn of_channel(&self, channel: &[u8]) -> usize {
        let [channels, _] = &*self.names.read();
        channels.get(channel).copied().unwrap_or(0)
    }

    pub(super) fn more(&self, naming: Naming, name: &[u8]) {
        let names = &mut self.names.write()[naming as usize];
        match names.get_mut(name) {
            Some(more) => *more += 1,
            None => {
                names.insert(name.into(), 1);
            }
        }
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn less(&self, naming: Naming, name: &[u8]) {
        self.take(naming, name, 1);
    }

    /// A worker's subscriptions are lost.
    pub(super) fn forget(&self, naming: Naming, topics: &HashMap<Name, Topic>) {
        for (name, topic) in topics {
            let more = topic.subscribers().len().saturating_sub(1);
            if more > 0 {
                self.take(naming, name, more);
            }
        }
    }

    fn take(&self, naming: Naming, name: &[u8], less: usize) {
        let names = &mut self.names.write()[naming as usize];
        let Some(more) = names.get_mut(name) else {
            return;
        };
        let less = less.min(*more);
        *more -= less;
        if *more == 0 {
            names.remove(name);
        }
        self.all.fetch_sub(less, Ordering::Relaxed);
    }
}
