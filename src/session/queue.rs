//! What is known of a client's transactions.

use std::sync::Arc;

use super::monitors::Lines;
use crate::access::{AccessList, UserId};

/// What is known of the transaction at hand.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Its commands as `MONITOR` shows them.
    pub(super) lines: Lines,
    /// Who the client will be when the next command is executed, when an `AUTH` is queued.
    pub(super) user: Option<UserId>,
    /// The rules that its commands were judged by.
    pub(super) access: Option<Arc<AccessList>>,
    /// It may make the client another user, or change its protocol version.
    pub(super) logs_in: bool,
}

/// What a session knows of its transactions.
#[derive(Debug, Default)]
pub(super) struct Queueing {
    /// The one at hand.
    pub(super) queue: Queue,
    /// An `EXEC` without a reply yet may make the client another user.
    pub(super) awaits_login: bool,
}
