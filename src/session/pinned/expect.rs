//! What a request on a pinned connection makes of its reply.

use std::time::Duration;

use super::super::monitors::Lines;
use super::super::state::SameClient;
use crate::command::{Channel, Local};
use crate::resp::ArgVec;
use crate::upstream::Ticket;

/// Ends a transaction without executing it, whatever its user may run: an `EXEC` that is refused discards it, and the
/// number of its arguments is looked at before anybody's rules. A user need not be allowed to `DISCARD`.
pub(crate) const ABORT: &[u8] = b"*2\r\n$4\r\nEXEC\r\n$5\r\nabort\r\n";

/// Client-side caching state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tracking {
    /// By prefixes, not by what was read.
    pub(crate) broadcast: bool,
    /// Who is told of invalidations instead.
    pub(crate) redirect: Option<SameClient>,
}

/// The effect that the next reply has.
#[derive(Debug)]
pub(crate) enum Expect {
    /// None: it goes to the client.
    Plain,
    /// As plain, of a command that may have done anything to the connection, unless the backing says that it does
    /// not know it.
    Unknown,
    /// As plain, of a command that waits at the backing: so long at most, or for ever.
    Blocking(Option<Duration>),
    /// Of a command of our own: nobody sees it, but it must not be an error.
    Swallow,
    /// Of a command of our own: nobody sees it, whatever it is.
    Ignore,
    /// Of a part of a transaction that was answered already and is played again at another node; `begins`: it is the
    /// `MULTI`, and the rest is sent when that has succeeded.
    Replayed {
        begins: bool,
    },
    /// Sent in a transaction: queued, with what it means when `EXEC` runs it.
    Queued(Queued),
    Multi,
    /// With the queued commands as `MONITOR` shows them, itself last, and what was handled behind it meanwhile.
    Exec(Lines, Lines),
    Discard,
    /// Of so many keys.
    Watch(u32),
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
    /// Of a command of our own that subscribes again; `left` confirmations are still to come.
    Resubscribe {
        left: usize,
    },
    /// On success this is tracked; none: nothing.
    Tracking(Option<Tracking>),
    NoTouch(bool),
    /// Of a command that may show the backing's id of where invalidations go: the client gets ours.
    ShowsId,
    /// Whatever it says, the client gets this instead.
    Instead(Vec<u8>),
    /// Of [`ABORT`]: the transaction is over, and the client gets this instead.
    Aborted(Vec<u8>),
}

/// A request whose reply is to come.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// What the reply changes.
    pub(crate) expect: Expect,
    /// For the client's reply, if it is owed one.
    pub(crate) ticket: Option<Ticket>,
    /// The request, where it may have to be sent to another node.
    pub(crate) request: Option<Box<[u8]>>,
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
    /// It changes subscriptions, or what else cannot be followed.
    Subscription,
    /// Its success changes what is tracked.
    Tracking(Option<Tracking>),
    /// It may show the backing's id of where invalidations go.
    ShowsId,
    /// Something else stands in for it; this is its reply.
    Answer(Vec<u8>),
}

/// The commands queued since `MULTI`, as far as they matter.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) queued: u32,
    pub(crate) special: Vec<(u32, Queued)>,
    /// Bytes of what the session answers itself.
    pub(crate) bytes: usize,
}

impl Transaction {
    /// One more command is queued.
    pub(crate) fn queue(&mut self, what: Queued) {
        if !matches!(what, Queued::Plain) {
            self.bytes += what.bytes();
            self.special.push((self.queued, what));
        }
        self.queued += 1;
    }
}

impl Queued {
    /// Bytes that are kept of the command.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Queued::Local(_, args) => args.bytes(),
            Queued::Answer(reply) => reply.len(),
            Queued::Plain
            | Queued::Select(_)
            | Queued::Subscription
            | Queued::Tracking(_)
            | Queued::ShowsId => 0,
        }
    }
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
