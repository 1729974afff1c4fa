//! The metrics of the cache.

use std::sync::atomic::Ordering;

use super::store::Cache;
use crate::metrics::{self, Exposition};

impl Cache {
    /// Writes the metrics of the cache.
    pub fn write_metrics(&self, out: &mut Exposition) {
        let totals = self.totals();
        out.value(&metrics::CACHE_ENTRIES, totals.entries);
        out.value(&metrics::CACHE_BYTES, totals.bytes);
        out.value(&metrics::CACHE_HITS, totals.hits);
        out.value(&metrics::CACHE_MISSES, totals.misses);
        let stats = &self.stats;
        for (metric, counter) in [
            (&metrics::CACHE_COALESCED, &stats.coalesced),
            (&metrics::CACHE_FILLS, &stats.fills),
            (&metrics::CACHE_REJECTED, &stats.rejected_fills),
            (&metrics::CACHE_INVALIDATIONS, &stats.invalidations),
            (&metrics::CACHE_EVICTIONS, &stats.evictions),
            (&metrics::CACHE_EXPIRED, &stats.expired),
            (&metrics::CACHE_FLUSHES, &stats.flushes),
        ] {
            out.value(metric, counter.load(Ordering::Relaxed));
        }
    }
}
