//! What is not served where keys are divided among several nodes: it is refused, because one node's answer
//! would be taken for that of all.

use super::client::Session;
use super::dispatch::Flow;
use super::request::Request;
use crate::command::{Handling, Local};

/// What a client is told.
const UNSERVED: &str =
    "ERR Respite does not serve this command behind a cluster, see docs/cluster.md";

impl Session {
    /// Whether a command is one of those.
    #[inline]
    pub(super) fn is_unserved(&self, request: Request<'_>) -> bool {
        request.handling() == Handling::Local(Local::Client)
            && self.worker.directions.is_divided()
            && leaves_state(request)
    }

    /// Tells the client so.
    pub(super) fn refuse_unserved(&mut self) -> Flow {
        self.refuse_with(UNSERVED)
    }
}

/// Whether a `CLIENT` command leaves state in one connection, which says nothing to the other nodes.
#[cold]
fn leaves_state(request: Request<'_>) -> bool {
    let sub = request.args.get(1).unwrap_or_default();
    sub.eq_ignore_ascii_case(b"TRACKING") || sub.eq_ignore_ascii_case(b"NO-TOUCH")
}
