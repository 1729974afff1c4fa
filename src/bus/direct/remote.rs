//! Direct calls whose callers are on other Respites: what their Respites ask of them.

use std::time::{Duration, Instant};

use super::{DirectCalls, Look, State};
use crate::bus::error::BusError;
use crate::bus::outcome::Outcome;
use crate::bus::peer::Recently;

/// How long a call whose Respite has not been heard of is kept here after its time.
const LINGERS: Duration = Duration::from_secs(5);

/// What another Respite's call is like.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) enum Standing {
    /// No worker has it yet.
    Queued,
    /// A worker has it, since then.
    Handed(Instant),
    /// Its caller gave it up.
    Cancelled,
    Recently(Recently),
    /// It has never been here, and will not be.
    Absent,
    /// It may have been here.
    Unknown,
}

impl DirectCalls {
    /// Whether a call that was sent then has not come before; one that may have is not taken.
    pub(in crate::bus) fn is_new(&self, number: &str, sent: Option<Instant>) -> bool {
        !self.calls.contains_key(number)
            && self.recent.get(number).is_none()
            && self.recent.covers(sent)
    }

    /// No worker will have this call, should it still come.
    pub(in crate::bus) fn refuse(&mut self, number: &str) {
        self.recent.note(number, Recently::Returned);
    }

    /// The outcome of a call that has ended here.
    pub(in crate::bus) fn note_outcome(&mut self, number: &str, outcome: &Outcome) {
        self.recent.note(number, Recently::Ended(outcome.clone()));
    }

    /// The backing has the outcome of the call.
    pub(in crate::bus) fn note_stored(&mut self, number: &str) {
        self.recent.note(number, Recently::Stored);
    }

    /// What became of a call that is over here.
    pub(in crate::bus) fn recently(&self, number: &str) -> Option<Recently> {
        self.recent.get(number).cloned()
    }

    /// What became of a call that was sent then by a Respite that asks. `withdraw`: it is taken back if no worker has it.
    pub(in crate::bus) fn asked(
        &mut self,
        number: &str,
        origin: &str,
        sent: Option<Instant>,
        withdraw: bool,
    ) -> Standing {
        if let Some(call) = self.calls.get(number) {
            if call.begun.origin.as_deref() != Some(origin) {
                return Standing::Unknown;
            }
            return match self.look(number, withdraw) {
                Look::Queued => Standing::Queued,
                Look::Withdrawn => Standing::Recently(Recently::Returned),
                Look::Handed(since) => Standing::Handed(since),
                Look::Gone => Standing::Cancelled,
            };
        }
        if let Some(recently) = self.recent.get(number) {
            return Standing::Recently(recently.clone());
        }
        if self.recent.covers(sent) {
            self.refuse(number);
            return Standing::Absent;
        }
        Standing::Unknown
    }

    /// Forgets what nobody asks about any more.
    pub(in crate::bus) fn prune(&mut self, now: Instant) {
        let is_over = |call: &super::Call| {
            let visibility = Duration::from_millis(call.method.options.visibility_ms);
            match &call.state {
                State::Cancelled { over, .. } => *over <= now,
                // Its Respite would have had it stored, or taken it back.
                State::Handed(handed) => {
                    call.begun.origin.is_some() && now > handed.at + visibility + LINGERS
                }
                State::Queued(_) => call.begun.origin.is_some() && now > call.deadline + LINGERS,
            }
        };
        let calls = self.calls.iter();
        let over: Vec<_> = calls
            .filter(|(_, call)| is_over(call))
            .map(|(number, call)| (number.clone(), call.method.clone()))
            .collect();
        for (number, method) in over {
            if self.look(&number, true) != Look::Withdrawn {
                let lost = Outcome::Failed(BusError::WorkerSilent(method.name.clone()));
                self.take_out(&number, Recently::Ended(lost));
            }
        }
    }
}
