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
        self.worker.directions.is_divided() && self.is_unserved_by_nodes(request)
    }

    /// Tells the client so.
    pub(super) fn refuse_unserved(&mut self) -> Flow {
        self.refuse_with(UNSERVED)
    }

    #[cold]
    fn is_unserved_by_nodes(&self, request: Request<'_>) -> bool {
        // State in one connection says nothing to the other nodes.
        let sub = request.args.get(1).unwrap_or_default();
        request.handling() == Handling::Local(Local::Client)
            && (sub.eq_ignore_ascii_case(b"TRACKING") || sub.eq_ignore_ascii_case(b"NO-TOUCH"))
    }
}
