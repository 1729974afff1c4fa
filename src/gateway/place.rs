//! The place of a connection among all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

/// A connection's place among all: it is free when the connection has ended, and when what it has switched
/// to has.
pub(super) type Place = Arc<(Left, OwnedSemaphorePermit)>;

/// Takes a connection off its thread's count, however it ends.
pub(super) struct Left(pub(super) Arc<AtomicUsize>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
