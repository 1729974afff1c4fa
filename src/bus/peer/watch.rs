//! A call that was sent, as its Respite watches it: when to ask about it, when to give it up.

use std::time::{Duration, Instant};

use super::message::Message;

/// How often a call that takes long is asked about.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is known of a call that was sent.
#[derive(Debug)]
pub(in crate::bus) struct Watch {
    sent: Instant,
    deadline: Instant,
    /// How long its Respite may be silent.
    visibility: Duration,
    asked: Option<Instant>,
    withdraw: bool,
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) enum Due {
    Nothing,
    /// Its Respite is to be asked.
    Ask,
    /// Its Respite has not answered: the backing may know more. Then it is to be asked again.
    Look,
    /// It has been silent for so long that the worker is lost.
    Lost,
    /// The caller's time is up.
    Late,
}

impl Watch {
    pub(in crate::bus) fn new(sent: Instant, deadline: Instant, visibility: Duration) -> Self {
        Watch {
            sent,
            deadline,
            visibility,
            asked: None,
            withdraw: false,
        }
    }

    pub(in crate::bus) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the call was wanted back.
    pub(in crate::bus) fn is_withdrawn(&self) -> bool {
        self.withdraw
    }

    /// What is to be done now. `heard`: when its Respite said last that it has the call; `wanted`: a worker waits here.
    pub(in crate::bus) fn due(
        &mut self,
        now: Instant,
        heard: Option<Instant>,
        wanted: bool,
    ) -> Due {
        if now >= self.deadline {
            return Due::Late;
        }
        let was_wanted = std::mem::replace(&mut self.withdraw, wanted);
        let Some(asked) = self.asked else {
            return Due::Ask;
        };
        if asked + ASK_EVERY > now && was_wanted == wanted {
            return Due::Nothing;
        }
        if heard.is_some_and(|heard| heard >= asked) {
            return Due::Ask;
        }
        let silent = now.saturating_duration_since(heard.unwrap_or(self.sent));
        if silent >= self.visibility {
            return Due::Lost;
        }
        Due::Look
    }

    /// The question to its Respite.
    pub(in crate::bus) fn ask(&mut self, now: Instant, id: String, has_workers: bool) -> Message {
        self.asked = Some(now);
        let age = now.saturating_duration_since(self.sent).as_millis();
        Message::Ask {
            id,
            age_ms: u64::try_from(age).unwrap_or(u64::MAX).saturating_add(1),
            withdraw: self.withdraw,
            has_workers,
        }
    }
}
