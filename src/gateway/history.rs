//! The polls of an instance that are remembered.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// One poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poll {
    /// When it began: milliseconds since 1970.
    pub(super) start_ms: u64,
    pub(super) took: Duration,
    pub(super) outcome: Outcome,
}

/// What came of a poll: small, because thousands are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A TCP connection.
    Connected,
    /// An HTTP answer.
    Status(u16),
    /// No answer in time.
    Timeout,
    /// No connection.
    Unreachable(io::ErrorKind),
    /// The connection was closed, or what came was not HTTP.
    NotHttp,
}

impl Outcome {
    pub(super) fn is_success(self) -> bool {
        match self {
            Outcome::Connected => true,
            Outcome::Status(status) => (200..300).contains(&status),
            _ => false,
        }
    }

    /// The HTTP status, if there is one.
    pub(super) fn status(self) -> Option<u16> {
        match self {
            Outcome::Status(status) => Some(status),
            _ => None,
        }
    }

    /// Why it is a failure.
    pub(super) fn error(self) -> Option<String> {
        match self {
            _ if self.is_success() => None,
            Outcome::Status(status) => Some(format!("answered with {status}")),
            Outcome::Timeout => Some("no answer in time".to_owned()),
            Outcome::Unreachable(kind) => Some(format!("cannot connect: {kind}")),
            Outcome::NotHttp => Some("no HTTP answer".to_owned()),
            Outcome::Connected => None,
        }
    }
}

/// The last polls, the oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    polls: VecDeque<Poll>,
    /// All there were, and those that failed.
    pub(super) total: u64,
    pub(super) failed: u64,
}

impl History {
    /// Adds a poll and forgets the oldest beyond `limit`.
    pub(super) fn push(&mut self, poll: Poll, limit: usize) {
        self.total += 1;
        self.failed += u64::from(!poll.outcome.is_success());
        self.polls.push_back(poll);
        while self.polls.len() > limit {
            self.polls.pop_front();
        }
    }

    /// The newest `most`, the oldest of them first.
    pub(super) fn newest(&self, most: usize) -> Vec<Poll> {
        let skip = self.polls.len().saturating_sub(most);
        self.polls.iter().skip(skip).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_polls_are_kept() {
        let mut history = History::default();
        for n in 0..10 {
            let outcome = if n % 2 == 0 {
                Outcome::Status(200)
            } else {
                Outcome::Timeout
            };
            let took = Duration::ZERO;
            history.push(
                Poll {
                    start_ms: n,
                    took,
                    outcome,
                },
                3,
            );
        }
        let starts = |polls: Vec<Poll>| -> Vec<u64> { polls.iter().map(|p| p.start_ms).collect() };
        assert_eq!(starts(history.newest(10)), [7, 8, 9]);
        assert_eq!(starts(history.newest(1)), [9]);
        assert_eq!((history.total, history.failed), (10, 5));
        let poll = history.newest(1)[0];
        history.push(poll, 0);
        assert!(history.newest(1).is_empty());
    }

    #[test]
    fn only_2xx_and_a_connection_are_successes() {
        assert!(Outcome::Connected.is_success() && Outcome::Status(204).is_success());
        for outcome in [
            Outcome::Status(199),
            Outcome::Status(301),
            Outcome::Status(500),
            Outcome::Timeout,
            Outcome::NotHttp,
            Outcome::Unreachable(io::ErrorKind::ConnectionRefused),
        ] {
            assert!(
                !outcome.is_success() && outcome.error().is_some(),
                "{outcome:?}"
            );
        }
    }
}
