//! Whether a link is good for the next command of somebody who waits for nothing. It does not choose among links.

use super::{Link, LinkState};

/// A reply of which more has been passed on keeps others from taking the link.
const CLOGGED_BYTES: usize = 1024 * 1024;

impl Link {
    /// Whether commands are outstanding and nothing has come for a while, at the last tick.
    pub fn is_silent(&self) -> bool {
        self.inner.borrow().silent
    }

    /// Whether it is connected.
    pub fn is_up(&self) -> bool {
        matches!(self.inner.borrow().state, LinkState::Up)
    }

    /// Whether it is connected, and not silent.
    pub fn answers(&self) -> bool {
        let inner = self.inner.borrow();
        matches!(inner.state, LinkState::Up) && !inner.silent
    }

    /// Whether a large reply is under way, behind which all others wait.
    pub fn is_clogged(&self) -> bool {
        self.inner.borrow().passed > CLOGGED_BYTES
    }

    /// Whether the next command of somebody who waits for nothing may take it as before.
    pub fn is_usable(&self) -> bool {
        let inner = self.inner.borrow();
        !matches!(inner.state, LinkState::Closed) && !inner.silent && inner.passed <= CLOGGED_BYTES
    }
}
