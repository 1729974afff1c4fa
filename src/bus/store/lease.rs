//! The lease on a bus's registry. While this Respite has it, no other one's `BUS.REGISTER`, `BUS.UNREGISTER` or
//! `BUS.CLEANUP` is answered before this one has let go, so that direct calls need not ask whether their method is
//! still the same.
//!
//! A direct call that finds none takes it; the upkeep takes it again once a second while there are direct calls. It ends
//! after three seconds by both clocks, by itself.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::bus::peer::{Keys, Secret};

/// How long it lasts at the backing. The scripts have the same number.
pub(in crate::bus) const LASTS: Duration = Duration::from_secs(3);
/// How much sooner it ends here: clocks do not run alike.
const MARGIN: Duration = Duration::from_millis(500);
/// How long after the last direct call it is taken again.
const WANTED: Duration = Duration::from_secs(10);
/// How often messages that cannot be opened have the secret asked for, at most.
const SECRET_EVERY: Duration = Duration::from_secs(1);

/// A lease, and whether it is wanted.
#[derive(Debug, Default)]
pub(in crate::bus) struct Lease {
    state: Mutex<State>,
    /// What messages to other Respites are sealed with. It outlives the lease.
    pub(in crate::bus) keys: Keys,
}

/// What the backing answers to whoever asks for a lease.
#[derive(Debug)]
pub(in crate::bus) struct Granted {
    /// The state of the registry.
    pub(in crate::bus) stamp: String,
    /// The time there, in microseconds.
    pub(in crate::bus) now_us: u64,
    pub(in crate::bus) secret: Option<Secret>,
}

/// What the clock of the backing shows, as far as it is known here.
#[derive(Debug, Clone, Copy)]
pub(in crate::bus) struct BackingClock {
    asked: Instant,
    answered: Instant,
    now_us: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The state of the registry that it is for, and its end.
    held: Option<Held>,
    /// How often it was let go.
    let_go: u64,
    wanted: Option<Instant>,
    /// When a message that could not be opened had the secret asked for.
    secret_asked: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    stamp: String,
    end: Instant,
    clock: BackingClock,
}

/// A lease that is asked for.
#[derive(Debug)]
pub(in crate::bus) struct Term {
    asked: Instant,
    let_go: u64,
}

impl BackingClock {
    /// It is not earlier there.
    pub(in crate::bus) fn earliest_us(&self, now: Instant) -> u64 {
        self.after(self.answered, now)
    }

    /// It is not later there.
    pub(in crate::bus) fn latest_us(&self, now: Instant) -> u64 {
        self.after(self.asked, now)
    }

    fn after(&self, then: Instant, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(then).as_micros();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.now_us.saturating_add(passed)
    }
}

impl Lease {
    /// Whether the registry is in this state until further notice.
    pub(in crate::bus) fn holds(&self, stamp: &str) -> bool {
        self.clock(stamp).is_some()
    }

    /// The clock of the backing, if the registry is in this state until further notice.
    pub(in crate::bus) fn clock(&self, stamp: &str) -> Option<BackingClock> {
        let state = self.state.lock();
        let held = state.held.as_ref()?;
        (held.stamp == stamp && Instant::now() < held.end).then_some(held.clock)
    }

    /// There are direct calls.
    pub(in crate::bus) fn want(&self) {
        self.state.lock().wanted = Some(Instant::now());
    }

    /// Whether there were direct calls of late.
    pub(in crate::bus) fn is_wanted(&self) -> bool {
        let wanted = self.state.lock().wanted;
        wanted.is_some_and(|at| at.elapsed() < WANTED)
    }

    /// Whether the secret is to be asked for, for a message that could not be opened.
    pub(in crate::bus) fn may_ask_for_secret(&self) -> bool {
        let mut state = self.state.lock();
        let may = state
            .secret_asked
            .is_none_or(|at| at.elapsed() >= SECRET_EVERY);
        if may {
            state.secret_asked = Some(Instant::now());
        }
        may
    }

    /// Begins to ask for it.
    pub(in crate::bus) fn ask(&self) -> Term {
        let let_go = self.state.lock().let_go;
        let asked = Instant::now();
        Term { asked, let_go }
    }

    /// The backing has given it; in vain if it was let go since it was asked for.
    pub(in crate::bus) fn take(&self, term: &Term, granted: Granted) {
        if let Some(secret) = granted.secret {
            self.keys.set(secret);
        }
        let mut state = self.state.lock();
        if state.let_go == term.let_go {
            state.held = Some(Held {
                stamp: granted.stamp,
                end: term.asked + LASTS - MARGIN,
                clock: BackingClock {
                    asked: term.asked,
                    answered: Instant::now(),
                    now_us: granted.now_us,
                },
            });
        }
    }

    /// The registry changes.
    pub(in crate::bus) fn let_go(&self) {
        let mut state = self.state.lock();
        state.let_go += 1;
        state.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted() -> Granted {
        Granted {
            stamp: "1".to_owned(),
            now_us: 1_000_000,
            secret: None,
        }
    }

    #[test]
    fn the_clock_of_the_backing_is_between_the_question_and_the_answer() {
        let lease = Lease::default();
        assert!(lease.clock("1").is_none());
        let mut term = lease.ask();
        let now = term.asked;
        term.asked = now.checked_sub(MARGIN).expect("a clock that runs");
        lease.take(&term, granted());
        let clock = lease.clock("1").expect("held");
        let later = clock.answered + MARGIN;
        let margin = u64::try_from(MARGIN.as_micros()).expect("short");
        assert_eq!(clock.earliest_us(later), 1_000_000 + margin);
        assert!(clock.latest_us(later) >= 1_000_000 + 2 * margin);
    }

    #[test]
    fn what_was_let_go_while_it_was_asked_for_is_not_held() {
        let lease = Lease::default();
        assert!(!lease.is_wanted());
        lease.want();
        assert!(lease.is_wanted());
        let term = lease.ask();
        lease.take(&term, granted());
        assert!(lease.holds("1") && !lease.holds("2"));
        let term = lease.ask();
        lease.let_go();
        assert!(!lease.holds("1"));
        lease.take(&term, granted());
        assert!(!lease.holds("1"));
    }

    #[test]
    fn it_ends_by_itself() {
        let lease = Lease::default();
        lease.want();
        let mut term = lease.ask();
        term.asked = term.asked.checked_sub(LASTS).expect("a clock that runs");
        lease.take(&term, granted());
        assert!(!lease.holds("1"));
    }
}
