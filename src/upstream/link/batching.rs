//! How many requests leave in one write. Every write and every read of it cost the backing more than a small command
//! does. So while a backing that is near has many commands to answer, what comes meanwhile waits for its next replies, and
//! leaves together: batches grow with the load. With few commands on their way nothing is held.
//!
//! What is held loses no time that it would not have spent behind those commands at the backing, which has one thread,
//! but the way there. Therefore nothing is held where the way is long.

use std::time::{Duration, Instant};

/// Commands that are on their way when others begin to wait.
const MANY: usize = 16;
/// Bytes beyond which nothing waits.
const MOST_BYTES: usize = 32 * 1024;
/// A backing that answers in less is near, and not at something slow.
const NEAR: Duration = Duration::from_micros(700);
/// One in so many parts that a new round trip changes what is thought of them.
const WEIGHT: u32 = 8;

/// What is known of the batches of one connection.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Batching {
    /// Commands that are not written.
    unsent: usize,
    /// When the last batch was written, unless it is being answered.
    written: Option<Instant>,
    round_trip: Option<Duration>,
}

impl Batching {
    /// So many commands more are to be written.
    #[inline]
    pub(super) fn queued(&mut self, commands: usize) {
        self.unsent += commands;
    }

    /// Everything was written.
    pub(in crate::upstream) fn written(&mut self, now: Instant) {
        self.unsent = 0;
        self.written.get_or_insert(now);
    }

    /// Replies have come.
    #[inline]
    pub(super) fn heard(&mut self, now: Instant) {
        let Some(written) = self.written.take() else {
            return;
        };
        let took = now.saturating_duration_since(written);
        self.round_trip = Some(match self.round_trip {
            Some(before) => before - before / WEIGHT + took / WEIGHT,
            None => took,
        });
    }

    /// Whether what is to be written waits for replies, of `in_flight` commands in all.
    pub(in crate::upstream) fn holds(&self, in_flight: usize, bytes: usize) -> bool {
        let awaited = in_flight.saturating_sub(self.unsent);
        awaited >= MANY
            && self.unsent < awaited
            && bytes < MOST_BYTES
            && self.round_trip.is_some_and(|took| took < NEAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One whose backing answers in so many microseconds.
    fn batching(round_trip: u64) -> Batching {
        let mut batching = Batching::default();
        let now = Instant::now();
        batching.written(now);
        batching.heard(now + Duration::from_micros(round_trip));
        batching
    }

    #[test]
    fn many_commands_on_their_way_to_one_that_is_near_hold_back_others() {
        let mut near = batching(50);
        near.queued(1);
        assert!(!near.holds(MANY, 100), "fewer are on their way");
        assert!(near.holds(MANY + 1, 100));
        assert!(!near.holds(MANY + 1, MOST_BYTES));
        // As many as are on their way are enough.
        near.queued(MANY - 1);
        assert!(!near.holds(2 * MANY, 100));
        near.written(Instant::now());
        assert!(near.holds(2 * MANY, 0));
        let mut far = batching(1000);
        far.queued(1);
        assert!(!far.holds(MANY + 1, 100));
        let mut unknown = Batching::default();
        unknown.queued(1);
        assert!(!unknown.holds(MANY + 1, 100));
    }

    #[test]
    fn round_trips_are_those_of_late() {
        let mut batching = batching(50);
        let now = Instant::now();
        for _ in 0..3 {
            batching.written(now);
            // It was at something slow, or is farther away now.
            batching.heard(now + Duration::from_millis(5));
        }
        batching.queued(1);
        assert!(!batching.holds(MANY + 1, 100));
        for _ in 0..40 {
            batching.written(now);
            batching.heard(now + Duration::from_micros(50));
        }
        batching.queued(1);
        assert!(batching.holds(MANY + 1, 100));
    }
}
