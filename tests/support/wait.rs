//! Waiting for a condition, with a deadline; it does not sleep a fixed time for anything.

use std::time::{Duration, Instant};

/// How long a test waits for something that should happen at once, on a machine that is very busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);

/// Looks at `condition` until it holds; panics naming `what` once `deadline` has passed.
#[track_caller]
pub(crate) fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < end, "waited {deadline:?} in vain: {what}");
        std::thread::sleep(POLL);
    }
}
