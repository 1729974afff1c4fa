//! Whether what a fill link brought may still be served.
//!
//! Everything a link brought belongs to its *epoch*, which ends with the connection. And it is good
//! until δ after the last request that the backing answered was sent: that answer proves that every
//! push caused before it has been applied.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::mutant::{Mutant, is_active};

/// The beginning of the cache's time.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds of the cache's time; what was before its beginning is at its beginning.
#[inline]
pub(super) fn ticks(at: Instant) -> u64 {
    // All that is done at once has one time.
    TICKS.with(|last| match last.get() {
        Some((of, ticks)) if of == at => ticks,
        _ => {
            let since = at.saturating_duration_since(*START);
            let ticks = since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos());
            last.set(Some((at, ticks)));
            ticks
        }
    })
}

thread_local! {
    /// The last time that was asked for.
    static TICKS: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

/// What a lease says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may be served.
    Good,
    /// Not now: its link has not shown for δ that it is alive.
    Unproven,
    /// Never again: its epoch is over.
    Ended,
}

/// The state of one fill link, as the entries that it brought see it.
#[derive(Debug, Default)]
pub struct Lease {
    /// The node of the backing that it leads to.
    node: u32,
    epoch: AtomicU64,
    /// Up to when entries may be served, in ticks. Without tracking there is no proof to wait for:
    /// then it is for ever, and only the epoch counts.
    until: AtomicU64,
    /// When the last request was sent that the backing has answered, in ticks, on any connection that it had.
    proven: AtomicU64,
}

impl Lease {
    /// Of a link to a node.
    pub fn of(node: u32) -> Self {
        Lease {
            node,
            ..Self::default()
        }
    }

    /// The node that the link leads to.
    pub(super) fn node(&self) -> u32 {
        self.node
    }

    /// The current epoch.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Notes that the backing answered a request sent at `sent`.
    pub fn renew(&self, sent: Instant, staleness_max: Duration) {
        let delta = u64::try_from(staleness_max.as_nanos()).unwrap_or(u64::MAX);
        let sent = ticks(sent);
        let until = sent.saturating_add(delta);
        self.proven.fetch_max(sent, Ordering::AcqRel);
        self.until.fetch_max(until, Ordering::AcqRel);
    }

    /// Up to when, in ticks, all pushes have been applied that concern what was brought in `epoch`; none when that
    /// is over. The proof is read first and the epoch after it, as in [`Lease::standing`].
    pub(super) fn proven(&self, epoch: u64) -> Option<u64> {
        let proven = self.proven.load(Ordering::Acquire);
        self.is_current(epoch).then_some(proven)
    }

    /// Makes entries good without further proof, or not.
    pub fn set_endless(&self, endless: bool) {
        let until = if endless { u64::MAX } else { 0 };
        self.until.store(until, Ordering::Release);
    }

    /// Whether entries are good without further proof.
    pub(super) fn is_endless(&self) -> bool {
        self.until.load(Ordering::Acquire) == u64::MAX
    }

    /// Ends the epoch: nothing that the link brought is served from now on.
    pub fn end(&self) {
        if !is_active(Mutant::EpochNotChecked) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        self.until.store(0, Ordering::Release);
    }

    /// Ends `epoch` alone and returns the next; returns `epoch` itself when somebody else has ended it: what
    /// is brought in it is not served, whatever follows on the connection.
    pub fn succeed(&self, epoch: u64) -> u64 {
        let next = epoch + 1;
        let ended = self
            .epoch
            .compare_exchange(epoch, next, Ordering::AcqRel, Ordering::Acquire);
        if ended.is_err() {
            return epoch;
        }
        self.until.store(0, Ordering::Release);
        next
    }

    /// Whether an entry of `epoch` may be served at `now`, in ticks.
    ///
    /// The proof is read first and the epoch after it. A reader may be held up between the two for as long
    /// as it takes to lose the link, to come back and to prove the new connection alive: with the epoch read
    /// first, the new connection's proof would vouch for what the old one brought. In this order whoever
    /// sees the new proof sees the new epoch as well, because the task that renews has ended the old epoch
    /// before. And a proof that is older than the entry's epoch is not seen: it was taken back before the
    /// entry was put in, under the lock that the reader holds.
    #[inline]
    pub(super) fn standing(&self, epoch: u64, now: u64) -> Standing {
        self.standing_with(epoch, now, || ())
    }

    /// As [`Lease::standing`]; `between` happens between the two looks.
    #[inline]
    fn standing_with(&self, epoch: u64, now: u64, between: impl FnOnce()) -> Standing {
        if is_active(Mutant::EpochBeforeLease) {
            let current = self.is_current(epoch);
            between();
            return match (current, self.is_good(now)) {
                (false, _) => Standing::Ended,
                (true, true) => Standing::Good,
                (true, false) => Standing::Unproven,
            };
        }
        let good = self.is_good(now);
        between();
        match self.is_current(epoch) {
            true if good => Standing::Good,
            true => Standing::Unproven,
            false => Standing::Ended,
        }
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

    /// The reader is held up between its two looks while the link is lost, comes back and is proved alive.
    #[test]
    fn a_new_connections_proof_does_not_vouch_for_what_the_old_one_brought() {
        let lease = Lease::default();
        let (sent, delta) = (*START + Duration::from_secs(1), Duration::from_secs(5));
        let epoch = lease.epoch();
        let reconnect = || {
            lease.end();
            lease.set_endless(false);
            lease.renew(sent, delta);
        };
        // The link hung before it was lost: there was no proof at the first look.
        let standing = lease.standing_with(epoch, ticks(sent), reconnect);
        assert_eq!(standing, Standing::Ended);
        // There was one.
        let epoch = lease.epoch();
        let standing = lease.standing_with(epoch, ticks(sent), reconnect);
        assert_eq!(standing, Standing::Ended);
        assert_eq!(lease.standing(lease.epoch(), ticks(sent)), Standing::Good);
    }
}
