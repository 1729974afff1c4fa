//! What all clients make Respite keep, within `limits.memory`.
//!
//! Each session tells (`held`) how much is kept for its client: input that waits, replies that it has not
//! read, what it has queued. Beyond the limit the client for which most is kept is cut off, as
//! Redis does with `maxmemory-clients`. Does not count what is kept for all: links, cache, families.

use std::sync::atomic::AtomicUsize;

use parking_lot::Mutex;

/// The memory of all clients.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) told: AtomicUsize,
    /// One at a time looks for whoever has to go.
    pub(super) evicting: Mutex<()>,
}
