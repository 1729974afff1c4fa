//! What the backing was told of subscriptions and has not answered yet.

use std::rc::Rc;
use std::time::Instant;

use super::naming::{Name, Naming};
use super::subscriber::Subscriber;
use crate::upstream::Ticket;

/// One command, and who waits for it; nobody: the client is gone.
pub(super) struct Pending {
    pub(super) naming: Naming,
    pub(super) what: What,
    pub(super) who: Option<(Rc<Subscriber>, Ticket)>,
    /// When it was asked for.
    pub(super) since: Instant,
}

/// What it is about.
pub(super) enum What {
    /// `left` confirmations are to come; those `added` were new to the client.
    Begin { left: usize, added: Vec<Name> },
    /// `left` confirmations are to come, then the answer of the marker. Then the client is told of all `names`.
    End { left: usize, names: Vec<Name> },
    /// A command of the client's that has one reply.
    Ask,
    /// Whether the backing is still there.
    Alive,
}
