//! How the cache is to work.

use std::time::Duration;

use crate::resp::glob_match;

/// What keeps entries from growing stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The backing tells what has changed (`CLIENT TRACKING`).
    Tracking,
    /// Only the entries' expiry and the commands that pass through this Respite.
    Expiry,
    /// Nothing is cached.
    Off,
}

/// `[cache]`, as the cache itself needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// What keeps entries from growing stale.
    pub mode: Mode,
    /// Entries, all segments together.
    pub max_entries: usize,
    /// Bytes of keys, values and bookkeeping.
    pub max_bytes: usize,
    /// The longest that any entry lives.
    pub expiry: Duration,
    /// The largest value that is kept.
    pub max_value_bytes: usize,
    /// Only keys that match one of these are cached; none: all.
    pub include: Vec<String>,
    /// Keys that match one of these are never cached.
    pub exclude: Vec<String>,
    /// δ: how long an entry may be served after the last proof that the fill link is alive.
    pub staleness_max: Duration,
    /// Every read asks the backing.
    pub strict: bool,
}

impl CacheSettings {
    /// Whether nothing is ever cached.
    pub fn is_off(&self) -> bool {
        self.mode == Mode::Off || self.strict
    }

    /// Whether a key may be cached, by its name.
    pub fn covers(&self, key: &[u8]) -> bool {
        let any = |patterns: &[String]| {
            patterns
                .iter()
                .any(|pattern| glob_match(pattern.as_bytes(), key, false))
        };
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

impl Mode {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Tracking => "tracking",
            Mode::Expiry => "expiry",
            Mode::Off => "off",
        }
    }
}
