//! How a call ends: the worker's outcome, what callers get, and the bounds of both.

use std::sync::Arc;
use std::time::Duration;

/// The error of a call that was not answered in time.
pub(super) const DEADLINE: &str = "DEADLINE the call was not answered in time";
/// The error of a call whose caller does not wait any more.
pub(super) const GONE: &str = "CANCELLED the caller is gone";
/// How long an outcome that is on its way, or the backing's word on it, is waited for when the time is up.
pub(super) const LAST_MOMENT: Duration = Duration::from_secs(1);
/// How much longer than its time a command waits for a backing that is slow to say how things are.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The most bytes of a call's arguments and payload, and of a result. What a fetch brings must fit into what is kept for a
/// client that reads slowly.
pub(super) const MOST_BODY: usize = 64 * 1024 * 1024;

/// How a call ended: the worker's payload, or the error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Done(Arc<[u8]>),
    Failed(Arc<str>),
}

impl Outcome {
    /// What the caller gets, of either kind.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Outcome::Done(payload) => payload,
            Outcome::Failed(error) => error.as_bytes(),
        }
    }
}

/// A worker's outcome: the payload, or what went wrong and whether to try again.
#[derive(Debug)]
pub(super) enum Work {
    Done(Vec<u8>),
    Failed {
        code: String,
        message: String,
        retry: bool,
    },
}

impl Work {
    /// What callers get.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Work::Done(payload) => Outcome::Done(payload.as_slice().into()),
            Work::Failed { code, message, .. } => {
                Outcome::Failed(format!("BUSFAIL {code} {message}").into())
            }
        }
    }
}

/// Checks the size of what goes to the backing in one piece.
///
/// # Errors
/// The error reply, which says `what` is too large.
pub(super) fn fits(bytes: usize, what: &str) -> Result<(), String> {
    if bytes > MOST_BODY {
        return Err(format!("ERR {what} must be at most {MOST_BODY} bytes"));
    }
    Ok(())
}
