//! Whether what a fill link brought may still be served.
//!
//! Everything a link brought belongs to its *epoch*, which ends with the connection. And it is good
//! until δ after the last request that the backing answered was sent: that answer proves that every
//! push caused before it has been applied.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::mutant::{Mutant, is_active};

/// The beginning of the cache's time.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds of the cache's time; what was before its beginning is at its beginning.
#[inline]
pub(super) fn ticks(at: Instant) -> u64 {
    let since = at.saturating_duration_since(*START);
    since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

/// The state of one fill link, as the entries that it brought see it.
#[derive(Debug, Default)]
pub struct Lease {
    epoch: AtomicU64,
    /// Up to when entries may be served, in ticks. Without tracking there is no proof to wait for:
    /// then it is for ever, and only the epoch counts.
    until: AtomicU64,
}

impl Lease {
    /// The current epoch.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Notes that the backing answered a request sent at `sent`.
    pub fn renew(&self, sent: Instant, staleness_max: Duration) {
        let delta = u64::try_from(staleness_max.as_nanos()).unwrap_or(u64::MAX);
        let until = ticks(sent).saturating_add(delta);
        self.until.fetch_max(until, Ordering::AcqRel);
    }

    /// Makes entries good without further proof, or not.
    pub fn set_endless(&self, endless: bool) {
        let until = if endless { u64::MAX } else { 0 };
        self.until.store(until, Ordering::Release);
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

    /// Whether entries of the current epoch may be served at `now`, in ticks.
    #[inline]
    pub(super) fn is_good(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Acquire) || is_active(Mutant::LeaseNotChecked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_good_for_delta_after_the_last_answered_request_was_sent() {
        let lease = Lease::default();
        let is_good = |at| lease.is_good(ticks(at));
        // Its beginning is behind us.
        let sent = *START + Duration::from_secs(1);
        let delta = Duration::from_secs(5);
        assert!(!is_good(sent));
        lease.renew(sent, delta);
        assert!(is_good(sent + Duration::from_secs(4)));
        assert!(!is_good(sent + delta));
        // An answer to an older request proves nothing new, and takes nothing away.
        lease.renew(sent - Duration::from_millis(1), delta);
        assert!(is_good(sent + Duration::from_millis(4999)));
        let epoch = lease.epoch();
        lease.end();
        assert!(!is_good(sent) && !lease.is_current(epoch));
    }
}
