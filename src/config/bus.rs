//! `[bus]`: how workers of the bus are judged.

use super::{error::Problems, period::Period, raw};
use std::time::Duration;

/// Less could not be told from the time that a message takes.
const SHORTEST: Duration = Duration::from_millis(100);
/// A worker that was not heard of for so long is not alive by any measure.
const LONGEST: Duration = Duration::from_secs(86_400);

/// How the bus behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusSettings {
    /// How long a worker counts as alive after it was heard of; from 100 ms to a day.
    pub worker_ttl: Duration,
}

pub(super) fn validate(raw: &raw::Bus, problems: &mut Problems) -> BusSettings {
    let Period(worker_ttl) = raw.worker_ttl;
    if !(SHORTEST..=LONGEST).contains(&worker_ttl) {
        problems.invalid("bus.worker_ttl", "must be from 100ms to 1d");
    }
    BusSettings { worker_ttl }
}

/// Reads the settings back, for the effective configuration.
pub(super) fn to_raw(bus: &BusSettings) -> raw::Bus {
    raw::Bus {
        worker_ttl: Period(bus.worker_ttl),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::problems;

    #[test]
    fn a_worker_lives_for_a_sensible_time() {
        for ttl in ["0s", "99ms", "25h"] {
            let refused = problems(&format!("[bus]\nworker_ttl = \"{ttl}\""));
            assert_eq!(refused, ["bus.worker_ttl: must be from 100ms to 1d"]);
        }
    }
}
