//! What a request on a pinned connection makes of its reply.

use super::super::state::SameClient;
use crate::command::{Channel, Local};
use crate::resp::ArgVec;

/// The effect that the next reply has.
#[derive(Debug)]
pub(crate) enum Expect {
    /// None: it goes to the client.
    Plain,
    /// As plain, of a command that may wait for ever.
    Blocking,
    /// Of a command of our own: nobody sees it, but it must not be an error.
    Swallow,
    /// Of a command of our own: nobody sees it, whatever it is.
    Ignore,
    /// Sent in a transaction: queued, with what it means when `EXEC` runs it.
    Queued(Queued),
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    /// On success the connection is in this database.
    Select(u32),
    /// `left` confirmations are still to come.
    Subscribe {
        left: usize,
    },
    /// `left` confirmations; unknown (all subscriptions of that kind) until it is its turn.
    Unsubscribe {
        kind: Channel,
        left: Option<usize>,
    },
    Tracking(bool),
    NoTouch(bool),
    Monitor,
    /// Of a command that may show this client's id at the backing: the client gets ours.
    ShowsId(SameClient),
    /// Whatever it says, the client gets this instead.
    Instead(Vec<u8>),
}

/// What a command that waits in a transaction means to the session.
#[derive(Debug)]
pub(crate) enum Queued {
    /// Nothing.
    Plain,
    /// Its success changes the database.
    Select(u32),
    /// Something else stands in for it; the session answers it when `EXEC` runs.
    Local(Local, ArgVec),
    /// It changes subscriptions.
    Subscription,
}

/// The commands queued since `MULTI`, as far as they matter.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) queued: u32,
    pub(crate) special: Vec<(u32, Queued)>,
}

/// Which out-of-band message a frame of a pinned connection is, if it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmation {
    Subscribed(Channel),
    Unsubscribed(Channel),
}

impl Confirmation {
    /// Reads the first word of a pub/sub frame.
    pub(crate) fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"subscribe" => Confirmation::Subscribed(Channel::Exact),
            b"psubscribe" => Confirmation::Subscribed(Channel::Pattern),
            b"ssubscribe" => Confirmation::Subscribed(Channel::Shard),
            b"unsubscribe" => Confirmation::Unsubscribed(Channel::Exact),
            b"punsubscribe" => Confirmation::Unsubscribed(Channel::Pattern),
            b"sunsubscribe" => Confirmation::Unsubscribed(Channel::Shard),
            _ => return None,
        })
    }
}

/// Whether the first word of a frame says that it is a published message.
pub(crate) fn is_message(word: &[u8]) -> bool {
    matches!(word, b"message" | b"pmessage" | b"smessage")
}
