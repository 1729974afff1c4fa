//! What takes entries away: commands, pushes, flushes, and the end of what brought them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::full_key::write_full_key;
use super::lease::Lease;
use super::mutant::{Mutant, is_active};
use super::stats::count;
use super::store::Cache;

impl Cache {
    /// Takes a key's entry away and voids its flight, because of a command on it: the key has to be
    /// protected already.
    pub(super) fn evict(&self, db: u32, key: &[u8], hash: u64, full_key: &mut Vec<u8>) {
        let part = self.part(hash, self.mask.load(Ordering::SeqCst));
        if !part.occupied.load(Ordering::SeqCst) {
            return;
        }
        write_full_key(hash, db, key, full_key);
        let (part, mut segment) = self.lock(hash);
        segment.remove(full_key);
        segment.doubt_oversized(full_key);
        if !is_active(Mutant::TokenNotVoidedByWrite) {
            segment.flights.void(full_key);
        }
        if segment.is_bare() {
            part.occupied.store(false, Ordering::SeqCst);
        }
    }

    /// The backing says that a key has changed, on the fill link with this lease.
    pub(super) fn invalidate(&self, db: u32, key: &[u8], lease: &Arc<Lease>) {
        let hash = self.hash(key);
        let mut full_key = Vec::new();
        write_full_key(hash, db, key, &mut full_key);
        let (_, mut segment) = self.lock(hash);
        count(&self.stats.invalidations);
        segment.doubt_oversized(&full_key);
        segment.flights.void(&full_key);
        // What another link brought has a push of its own to come.
        segment.change(&full_key, |entry| {
            #[cfg(feature = "mutants")]
            if is_active(Mutant::VariantOutlivesPush) {
                return entry.forget_get();
            }
            entry.retain(|value| !Arc::ptr_eq(&value.lease, lease));
        });
    }

    /// Ends the epochs of all fill links: nothing that they brought, or still bring on the connections
    /// that they have, is served.
    pub fn end_epochs(&self) {
        if is_active(Mutant::OwnersKept) {
            return;
        }
        let mut leases = self.leases.lock();
        leases.retain(|lease| lease.upgrade().inspect(|lease| lease.end()).is_some());
        self.epoch_ended();
    }

    /// Empties the cache and voids every flight; returns how many entries went.
    pub fn flush(&self) -> usize {
        count(&self.stats.flushes);
        self.segments
            .iter()
            .map(|part| part.segment.lock().clear())
            .sum()
    }

    /// Notes that an epoch is over: its entries are of no use.
    pub(super) fn epoch_ended(&self) {
        self.unswept.store(self.segments.len(), Ordering::Relaxed);
    }

    /// Drops entries whose epoch is over from one segment, when there may be any: called now and then.
    pub fn sweep(&self) {
        let one_less = |left: usize| left.checked_sub(1);
        let swept = self
            .unswept
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        if let Ok(left) = swept {
            self.segments[left - 1].segment.lock().sweep();
        }
    }
}
