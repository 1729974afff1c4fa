//! Every metric, declared once, and the text that Prometheus reads.
//!
//! Whoever has the numbers writes them: `write_metrics` in `session`, `cache`, `fleet`, `discovery`, `bus` and
//! `gateway`. The format is <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::fmt::Write;

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric is and means.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, with the unit at its end.
    pub name: &'static str,
    /// What it does over time.
    pub kind: Kind,
    /// One sentence.
    pub help: &'static str,
}

/// What a metric does over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It grows until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Quantiles of what was measured; a sum and a count where they are known.
    Summary,
    /// What was measured, counted by size.
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
            Kind::Histogram => "histogram",
        }
    }
}

macro_rules! metrics {
    ($($ident:ident $kind:ident $name:literal $help:literal)+) => {
        $(
            #[doc = $help]
            pub const $ident: Metric = Metric { name: $name, kind: Kind::$kind, help: $help };
        )+
        /// All metrics of Respite's own.
        #[cfg(test)]
        const ALL: &[Metric] = &[$($ident),+];
    };
}

metrics! {
    BUILD_INFO Gauge "respite_build_info" "1; the version is a label."
    UPTIME Gauge "respite_uptime_seconds" "Since the process began to serve."
    UPSTREAM_UP Gauge "respite_upstream_up" "Whether the backing Redis is usable."
    MASTERS Gauge "respite_upstream_masters" "Masters behind that have slots; one where there is no cluster."
    MASTERS_UP Gauge "respite_upstream_masters_up" "Of these, those that answer."
    REPLICAS Gauge "respite_upstream_replicas" "Replicas behind that are known."
    SLOTS_SERVED Gauge "respite_upstream_slots_served" "Slots whose master answers; 16384 is all of them."
    MAP_VERSION Gauge "respite_upstream_map_version" "Grows with each change of who is master and who has which slots."
    MAP_REFRESHES Counter "respite_upstream_map_refreshes_total" "Times that a node of a cluster told who has which slots."
    REDIRECTS Counter "respite_upstream_redirects_total" "Requests that a node of a cluster said were not for it, or not now, by what it said."
    PANICS Counter "respite_panics_total" "Panics, by the kind of task; each was caught, and is a fault of Respite's."
    TASKS Gauge "respite_tasks" "Tasks that there are, by kind, those within others included."
    CLIENTS Gauge "respite_connected_clients" "Redis clients that are connected."
    CONNECTIONS Counter "respite_connections_received_total" "Redis clients that were accepted."
    REJECTED Counter "respite_connections_rejected_total" "Redis clients that were turned away."
    AUTH_FAILURES Counter "respite_auth_failures_total" "Logins that failed, over RESP and HTTP."
    DENIED Counter "respite_access_denied_total" "What clients were refused by rules, by reason; logins that failed, too."
    COMMANDS Counter "respite_commands_total" "Requests of Redis clients."
    FORWARDED Counter "respite_commands_forwarded_total" "Requests that were passed to the backing."
    COMMAND_DURATION Histogram "respite_command_duration_seconds" "How long commands took, by what became of them and by user."
    DROPPED_PUSHES Counter "respite_upstream_pushes_dropped_total" "Pushes of the backing on shared connections that nobody asked for."
    PINNED Gauge "respite_pinned_connections" "Connections to the backing that belong to one client now."
    PINNED_IDLE Gauge "respite_pinned_connections_idle" "Connections to the backing that wait for the next client that needs its own."
    PINS Counter "respite_pins_total" "Times that a client was given a connection of its own."
    PINS_OPENED Counter "respite_pinned_connections_opened_total" "Pinned connections that were opened."
    CACHE_ENTRIES Gauge "respite_cache_entries" "Keys in the cache."
    CACHE_BYTES Gauge "respite_cache_bytes" "Bytes in the cache, with its bookkeeping."
    CACHE_HITS Counter "respite_cache_hits_total" "Reads answered from the cache."
    CACHE_MISSES Counter "respite_cache_misses_total" "Reads that the cache could not answer."
    CACHE_COALESCED Counter "respite_cache_coalesced_total" "Misses that joined the fetch of another."
    CACHE_FILLS Counter "respite_cache_fills_total" "Fetched values that were kept."
    CACHE_REJECTED Counter "respite_cache_rejected_fills_total" "Fetched values that were not kept."
    CACHE_INVALIDATIONS Counter "respite_cache_invalidations_total" "Keys that the backing said have changed."
    CACHE_EVICTIONS Counter "respite_cache_evictions_total" "Keys that had to go to make room."
    CACHE_EXPIRED Counter "respite_cache_expired_total" "Keys that had expired when they were asked for."
    CACHE_FLUSHES Counter "respite_cache_flushes_total" "Times that the cache was emptied."
    FLEET_SHARDS Gauge "respite_fleet_shards" "Shards that are tracked, by state."
    FLEET_POLLS Counter "respite_fleet_polls_total" "Polls of shards that have ended."
    FLEET_POLL_FAILURES Counter "respite_fleet_poll_failures_total" "Polls that brought no INFO."
    FLEET_POLL_PANICS Counter "respite_fleet_poll_panics_total" "Polls that ended in a panic."
    FLEET_RESTARTS Counter "respite_fleet_scheduler_restarts_total" "Times that the scheduler of polls was started again."
    FLEET_LATENESS Summary "respite_fleet_poll_lateness_seconds" "How late the polls of the last seconds began."
    FLEET_OLDEST Gauge "respite_fleet_oldest_info_age_seconds" "The age of the oldest INFO of a shard that is not gone."
    FLEET_MEMBERS Gauge "respite_fleet_members" "Respites that share the fleet."
    FLEET_POLLED_BY Gauge "respite_fleet_shards_polled" "Shards tracked here, by who polls them: here, elsewhere, nobody."
    FLEET_MEMBER_SHARDS Gauge "respite_fleet_member_shards" "Shards tracked here that a Respite polls."
    FLEET_SHARE_UP Gauge "respite_fleet_share_up" "Whether the Respites that share the fleet can be heard of."
    FLEET_MOVES Counter "respite_fleet_moves_total" "Shards whose poller has changed, by direction: here, away."
    FLEET_BEATS Counter "respite_fleet_beats_total" "Times that the backing was told that this Respite is there."
    FLEET_BEAT_FAILURES Counter "respite_fleet_beat_failures_total" "Times that it has not answered."
    FLEET_RECORDS Counter "respite_fleet_records_total" "Polls that other Respites were told of, or that were heard of, by direction: told, heard."
    FLEET_RECORD_BYTES Counter "respite_fleet_record_bytes_total" "Their bytes, compressed."
    FLEET_UNREADABLE Counter "respite_fleet_unreadable_records_total" "Records in the backing that no Respite of this version wrote."
    FLEET_ORPHANS Counter "respite_fleet_orphan_polls_total" "Polls of shards that another Respite should have polled and has not."
    WATCHER_UP Gauge "respite_fleet_watcher_up" "Whether a watcher can tell its set of targets."
    WATCHER_TARGETS Gauge "respite_fleet_watcher_targets" "Targets in the last set of a watcher."
    WATCHER_RESTARTS Counter "respite_fleet_watcher_restarts_total" "Times that a watcher was started again."
    DISCOVERY_GROUPS Gauge "respite_discovery_watched_groups" "Groups with something that is watched here."
    DISCOVERY_SERVICES Gauge "respite_discovery_watched_services" "Services that are watched here one by one."
    DISCOVERY_NODES Gauge "respite_discovery_watched_nodes" "Live nodes of the services that are watched here one by one."
    DISCOVERY_WATCHERS Gauge "respite_discovery_watchers" "Clients and parts of Respite that watch a service or a group."
    BUS_BUSES Gauge "respite_bus_buses" "Buses that are in use here."
    BUS_WAITING Gauge "respite_bus_waiting_callers" "Callers that wait here for a result."
    BUS_PARKED Gauge "respite_bus_waiting_fetches" "Fetches that wait here for a call."
    BUS_IN_FLIGHT Gauge "respite_bus_calls_in_flight" "Calls that workers connected here have fetched and not answered."
    BUS_CALLS Counter "respite_bus_calls_total" "Calls that were made here."
    BUS_ERRORS Counter "respite_bus_errors_total" "Calls of which it was heard here that they failed."
    BUS_HITS Counter "respite_bus_cache_hits_total" "Calls made here that were answered from cached results."
    BUS_QUEUE Histogram "respite_bus_queue_seconds" "How long calls fetched here had waited."
    BUS_WORK Histogram "respite_bus_work_seconds" "How long calls answered here were worked on."
    GATEWAY_UNROUTED Counter "respite_gateway_unrouted_total" "Requests whose path belongs to no service."
    GATEWAY_REQUESTS Counter "respite_gateway_requests_total" "Requests that were for a service."
    GATEWAY_RETRIES Counter "respite_gateway_retries_total" "Requests that were sent again after they had been sent."
    GATEWAY_RECONNECTS Counter "respite_gateway_reconnects_total" "Requests sent elsewhere because an instance could not be connected to."
    GATEWAY_UNAVAILABLE Counter "respite_gateway_unavailable_total" "Requests answered with 503: no instance was healthy."
    GATEWAY_FAILED Counter "respite_gateway_failed_total" "Requests answered with 502 or 504: no instance has answered."
    INSTANCE_UP Gauge "respite_gateway_instance_up" "Whether an instance answers its polls."
    INSTANCE_DRAINING Gauge "respite_gateway_instance_draining" "Whether an instance is drained."
    INSTANCE_EJECTED Gauge "respite_gateway_instance_ejected" "Whether an instance is ejected because it failed."
    INSTANCE_IN_FLIGHT Gauge "respite_gateway_instance_in_flight" "Requests that an instance has to do."
    INSTANCE_LATENCY Gauge "respite_gateway_instance_latency_seconds" "Moving average of the time to the first byte of a response."
    INSTANCE_REQUESTS Counter "respite_gateway_instance_requests_total" "Requests that an instance was sent, by result."
    INSTANCE_POLLS Counter "respite_gateway_instance_polls_total" "Polls of an instance, by result."
}

/// The text, as it grows. All samples of a metric must be written together.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// The samples of one metric.
#[derive(Debug)]
pub struct Samples<'a> {
    text: &'a mut String,
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    begun: bool,
}

impl Exposition {
    /// Begins a metric. Without a sample it leaves no trace.
    pub fn metric(&mut self, metric: &Metric) -> Samples<'_> {
        self.family(metric.name, metric.kind, metric.help)
    }

    /// Begins a metric whose name is not one of Respite's own.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &'a str) -> Samples<'a> {
        Samples {
            text: &mut self.text,
            name,
            kind: kind.name(),
            help,
            begun: false,
        }
    }

    /// Writes a metric that has one sample and no labels.
    pub fn value(&mut self, metric: &Metric, value: impl Number) {
        self.metric(metric).sample(&[], value);
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

impl Samples<'_> {
    /// Goes on with a metric that has samples already, in a text before this one.
    #[must_use]
    pub fn continued(mut self, begun: bool) -> Self {
        self.begun |= begun;
        self
    }

    /// Whether there is a sample.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Writes a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Number) {
        self.part("", labels, value);
    }

    /// Writes a sample of a part of the metric: `_sum`, `_count`, `_bucket`.
    pub fn part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Number) {
        let Samples {
            name, kind, help, ..
        } = *self;
        let text = &mut *self.text;
        if !std::mem::replace(&mut self.begun, true) {
            // Writing to a string cannot fail.
            let _ = write!(text, "# HELP {name} ");
            escape(help, false, text);
            let _ = write!(text, "\n# TYPE {name} {kind}\n");
        }
        text.push_str(name);
        text.push_str(suffix);
        for (index, (label, value)) in labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            text.push_str(label);
            text.push_str("=\"");
            escape(value, true, text);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        text.push(' ');
        value.write(text);
        text.push('\n');
    }
}

/// What a sample may be. Whole numbers are exact up to 2⁵³.
pub trait Number {
    /// Writes it as Prometheus reads it.
    fn write(&self, text: &mut String);
}

impl Number for u64 {
    fn write(&self, text: &mut String) {
        text.push_str(itoa::Buffer::new().format(*self));
    }
}

impl Number for usize {
    fn write(&self, text: &mut String) {
        text.push_str(itoa::Buffer::new().format(*self));
    }
}

impl Number for f64 {
    fn write(&self, text: &mut String) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{self}");
    }
}

impl Number for bool {
    fn write(&self, text: &mut String) {
        text.push(if *self { '1' } else { '0' });
    }
}

/// A number that somebody else has written in digits, passed on as it is.
#[derive(Debug, Clone, Copy)]
pub struct Digits<'a>(&'a str);

impl<'a> Digits<'a> {
    /// None unless it is a plain decimal number.
    #[must_use]
    pub fn new(text: &'a str) -> Option<Self> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let whole = whole.strip_prefix('-').unwrap_or(whole);
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // No number is longer; it keeps nonsense short.
        (text.len() <= 64 && digits(whole) && digits(rest)).then_some(Digits(text))
    }
}

impl Number for Digits<'_> {
    fn write(&self, text: &mut String) {
        text.push_str(self.0);
    }
}

fn escape(from: &str, quotes: bool, text: &mut String) {
    let mut rest = from;
    while let Some(at) = rest.find(['\\', '\n', '"']) {
        text.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            _ if quotes => text.push_str("\\\""),
            _ => text.push('"'),
        }
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut out = Exposition::default();
        out.value(&CLIENTS, 3_usize);
        let mut samples = out.metric(&GATEWAY_REQUESTS);
        samples.sample(&[("service", "a\"b\\c\nd"), ("x", "y")], 12_345_678_901_u64);
        samples.sample(&[("service", "é")], 0.25);
        let _ = out.metric(&GATEWAY_RETRIES);
        out.value(&UPSTREAM_UP, true);
        assert_eq!(
            out.finish(),
            "# HELP respite_connected_clients Redis clients that are connected.\n\
             # TYPE respite_connected_clients gauge\n\
             respite_connected_clients 3\n\
             # HELP respite_gateway_requests_total Requests that were for a service.\n\
             # TYPE respite_gateway_requests_total counter\n\
             respite_gateway_requests_total{service=\"a\\\"b\\\\c\\nd\",x=\"y\"} 12345678901\n\
             respite_gateway_requests_total{service=\"é\"} 0.25\n\
             # HELP respite_upstream_up Whether the backing Redis is usable.\n\
             # TYPE respite_upstream_up gauge\n\
             respite_upstream_up 1\n"
        );
    }

    #[test]
    fn only_numbers_are_passed_on() {
        for text in ["0", "-1", "12345678901234567890", "0.003367", "-0.5"] {
            let mut out = String::new();
            Digits::new(text).expect(text).write(&mut out);
            assert_eq!(out, text);
        }
        let long = "1".repeat(65);
        for text in ["", "-", ".5", "1.", "1e3", "nan", "1 2", "0x1", "+1", &long] {
            assert!(Digits::new(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_metric_goes_on_and_has_parts() {
        let mut out = Exposition::default();
        let mut samples = out.family("a", Kind::Summary, "x").continued(true);
        samples.sample(&[("quantile", "0.5")], 1_u64);
        samples.part("_sum", &[], 2.5);
        samples.part("_count", &[], 3_u64);
        assert!(samples.has_begun());
        assert_eq!(
            out.finish(),
            "a{quantile=\"0.5\"} 1\na_sum 2.5\na_count 3\n"
        );
    }

    #[test]
    fn names_follow_the_rules() {
        let mut names: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
        for metric in ALL {
            let counter = metric.kind == Kind::Counter;
            assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
            assert!(metric.name.starts_with("respite_"), "{}", metric.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
