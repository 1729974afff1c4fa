//! The operations that `exchange.lua` executes, and how each is written for it.
//!
//! What the backing answers is read in `answer`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::bus::outcome::{Outcome, Work};
use crate::random;

/// The letters of the operations in the order in which those that are sent together are executed: what ends calls is before
/// what begins and delivers them.
const EXECUTION: [u8; 16] = *b"DVORELXYCTBWIQHF";

/// What a Respite wants done in the backing.
#[derive(Debug)]
pub(in crate::bus) enum Operation {
    /// A direct call, which a worker has, is persisted from now on.
    Keep {
        id: String,
        token: String,
        worker: String,
        /// Until its deadline.
        left: Duration,
        /// Since the worker has it.
        handed: Duration,
        /// Since it waits.
        begun: Duration,
        meta: Vec<u8>,
    },
    /// A direct call that the backing may have heard of is over.
    Void { id: String },
    /// The outcome of a direct call whose Respite, `home`, could not be told.
    Outcome {
        id: String,
        home: Arc<str>,
        outcome: Outcome,
    },
    /// A worker's outcome.
    Reply {
        id: String,
        token: String,
        work: Work,
    },
    /// Somebody does not want the outcome any more.
    End { id: String, why: EndReason },
    /// A worker's connection is gone. `unseen`: before the worker saw the call.
    Lost {
        id: String,
        token: String,
        unseen: bool,
    },
    /// The caller has the outcome.
    Taken { id: String },
    /// So many callers have the outcome of a call that others may wait for, too.
    TakenShared { id: String, count: usize },
    /// A new call.
    Call(Box<NewCall>),
    /// What became of a call? `wait`: this Respite is told when there is an outcome.
    Look { id: String, wait: bool },
    /// A worker is heard of and asks about calls. `extend`: they have their whole visibility again.
    Beat {
        worker: String,
        ids: Vec<String>,
        extend: bool,
    },
    /// A worker is heard of; its patterns, unless the backing knows them.
    Touch { worker: String, patterns: Vec<u8> },
    /// Fetches wait here: hints are wanted, and what is ready is to be told.
    Interest,
    /// So many direct calls wait here, by method.
    Queued { counts: Vec<(Arc<str>, usize)> },
    /// The lease on the registry is wanted. The secret is for a bus that has none yet.
    Lease { secret: String },
    /// A worker wants calls.
    Fetch(Wanted),
}

/// Why somebody does not want an outcome any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus) enum EndReason {
    /// The caller's time is up.
    Deadline,
    /// The caller is gone.
    Gone,
    /// `BUS.CANCEL`
    Cancelled,
}

/// A call that is sent to the backing.
#[derive(Debug)]
pub(in crate::bus) struct NewCall {
    pub(in crate::bus) number: String,
    pub(in crate::bus) method: String,
    /// The registration that it was bound with.
    pub(in crate::bus) stamp: String,
    /// A worker that may serve it; empty when none is known.
    pub(in crate::bus) worker: String,
    pub(in crate::bus) is_cast: bool,
    pub(in crate::bus) timeout_ms: u64,
    /// How many calls of the method may be pending.
    pub(in crate::bus) most_pending: u64,
    pub(in crate::bus) mode: CallMode,
    /// What equal calls share; empty: nothing.
    pub(in crate::bus) key: Vec<u8>,
    pub(in crate::bus) meta: Vec<u8>,
    pub(in crate::bus) body: Vec<u8>,
}

/// How a new call is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus) enum CallMode {
    Usual,
    /// Neither answered from the cache nor by an equal call under way.
    Refresh,
    /// It waited for a worker already: whether one is alive does not matter.
    Waited,
}

/// What a fetch asks the backing for.
#[derive(Debug, Default)]
pub(in crate::bus) struct Wanted {
    pub(in crate::bus) worker: String,
    /// The worker's patterns; empty when the backing knows them.
    pub(in crate::bus) patterns: Vec<u8>,
    /// What the tokens of its deliveries begin with.
    pub(in crate::bus) token: String,
    pub(in crate::bus) count: usize,
    /// Whether the methods depend on the registry.
    pub(in crate::bus) globs: bool,
    /// How many calls of its one method the fetches behind it want.
    pub(in crate::bus) ahead: usize,
    pub(in crate::bus) methods: Arc<Vec<String>>,
}

/// The words of operations.
pub(in crate::bus) type Words<'a> = Vec<Cow<'a, [u8]>>;

fn text(text: &str) -> Cow<'_, [u8]> {
    Cow::Borrowed(text.as_bytes())
}

fn number<'a>(number: impl ToString) -> Cow<'a, [u8]> {
    Cow::Owned(number.to_string().into_bytes())
}

fn flag<'a>(flag: bool) -> Cow<'a, [u8]> {
    text(if flag { "1" } else { "0" })
}

impl EndReason {
    fn word(self) -> &'static str {
        match self {
            EndReason::Deadline => "d",
            EndReason::Gone => "g",
            EndReason::Cancelled => "c",
        }
    }
}

impl CallMode {
    fn word(self) -> &'static str {
        match self {
            CallMode::Usual => "",
            CallMode::Refresh => "r",
            CallMode::Waited => "w",
        }
    }
}

impl Operation {
    /// The lease, and a secret for a bus that has none yet.
    pub(in crate::bus) fn lease() -> Self {
        let secret = random::password();
        Operation::Lease { secret }
    }

    fn letter(&self) -> u8 {
        match self {
            Operation::Keep { .. } => b'D',
            Operation::Void { .. } => b'V',
            Operation::Outcome { .. } => b'O',
            Operation::Reply { .. } => b'R',
            Operation::End { .. } => b'E',
            Operation::Lost { .. } => b'L',
            Operation::Taken { .. } => b'X',
            Operation::TakenShared { .. } => b'Y',
            Operation::Call(_) => b'C',
            Operation::Look { .. } => b'T',
            Operation::Beat { .. } => b'B',
            Operation::Touch { .. } => b'W',
            Operation::Interest => b'I',
            Operation::Queued { .. } => b'Q',
            Operation::Lease { .. } => b'H',
            Operation::Fetch(_) => b'F',
        }
    }

    /// Its place among operations that are sent together.
    pub(in crate::bus) fn rank(&self) -> usize {
        let letter = self.letter();
        let at = EXECUTION.iter().position(|other| *other == letter);
        at.unwrap_or(EXECUTION.len())
    }

    /// About how many bytes it has.
    pub(in crate::bus) fn size(&self) -> usize {
        match self {
            Operation::Keep { id, meta, .. } => id.len() + meta.len(),
            Operation::Outcome { outcome, .. } => outcome.bytes().len(),
            Operation::Reply { id, token, work } => id.len() + token.len() + work.size(),
            Operation::Call(call) => {
                call.method.len() + call.key.len() + call.meta.len() + call.body.len()
            }
            Operation::Beat { ids, .. } => ids.iter().map(String::len).sum(),
            Operation::Touch { worker, patterns } => worker.len() + patterns.len(),
            Operation::Queued { counts } => counts.iter().map(|(name, _)| name.len() + 8).sum(),
            Operation::Void { id }
            | Operation::End { id, .. }
            | Operation::Lost { id, .. }
            | Operation::Taken { id }
            | Operation::TakenShared { id, .. }
            | Operation::Look { id, .. } => id.len(),
            Operation::Interest | Operation::Lease { .. } | Operation::Fetch(_) => 0,
        }
    }

    /// Adds its letter and its words, as `exchange.lua` reads them.
    pub(in crate::bus) fn encode<'a>(&'a self, words: &mut Words<'a>) {
        words.push(Cow::Owned(vec![self.letter()]));
        match self {
            Operation::Keep {
                id,
                token,
                worker,
                left,
                handed,
                begun,
                meta,
            } => {
                words.extend([text(id), text(token), text(worker)]);
                words.extend([left, handed].map(|time| number(time.as_millis())));
                words.extend([number(begun.as_micros()), Cow::Borrowed(&**meta)]);
            }
            Operation::Void { id } | Operation::Taken { id } => words.push(text(id)),
            Operation::Outcome { id, home, outcome } => {
                words.extend([text(id), text(home), Cow::Owned(stored(outcome))]);
            }
            Operation::Reply { id, token, work } => {
                words.extend([text(id), text(token)]);
                words.extend(match work {
                    Work::Done(payload) => [text("d"), Cow::Borrowed(&**payload), text("")],
                    Work::Failed {
                        code,
                        message,
                        retry,
                    } => [
                        text(if *retry { "r" } else { "e" }),
                        text(message),
                        text(code),
                    ],
                });
            }
            Operation::End { id, why } => words.extend([text(id), text(why.word())]),
            Operation::Lost { id, token, unseen } => {
                words.extend([text(id), text(token), flag(*unseen)]);
            }
            Operation::TakenShared { id, count } => words.extend([text(id), number(count)]),
            Operation::Call(call) => call.encode(words),
            Operation::Look { id, wait } => {
                words.extend([text(id), text(if *wait { "wait" } else { "look" })]);
            }
            Operation::Beat {
                worker,
                ids,
                extend,
            } => {
                let extended = if *extend { ids.len() } else { 0 };
                words.extend([text(worker), number(extended), number(ids.len())]);
                words.extend(ids.iter().map(|id| text(id)));
            }
            Operation::Touch { worker, patterns } => {
                words.extend([text(worker), Cow::Borrowed(&**patterns)]);
            }
            Operation::Interest => {}
            Operation::Queued { counts } => {
                let lines = counts
                    .iter()
                    .map(|(method, count)| format!("\n{count} {method}"));
                words.push(Cow::Owned(lines.collect::<String>().into_bytes()));
            }
            Operation::Lease { secret } => words.push(text(secret)),
            Operation::Fetch(wanted) => wanted.encode(words),
        }
    }
}

impl NewCall {
    fn encode<'a>(&'a self, words: &mut Words<'a>) {
        words.extend([
            text(&self.number),
            text(&self.method),
            text(&self.stamp),
            text(&self.worker),
            flag(self.is_cast),
            number(self.timeout_ms),
            number(self.most_pending),
            text(self.mode.word()),
            Cow::Borrowed(&*self.key),
            Cow::Borrowed(&*self.meta),
            Cow::Borrowed(&*self.body),
        ]);
    }
}

impl Wanted {
    fn encode<'a>(&'a self, words: &mut Words<'a>) {
        words.extend([
            text(&self.worker),
            Cow::Borrowed(&*self.patterns),
            text(&self.token),
            number(self.count),
            flag(self.globs),
            number(self.ahead),
            number(self.methods.len()),
        ]);
        words.extend(self.methods.iter().map(|method| text(method)));
    }
}

/// An outcome as the backing keeps it: its state and the value.
fn stored(outcome: &Outcome) -> Vec<u8> {
    let state = match outcome {
        Outcome::Done(_) => b'd',
        Outcome::Failed(_) => b'e',
    };
    [&[state], &*outcome.bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(operation: &Operation) -> String {
        let mut words = Vec::new();
        operation.encode(&mut words);
        let words = words.iter().map(|word| String::from_utf8_lossy(word));
        words.collect::<Vec<_>>().join("|")
    }

    fn fetch() -> Operation {
        Operation::Fetch(Wanted {
            worker: "w".into(),
            patterns: b"p".to_vec(),
            token: "t".into(),
            count: 3,
            globs: true,
            ahead: 2,
            methods: Arc::new(vec!["a".into(), "b".into()]),
        })
    }

    fn call() -> Operation {
        Operation::Call(Box::new(NewCall {
            number: "n".into(),
            method: "m".into(),
            stamp: "1:2".into(),
            worker: "w".into(),
            is_cast: false,
            timeout_ms: 50,
            most_pending: 9,
            mode: CallMode::Refresh,
            key: b"k".to_vec(),
            meta: b"meta".to_vec(),
            body: b"body".to_vec(),
        }))
    }

    #[test]
    fn the_words_are_those_of_the_script() {
        let id = || "i".to_owned();
        let failed = |retry| Operation::Reply {
            id: id(),
            token: "t".into(),
            work: Work::Failed {
                code: "E".into(),
                message: "no".into(),
                retry,
            },
        };
        let kept = Operation::Keep {
            id: id(),
            token: "t".into(),
            worker: "w".into(),
            left: Duration::from_millis(3),
            handed: Duration::from_millis(2),
            begun: Duration::from_millis(1),
            meta: b"meta".to_vec(),
        };
        let beat = |extend| Operation::Beat {
            worker: "w".into(),
            ids: vec!["a".into(), "b".into()],
            extend,
        };
        let counts = vec![("a".into(), 1), ("b".into(), 2)];
        for (operation, expected) in [
            (kept, "D|i|t|w|3|2|1000|meta"),
            (failed(true), "R|i|t|r|no|E"),
            (failed(false), "R|i|t|e|no|E"),
            (beat(true), "B|w|2|2|a|b"),
            (beat(false), "B|w|0|2|a|b"),
            (Operation::Queued { counts }, "Q|\n1 a\n2 b"),
            (Operation::Queued { counts: vec![] }, "Q|"),
            (call(), "C|n|m|1:2|w|0|50|9|r|k|meta|body"),
            (fetch(), "F|w|p|t|3|1|2|2|a|b"),
        ] {
            assert_eq!(words(&operation), expected);
        }
    }

    #[test]
    fn what_ends_calls_is_executed_before_what_delivers_them() {
        let script = include_str!("scripts/exchange.lua");
        let spaced = EXECUTION
            .map(|letter| char::from(letter).to_string())
            .join(" ");
        assert!(script.contains(&format!("in this order: {spaced}.")));
        assert!(Operation::Void { id: String::new() }.rank() < call().rank());
        assert!(call().rank() < fetch().rank());
        assert!(fetch().rank() < EXECUTION.len());
    }
}
