//! What subscriptions name.

use std::rc::Rc;

use crate::command::Channel;
use crate::resp::{Proto, ReplyWriter};

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

    /// Writes that a subscription has ended: a name, or that there was none; `count` are left.
    pub(crate) fn write_ended(
        self,
        name: Option<&[u8]>,
        count: u32,
        proto: Proto,
        out: &mut Vec<u8>,
    ) {
        let word = match self {
            Naming::Channels => "unsubscribe",
            Naming::Patterns => "punsubscribe",
        };
        write(word, name, count, &mut ReplyWriter::new(out, proto));
    }

    /// Writes that one is there.
    pub(super) fn write_begun(self, name: &[u8], count: u32, proto: Proto, out: &mut Vec<u8>) {
        let word = match self {
            Naming::Channels => "subscribe",
            Naming::Patterns => "psubscribe",
        };
        write(word, Some(name), count, &mut ReplyWriter::new(out, proto));
    }
}

fn write(word: &str, name: Option<&[u8]>, count: u32, reply: &mut ReplyWriter<'_>) {
    reply.push(3);
    reply.bulk(word);
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(i64::from(count));
}
