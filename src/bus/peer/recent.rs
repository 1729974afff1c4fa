//! What became of calls for other Respites a moment ago, for those that did not hear it.
//!
//! A call is remembered for longer than it may be on its way, so that one that is not here has not been here.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::bus::outcome::Outcome;
use crate::clock;

/// How long a call is remembered.
const REMEMBERED: Duration = Duration::from_secs(4);
/// How many, at most, and how many bytes of outcomes.
const MOST: usize = 50_000;
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) enum Recently {
    /// No worker had it, and none will.
    Returned,
    /// The backing has it.
    Stored,
    /// It has ended; its outcome is about to be known.
    Ending,
    Ended(Outcome),
}

/// The calls that are over here, the oldest first.
#[derive(Debug)]
pub(in crate::bus) struct Recent {
    calls: HashMap<String, Recently>,
    order: VecDeque<(Instant, String)>,
    bytes: usize,
    /// Every call that came since then is in the list, if it is over.
    complete_since: Instant,
}

impl Default for Recent {
    fn default() -> Self {
        Recent {
            calls: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            complete_since: clock::precise(),
        }
    }
}

impl Recent {
    /// Notes what became of a call.
    pub(in crate::bus) fn note(&mut self, number: &str, what: Recently) {
        self.bytes += what.bytes();
        if let Some(known) = self.calls.get_mut(number) {
            self.bytes -= known.bytes();
            *known = what;
        } else {
            self.calls.insert(number.to_owned(), what);
            self.order.push_back((clock::precise(), number.to_owned()));
        }
        self.trim();
    }

    fn trim(&mut self) {
        let now = clock::precise();
        while let Some((at, _)) = self.order.front() {
            let is_old = now.duration_since(*at) > REMEMBERED;
            if !is_old && self.calls.len() <= MOST && self.bytes <= MOST_BYTES {
                break;
            }
            self.complete_since = self.complete_since.max(*at);
            if let Some((_, number)) = self.order.pop_front()
                && let Some(gone) = self.calls.remove(&number)
            {
                self.bytes -= gone.bytes();
            }
        }
    }

    pub(in crate::bus) fn get(&self, number: &str) -> Option<&Recently> {
        self.calls.get(number)
    }

    /// Whether a call of then would be in the list if it had come and were over.
    pub(in crate::bus) fn covers(&self, then: Option<Instant>) -> bool {
        then.is_some_and(|then| then > self.complete_since)
    }
}

impl Recently {
    fn bytes(&self) -> usize {
        match self {
            Recently::Ended(outcome) => outcome.bytes().len(),
            Recently::Returned | Recently::Stored | Recently::Ending => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::error::BusError;

    #[test]
    fn what_had_to_be_forgotten_is_not_said_to_have_been_absent() {
        let mut recent = Recent::default();
        let begin = Instant::now();
        assert!(recent.covers(Some(begin)) && !recent.covers(None));
        recent.note("1", Recently::Ending);
        let outcome = Recently::Ended(Outcome::Done(vec![0; MOST_BYTES].into()));
        recent.note("1", outcome.clone());
        assert_eq!(recent.get("1"), Some(&outcome));
        assert!(recent.covers(Some(begin)));
        recent.note("2", Recently::Ended(Outcome::Failed(BusError::told("x"))));
        assert_eq!(recent.get("1"), None);
        assert_eq!(recent.bytes, 1);
        assert!(!recent.covers(Some(begin)));
        assert!(recent.covers(Some(Instant::now())));
        for number in 0..=MOST {
            recent.note(&format!("n{number}"), Recently::Returned);
        }
        assert_eq!((recent.calls.len(), recent.order.len()), (MOST, MOST));
        assert_eq!(recent.get("2"), None);
    }
}
