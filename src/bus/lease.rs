//! The lease on a bus's registry. While this Respite has it, no other one's `BUS.REGISTER`, `BUS.UNREGISTER` or
//! `BUS.CLEANUP` is answered before this one has let go, so that direct calls need not ask whether their method is
//! still the same.
//!
//! A direct call that finds none takes it; the upkeep takes it again once a second while there are direct calls. It ends
//! after three seconds by both clocks, by itself.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long it lasts at the backing. The scripts have the same number.
pub(super) const LASTS: Duration = Duration::from_secs(3);
/// How much sooner it ends here: clocks do not run alike.
const MARGIN: Duration = Duration::from_millis(500);
/// How long after the last direct call it is taken again.
const WANTED: Duration = Duration::from_secs(10);

/// A lease, and whether it is wanted.
#[derive(Debug, Default)]
pub(super) struct Lease(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The state of the registry that it is for, and its end.
    held: Option<(String, Instant)>,
    /// How often it was let go.
    let_go: u64,
    wanted: Option<Instant>,
}

/// A lease that is asked for.
#[derive(Debug)]
pub(super) struct Term {
    asked: Instant,
    let_go: u64,
}

impl Lease {
    /// Whether the registry is in this state until further notice.
    pub(super) fn holds(&self, stamp: &str) -> bool {
        let state = self.0.lock();
        let held = state.held.as_ref();
        held.is_some_and(|(known, end)| known == stamp && Instant::now() < *end)
    }

    /// There are direct calls.
    pub(super) fn want(&self) {
        self.0.lock().wanted = Some(Instant::now());
    }

    /// Whether there were direct calls of late.
    pub(super) fn is_wanted(&self) -> bool {
        let wanted = self.0.lock().wanted;
        wanted.is_some_and(|at| at.elapsed() < WANTED)
    }

    /// Begins to ask for it.
    pub(super) fn ask(&self) -> Term {
        let let_go = self.0.lock().let_go;
        let asked = Instant::now();
        Term { asked, let_go }
    }

    /// The backing has given it, for this state; in vain if it was let go since it was asked for.
    pub(super) fn take(&self, term: &Term, stamp: String) {
        let mut state = self.0.lock();
        if state.let_go == term.let_go {
            state.held = Some((stamp, term.asked + LASTS - MARGIN));
        }
    }

    /// The registry changes.
    pub(super) fn let_go(&self) {
        let mut state = self.0.lock();
        state.let_go += 1;
        state.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_let_go_while_it_was_asked_for_is_not_held() {
        let lease = Lease::default();
        assert!(!lease.is_wanted());
        lease.want();
        assert!(lease.is_wanted());
        let term = lease.ask();
        lease.take(&term, "1".to_owned());
        assert!(lease.holds("1") && !lease.holds("2"));
        let term = lease.ask();
        lease.let_go();
        assert!(!lease.holds("1"));
        lease.take(&term, "1".to_owned());
        assert!(!lease.holds("1"));
    }

    #[test]
    fn it_ends_by_itself() {
        let lease = Lease::default();
        lease.want();
        let mut term = lease.ask();
        term.asked = term.asked.checked_sub(LASTS).expect("a clock that runs");
        lease.take(&term, "1".to_owned());
        assert!(!lease.holds("1"));
    }
}
