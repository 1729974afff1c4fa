//! What one client makes Respite keep, told to the sum of all; beyond `limits.memory` the largest go.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::mailbox::ToWorker;
use super::registry::ClientEntry;
use super::shared::Shared;

/// Smaller changes are not told, so that requests of ordinary size cost nothing.
const GRAIN: usize = 16 * 1024;

/// What a session has told of the bytes that are kept for its client.
pub(super) struct Held {
    told: usize,
    entry: Arc<ClientEntry>,
    shared: Arc<Shared>,
}

impl Held {
    pub(super) fn new(entry: Arc<ClientEntry>, shared: Arc<Shared>) -> Self {
        Held {
            told: 0,
            entry,
            shared,
        }
    }

    /// Tells how many bytes are kept now.
    #[inline]
    pub(super) fn tell(&mut self, bytes: usize) {
        if bytes.abs_diff(self.told) >= GRAIN {
            self.change(bytes);
        }
    }

    #[cold]
    fn change(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.told, bytes);
        self.entry.set_memory(bytes);
        let told = &self.shared.memory.told;
        if bytes < before {
            told.fetch_sub(before - bytes, Ordering::Relaxed);
            return;
        }
        let grown = bytes - before;
        let sum = told.fetch_add(grown, Ordering::Relaxed) + grown;
        let limit = self.shared.settings().limits.memory;
        if sum > limit {
            make_room(&self.shared, limit);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.told > 0 {
            self.entry.set_memory(0);
            let told = &self.shared.memory.told;
            told.fetch_sub(self.told, Ordering::Relaxed);
        }
    }
}

/// Marks clients, the largest first, until the others are within the limit.
fn make_room(shared: &Shared, limit: usize) {
    let _one = shared.memory.evicting.lock();
    let mut clients = shared.clients.all();
    // Those marked before are as good as gone.
    clients.retain(|client| client.memory() > 0 && !client.is_evicted());
    clients.sort_by_cached_key(|client| client.memory());
    let mut sum: usize = clients.iter().map(|client| client.memory()).sum();
    while sum > limit
        && let Some(largest) = clients.pop()
    {
        if largest.may_be_evicted() {
            sum = sum.saturating_sub(largest.memory());
            largest.evict();
            shared.tell(largest.worker, ToWorker::Wake(largest.id));
        }
    }
}
