//! What is left to do, and to live with, when a pinned connection is lost.

use super::{Io, Leftover, Pinned};
use crate::session::replies::Replies;
use crate::upstream::{Failure, ReplySink, Sent, UpstreamError};

impl Pinned {
    /// What the session has to live with when the connection is lost now.
    pub(crate) fn leftover(&self) -> Leftover {
        let tracking = self.tracking.is_some();
        if self.is_subscriber() || tracking || self.no_touch || self.kept || self.sticky {
            Leftover::Stream
        } else if self.sent_multi && matches!(self.io, Io::Opening(_)) && self.replay.is_none() {
            Leftover::RefusedMulti
        } else if self.sent_multi {
            Leftover::Transaction
        } else if self.leaves_watch() {
            Leftover::Watch
        } else {
            Leftover::Nothing
        }
    }

    /// Answers every expected reply with an error, because the connection is lost.
    pub(crate) fn fail(&mut self, error: &UpstreamError, replies: &Replies) {
        if self.begun {
            replies.abort();
        }
        let opened = matches!(self.io, Io::Open(_));
        // What a node of a cluster has queued is not executed, and the client goes on.
        let queued = self.sent_multi && self.replay.is_some();
        let sent = match opened && !queued {
            true => Sent::Yes,
            false => Sent::No,
        };
        let mut failure = Failure::new(error, sent);
        failure.refusal |= queued;
        for awaited in self.expected.drain(..) {
            if let Some(ticket) = awaited.ticket {
                replies.lost(ticket, &failure, 1);
            }
        }
    }
}
