//! Where the replies of a link go, and what comes in their place when they are lost.

use std::time::Instant;

use super::wait::Share;
use crate::resp::{Proto, ReplyWriter};
use crate::upstream::error::{Sent, UpstreamError};

/// Names what waits for the replies of a batch. Whoever pushes it says so; with each reply it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(pub u64);

/// Where replies go. Called while the link works on its queue: must not call back into the link.
pub trait ReplySink {
    /// Takes `bytes`, in which `replies` replies of `ticket` end. The last bytes may be the beginning of a
    /// reply whose rest follows.
    fn deliver(&self, ticket: Ticket, bytes: &[u8], replies: u32);
    /// Hears that the replies which are delivered next took long.
    fn slow(&self, _ticket: Ticket, _reply: SlowReply<'_>) {}
    /// The reply that was begun cannot be finished; the reader has to be cut off.
    fn abort(&self);
    /// `replies` replies of `ticket` will not come, for this reason.
    fn lost(&self, ticket: Ticket, failure: &Failure, replies: u32);
    /// Whether a loss ends the reader, who then sees nothing of what it asked later: that is not to
    /// be executed either.
    fn ends_with_loss(&self) -> bool;
    /// Tells readers apart, whatever stands in for them.
    fn identity(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }
    /// Whether it waits for a request that was sent on once.
    fn is_resent(&self) -> bool {
        self.asked_first().is_some()
    }

    /// When the request was asked first, if it is one that was sent on.
    fn asked_first(&self) -> Option<Instant> {
        None
    }
    /// Whether its requests are for this node alone: whatever it says is the reply, and they are never sent on.
    fn is_for_node(&self) -> bool {
        false
    }
    /// Whether nothing was asked behind what this ticket is for.
    fn is_last(&self, _ticket: Ticket) -> bool {
        false
    }
    /// Hears that a request is sent elsewhere, and when that has come to its end.
    fn redirecting(&self, _begins: bool) {}
}

/// A reply that took long.
#[derive(Debug, Clone)]
pub struct SlowReply<'a> {
    /// The request; of several whose replies came together, the heaviest.
    pub request: &'a [u8],
    /// When the backing could begin with it: it was sent, and all before it were answered.
    pub begun: Instant,
    /// Says whether it was this one that took long, or another one that was answered together with it.
    pub share: Share,
}

/// Why a command has no reply.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The error for a client that is to be told, without the `-`.
    pub text: String,
    /// A client has to be told, whatever it would be otherwise.
    pub refusal: bool,
    /// The backing does not let the user in any more whose command it was.
    pub logged_out: bool,
}

impl Failure {
    /// What a client gets for a command that `error` ended.
    pub fn new(error: &UpstreamError, sent: Sent) -> Self {
        Failure {
            text: error.client_text(sent),
            refusal: error.is_refusal(),
            logged_out: error.refuses_login(),
        }
    }

    /// The error as `replies` replies.
    pub fn replies(&self, replies: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..replies {
            ReplyWriter::new(&mut bytes, Proto::Resp2).error(&self.text);
        }
        bytes
    }
}
