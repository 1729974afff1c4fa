//! The metrics of the buses: what was counted here, per method, and who waits.

use std::collections::BTreeMap;

use crate::bus::counters::{BOUNDS, Counts, Times};
use crate::bus::hub::Hub;
use crate::bus::name::rule_key;
use crate::command::Rights;
use crate::metrics::{self, Exposition, Metric, Samples};

impl Hub {
    /// Writes the metrics of the buses, of those by name that these rights show; counts are those of a
    /// second ago at most.
    pub fn write_metrics(&self, out: &mut Exposition, rights: &Rights) {
        let is_seen = |bus: &str| rights.may_use(rule_key(bus).as_bytes());
        let buses = self.buses();
        let waiting: usize = buses.iter().map(|bus| bus.waiting.lock().waiters()).sum();
        let parked: usize = buses.iter().map(|bus| bus.parked.lock().len()).sum();
        out.value(&metrics::BUS_BUSES, buses.len());
        out.value(&metrics::BUS_WAITING, waiting);
        out.value(&metrics::BUS_PARKED, parked);
        let mut in_flight = out.metric(&metrics::BUS_IN_FLIGHT);
        let seen = buses.iter().filter(|bus| is_seen(&bus.name));
        let held: BTreeMap<&str, _> = seen
            .map(|bus| (bus.name.as_str(), bus.held.lock().by_method()))
            .collect();
        for (bus, methods) in &held {
            for (method, count) in methods {
                in_flight.sample(&[("bus", bus), ("method", method)], *count);
            }
        }
        let mut counts = self.shared.counts.all();
        counts.retain(|(bus, _), _| is_seen(bus));
        type Counter = fn(&Counts) -> u64;
        let counters: [(&Metric, Counter); 3] = [
            (&metrics::BUS_CALLS, |counts| counts.calls),
            (&metrics::BUS_ERRORS, |counts| counts.errors),
            (&metrics::BUS_HITS, |counts| counts.cache_hits),
        ];
        for (metric, counter) in counters {
            let mut samples = out.metric(metric);
            for ((bus, method), counts) in &counts {
                samples.sample(&[("bus", bus), ("method", method)], counter(counts));
            }
        }
        histograms(out.metric(&metrics::BUS_QUEUE), &counts, |counts| {
            &counts.queue
        });
        histograms(out.metric(&metrics::BUS_WORK), &counts, |counts| {
            &counts.work
        });
    }
}

fn histograms(
    mut samples: Samples<'_>,
    counts: &BTreeMap<(String, String), Counts>,
    times: fn(&Counts) -> &Times,
) {
    for ((bus, method), counts) in counts {
        let labels = [("bus", bus.as_str()), ("method", method.as_str())];
        let times = times(counts);
        let mut total = 0;
        for (at, count) in times.buckets.iter().enumerate() {
            total += count;
            let bound = BOUNDS.get(at).map_or("+Inf".to_owned(), f64::to_string);
            let [bus, method] = labels;
            samples.part("_bucket", &[bus, method, ("le", &bound)], total);
        }
        samples.part("_sum", &labels, times.seconds);
        samples.part("_count", &labels, total);
    }
}
