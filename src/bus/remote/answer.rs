//! What a Respite answers about a call that another one sent: decided on the table of direct calls alone, in one step.

use std::time::{Duration, Instant};

use crate::bus::direct::{DirectCalls, Ended, Keeping, RemoteStanding};
use crate::bus::error::BusError;
use crate::bus::id::number_of;
use crate::bus::outcome::Outcome;
use crate::bus::peer::{Message, Recently};

/// What became of a cancellation.
#[derive(Debug)]
pub(super) enum Cancelled {
    /// The call is over; the backing may have heard of it. The answer is for a caller that waits for one.
    Here { unsure: bool, answer: Message },
    /// The backing has it.
    Stored,
    /// It may be in the backing in a moment.
    Keeping(Keeping),
    /// It was over before.
    Over(Option<Message>),
}

/// Answers a question; also since when a worker has the call, if one has.
pub(super) fn answer(
    direct: &mut DirectCalls,
    (id, from): (&str, &str),
    (now, age_ms): (Instant, u64),
    withdraw: bool,
) -> (Message, Option<Instant>) {
    let sent = now.checked_sub(Duration::from_millis(age_ms));
    let standing = direct.asked(number_of(id), from, sent, withdraw);
    let id = id.to_owned();
    let answer = match standing {
        RemoteStanding::Handed(since) => return (Message::Held { id }, Some(since)),
        RemoteStanding::Queued => Message::Held { id },
        RemoteStanding::Cancelled => late(id),
        RemoteStanding::Absent => Message::Returned { id },
        RemoteStanding::Unknown => Message::Lost { id },
        RemoteStanding::Recently(recently) => match recently {
            Recently::Ending => Message::Held { id },
            Recently::Stored => Message::Stored { id },
            Recently::Returned => Message::Returned { id },
            Recently::Ended(outcome) => Message::Outcome { id, outcome },
        },
    };
    (answer, None)
}

/// Cancels a call whose caller does not wait any more.
pub(super) fn cancel(direct: &mut DirectCalls, id: &str) -> Cancelled {
    let number = number_of(id);
    let known = direct.recently(number);
    match (direct.cancel(number), known) {
        (Ended::Keeping(over), _) => Cancelled::Keeping(over),
        (Ended::Here { unsure, .. }, _) => Cancelled::Here {
            unsure,
            answer: late(id.to_owned()),
        },
        (_, Some(Recently::Stored)) => Cancelled::Stored,
        (_, Some(Recently::Ended(outcome))) => {
            let id = id.to_owned();
            Cancelled::Over(Some(Message::Outcome { id, outcome }))
        }
        // Its outcome is about to be sent.
        (_, Some(Recently::Ending)) => Cancelled::Over(None),
        (ended, known) => {
            if matches!(ended, Ended::Unknown) && known.is_none() {
                // It has not come yet.
                direct.refuse(number);
            }
            Cancelled::Over(Some(late(id.to_owned())))
        }
    }
}

fn late(id: String) -> Message {
    let outcome = Outcome::Failed(BusError::Deadline);
    Message::Outcome { id, outcome }
}
