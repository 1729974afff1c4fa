//! The places that replies take.

use super::{Hold, Rewrite};
use crate::cache::Guard;

/// The place of a reply, or of several of the backing.
pub(super) enum Slot {
    /// `left` replies of the backing. What comes before it is the slot's turn waits in `early`.
    Awaited {
        left: u32,
        fate: Fate,
        early: Vec<u8>,
        guard: Option<Guard>,
    },
    /// A reply that somebody fetches into the cache, by its name. What comes of it before it is the slot's
    /// turn waits here.
    Later(u64, Vec<u8>),
    /// A reply that is in and may not be shown yet.
    Held(Vec<u8>),
    /// Replies made here, waiting for those in front.
    Ready(Vec<u8>),
}

/// What happens to the replies of a slot, and what is left to do it with.
pub(super) enum Fate {
    Pass,
    Drop,
    Rewrite(Option<Rewrite>),
    Hold(Option<Hold>, Shown),
}

/// Whether the client gets a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    No,
}
