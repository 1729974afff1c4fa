//! When a session's commands begin to count, and for whom.

use std::time::{Duration, Instant};

use super::client::Session;
use super::replies::Slow;
use crate::resp::{Args, Parsed, RequestLimits, RequestParser};
use crate::slowlog::{Client, Spent};

impl Session {
    /// Begins to time the requests that are handled now: since they were read, or have waited for something.
    #[inline]
    pub(super) fn begin_times(&mut self, now: Instant) -> Instant {
        if self.timing.login != self.state.logins {
            self.count_as_user();
        }
        let asked = self.timing.waits_since.take().unwrap_or(now);
        self.replies.asked_at(asked);
        asked
    }

    #[cold]
    fn count_as_user(&mut self) {
        self.timing.login = self.state.logins;
        let user = self.state.entry.facts().user;
        let times = self.worker.shared.latency.times(self.worker.index, &user);
        self.replies.set_times(times);
    }

    /// Notes slow commands whose replies the client has been sent.
    #[cold]
    pub(super) fn log_slow(&mut self) {
        for slow in self.replies.take_slow() {
            let Slow {
                asked,
                begun,
                came,
                request,
                share,
            } = slow;
            // Whoever was only answered together with it has waited for it.
            let begun = match share {
                Some(share) if !share.is_to_blame() => came,
                _ => begun,
            };
            let spent = Spent {
                queued: begun.duration_since(asked),
                backing: came.duration_since(begun),
                client: came.elapsed(),
            };
            if self.worker.shared.slowlog.wants(spent.total()) {
                let mut parser = RequestParser::default();
                match parser.parse(&request, &RequestLimits::TRUSTED) {
                    Ok(Parsed::Request { .. }) => self.note_slow(spent, parser.args(&request)),
                    // It is long: its first arguments will do.
                    _ => self.note_slow_args(spent, &first_args(&request)),
                }
            }
        }
    }

    /// Notes a command if it took long enough.
    pub(super) fn note_slow(&self, spent: Spent, args: Args<'_>) {
        if self.worker.shared.slowlog.wants(spent.total()) {
            let args: Vec<&[u8]> = args.iter().collect();
            self.note_slow_args(spent, &args);
        }
    }

    fn note_slow_args(&self, spent: Spent, args: &[&[u8]]) {
        let entry = &self.state.entry;
        let facts = entry.facts();
        let client = Client {
            addr: entry.addr().to_owned(),
            name: facts.name,
            user: facts.user,
        };
        self.worker
            .shared
            .slowlog
            .note(spent, args.iter().copied(), client);
    }

    /// Notes a command of a family that was answered at once, if that took long.
    #[inline]
    pub(super) fn note_family(&self, begun: Instant, args: Args<'_>) {
        let took = begun.elapsed();
        if took >= Duration::from_millis(1) {
            let spent = Spent {
                backing: took,
                ..Spent::default()
            };
            self.note_slow(spent, args);
        }
    }

    /// Notes that a request which was read then waits: that counts when it is because of Respite or the backing, not
    /// because the client, or an operator who pauses clients, wants it.
    pub(super) fn note_waiting(&mut self, asked: Instant) {
        let on_purpose = self.worker.shared.pause.current().is_some()
            || self.waits_for_ever()
            || self.families.is_blocked();
        self.timing.waits_since = (!on_purpose).then_some(asked);
    }
}

/// The arguments at the beginning of a request of which the end is missing.
fn first_args(request: &[u8]) -> Vec<&[u8]> {
    let line = |from: usize| {
        let len = memchr::memchr(b'\n', request.get(from..)?)?;
        Some((request.get(from..from + len)?, from + len + 1))
    };
    let mut args = Vec::new();
    let Some((_, mut pos)) = line(0) else {
        return args;
    };
    while let Some((head, begin)) = line(pos) {
        let digits = std::str::from_utf8(head).ok();
        let digits = digits.and_then(|head| head.trim_end().strip_prefix('$'));
        let Some(len) = digits.and_then(|digits| digits.parse::<usize>().ok()) else {
            break;
        };
        let end = begin.saturating_add(len);
        args.push(&request[begin..end.min(request.len())]);
        if end >= request.len() {
            break;
        }
        pos = end + 2;
    }
    args
}
