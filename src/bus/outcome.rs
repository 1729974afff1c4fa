//! How a call ends: the worker's outcome, what callers get, and the bounds of both.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::error::BusError;

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
    Failed(BusError),
}

impl Outcome {
    /// What the caller gets, of either kind.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Outcome::Done(payload) => Cow::Borrowed(payload),
            Outcome::Failed(error) => Cow::Owned(error.to_string().into_bytes()),
        }
    }
}

/// A worker's outcome: the payload, or what went wrong and whether to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    Done(Vec<u8>),
    Failed {
        code: String,
        message: String,
        retry: bool,
    },
}

impl Work {
    /// About how many bytes it has.
    pub(super) fn size(&self) -> usize {
        match self {
            Work::Done(payload) => payload.len(),
            Work::Failed { code, message, .. } => code.len() + message.len(),
        }
    }

    /// What callers get.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Work::Done(payload) => Outcome::Done(payload.as_slice().into()),
            Work::Failed { code, message, .. } => Outcome::Failed(BusError::Failed {
                code: code.clone(),
                message: message.clone(),
            }),
        }
    }
}

/// Checks the size of what goes to the backing in one piece.
///
/// # Errors
/// The error reply, which says `what` is too large.
pub(super) fn fits(bytes: usize, what: &'static str) -> Result<(), BusError> {
    if bytes > MOST_BODY {
        return Err(BusError::TooLarge {
            what,
            most: MOST_BODY,
        });
    }
    Ok(())
}
