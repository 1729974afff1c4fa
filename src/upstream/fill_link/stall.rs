//! A fill link that owes an answer for too long: nobody waits for it, and it is not given up at once.

use std::time::{Duration, Instant};

use super::{Asked, Fence, HUNG_AFTER, Inner};
use crate::upstream::error::UpstreamError;

impl Inner {
    pub(super) fn fence(&mut self, fence: Fence) {
        if !self.up {
            // Nothing is there that could be stale.
        } else if !self.tracks {
            self.events.doubted();
        } else if self.stalled {
            self.renounce();
        } else {
            self.ping(Some(fence));
        }
    }

    /// Looks at the clock, and sends a sign of life when it is time for one.
    pub(super) fn tick(&mut self, now: Instant, heartbeat: Duration) -> Result<(), UpstreamError> {
        let patience = self.events.patience();
        // Bytes that come are a sign of life, of the connection: a large value may take its time. That
        // everything before a request was heard is shown by its answer alone, which is the lease's matter.
        let silent = self.asked.front().map_or(Duration::ZERO, |(_, oldest)| {
            now.saturating_duration_since(self.last_heard.max(*oldest))
        });
        if silent > HUNG_AFTER {
            return Err(UpstreamError::ReplyTimeout);
        }
        if silent > patience {
            self.stall();
        } else {
            self.release_overdue(now, patience);
        }
        if now.duration_since(self.last_sent) >= heartbeat / 2 {
            self.ping(None);
        }
        Ok(())
    }

    /// The link has said nothing for δ: what waits for it goes on without it. No flight is left for a
    /// later read to join, so a fence of any age may go when the epoch does.
    fn stall(&mut self) {
        self.stalled = true;
        let mut fences = Vec::new();
        for (asked, _) in &mut self.asked {
            match std::mem::replace(asked, Asked::Nothing) {
                Asked::Get(fetch, _) => self.events.failed(fetch),
                Asked::Length(key) => self.events.measured(&key, None),
                Asked::Ping(Some(fence)) => fences.push(fence),
                other => *asked = other,
            }
        }
        if !fences.is_empty() {
            self.renounce();
        }
    }

    /// Lets fences go that have waited for δ, behind a value that takes its time. Flights that began
    /// before them are too old to be joined, and what they bring is of the epoch that ends here.
    fn release_overdue(&mut self, now: Instant, patience: Duration) {
        let mut fences = Vec::new();
        for (asked, sent) in &mut self.asked {
            if let Asked::Ping(fence @ Some(_)) = asked
                && now.saturating_duration_since(*sent) > patience
            {
                fences.extend(fence.take());
            }
        }
        if !fences.is_empty() {
            self.renounce();
        }
    }

    /// Ends the epoch although the connection is there: pushes that somebody was to wait for may come
    /// too late for what it has brought.
    fn renounce(&mut self) {
        self.epoch = self.events.renounced(self.epoch);
    }
}
