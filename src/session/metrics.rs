//! The metrics of clients, commands and the backing.

use std::sync::atomic::Ordering;

use super::shared::Shared;
use crate::access::DeniedReason;
use crate::command::Rights;
use crate::metrics::{self, Exposition};
use crate::tasks;

impl Shared {
    /// Writes how long commands take. Only an administrator sees the names of users.
    pub fn write_latencies(&self, out: &mut Exposition, rights: &Rights) {
        self.latency.write_metrics(out, rights.is_admin());
    }

    /// Writes the metrics of the process, its clients and their commands.
    pub fn write_metrics(&self, out: &mut Exposition) {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.metric(&metrics::BUILD_INFO).sample(&version, true);
        out.value(&metrics::UPTIME, self.started.elapsed().as_secs_f64());
        out.value(&metrics::UPSTREAM_UP, self.backing.is_ready());
        self.write_backing(out);
        let mut panics = out.metric(&metrics::PANICS);
        for (task, count) in tasks::caught() {
            panics.sample(&[("task", task)], count);
        }
        let mut alive = out.metric(&metrics::TASKS);
        for (task, count) in tasks::alive() {
            alive.sample(&[("task", task)], count);
        }
        out.value(&metrics::CLIENTS, self.clients.len());
        out.value(&metrics::CONNECTIONS, self.clients.total_connections());
        out.value(&metrics::REJECTED, self.clients.total_rejected());
        let logins = &self.settings().logins;
        out.value(&metrics::AUTH_FAILURES, logins.failures());
        let denials = &self.settings().denials;
        let mut denied = out.metric(&metrics::DENIED);
        for reason in DeniedReason::ALL {
            denied.sample(&[("reason", reason.name())], denials.count(reason));
        }
        out.value(&metrics::COMMANDS, self.total(|stats| &stats.commands));
        out.value(&metrics::FORWARDED, self.total(|stats| &stats.forwarded));
        let dropped = self.dropped_pushes.load(Ordering::Relaxed);
        out.value(&metrics::DROPPED_PUSHES, dropped);
        out.value(&metrics::PINNED, self.pinned.used());
        out.value(&metrics::PINNED_IDLE, self.pinned.idle());
        out.value(&metrics::PINS, self.total(|stats| &stats.pins));
        out.value(
            &metrics::PINS_OPENED,
            self.total(|stats| &stats.pins_opened),
        );
    }

    fn write_backing(&self, out: &mut Exposition) {
        let figures = self.backing.figures();
        out.value(&metrics::MASTERS, figures.masters);
        out.value(&metrics::MASTERS_UP, figures.masters_up);
        out.value(&metrics::REPLICAS, figures.replicas);
        out.value(&metrics::SLOTS_SERVED, figures.slots_served);
        out.value(&metrics::MAP_VERSION, figures.map_version);
        out.value(&metrics::MAP_REFRESHES, figures.map_refreshes);
        let mut redirects = out.metric(&metrics::REDIRECTS);
        for (kind, count) in figures.redirects {
            redirects.sample(&[("kind", kind)], count);
        }
    }
}
