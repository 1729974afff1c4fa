//! Direct calls: those that a worker of the caller's own Respite can have at once. They are handed over here and
//! go to the backing only when they take long, or when somebody else asks for them.
//!
//! A caller of another Respite, a method with `IDEMPOTENT`, `MAXPENDING` or a cache template, and a cast need the
//! backing from the beginning; whoever else is lost with this Respite had both its ends here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::body::Body;
use super::method::Method;
use super::registry::any_matches;
use super::slot::{Delivered, Slot};

/// How long a worker has before the backing is told of a call.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// How long a call waits for a worker here if another Respite may have one, before it goes to the backing.
pub(super) const SHORT_PATIENCE: Duration = Duration::from_millis(5);
/// A call that must be seen again sooner than that is kept in the backing from the beginning.
const LEAST_VISIBILITY_MS: u64 = 1000;
/// The most calls of a bus that are under way here.
const MOST: usize = 10_000;
/// The place of a direct call's id, where others have their place in the stream.
const PLACE: &str = "0-1";
/// How long the name of a Respite is.
const HOME_LEN: usize = 16;

/// The direct calls of a bus.
#[derive(Debug, Default)]
pub(super) struct DirectCalls {
    /// By their number.
    calls: HashMap<String, Call>,
    /// Those that wait for a worker, by method, the oldest first.
    queues: HashMap<Arc<str>, VecDeque<String>>,
    queued: usize,
}

#[derive(Debug)]
struct Call {
    method: Arc<Method>,
    timeout_ms: u64,
    begun: Instant,
    deadline: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Queued(Body),
    Handed(Handed),
    /// The caller has gone, and the worker was not told yet.
    Cancelled {
        token: String,
        over: Instant,
    },
}

/// A call that a worker has.
#[derive(Debug)]
struct Handed {
    token: String,
    worker: String,
    at: Instant,
    /// The backing is being told of it; the other end is dropped when that is over.
    keeping: Option<watch::Receiver<()>>,
}

/// What a caller that waits finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// No worker has it yet.
    Queued,
    /// No worker has it, and none will.
    Withdrawn,
    /// A worker has it, since then.
    Handed(Instant),
    /// It has ended, or the backing has it.
    Gone,
}

/// What became of a worker's outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is the caller's; the worker took so long.
    Accepted(Duration),
    TooLate,
    /// The call is not here.
    Unknown,
}

/// What the backing is told of a call that a worker has.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) method: Arc<Method>,
    pub(super) token: String,
    pub(super) worker: String,
    pub(super) timeout_ms: u64,
    pub(super) left: Duration,
    /// Since when it waits, since when the worker has it.
    pub(super) begun: Duration,
    pub(super) handed: Duration,
}

/// The way to have a call kept.
#[derive(Debug)]
pub(super) enum Keep {
    /// It is to be done now; dropping the sender says that it is over.
    Begin(Kept, watch::Sender<()>),
    /// Somebody does it.
    Wait(watch::Receiver<()>),
    /// There is nothing to keep.
    Not,
}

/// The id of a direct call.
pub(super) fn direct_id(number: &str, method: &str) -> String {
    format!("{number}.{PLACE}.{method}")
}

/// The number of a call if it began as a direct one, and the Respite that gave it.
pub(super) fn parse_direct(id: &str) -> Option<(&str, &str)> {
    let (number, rest) = id.split_once('.')?;
    let is_direct = rest.split_once('.')?.0 == PLACE;
    let home = number.split_once('-')?.0;
    // It goes into hints, which are lines.
    (is_direct && home.len() == HOME_LEN && !id.contains('\n')).then_some((number, home))
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
        (timeout_ms, begun): (u64, Instant),
        worker: &str,
    ) -> Delivered {
        let mut call = Call::new(method, timeout_ms, begun, State::Queued(Body::default()));
        let delivered = call.hand(number, body, worker, 0);
        self.calls.insert(number.to_owned(), call);
        delivered
    }

    /// Has a call wait for a worker.
    pub(super) fn queue(
        &mut self,
        number: &str,
        (method, body): (&Arc<Method>, Body),
        (timeout_ms, begun): (u64, Instant),
    ) {
        let call = Call::new(method, timeout_ms, begun, State::Queued(body));
        self.calls.insert(number.to_owned(), call);
        let name: Arc<str> = method.name.as_str().into();
        self.queues
            .entry(name)
            .or_default()
            .push_back(number.to_owned());
        self.queued += 1;
    }

    /// How many wait, by method.
    pub(super) fn queued(&self) -> Vec<(Arc<str>, usize)> {
        let queues = self.queues.iter();
        queues
            .map(|(method, queue)| (Arc::clone(method), queue.len()))
            .collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.len() >= MOST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Takes calls that wait for this fetch.
    pub(super) fn take(&mut self, slot: &Slot) -> Vec<Delivered> {
        let mut taken = Vec::new();
        if self.queued == 0 {
            return taken;
        }
        for pattern in &slot.patterns {
            let one = std::slice::from_ref(pattern);
            let queues = self.queues.keys();
            let methods: Vec<Arc<str>> = queues
                .filter(|method| any_matches(one, method))
                .cloned()
                .collect();
            for method in methods {
                while taken.len() < slot.count
                    && let Some(number) = self.pop(&method)
                {
                    let now = Instant::now();
                    let Some(call) = self.calls.get_mut(&number) else {
                        continue;
                    };
                    if call.deadline <= now {
                        continue;
                    }
                    let State::Queued(body) = &mut call.state else {
                        continue;
                    };
                    let body = std::mem::take(body);
                    taken.push(call.hand(&number, body, &slot.worker, taken.len()));
                }
            }
        }
        taken
    }

    fn pop(&mut self, method: &Arc<str>) -> Option<String> {
        let queue = self.queues.get_mut(method)?;
        let number = queue.pop_front();
        self.queued -= usize::from(number.is_some());
        if queue.is_empty() {
            self.queues.remove(method);
        }
        number
    }

    fn unqueue(&mut self, number: &str, method: &str) {
        let Some(queue) = self.queues.get_mut(method) else {
            return;
        };
        if let Some(at) = queue.iter().position(|other| other == number) {
            queue.remove(at);
            self.queued -= 1;
        }
        if queue.is_empty() {
            self.queues.remove(method);
        }
    }

    /// A worker has gone before it saw the call. Gives the method if it waits again.
    pub(super) fn put_back(&mut self, call: Delivered) -> Option<Arc<Method>> {
        let (number, _) = parse_direct(&call.id)?;
        let known = self.calls.get_mut(number)?;
        match &known.state {
            State::Handed(handed) if handed.token == call.token && handed.keeping.is_none() => {
                known.state = State::Queued(call.body);
                let method = Arc::clone(&known.method);
                let name: Arc<str> = method.name.as_str().into();
                self.queues
                    .entry(name)
                    .or_default()
                    .push_front(number.to_owned());
                self.queued += 1;
                Some(method)
            }
            State::Cancelled { token, .. } if *token == call.token => {
                self.calls.remove(number);
                None
            }
            _ => None,
        }
    }

    /// The caller looks, because it takes long, and may take back what no worker has yet.
    pub(super) fn look(&mut self, number: &str, take_back: bool) -> Look {
        let Some(call) = self.calls.get(number) else {
            return Look::Gone;
        };
        match call.state {
            State::Queued(_) if !take_back => Look::Queued,
            State::Queued(_) => {
                let method = Arc::clone(&call.method);
                self.calls.remove(number);
                self.unqueue(number, &method.name);
                Look::Withdrawn
            }
            State::Handed(ref handed) => Look::Handed(handed.at),
            State::Cancelled { .. } => Look::Gone,
        }
    }

    /// The caller does not wait any more. True when the call had no outcome yet, so that it counts as failed.
    /// When the backing is being told of it, that comes to its end first.
    pub(super) fn cancel(&mut self, number: &str) -> bool {
        match self.look(number, true) {
            Look::Withdrawn => return true,
            Look::Gone => return false,
            Look::Queued | Look::Handed(_) => {}
        }
        let Some(call) = self.calls.get_mut(number) else {
            return false;
        };
        if let State::Handed(handed) = &call.state {
            let visibility = Duration::from_millis(call.method.options.visibility_ms);
            call.state = State::Cancelled {
                token: handed.token.clone(),
                over: handed.at + visibility,
            };
        }
        true
    }

    /// A worker has an outcome.
    pub(super) fn end(&mut self, number: &str, token: &str) -> Ended {
        let Some(call) = self.calls.get(number) else {
            return Ended::Unknown;
        };
        match &call.state {
            State::Handed(handed) if handed.token == token => {
                let worked = handed.at.elapsed();
                self.calls.remove(number);
                Ended::Accepted(worked)
            }
            State::Cancelled { token: own, .. } if own == token => {
                self.calls.remove(number);
                Ended::TooLate
            }
            _ => Ended::TooLate,
        }
    }

    /// Whether a worker's call is cancelled; it is told of it once.
    pub(super) fn take_cancelled(&mut self, number: &str) -> bool {
        let is_cancelled = self
            .calls
            .get(number)
            .is_some_and(|call| matches!(call.state, State::Cancelled { .. }));
        if is_cancelled {
            self.calls.remove(number);
        }
        is_cancelled
    }

    pub(super) fn is_handed(&self, number: &str) -> bool {
        self.calls
            .get(number)
            .is_some_and(|call| matches!(call.state, State::Handed(_)))
    }

    /// The calls that workers have.
    pub(super) fn handed(&self) -> Vec<String> {
        let calls = self.calls.iter();
        calls
            .filter(|(_, call)| matches!(call.state, State::Handed(_)))
            .map(|(number, _)| number.clone())
            .collect()
    }

    /// Begins to have a call kept in the backing.
    pub(super) fn keep(&mut self, number: &str) -> Keep {
        let Some(call) = self.calls.get_mut(number) else {
            return Keep::Not;
        };
        let State::Handed(handed) = &mut call.state else {
            return Keep::Not;
        };
        if let Some(keeping) = &handed.keeping
            && keeping.has_changed().is_ok()
        {
            return Keep::Wait(keeping.clone());
        }
        let (over, keeping) = watch::channel(());
        handed.keeping = Some(keeping);
        let now = Instant::now();
        let kept = Kept {
            method: Arc::clone(&call.method),
            token: handed.token.clone(),
            worker: handed.worker.clone(),
            timeout_ms: call.timeout_ms,
            left: call.deadline.saturating_duration_since(now),
            begun: now.saturating_duration_since(call.begun),
            handed: now.saturating_duration_since(handed.at),
        };
        Keep::Begin(kept, over)
    }

    /// The backing has the call. What it is to be told further, because it ended or was given up meanwhile.
    pub(super) fn kept(&mut self, number: &str) -> Meanwhile {
        match self.calls.remove(number).map(|call| call.state) {
            Some(State::Handed(_)) => Meanwhile::Nothing,
            Some(State::Cancelled { .. }) => Meanwhile::Cancelled,
            _ => Meanwhile::Ended,
        }
    }

    /// The backing could not be told.
    pub(super) fn not_kept(&mut self, number: &str) {
        if let Some(call) = self.calls.get_mut(number)
            && let State::Handed(handed) = &mut call.state
        {
            handed.keeping = None;
        }
    }

    /// Forgets what nobody asks about any more.
    pub(super) fn prune(&mut self, now: Instant) {
        self.calls
            .retain(|_, call| !matches!(call.state, State::Cancelled { over, .. } if over <= now));
    }
}

/// What became of a call while the backing was told of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meanwhile {
    Nothing,
    Cancelled,
    Ended,
}

impl Call {
    fn new(method: &Arc<Method>, timeout_ms: u64, begun: Instant, state: State) -> Self {
        Call {
            method: Arc::clone(method),
            timeout_ms,
            begun,
            deadline: begun + Duration::from_millis(timeout_ms),
            state,
        }
    }

    fn hand(&mut self, number: &str, body: Body, worker: &str, nth: usize) -> Delivered {
        let now = Instant::now();
        let token = format!("{:016x}-{nth}", fastrand::u64(..));
        self.state = State::Handed(Handed {
            token: token.clone(),
            worker: worker.to_owned(),
            at: now,
            keeping: None,
        });
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let queued = now.saturating_duration_since(self.begun);
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
