//! The metrics of the gateway: per service, and per instance.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::health::Health;
use super::instance::{Instance, clock_ms};
use super::service::{Counts, Service};
use super::shared::Gateway;
use crate::metrics::{self, Exposition, Metric};

impl Gateway {
    /// Writes the metrics of the gateway.
    pub fn write_metrics(&self, out: &mut Exposition) {
        let services = self.services();
        if services.is_empty() {
            return;
        }
        let unrouted = self.counts.unrouted.load(Ordering::Relaxed);
        out.value(&metrics::GATEWAY_UNROUTED, unrouted);
        write_services(&services, out);
        write_instances(&services, out);
    }
}

fn write_services(services: &[Arc<Service>], out: &mut Exposition) {
    type Counter = fn(&Counts) -> &std::sync::atomic::AtomicU64;
    let counters: [(&Metric, Counter); 5] = [
        (&metrics::GATEWAY_REQUESTS, |counts| &counts.requests),
        (&metrics::GATEWAY_RETRIES, |counts| &counts.retries),
        (&metrics::GATEWAY_RECONNECTS, |counts| &counts.reconnects),
        (&metrics::GATEWAY_UNAVAILABLE, |counts| &counts.unavailable),
        (&metrics::GATEWAY_FAILED, |counts| &counts.failed),
    ];
    for (metric, counter) in counters {
        let mut samples = out.metric(metric);
        for service in services {
            let count = counter(&service.counts).load(Ordering::Relaxed);
            samples.sample(&[("service", &service.name)], count);
        }
    }
}

fn write_instances(services: &[Arc<Service>], out: &mut Exposition) {
    let now = clock_ms();
    let all: Vec<(&str, Arc<Instance>)> = services
        .iter()
        .flat_map(|service| {
            let instances = service.instances().to_vec();
            instances
                .into_iter()
                .map(|instance| (service.name.as_str(), instance))
        })
        .collect();
    let mut each = |metric: &Metric, value: &dyn Fn(&Instance) -> f64| {
        let mut samples = out.metric(metric);
        for (service, instance) in &all {
            let labels = [
                ("service", *service),
                ("instance_url", instance.url.as_str()),
            ];
            samples.sample(&labels, value(instance));
        }
    };
    let yes = |answer: bool| f64::from(u8::from(answer));
    each(
        &metrics::INSTANCE_UP,
        &|one| yes(one.health() == Health::Up),
    );
    each(&metrics::INSTANCE_DRAINING, &|one| yes(one.is_draining()));
    each(&metrics::INSTANCE_EJECTED, &|one| {
        yes(one.ejected_ms(now) > 0)
    });
    each(&metrics::INSTANCE_IN_FLIGHT, &|one| one.in_flight() as f64);
    each(&metrics::INSTANCE_LATENCY, &|one| one.ewma_ms() / 1000.0);
    let mut by_result = |metric: &Metric, counts: &dyn Fn(&Instance) -> (u64, u64)| {
        let mut samples = out.metric(metric);
        for (service, instance) in &all {
            let (success, failure) = counts(instance);
            for (result, count) in [("success", success), ("failure", failure)] {
                let url = instance.url.as_str();
                let labels = [
                    ("service", *service),
                    ("instance_url", url),
                    ("result", result),
                ];
                samples.sample(&labels, count);
            }
        }
    };
    by_result(&metrics::INSTANCE_REQUESTS, &|one| {
        (one.successes(), one.failures())
    });
    by_result(&metrics::INSTANCE_POLLS, &|one| {
        one.history(|history| (history.total - history.failed, history.failed))
    });
}
