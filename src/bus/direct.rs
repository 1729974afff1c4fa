//! Direct calls: those that a worker of this Respite can have at once. They are handed over here and go to the backing only
//! when they take long, or when somebody else asks for them. Their callers are here, or at another Respite that sent the call:
//! see `remote` here for what that one asks, and `bus/remote` for how it is told.
//!
//! A method with `IDEMPOTENT`, `MAXPENDING` or a cache template, and a cast need the backing from the beginning.

mod kept;
mod queues;
mod remote;
mod results;

pub(super) use kept::{Keep, Kept};
pub(super) use remote::Standing as RemoteStanding;
pub(super) use results::{Drained, Ended, Keeping, Look, Offer, PutBack, Standing};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::id::{direct_id, method_of};
use super::peer::{Recent, Recently};
use crate::bus::fetch::{Delivered, Slot};
use crate::bus::method::{Body, Method};
use crate::{clock, random};
use queues::Queues;

/// How long a worker has before the backing is told of a call.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// How long a worker can hear that nobody waits any more.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long a call waits for a worker here if another Respite may have one, before it goes to the backing.
pub(super) const SHORT_PATIENCE: Duration = Duration::from_millis(10);
/// A call that must be seen again sooner than that is kept in the backing from the beginning.
const LEAST_VISIBILITY_MS: u64 = 1000;
/// The most calls of a bus that are under way here.
const MOST: usize = 10_000;
/// The most bytes of those that wait, one call apart.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// When a fetch has so many bytes, it gets no further call. The scripts have the same bound.
const MOST_FETCHED: usize = 32 * 1024 * 1024;
/// The direct calls of a bus.
#[derive(Debug, Default)]
pub(super) struct DirectCalls {
    /// By their number.
    calls: HashMap<String, Call>,
    queues: Queues,
    /// The bytes of those that wait.
    bytes: usize,
    /// What became of those whose callers are elsewhere.
    recent: Recent,
}

/// When a call began, and how long it may take.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) at: Instant,
    pub(super) timeout_ms: u64,
    /// The Respite of the caller, if it is another one.
    pub(super) origin: Option<Arc<str>>,
    /// When it was sent from there, at the earliest.
    pub(super) sent: Option<Instant>,
}

impl Begun {
    pub(super) fn deadline(&self) -> Instant {
        self.at + Duration::from_millis(self.timeout_ms)
    }
}

#[derive(Debug)]
struct Call {
    method: Arc<Method>,
    begun: Begun,
    deadline: Instant,
    state: State,
    /// The backing was told of it and did not answer.
    unsure: bool,
}

#[derive(Debug)]
enum State {
    Queued(Body),
    Handed(Handed),
    /// The caller has gone, and the worker has not replied yet.
    Cancelled {
        token: String,
        worker: String,
        over: Instant,
    },
}

/// A call that a worker has.
#[derive(Debug)]
struct Handed {
    token: String,
    worker: String,
    at: Instant,
    /// The backing is being told of it: what happens to it meanwhile waits for that.
    keeping: Option<Keeping>,
}

/// Whether calls of this method can be direct.
pub(super) fn may_be_direct(method: &Method) -> bool {
    let options = &method.options;
    !options.idempotent && !options.limits_pending() && options.visibility_ms >= LEAST_VISIBILITY_MS
}

impl DirectCalls {
    /// Notes a call that goes to a worker at once; gives what the worker gets.
    pub(super) fn hand(
        &mut self,
        number: &str,
        (method, body): (&Arc<Method>, Body),
        begun: Begun,
        worker: &str,
    ) -> Delivered {
        let mut call = Call::new(method, begun, State::Queued(Body::default()));
        let delivered = call.hand(number, body, worker, 0);
        self.calls.insert(number.to_owned(), call);
        delivered
    }

    /// Has a call wait for a worker.
    pub(super) fn queue(
        &mut self,
        number: &str,
        (method, body): (&Arc<Method>, Body),
        begun: Begun,
    ) {
        self.bytes += body.len();
        self.queues.push(&method.name, number, begun.at);
        let call = Call::new(method, begun, State::Queued(body));
        self.calls.insert(number.to_owned(), call);
    }

    /// How many wait, by method.
    pub(super) fn queued(&self) -> Vec<(Arc<str>, usize)> {
        self.queues.counts()
    }

    /// How many of a method wait.
    pub(super) fn queued_of(&self, method: &str) -> usize {
        self.queues.count(method)
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.len() >= MOST || self.bytes >= MOST_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The first of the patterns that a call waits for.
    pub(super) fn first_wanted(&self, patterns: &[String]) -> Option<usize> {
        if self.queues.is_empty() {
            return None;
        }
        patterns
            .iter()
            .position(|pattern| self.queues.wants(pattern))
    }

    /// Takes calls that wait for this fetch.
    pub(super) fn take(&mut self, slot: &Slot) -> Vec<Delivered> {
        let mut taken = Vec::new();
        if self.queues.is_empty() {
            return taken;
        }
        let (now, mut bytes) = (clock::precise(), 0);
        for pattern in &slot.patterns {
            while taken.len() < slot.count
                && bytes < MOST_FETCHED
                && let Some(number) = self.queues.pop(pattern)
            {
                if let Some(call) = self.calls.get_mut(&number)
                    && let State::Queued(body) = &mut call.state
                {
                    let body = std::mem::take(body);
                    self.bytes -= body.len();
                    if call.deadline <= now {
                        continue;
                    }
                    bytes += body.len();
                    taken.push(call.hand(&number, body, &slot.worker, taken.len()));
                }
            }
        }
        taken
    }

    /// Takes out all calls that wait; says whom to tell.
    pub(super) fn drain(&mut self) -> Vec<Drained> {
        let numbers = self.queues.drain().into_iter();
        numbers
            .filter_map(|number| {
                let method = Arc::clone(&self.calls.get(&number)?.method);
                let origin = self.forget(&number);
                Some(Drained {
                    number,
                    method,
                    origin,
                })
            })
            .collect()
    }

    /// Removes a call that waited; gives the Respite of its caller, if it is another one.
    fn forget(&mut self, number: &str) -> Option<Arc<str>> {
        let call = self.take_out(number, Recently::Returned)?;
        if let State::Queued(body) = call.state {
            self.bytes -= body.len();
        }
        call.begun.origin
    }

    /// Removes a call. What became of it is remembered for a caller that is elsewhere.
    fn take_out(&mut self, number: &str, what: Recently) -> Option<Call> {
        let call = self.calls.remove(number)?;
        if call.begun.origin.is_some() {
            self.recent.note(number, what);
        }
        Some(call)
    }

    /// A worker has gone before it saw the call.
    pub(super) fn put_back(&mut self, number: &str, call: Delivered) -> PutBack {
        let Some(known) = self.calls.get_mut(number) else {
            return PutBack::Unknown;
        };
        match &known.state {
            State::Handed(handed) if handed.token == call.token => {
                if handed.keeping().is_some() {
                    return PutBack::Keeping;
                }
                self.bytes += call.body.len();
                known.state = State::Queued(call.body);
                let method = Arc::clone(&known.method);
                self.queues.push_front(&method.name, number, known.begun.at);
                PutBack::Queued(method)
            }
            State::Cancelled { token, .. } if *token == call.token => {
                self.take_out(number, Recently::Ending);
                PutBack::Over
            }
            _ => PutBack::Over,
        }
    }

    /// The caller looks, because it takes long, and may take back what no worker has yet.
    pub(super) fn look(&mut self, number: &str, take_back: bool) -> Look {
        let Some(call) = self.calls.get(number) else {
            return Look::Gone;
        };
        match &call.state {
            State::Queued(_) if !take_back => Look::Queued,
            State::Queued(_) => {
                let method = Arc::clone(&call.method);
                self.forget(number);
                self.queues.remove(&method.name, number);
                Look::Withdrawn
            }
            State::Handed(handed) => Look::Handed(handed.at),
            State::Cancelled { .. } => Look::Gone,
        }
    }

    /// The caller does not wait any more.
    pub(super) fn cancel(&mut self, number: &str) -> Ended {
        let worked = Duration::ZERO;
        let known = self.calls.get(number);
        let origin = known.and_then(|call| call.begun.origin.clone());
        if self.look(number, true) == Look::Withdrawn {
            let unsure = false;
            return Ended::Here {
                worked,
                unsure,
                origin,
            };
        }
        let Some(call) = self.calls.get_mut(number) else {
            return Ended::Unknown;
        };
        let State::Handed(handed) = &mut call.state else {
            return Ended::TooLate;
        };
        if let Some(keeping) = handed.keeping() {
            return Ended::Keeping(keeping);
        }
        let visibility = Duration::from_millis(call.method.options.visibility_ms);
        let unsure = std::mem::take(&mut call.unsure);
        call.state = State::Cancelled {
            token: std::mem::take(&mut handed.token),
            worker: std::mem::take(&mut handed.worker),
            over: clock::precise() + visibility.min(REMEMBERED),
        };
        Ended::Here {
            worked,
            unsure,
            origin,
        }
    }

    /// A worker has an outcome, or is lost. `at_any_rate`: also if the backing may have ended it.
    pub(super) fn end(&mut self, number: &str, token: &str, at_any_rate: bool) -> Ended {
        let Some(call) = self.calls.get(number) else {
            return Ended::Unknown;
        };
        match &call.state {
            State::Handed(handed) if handed.token == token => {
                if let Some(keeping) = handed.keeping() {
                    return Ended::Keeping(keeping);
                }
                if call.unsure && !at_any_rate {
                    return Ended::Unsure;
                }
                let (worked, unsure) = (
                    clock::precise().saturating_duration_since(handed.at),
                    call.unsure,
                );
                let call = self.take_out(number, Recently::Ending);
                let origin = call.and_then(|call| call.begun.origin);
                Ended::Here {
                    worked,
                    unsure,
                    origin,
                }
            }
            State::Cancelled { token: own, .. } if own == token => {
                self.take_out(number, Recently::Ending);
                Ended::TooLate
            }
            _ => Ended::TooLate,
        }
    }

    /// How a call is that a worker asks about; none if it is not the worker's, or not here.
    pub(super) fn standing(&self, number: &str, worker: &str) -> Option<Standing> {
        match &self.calls.get(number)?.state {
            State::Handed(handed) if handed.worker == worker => Some(Standing::Held),
            State::Cancelled { worker: own, .. } if own == worker => Some(Standing::Cancelled),
            _ => None,
        }
    }

    /// Whether this is the id of a call, or of one that is not here.
    pub(super) fn may_be(&self, number: &str, id: &str) -> bool {
        let call = self.calls.get(number);
        call.is_none_or(|call| call.method.name == method_of(id))
    }

    /// The calls that workers have.
    pub(super) fn handed(&self) -> Vec<String> {
        let calls = self.calls.iter();
        calls
            .filter(|(_, call)| matches!(call.state, State::Handed(_)))
            .map(|(number, _)| number.clone())
            .collect()
    }

    /// The Respite of the caller, if it is another one.
    pub(super) fn origin(&self, number: &str) -> Option<Arc<str>> {
        self.calls.get(number)?.begun.origin.clone()
    }
}

impl Handed {
    fn keeping(&self) -> Option<Keeping> {
        // One whose sender is gone is over.
        let keeping = self.keeping.as_ref();
        keeping
            .filter(|keeping| keeping.has_changed().is_ok())
            .cloned()
    }
}

impl Call {
    fn new(method: &Arc<Method>, begun: Begun, state: State) -> Self {
        Call {
            method: Arc::clone(method),
            deadline: begun.deadline(),
            begun,
            state,
            unsure: false,
        }
    }

    fn hand(&mut self, number: &str, body: Body, worker: &str, nth: usize) -> Delivered {
        let now = clock::precise();
        let token = format!("{}-{nth}", random::word());
        self.state = State::Handed(Handed {
            token: token.clone(),
            worker: worker.to_owned(),
            at: now,
            keeping: None,
        });
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let queued = now.saturating_duration_since(self.begun.at);
        Delivered {
            id: direct_id(number, &self.method.name),
            method: self.method.name.clone(),
            deadline_ms: ms(self.deadline.saturating_duration_since(now)),
            attempt: 1,
            body,
            queued_us: i64::try_from(queued.as_micros()).unwrap_or(i64::MAX),
            token,
            visibility_ms: self.method.options.visibility_ms.cast_signed(),
        }
    }
}
