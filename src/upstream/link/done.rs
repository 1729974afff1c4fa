//! What has to be done once on each connection of a link, and was: scripts that were loaded at its node. Does not know
//! what it is, but by digests.

use std::collections::HashSet;

use super::Link;

/// With more it is done again.
const MOST: usize = 10_000;

/// What was done on the connection that is there.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// It grows when all of it is undone.
    epoch: u64,
    digests: HashSet<[u8; 20]>,
}

impl Done {
    /// There is another connection.
    pub(super) fn clear(&mut self) {
        self.digests = HashSet::new();
    }
}

impl Link {
    /// Whether this has still to be done on the connection that is there; whoever asks does it next. What was done in
    /// another epoch is undone.
    pub fn is_to_do(&self, epoch: u64, digest: [u8; 20]) -> bool {
        let mut inner = self.inner.borrow_mut();
        let done = &mut inner.done;
        if done.epoch != epoch || done.digests.len() >= MOST {
            done.clear();
            done.epoch = epoch;
        }
        done.digests.insert(digest)
    }
}
