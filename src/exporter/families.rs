//! Every metric of a shard, in the order in which they are written.

use super::fields::{CORE, Field};
use super::lines::{LINES, Lines};
use super::module_fields::ADDED;
use super::shards::{KNOWN, Known};
use crate::metrics::{Exposition, Kind, Samples};

/// A metric by where its samples come from.
#[derive(Clone, Copy)]
pub(super) enum Family {
    /// From what is known of the shard, whatever it said.
    Known(&'static Known),
    /// From one field of INFO.
    Field(&'static Field),
    /// From lines of INFO.
    Lines(&'static Lines),
}

/// The metric at this place; none behind the last.
pub(super) fn family(at: usize) -> Option<Family> {
    let (known, fields) = (
        KNOWN.iter().map(Family::Known),
        CORE.iter().map(Family::Field),
    );
    let (lines, added) = (
        LINES.iter().map(Family::Lines),
        ADDED.iter().map(Family::Field),
    );
    known.chain(fields).chain(lines).chain(added).nth(at)
}

impl Family {
    /// Its name, its type and what it means.
    pub(super) fn head(self) -> (&'static str, Kind, &'static str) {
        match self {
            Family::Known(known) => (known.metric, Kind::Gauge, known.help),
            Family::Field(field) => (field.metric, field.kind, field.help),
            Family::Lines(lines) => (lines.metric, lines.kind, lines.help),
        }
    }

    pub(super) fn begin(self, out: &mut Exposition) -> Samples<'_> {
        let (metric, kind, help) = self.head();
        out.family(metric, kind, help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_metric_is_there_once() {
        let mut seen = HashSet::new();
        let all = (0..).map_while(family);
        for (metric, kind, help) in all.map(Family::head) {
            assert!(seen.insert(metric), "{metric}");
            assert!(metric.starts_with("redis_") || metric.starts_with("respite_shard_"));
            assert!(
                metric
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!(help.ends_with('.'), "{metric}: {help}");
            assert_ne!(kind, Kind::Histogram, "{metric}");
        }
        assert!(seen.len() > 300);
        // No part of a summary may be a metric of its own.
        assert!(!seen.contains("redis_latency_percentiles_usec_sum"));
    }

    #[test]
    fn fields_stand_in_the_order_of_info() {
        // What is found fast is found where the last one was, or soon after.
        let info = include_str!("../fleet/testdata/redis-7.0.txt");
        let places = CORE.iter().filter_map(|field| {
            info.lines()
                .position(|line| line.split(':').next() == Some(field.name))
        });
        let places: Vec<usize> = places.collect();
        let back = places.windows(2).filter(|two| two[0] > two[1]).count();
        assert!(places.len() > 120 && back < 25, "{} {back}", places.len());
    }
}
