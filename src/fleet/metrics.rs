//! The metrics of the fleet as a whole; those of each shard are the exporter's.

use std::time::Duration;

use super::Fleet;
use super::shard::State;
use crate::metrics::{self, Exposition};

impl Fleet {
    /// Writes how many shards are how, and how polls and watchers do.
    pub fn write_metrics(&self, out: &mut Exposition) {
        self.write_states(out);
        let stats = self.poll_stats();
        out.value(&metrics::FLEET_POLLS, stats.polls);
        out.value(&metrics::FLEET_POLL_FAILURES, stats.failures);
        out.value(&metrics::FLEET_POLL_PANICS, stats.panics);
        out.value(&metrics::FLEET_RESTARTS, stats.restarts);
        let mut lateness = out.metric(&metrics::FLEET_LATENESS);
        for (quantile, late) in [("0.5", stats.lateness_p50), ("0.99", stats.lateness_p99)] {
            lateness.sample(&[("quantile", quantile)], late.as_secs_f64());
        }
        self.write_watchers(out);
    }

    fn write_states(&self, out: &mut Exposition) {
        let settings = self.settings();
        let mut counts = [0_usize; State::ALL.len()];
        let mut oldest = Duration::ZERO;
        for shard in self.shards().sorted() {
            let status = shard.status(&settings);
            let at = State::ALL.iter().position(|state| *state == status.state);
            counts[at.unwrap_or_default()] += 1;
            if status.state != State::Gone {
                oldest = oldest.max(status.age.unwrap_or_default());
            }
        }
        let mut samples = out.metric(&metrics::FLEET_SHARDS);
        for (state, count) in State::ALL.iter().zip(counts) {
            samples.sample(&[("state", state.name())], count);
        }
        out.value(&metrics::FLEET_OLDEST, oldest.as_secs_f64());
    }

    fn write_watchers(&self, out: &mut Exposition) {
        let reports = self.watchers();
        let mut up = out.metric(&metrics::WATCHER_UP);
        for report in &reports {
            up.sample(
                &[("watcher", &report.name), ("kind", report.kind)],
                report.error.is_none(),
            );
        }
        let mut targets = out.metric(&metrics::WATCHER_TARGETS);
        for report in &reports {
            targets.sample(
                &[("watcher", &report.name), ("kind", report.kind)],
                report.targets,
            );
        }
        let mut restarts = out.metric(&metrics::WATCHER_RESTARTS);
        for report in &reports {
            restarts.sample(
                &[("watcher", &report.name), ("kind", report.kind)],
                report.restarts,
            );
        }
    }
}
