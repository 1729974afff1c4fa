//! What is known of services and instances, for the pages and for `GATEWAY.STATS`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::instance::{Instance, clock_ms};
use super::probe;
use super::service::Service;
use super::shared::Gateway;

/// A service, its instances aside.
#[derive(Debug, Serialize)]
pub struct ServiceStats {
    /// Its name.
    pub service: String,
    /// Its paths.
    pub apis: Vec<String>,
    /// Requests that were for it.
    pub requests: u64,
    /// Requests that were sent again after they had been sent.
    pub retries: u64,
    /// Requests that were sent elsewhere because an instance could not be connected to.
    pub reconnects: u64,
    /// Requests answered with 503: no instance was healthy.
    pub unavailable: u64,
    /// Requests answered with 502 or 504: no instance has answered.
    pub failed: u64,
    /// Instances that can be used.
    pub healthy: usize,
    /// Instances.
    pub total: usize,
}

/// An instance.
#[derive(Debug, Serialize)]
pub struct InstanceStats {
    /// Where it is, as it was written.
    pub url: String,
    /// `unknown`, `up`, `down` or `draining`.
    pub state: &'static str,
    /// `high`, `med` or `low`.
    pub priority: &'static str,
    /// How it is polled.
    pub polling: String,
    /// Requests that it has to do.
    pub in_flight: usize,
    /// Average time to the first byte of a response.
    pub ewma_ms: f64,
    /// Requests that it answered, but for those with a status from 500.
    pub successes: u64,
    /// Requests that it did not answer, or with a status from 500.
    pub failures: u64,
    /// For how long it is ejected.
    pub ejected_ms: u64,
    /// Polls since it is there.
    pub polls_total: u64,
    /// Those that failed.
    pub polls_failed: u64,
    /// The polls that are remembered, the oldest first.
    pub polls: Vec<PollStats>,
}

/// One poll.
#[derive(Debug, Serialize)]
pub struct PollStats {
    /// Milliseconds since 1970.
    pub start: u64,
    /// Milliseconds since 1970.
    pub end: u64,
    /// Whether it was a success.
    pub ok: bool,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why it was a failure.
    pub error: Option<String>,
}

pub(super) fn service_stats(service: &Service) -> ServiceStats {
    let counts = &service.counts;
    let (healthy, total) = service.healthy();
    ServiceStats {
        service: service.name.clone(),
        apis: service.apis().to_vec(),
        requests: counts.requests.load(Ordering::Relaxed),
        retries: counts.retries.load(Ordering::Relaxed),
        reconnects: counts.reconnects.load(Ordering::Relaxed),
        unavailable: counts.unavailable.load(Ordering::Relaxed),
        failed: counts.failed.load(Ordering::Relaxed),
        healthy,
        total,
    }
}

pub(super) fn instance_stats(instance: &Instance, most_polls: usize) -> InstanceStats {
    let (polls, polls_total, polls_failed) =
        instance.history(|history| (history.newest(most_polls), history.total, history.failed));
    let polling = instance.polling();
    InstanceStats {
        url: instance.url.to_string(),
        state: instance.state(),
        priority: polling.priority.name(),
        polling: probe::describe(&polling),
        in_flight: instance.in_flight(),
        ewma_ms: instance.ewma_ms(),
        successes: instance.successes(),
        failures: instance.failures(),
        ejected_ms: instance.ejected_ms(clock_ms()),
        polls_total,
        polls_failed,
        polls: polls
            .iter()
            .map(|poll| PollStats {
                start: poll.start_ms,
                end: probe::end_ms(poll),
                ok: poll.outcome.is_success(),
                status: poll.outcome.status(),
                error: poll.outcome.error(),
            })
            .collect(),
    }
}

impl Gateway {
    /// The services and the instances of each, without their polls.
    #[must_use]
    pub fn stats(&self) -> Vec<(ServiceStats, Vec<InstanceStats>)> {
        let services = self.services();
        let stats = services.iter().map(|service| {
            let instances = service.instances();
            let instances = instances.iter().map(|instance| instance_stats(instance, 0));
            (service_stats(service), instances.collect())
        });
        stats.collect()
    }

    /// The services with their instances and the newest polls of each, as a JSON array in pieces: an
    /// instance at a time, because thousands of polls are remembered.
    pub fn stats_json(&self, most_polls: usize) -> impl Iterator<Item = String> + Send + use<> {
        let mut first = true;
        let services = self.services().into_iter().flat_map(move |service| {
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            service_json(comma, &service, most_polls)
        });
        std::iter::once("[".to_owned())
            .chain(services)
            .chain(std::iter::once("]".to_owned()))
    }
}

fn service_json(
    comma: &str,
    service: &Arc<Service>,
    most_polls: usize,
) -> impl Iterator<Item = String> + Send + use<> {
    let head = json(&service_stats(service));
    let head = head.strip_suffix('}').unwrap_or(&head);
    let head = format!("{comma}{head},\"instances\":[");
    let instances: Vec<Arc<Instance>> = service.instances().to_vec();
    let instances = instances
        .into_iter()
        .enumerate()
        .map(move |(index, instance)| {
            let comma = if index == 0 { "" } else { "," };
            format!("{comma}{}", json(&instance_stats(&instance, most_polls)))
        });
    std::iter::once(head)
        .chain(instances)
        .chain(std::iter::once("]}".to_owned()))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text, numbers and lists are JSON")
}
