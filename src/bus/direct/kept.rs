//! Direct calls that the backing is told of.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{DirectCalls, Keeping, State};
use crate::bus::method::Method;
use crate::bus::peer::Recently;
use crate::clock;

/// What the backing is told of a call that a worker has.
#[derive(Debug)]
pub(in crate::bus) struct Kept {
    pub(in crate::bus) method: Arc<Method>,
    pub(in crate::bus) token: String,
    pub(in crate::bus) worker: String,
    pub(in crate::bus) timeout_ms: u64,
    /// The Respite of the caller, if it is another one.
    pub(in crate::bus) origin: Option<Arc<str>>,
    pub(in crate::bus) left: Duration,
    /// Since when it waits, since when the worker has it.
    pub(in crate::bus) begun: Duration,
    pub(in crate::bus) handed: Duration,
}

/// The way to have a call kept.
#[derive(Debug)]
pub(in crate::bus) enum Keep {
    /// It is to be done now; dropping the sender says that it is over.
    Begin(Kept, watch::Sender<()>),
    /// Somebody does it.
    Wait(Keeping),
    /// There is nothing to keep.
    Not,
}

impl DirectCalls {
    /// Begins to have a call kept in the backing.
    pub(in crate::bus) fn keep(&mut self, number: &str) -> Keep {
        let Some(call) = self.calls.get_mut(number) else {
            return Keep::Not;
        };
        let State::Handed(handed) = &mut call.state else {
            return Keep::Not;
        };
        if let Some(keeping) = handed.keeping() {
            return Keep::Wait(keeping);
        }
        let (over, keeping) = watch::channel(());
        handed.keeping = Some(keeping);
        let now = clock::precise();
        let kept = Kept {
            method: Arc::clone(&call.method),
            token: handed.token.clone(),
            worker: handed.worker.clone(),
            timeout_ms: call.begun.timeout_ms,
            origin: call.begun.origin.clone(),
            left: call.deadline.saturating_duration_since(now),
            begun: now.saturating_duration_since(call.begun.at),
            handed: now.saturating_duration_since(handed.at),
        };
        Keep::Begin(kept, over)
    }

    /// The backing has the call, or there is no such method any more.
    pub(in crate::bus) fn remove(&mut self, number: &str) {
        self.take_out(number, Recently::Stored);
    }

    /// The backing did not say that it has the call.
    pub(in crate::bus) fn not_kept(&mut self, number: &str) {
        if let Some(call) = self.calls.get_mut(number)
            && let State::Handed(handed) = &mut call.state
        {
            handed.keeping = None;
            call.unsure = true;
        }
    }
}
