//! Every metric, declared once, and the text that Prometheus reads.
//!
//! Whoever has the numbers writes them: `write_metrics` in `session`, `cache` and `gateway`. The
//! format is <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

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
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
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
        pub const ALL: &[Metric] = &[$($ident),+];
    };
}

metrics! {
    BUILD_INFO Gauge "respite_build_info" "1; the version is a label."
    UPTIME Gauge "respite_uptime_seconds" "Since the process began to serve."
    UPSTREAM_UP Gauge "respite_upstream_up" "Whether the backing Redis is usable."
    CLIENTS Gauge "respite_connected_clients" "Redis clients that are connected."
    CONNECTIONS Counter "respite_connections_received_total" "Redis clients that were accepted."
    REJECTED Counter "respite_connections_rejected_total" "Redis clients that were turned away."
    COMMANDS Counter "respite_commands_total" "Requests of Redis clients."
    FORWARDED Counter "respite_commands_forwarded_total" "Requests that were passed to the backing."
    PINNED Gauge "respite_pinned_connections" "Connections to the backing that belong to one client."
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

    /// Returns the text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

impl Samples<'_> {
    /// Writes a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Number) {
        let Samples {
            name, kind, help, ..
        } = *self;
        if !std::mem::replace(&mut self.begun, true) {
            let help = escaped(help, false);
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"{}\"", escaped(value, true));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {}", value.into_f64());
    }
}

/// What a sample may be. Whole numbers are exact up to 2⁵³.
pub trait Number {
    /// The number as Prometheus keeps it.
    fn into_f64(self) -> f64;
}

impl Number for u64 {
    fn into_f64(self) -> f64 {
        self as f64
    }
}

impl Number for usize {
    fn into_f64(self) -> f64 {
        self as f64
    }
}

impl Number for f64 {
    fn into_f64(self) -> f64 {
        self
    }
}

impl Number for bool {
    fn into_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
}

fn escaped(text: &str, quotes: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if quotes => escaped.push_str("\\\""),
            c => escaped.push(c),
        }
    }
    escaped
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
