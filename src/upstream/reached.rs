//! Waiting for the next try, but no longer than until somebody else's try succeeds.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// Waits, but only until a connection is opened, or a master named, that `reached` has not seen. Whether there was one.
pub(super) async fn sleep_unless_reached(
    wait: Duration,
    reached: &mut watch::Receiver<u64>,
) -> bool {
    tokio::select! {
        () = sleep(wait) => false,
        // The sender lives in the backing, as long as anybody connects to it.
        changed = reached.changed() => changed.is_ok(),
    }
}
