//! What subscriptions name.

use std::rc::Rc;

use crate::command::Channel;

/// The name of a channel, or a pattern.
pub(super) type Name = Rc<[u8]>;

/// Whether names are of channels or patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    Channels,
    Patterns,
}

impl Naming {
    /// What a command is about; none: channels of slots.
    pub(crate) fn of(channel: Channel) -> Option<Self> {
        match channel {
            Channel::Exact => Some(Naming::Channels),
            Channel::Pattern => Some(Naming::Patterns),
            Channel::Shard => None,
        }
    }

    /// The command that ends subscriptions.
    pub(super) fn end(self) -> &'static [u8] {
        match self {
            Naming::Channels => b"UNSUBSCRIBE",
            Naming::Patterns => b"PUNSUBSCRIBE",
        }
    }
}
