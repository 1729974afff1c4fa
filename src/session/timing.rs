//! When the request that waits was read, and for whom times are counted.

use std::time::Instant;

/// When the request that waits was read, and for whom times are counted.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// Since when requests wait, unless it is on purpose.
    pub(super) waits_since: Option<Instant>,
    /// The login for which times are counted.
    pub(super) login: u32,
}
