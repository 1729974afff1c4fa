//! Whether what a fill link brought may still be served.
//!
//! Everything a link brought belongs to its *epoch*, which ends with the connection. And it is good
//! until δ after the last request that the backing answered was sent: that answer proves that every
//! push caused before it has been applied.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::mutant::{Mutant, is_active};

/// The state of one fill link, as the entries that it brought see it.
#[derive(Debug)]
pub struct Lease {
    epoch: AtomicU64,
    /// Nanoseconds after `start` up to which entries may be served.
    until: AtomicU64,
    /// Without tracking there is no proof to wait for: only the epoch counts.
    endless: AtomicBool,
    start: Instant,
}

impl Default for Lease {
    fn default() -> Self {
        Lease {
            epoch: AtomicU64::new(0),
            until: AtomicU64::new(0),
            endless: AtomicBool::new(false),
            start: Instant::now(),
        }
    }
}

impl Lease {
    /// The current epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Notes that the backing answered a request sent at `sent`.
    pub fn renew(&self, sent: Instant, staleness_max: Duration) {
        let until = sent.saturating_duration_since(self.start) + staleness_max;
        let until = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
        self.until.fetch_max(until, Ordering::AcqRel);
    }

    /// Makes entries good without further proof.
    pub fn set_endless(&self, endless: bool) {
        self.endless.store(endless, Ordering::Release);
    }

    /// Ends the epoch: nothing that the link brought is served from now on.
    pub fn end(&self) {
        if !is_active(Mutant::EpochNotChecked) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        self.until.store(0, Ordering::Release);
    }

    /// Whether what was brought in `epoch` belongs to the connection that is there now.
    #[inline]
    pub fn is_current(&self, epoch: u64) -> bool {
        self.epoch() == epoch
    }

    /// Whether entries of the current epoch may be served at `now`.
    #[inline]
    pub fn is_good(&self, now: Instant) -> bool {
        if self.endless.load(Ordering::Acquire) || is_active(Mutant::LeaseNotChecked) {
            return true;
        }
        let now = now.saturating_duration_since(self.start).as_nanos();
        now < u128::from(self.until.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_good_for_delta_after_the_last_answered_request_was_sent() {
        let lease = Lease::default();
        let sent = Instant::now();
        let delta = Duration::from_secs(5);
        assert!(!lease.is_good(sent));
        lease.renew(sent, delta);
        assert!(lease.is_good(sent + Duration::from_secs(4)));
        assert!(!lease.is_good(sent + delta));
        // An answer to an older request proves nothing new, and takes nothing away.
        lease.renew(sent - Duration::from_millis(1), delta);
        assert!(lease.is_good(sent + Duration::from_millis(4999)));
        let epoch = lease.epoch();
        lease.end();
        assert!(!lease.is_good(sent) && !lease.is_current(epoch));
    }
}
