//! The counters and limits of the cache, by name: for `CACHE.STATS` and for `/dump`.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::store::Cache;
use crate::config::CacheMode;

/// What `CACHE.STATS` says.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) mode: &'static str,
    pub(super) state: &'static str,
    pub(super) numbers: [(&'static str, u64); 14],
    pub(super) hit_ratio: f64,
}

impl Cache {
    pub(super) fn figures(&self) -> Figures {
        let settings = self.settings();
        let totals = self.totals();
        let stats = &self.stats;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mode = self.mode();
        let state = match mode {
            _ if settings.is_off() => "off",
            CacheMode::Expiry if settings.mode == CacheMode::Tracking => "degraded",
            _ => "on",
        };
        let asked = totals.hits + totals.misses;
        Figures {
            mode: mode.name(),
            state,
            numbers: [
                ("entries", totals.entries as u64),
                ("bytes", totals.bytes as u64),
                ("max_entries", settings.max_entries as u64),
                ("max_bytes", settings.max_bytes as u64),
                ("hits", totals.hits),
                ("misses", totals.misses),
                ("coalesced", get(&stats.coalesced)),
                ("fills", get(&stats.fills)),
                ("rejected_fills", get(&stats.rejected_fills)),
                ("invalidations", get(&stats.invalidations)),
                ("evictions", get(&stats.evictions)),
                ("expired", get(&stats.expired)),
                ("flushes", get(&stats.flushes)),
                ("effective_max_entries", self.most_entries() as u64),
            ],
            hit_ratio: match asked {
                0 => 0.0,
                asked => totals.hits as f64 / asked as f64,
            },
        }
    }

    /// The counters and limits of `CACHE.STATS`, by name.
    #[must_use]
    pub fn numbers(&self) -> [(&'static str, u64); 14] {
        self.figures().numbers
    }

    /// Whether entries live until they expire, because the backing has no tracking that works.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.figures().state == "degraded"
    }

    /// What `CACHE.STATS` says as a JSON object.
    #[must_use]
    pub fn stats_json(&self) -> String {
        let figures = self.figures();
        let mut object = Map::new();
        object.insert("mode".to_owned(), figures.mode.into());
        object.insert("state".to_owned(), figures.state.into());
        for (name, number) in figures.numbers {
            object.insert(name.to_owned(), number.into());
        }
        object.insert("hit_ratio".to_owned(), figures.hit_ratio.into());
        Value::Object(object).to_string()
    }
}
