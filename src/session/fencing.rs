//! Keeps replies back until the cache has caught up with what their commands did.

use std::sync::Arc;

use super::cached::Fence;
use super::client::Session;
use super::mailbox::ToWorker;
use super::replies::Then;
use super::shared::Shared;
use crate::cache::{Mutant, is_active};
use crate::upstream::Ticket;

/// Keeps a reply back until every fill link has caught up.
struct HeldReply {
    shared: Arc<Shared>,
    worker: usize,
    session: u64,
    ticket: Ticket,
}

impl Drop for HeldReply {
    fn drop(&mut self) {
        let message = ToWorker::Release {
            session: self.session,
            ticket: self.ticket,
        };
        self.shared.tell(self.worker, message);
    }
}

impl Session {
    /// What becomes of a reply that `fence` is for: kept back until the cache has caught up with what
    /// the command did. A client that wants no reply may still ask what the command did, so that
    /// nobody sees it changes nothing.
    pub(super) fn hold(&self, fence: Fence) -> super::replies::Hold {
        let (worker, node) = (self.worker.index, self.ways.to);
        let shared = Arc::clone(&self.worker.shared);
        let session = self.state.entry.id;
        // A `MULTI` before it may be refused: then it is executed, else only queued.
        let queueing = self.pinned.as_ref().is_some_and(|pinned| pinned.in_multi());
        // What a connection of its own carries may be sent to another node before it is executed.
        let moves = self.pinned.is_some() && self.worker.directions.is_divided();
        Box::new(move |ticket, reply| {
            if queueing && reply == b"+QUEUED\r\n" {
                return false;
            }
            if fence == Fence::Unknown && !reply.starts_with(b"-ERR unknown command") {
                shared.cache.flush();
            }
            let held = HeldReply {
                shared: Arc::clone(&shared),
                worker,
                session,
                ticket,
            };
            let held: Arc<dyn Send + Sync> = Arc::new(held);
            if fence != Fence::Pushes && !is_active(Mutant::SwapsNotCounted) {
                shared.swaps.check(Arc::clone(&held));
            }
            if !moves {
                shared.broadcast(|| ToWorker::Fence(node, Arc::clone(&held)));
                return true;
            }
            for node in shared.backing.topology().nodes() {
                shared.broadcast(|| ToWorker::Fence(node.id, Arc::clone(&held)));
            }
            true
        })
    }

    /// What becomes of a reply that is to wait for `fence`, and that nobody sees if `silent`.
    pub(super) fn fenced(&self, then: Then, fence: Fence, silent: bool) -> Then {
        match (then, fence) {
            (_, Fence::None) if silent => Then::Drop,
            (_, fence) if silent && !is_active(Mutant::SilentIsUnfenced) => {
                Then::HoldAndDrop(self.hold(fence))
            }
            _ if silent => Then::Drop,
            (Then::Pass, Fence::None) => Then::Pass,
            (Then::Pass, fence) => Then::Hold(self.hold(fence)),
            (then, _) => then,
        }
    }
}
