//! What the backing answers to operations. Nobody else knows the shape of these answers.

use redis::Value;

use super::lease::Granted;
use super::operation::Operation;
use super::value::{bytes, count, list, next, number, pairs, text};
use crate::bus::error::BusError;
use crate::bus::fetch::{Delivered, Worker, read_patterns};
use crate::bus::id::method_of;
use crate::bus::method::Body;
use crate::bus::outcome::Outcome;
use crate::bus::peer::Secret;

/// What came back for operations that were sent together.
#[derive(Debug)]
pub(in crate::bus) struct Exchanged {
    /// The state of the registry that they were sent with.
    pub(in crate::bus) stamp: String,
    /// One for each operation.
    pub(in crate::bus) answers: Vec<Answer>,
    /// Calls that have ended and that somebody here waits for.
    pub(in crate::bus) ended: Vec<String>,
    /// The errors of calls that have failed, by method.
    pub(in crate::bus) failed: Vec<(String, String)>,
    /// How many calls were queued, by method.
    pub(in crate::bus) queued: Vec<(String, usize)>,
    /// The workers that are alive, if a call found none.
    pub(in crate::bus) workers: Option<Vec<Worker>>,
    /// When the next call is due, in milliseconds, if that was looked at.
    pub(in crate::bus) due_ms: Option<u64>,
    /// How many other Respites have fetches that wait, if that was looked at.
    pub(in crate::bus) others: Option<i64>,
}

/// The answer to one operation.
#[derive(Debug)]
pub(in crate::bus) enum Answer {
    /// There is nothing to say.
    Nothing,
    Keep(KeepAnswer),
    Reply(ReplyAnswer),
    /// To [`Operation::End`] and [`Operation::Look`].
    Status(CallStatus),
    Call(CallAnswer),
    Beat(BeatAnswer),
    /// How many calls no worker has yet, by method.
    Ready(Vec<(String, usize)>),
    Lease(Granted),
    Fetch(FetchAnswer),
}

/// What became of a direct call that was to be persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus) enum KeepAnswer {
    Kept,
    /// There is no such method any more.
    Unregistered,
    Unclear,
}

/// What became of a worker's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus) struct ReplyAnswer {
    pub(in crate::bus) accepted: bool,
    /// How long the worker had the call.
    pub(in crate::bus) worked_us: i64,
}

/// What the backing knows of a call.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) enum CallStatus {
    Unknown,
    /// It has no outcome yet.
    Pending,
    /// Enough was told for once: to be asked again.
    Later,
    Ended {
        outcome: Outcome,
        /// It is kept for others: the backing is not to be told that the caller has it.
        is_kept: bool,
    },
    /// Whether it was cancelled by that.
    Cancelled(bool),
    /// What is kept of it was not written by a Respite.
    Unclear,
}

/// What became of a new call.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) enum CallAnswer {
    Queued {
        id: String,
    },
    /// An equal call is under way: this one waits for it.
    Joined {
        id: String,
    },
    /// The result was there; a cast has it under this id.
    Cached {
        value: Vec<u8>,
        id: String,
    },
    NoWorker,
    Busy,
    /// The method is not the one that is known here.
    Changed,
}

/// The calls that a worker asked about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::bus) struct BeatAnswer {
    pub(in crate::bus) lost: Vec<String>,
    pub(in crate::bus) cancelled: Vec<String>,
    /// How long each may take from now on; 0 if it was not extended.
    pub(in crate::bus) visibility_ms: Vec<u64>,
}

/// What a fetch brings.
#[derive(Debug)]
pub(in crate::bus) enum FetchAnswer {
    Calls(Vec<Delivered>),
    Nothing,
    /// The methods that it asked for are not those that its patterns match.
    Changed,
    /// Enough was delivered for once: to be sent again.
    Later,
}

/// The answer of an operation by its type.
pub(in crate::bus) trait FromAnswer: Sized {
    /// None: it is the answer to something else.
    fn from_answer(answer: Answer) -> Option<Self>;
}

macro_rules! from_answer {
    ($($variant:ident($answer:ty)),+ $(,)?) => {
        $(impl FromAnswer for $answer {
            fn from_answer(answer: Answer) -> Option<Self> {
                match answer {
                    Answer::$variant(answer) => Some(answer),
                    _ => None,
                }
            }
        })+
    };
}

from_answer! {
    Keep(KeepAnswer),
    Reply(ReplyAnswer),
    Status(CallStatus),
    Call(CallAnswer),
    Beat(BeatAnswer),
    Lease(Granted),
}

impl FromAnswer for Answer {
    fn from_answer(answer: Answer) -> Option<Self> {
        Some(answer)
    }
}

impl Exchanged {
    /// Reads what `exchange.lua` answered to these operations.
    pub(in crate::bus) fn decode<'a>(
        answer: Value,
        operations: impl Iterator<Item = &'a Operation>,
        stamp: &str,
    ) -> Self {
        let mut parts = list(answer).into_iter();
        let answers = list(next(&mut parts)).into_iter().zip(operations);
        let answers: Vec<Answer> = answers
            .map(|(answer, operation)| Answer::decode(operation, answer))
            .collect();
        let ended = list(next(&mut parts)).into_iter().map(text).collect();
        let failed = pairs(next(&mut parts)).map(|(method, error)| (text(method), text(error)));
        let failed = failed.collect();
        let queued = counts(next(&mut parts));
        let workers = pairs(next(&mut parts)).map(|(name, patterns)| Worker {
            name: text(name),
            patterns: read_patterns(&bytes(patterns)),
        });
        let workers: Vec<Worker> = workers.collect();
        let no_worker = |answer: &Answer| matches!(answer, Answer::Call(CallAnswer::NoWorker));
        let are_told = !workers.is_empty() || answers.iter().any(no_worker);
        Exchanged {
            stamp: stamp.to_owned(),
            answers,
            ended,
            failed,
            queued,
            workers: are_told.then_some(workers),
            due_ms: u64::try_from(number(&next(&mut parts))).ok(),
            others: match next(&mut parts) {
                Value::Int(others) => Some(others),
                _ => None,
            },
        }
    }
}

impl Answer {
    fn decode(operation: &Operation, answer: Value) -> Self {
        match operation {
            Operation::Keep { .. } => Answer::Keep(KeepAnswer::decode(&answer)),
            Operation::Reply { .. } => Answer::Reply(ReplyAnswer::decode(answer)),
            Operation::End { .. } | Operation::Look { .. } => {
                Answer::Status(CallStatus::decode(answer))
            }
            Operation::Call(_) => Answer::Call(CallAnswer::decode(answer)),
            Operation::Beat { .. } => Answer::Beat(BeatAnswer::decode(answer)),
            Operation::Interest => Answer::Ready(counts(answer)),
            Operation::Lease { .. } => Answer::Lease(granted(answer)),
            Operation::Fetch(_) => Answer::Fetch(FetchAnswer::decode(answer)),
            Operation::Void { .. }
            | Operation::Outcome { .. }
            | Operation::Lost { .. }
            | Operation::Taken { .. }
            | Operation::TakenShared { .. }
            | Operation::Touch { .. }
            | Operation::Queued { .. } => Answer::Nothing,
        }
    }
}

/// The first word of an answer, one letter.
fn letter(answer: &Value) -> Option<u8> {
    let Value::Array(words) = answer else {
        return None;
    };
    match words.first() {
        Some(Value::BulkString(word)) => word.first().copied(),
        _ => None,
    }
}

/// Numbers by method.
fn counts(flat: Value) -> Vec<(String, usize)> {
    let counts = pairs(flat).map(|(method, number)| (text(method), count(&number)));
    counts.collect()
}

fn granted(answer: Value) -> Granted {
    let mut words = list(answer).into_iter();
    Granted {
        stamp: text(next(&mut words)),
        now_us: u64::try_from(number(&next(&mut words))).unwrap_or(0),
        secret: Secret::new(bytes(next(&mut words))),
    }
}

impl KeepAnswer {
    fn decode(answer: &Value) -> Self {
        match letter(answer) {
            Some(b'K') => KeepAnswer::Kept,
            Some(b'M') => KeepAnswer::Unregistered,
            _ => KeepAnswer::Unclear,
        }
    }
}

impl ReplyAnswer {
    fn decode(answer: Value) -> Self {
        let mut words = list(answer).into_iter();
        ReplyAnswer {
            accepted: number(&next(&mut words)) == 1,
            worked_us: number(&next(&mut words)),
        }
    }
}

impl CallStatus {
    fn decode(answer: Value) -> Self {
        let letter = letter(&answer);
        let mut words = list(answer).into_iter();
        let first = next(&mut words);
        let outcome = match letter {
            None if matches!(first, Value::Int(_)) => {
                return CallStatus::Cancelled(number(&first) == 1);
            }
            Some(b'n') => return CallStatus::Unknown,
            Some(b'A') => return CallStatus::Later,
            Some(b'd') => Outcome::Done(bytes(next(&mut words)).into()),
            Some(b'e' | b'x') => Outcome::Failed(BusError::told(text(next(&mut words)))),
            Some(b'p') => return CallStatus::Pending,
            _ => return CallStatus::Unclear,
        };
        let is_kept = letter == Some(b'x');
        CallStatus::Ended { outcome, is_kept }
    }

    /// The outcome, if it has one.
    pub(in crate::bus) fn outcome(self) -> Option<Outcome> {
        match self {
            CallStatus::Ended { outcome, .. } => Some(outcome),
            _ => None,
        }
    }
}

impl CallAnswer {
    fn decode(answer: Value) -> Self {
        let letter = letter(&answer);
        let mut words = list(answer).into_iter().skip(1);
        let first = next(&mut words);
        match letter {
            Some(b'Q') => CallAnswer::Queued { id: text(first) },
            Some(b'J') => CallAnswer::Joined { id: text(first) },
            Some(b'V') => CallAnswer::Cached {
                value: bytes(first),
                id: text(next(&mut words)),
            },
            Some(b'W') => CallAnswer::NoWorker,
            Some(b'B') => CallAnswer::Busy,
            _ => CallAnswer::Changed,
        }
    }

    /// The call under way that a caller waits for from now on.
    pub(in crate::bus) fn issued(&self) -> Option<&str> {
        match self {
            CallAnswer::Queued { id } | CallAnswer::Joined { id } => Some(id),
            _ => None,
        }
    }
}

impl BeatAnswer {
    fn decode(answer: Value) -> Self {
        let mut lists = list(answer).into_iter().map(list);
        let mut ids = || {
            let ids = lists.next().unwrap_or_default();
            ids.into_iter().map(text).collect()
        };
        let (lost, cancelled) = (ids(), ids());
        let times = lists.next().unwrap_or_default();
        let times = times.iter().map(|ms| u64::try_from(number(ms)));
        BeatAnswer {
            lost,
            cancelled,
            visibility_ms: times.map(Result::unwrap_or_default).collect(),
        }
    }
}

impl FetchAnswer {
    fn decode(answer: Value) -> Self {
        match letter(&answer) {
            Some(b'D') => {
                let calls = list(answer).into_iter().nth(1).unwrap_or(Value::Nil);
                FetchAnswer::Calls(list(calls).into_iter().map(delivered).collect())
            }
            Some(b'G') => FetchAnswer::Changed,
            Some(b'A') => FetchAnswer::Later,
            _ => FetchAnswer::Nothing,
        }
    }
}

/// Reads a call that was given to a fetch.
fn delivered(call: Value) -> Delivered {
    let mut words = list(call).into_iter();
    let id = text(next(&mut words));
    Delivered {
        method: method_of(&id).to_owned(),
        id,
        deadline_ms: number(&next(&mut words)),
        attempt: number(&next(&mut words)),
        body: Body::read(bytes(next(&mut words))),
        queued_us: number(&next(&mut words)),
        token: text(next(&mut words)),
        visibility_ms: number(&next(&mut words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn words(all: &[&str]) -> Value {
        Value::Array(all.iter().map(|text| word(text)).collect())
    }

    #[test]
    fn answers_are_read_by_what_was_asked() {
        let look = Operation::Look {
            id: "i".to_owned(),
            wait: false,
        };
        let answers = vec![
            words(&["x", "CANCELLED no"]),
            words(&["p"]),
            Value::Array(vec![Value::Int(1)]),
        ];
        let empty = || Value::Array(Vec::new());
        let queued = Value::Array(vec![word("m"), Value::Int(2)]);
        let answer = Value::Array(vec![
            Value::Array(answers),
            words(&["a"]),
            words(&["m", "BUSFAIL E no"]),
            queued,
            empty(),
            Value::Int(-1),
            Value::Nil,
        ]);
        let exchanged = Exchanged::decode(answer, [&look; 3].into_iter(), "1");
        let statuses: Vec<_> = exchanged
            .answers
            .into_iter()
            .filter_map(CallStatus::from_answer)
            .collect();
        let outcome = Outcome::Failed(BusError::told("CANCELLED no"));
        let ended = CallStatus::Ended {
            outcome,
            is_kept: true,
        };
        assert_eq!(
            statuses,
            [ended, CallStatus::Pending, CallStatus::Cancelled(true)]
        );
        assert_eq!(exchanged.ended, ["a"]);
        assert_eq!(exchanged.queued, [("m".to_owned(), 2)]);
        assert_eq!((exchanged.due_ms, exchanged.others), (None, None));
        assert!(exchanged.workers.is_none());
    }

    #[test]
    fn a_call_that_found_no_worker_says_who_is_alive() {
        let decoded = |answer: &[&str]| CallAnswer::decode(words(answer));
        assert_eq!(decoded(&["W"]), CallAnswer::NoWorker);
        assert_eq!(decoded(&["M"]), CallAnswer::Changed);
        assert_eq!(decoded(&["J", "i"]).issued(), Some("i"));
        assert_eq!(CallAnswer::decode(Value::Nil), CallAnswer::Changed);
    }
}
