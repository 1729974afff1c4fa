//! One reading of the clock for all that is done at once: a proxy's commands are so short that reading it for each
//! would be a tenth of their work.

use std::cell::Cell;
use std::time::Instant;

thread_local! {
    static HELD: Cell<Option<Instant>> = const { Cell::new(None) };
}

#[cfg(test)]
thread_local! {
    static SIMULATED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// As long as it lives, [`now`] stands still on this thread.
#[derive(Debug)]
pub struct Hold {
    /// The outermost hold ends it.
    outer: bool,
}

/// Reads the clock for all that this thread does until the hold is dropped. Not to be kept across `.await`.
pub fn hold() -> (Instant, Hold) {
    HELD.with(|held| match held.get() {
        Some(now) => (now, Hold { outer: false }),
        None => {
            let now = Instant::now();
            held.set(Some(now));
            (now, Hold { outer: true })
        }
    })
}

/// The time, as it was read at the beginning of what is done at once.
#[inline]
pub fn now() -> Instant {
    HELD.with(Cell::get).unwrap_or_else(Instant::now)
}

/// The time now, whatever is held; that of a simulation while one runs on this thread.
#[inline]
pub(crate) fn precise() -> Instant {
    #[cfg(test)]
    if let Some(now) = SIMULATED.with(Cell::get) {
        return now;
    }
    Instant::now()
}

/// Has [`precise`] say that it is then, on this thread.
#[cfg(test)]
pub(crate) fn simulate(now: Option<Instant>) {
    SIMULATED.with(|simulated| simulated.set(now));
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.outer {
            HELD.with(|held| held.set(None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_until_the_outermost_hold_ends() {
        let (first, outer) = hold();
        let (second, inner) = hold();
        assert_eq!((first, now()), (second, first));
        drop(inner);
        assert_eq!(now(), first);
        drop(outer);
        while now() == first {}
        assert!(now() > first);
    }
}
