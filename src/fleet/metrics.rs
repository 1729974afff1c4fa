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
        self.write_share(out);
        self.write_watchers(out);
    }

    /// Who polls what. Without anything shared these are one Respite that polls all.
    fn write_share(&self, out: &mut Exposition) {
        let overview = self.share.overview();
        let counters = self.share.counters();
        let tracked = self.shards().sorted().len();
        let members = overview
            .as_ref()
            .map_or(1, |overview| overview.members.len());
        out.value(&metrics::FLEET_MEMBERS, members);
        let by = overview.as_ref().map_or([tracked, 0, 0], |overview| {
            [overview.held, overview.elsewhere, overview.nobody]
        });
        let mut polled = out.metric(&metrics::FLEET_POLLED_BY);
        for (who, shards) in ["here", "elsewhere", "nobody"].into_iter().zip(by) {
            polled.sample(&[("by", who)], shards);
        }
        let mut each = out.metric(&metrics::FLEET_MEMBER_SHARDS);
        match &overview {
            None => each.sample(&[("member", self.share.name())], tracked),
            Some(overview) => {
                for member in &overview.members {
                    each.sample(&[("member", &member.name)], member.shards);
                }
            }
        }
        let well = overview.is_none_or(|overview| overview.error.is_none());
        out.value(&metrics::FLEET_SHARE_UP, well);
        let mut moves = out.metric(&metrics::FLEET_MOVES);
        moves.sample(&[("direction", "here")], counters.acquired.get());
        moves.sample(&[("direction", "away")], counters.released.get());
        out.value(&metrics::FLEET_BEATS, counters.beats.get());
        out.value(&metrics::FLEET_BEAT_FAILURES, counters.failures.get());
        let mut records = out.metric(&metrics::FLEET_RECORDS);
        records.sample(&[("direction", "told")], counters.told.get());
        records.sample(&[("direction", "heard")], counters.heard.get());
        let mut bytes = out.metric(&metrics::FLEET_RECORD_BYTES);
        bytes.sample(&[("direction", "told")], counters.told_bytes.get());
        bytes.sample(&[("direction", "heard")], counters.heard_bytes.get());
        out.value(&metrics::FLEET_UNREADABLE, counters.unreadable.get());
        out.value(&metrics::FLEET_ORPHANS, self.share.orphans());
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
