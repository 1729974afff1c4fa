//! What the bus says when a command or a call fails: one variant per error reply, whose text is what `Display` gives.

use std::sync::Arc;

use crate::upstream::ControlError;

/// An error reply of the bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BusError {
    // === how a call ends ===
    #[error("DEADLINE the call was not answered in time")]
    Deadline,
    #[error("NOWORKER no worker serves '{0}'")]
    NoWorker(String),
    #[error("NOMETHOD no method '{0}'")]
    NoMethod(String),
    /// The method was unregistered while the call was under way.
    #[error("NOMETHOD the method was unregistered")]
    Unregistered,
    #[error("BUSY '{method}' has {most} calls pending")]
    Busy { method: String, most: u64 },
    #[error("BADARGS {0}")]
    BadArguments(String),
    #[error("CANCELLED the caller is gone")]
    CallerGone,
    /// The connection of this worker closed.
    #[error("WORKERLOST the worker {0} was lost")]
    WorkerLost(String),
    /// A worker of this method was not heard of in time.
    #[error("WORKERLOST a worker of '{0}' was lost")]
    WorkerSilent(String),
    /// The Respite that took the call knows no more of it, or does not answer.
    #[error("WORKERLOST the worker, or its Respite, was lost")]
    PeerLost,
    /// The worker said so.
    #[error("BUSFAIL {code} {message}")]
    Failed { code: String, message: String },

    // === calls by their ids ===
    #[error("NOCALL no such call, or it has expired")]
    UnknownCall,
    /// A call that was waited for expired.
    #[error("NOCALL the call is not known any more")]
    Forgotten,

    // === what was asked for ===
    #[error("ERR syntax error")]
    Syntax,
    /// An argument is not allowed; the text says which and why.
    #[error("ERR {0}")]
    Invalid(String),
    #[error("ERR {what} must be at most {most} bytes")]
    TooLarge { what: &'static str, most: usize },
    #[error("ERR a bus has at most {0} methods")]
    TooManyMethods(usize),
    #[error("ERR more than {0} buses are in use")]
    TooManyBuses(usize),
    #[error("ERR clients of this address use more than {0} buses")]
    TooManyBusesOfAddress(usize),

    // === what did not work out ===
    #[error("ERR the method or its workers changed too often")]
    ChangedTooOften,
    /// The Respite that owns a direct call does not have it persisted.
    #[error("ERR the Respite where the call began does not answer")]
    PeerSilent,
    /// What was to be done ended before it was.
    #[error("ERR {0}")]
    Interrupted(&'static str),
    #[error("ERR the bus needs scripts and streams in the Redis behind: version 6.0 or newer")]
    NoScripts,
    /// The backing could not be asked, or did not answer.
    #[error("{0}")]
    Upstream(Arc<str>),
    /// An error that the backing or another Respite told as text; also the outcomes of calls are kept as text.
    #[error("{0}")]
    Told(Arc<str>),
}

impl BusError {
    /// An error that came as text.
    pub(super) fn told(text: impl Into<Arc<str>>) -> Self {
        BusError::Told(text.into())
    }

    /// An argument that is not allowed, and why.
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        BusError::Invalid(text.into())
    }

    /// Whether the backing could not be asked, or did not answer: it is worth trying again.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, BusError::Upstream(_))
    }
}

impl From<ControlError> for BusError {
    fn from(error: ControlError) -> Self {
        let text = error.client_text();
        let lower = text.to_ascii_lowercase();
        if lower.contains("unknown command") || lower.contains("unknown redis command") {
            return BusError::NoScripts;
        }
        match error {
            ControlError::Upstream(..) => BusError::Upstream(text.into()),
            // The backing is a Respite, and its own backing is away.
            error if error.has_code("UPSTREAM") => BusError::Upstream(text.into()),
            ControlError::Server(_) => BusError::told(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_backing_says_keeps_its_text() {
        let told = |text: &str| BusError::from(ControlError::Server(text.to_owned()));
        for (text, is_outage) in [
            ("WRONGTYPE Operation against a key", false),
            ("UPSTREAM its own backing is away", true),
            ("UPSTREAMS is another code", false),
        ] {
            let error = told(text);
            assert_eq!((&*error.to_string(), error.is_outage()), (text, is_outage));
        }
        assert_eq!(told("ERR unknown command 'EVALSHA'"), BusError::NoScripts);
    }
}
