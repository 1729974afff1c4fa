//! The lines of INFO that are several samples with labels: commands, errors, databases, replicas, masters.

use std::time::{SystemTime, UNIX_EPOCH};

use super::fields::Unit;
use super::text::{Info, Out, number, pair};
use crate::metrics::Kind;

/// A metric of which a server has any number of samples.
pub(super) struct Lines {
    pub(super) metric: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) write: fn(&Info<'_>, &mut Out<'_, '_>),
}

const fn gauge(
    metric: &'static str,
    help: &'static str,
    write: fn(&Info<'_>, &mut Out<'_, '_>),
) -> Lines {
    Lines {
        metric,
        kind: Kind::Gauge,
        help,
        write,
    }
}

const fn counter(
    metric: &'static str,
    help: &'static str,
    write: fn(&Info<'_>, &mut Out<'_, '_>),
) -> Lines {
    Lines {
        kind: Kind::Counter,
        ..gauge(metric, help, write)
    }
}

/// All of them.
pub(super) const LINES: &[Lines] = &[
    gauge(
        "redis_instance_info",
        "1; what the server is, in labels.",
        instance_info,
    ),
    gauge(
        "redis_start_time_seconds",
        "When the server was started, in seconds since 1970.",
        start_time,
    ),
    gauge("redis_db_keys", "Keys of a database.", |info, out| {
        databases(info, out, &["keys"], Unit::AsIs)
    }),
    gauge(
        "redis_db_keys_expiring",
        "Keys of a database that have an expiry.",
        |info, out| databases(info, out, &["expires"], Unit::AsIs),
    ),
    gauge(
        "redis_db_avg_ttl_seconds",
        "Mean time to live of a database's keys.",
        |info, out| databases(info, out, &["avg_ttl"], Unit::Millis),
    ),
    gauge(
        "redis_db_keys_cached",
        "Keys of a database that are cached.",
        |info, out| databases(info, out, &["cached_keys"], Unit::AsIs),
    ),
    gauge(
        "redis_db_keys_with_expiring_items",
        "Keys of a database with parts that have an expiry.",
        |info, out| {
            let names = ["subexpiry", "keys_with_volatile_items"];
            databases(info, out, &names, Unit::AsIs);
        },
    ),
    counter(
        "redis_commands_total",
        "Calls of a command.",
        |info, out| commands(info, out, "calls", Unit::AsIs),
    ),
    counter(
        "redis_commands_duration_seconds_total",
        "Time spent in a command.",
        |info, out| commands(info, out, "usec", Unit::Micros),
    ),
    counter(
        "redis_commands_rejected_calls_total",
        "Calls of a command that were refused before it ran.",
        |info, out| commands(info, out, "rejected_calls", Unit::AsIs),
    ),
    counter(
        "redis_commands_failed_calls_total",
        "Calls of a command that failed while it ran.",
        |info, out| commands(info, out, "failed_calls", Unit::AsIs),
    ),
    counter(
        "redis_commands_slowlog_total",
        "Calls of a command that the slow log has seen.",
        |info, out| commands(info, out, "slowlog_count", Unit::AsIs),
    ),
    counter(
        "redis_commands_slowlog_duration_seconds_total",
        "Time of a command's calls that the slow log has seen.",
        |info, out| commands(info, out, "slowlog_time_ms_sum", Unit::Millis),
    ),
    gauge(
        "redis_commands_slowlog_duration_seconds_max",
        "The longest call of a command that the slow log has seen.",
        |info, out| commands(info, out, "slowlog_time_ms_max", Unit::Millis),
    ),
    Lines {
        metric: "redis_latency_percentiles_usec",
        kind: Kind::Summary,
        help: "Percentiles of how long a command takes, in microseconds.",
        write: percentiles,
    },
    counter("redis_errors_total", "Error replies by their code.", errors),
    gauge(
        "redis_connected_slave_offset_bytes",
        "How far a replica is.",
        |info, out| replicas(info, out, "offset"),
    ),
    gauge(
        "redis_connected_slave_lag_seconds",
        "How long ago a replica was heard.",
        |info, out| replicas(info, out, "lag"),
    ),
    gauge(
        "redis_slave_info",
        "1; whom a replica follows, in labels.",
        slave_info,
    ),
    gauge(
        "redis_master_link_up",
        "Whether a replica is connected to its master.",
        |info, out| masters(info, out, "link_status"),
    ),
    gauge(
        "redis_master_last_io_seconds_ago",
        "How long ago a replica heard its master.",
        |info, out| masters(info, out, "last_io_seconds_ago"),
    ),
    gauge(
        "redis_master_sync_in_progress",
        "Whether a replica is being synchronised.",
        |info, out| masters(info, out, "sync_in_progress"),
    ),
    gauge(
        "redis_slave_repl_offset",
        "How far a replica is, as it says itself.",
        |info, out| masters(info, out, "slave_repl_offset"),
    ),
    gauge(
        "redis_sentinel_master_status",
        "Whether a Sentinel takes a master for well.",
        sentinel_status,
    ),
    gauge(
        "redis_sentinel_master_slaves",
        "Replicas of a master that a Sentinel watches.",
        |info, out| sentinel_counts(info, out, "slaves"),
    ),
    gauge(
        "redis_sentinel_master_sentinels",
        "Sentinels that watch a master.",
        |info, out| sentinel_counts(info, out, "sentinels"),
    ),
    gauge("redis_module_info", "1; a module, in labels.", modules),
    gauge(
        "redis_tls_certificate_info",
        "1; a certificate, in labels.",
        certificates,
    ),
    gauge(
        "redis_scripting_engine_info",
        "1; a scripting engine, in labels.",
        |info, out| engines(info, out, None),
    ),
    gauge(
        "redis_scripting_engine_memory_used_bytes",
        "Memory of a scripting engine.",
        |info, out| engines(info, out, Some("used_memory")),
    ),
    gauge(
        "redis_scripting_engine_memory_overhead_bytes",
        "What a scripting engine needs besides.",
        |info, out| engines(info, out, Some("memory_overhead")),
    ),
    counter(
        "redis_active_time_io_thread_seconds_total",
        "Time that an I/O thread was not idle.",
        io_threads,
    ),
];

fn instance_info(info: &Info<'_>, out: &mut Out<'_, '_>) {
    let value = |name| info.field(name).unwrap_or_default();
    let mode = info.field("redis_mode").or(info.field("server_mode"));
    let mut labels = vec![
        ("role", value("role")),
        ("redis_version", value("redis_version")),
        ("redis_build_id", value("redis_build_id")),
        ("redis_mode", mode.unwrap_or_default()),
        ("os", value("os")),
        ("maxmemory_policy", value("maxmemory_policy")),
        ("tcp_port", value("tcp_port")),
        ("run_id", value("run_id")),
        ("process_id", value("process_id")),
        ("master_replid", value("master_replid")),
    ];
    for name in [
        "valkey_version",
        "valkey_release_stage",
        "availability_zone",
    ] {
        labels.extend(
            info.field(name)
                .filter(|v| !v.is_empty())
                .map(|v| (name, v)),
        );
    }
    out.sample(&labels, true);
}

/// As of the moment when the server was asked.
fn start_time(info: &Info<'_>, out: &mut Out<'_, '_>) {
    let uptime = info.field("uptime_in_seconds").and_then(number);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let asked = now.and_then(|now| now.checked_sub(info.age()));
    if let (Some(uptime), Some(asked)) = (uptime, asked) {
        out.sample(&[], asked.as_secs() as f64 - uptime);
    }
}

/// Writes the first of these numbers of each database.
fn databases(info: &Info<'_>, out: &mut Out<'_, '_>, names: &[&str], unit: Unit) {
    for (db, value) in info.section("Keyspace") {
        let digits = db.strip_prefix("db").unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if let Some(text) = names.iter().find_map(|name| pair(value, name)) {
            out.number(&[("db", db)], text, unit);
        }
    }
}

fn commands(info: &Info<'_>, out: &mut Out<'_, '_>, what: &str, unit: Unit) {
    for (name, value) in info.section("Commandstats") {
        let command = name.strip_prefix("cmdstat_");
        if let Some((command, text)) = command.zip(pair(value, what)) {
            out.number(&[("cmd", command)], text, unit);
        }
    }
}

/// Only of commands whose calls are known, too: a summary has a count and a sum.
fn percentiles(info: &Info<'_>, out: &mut Out<'_, '_>) {
    let mut near = 0;
    for (name, value) in info.section("Latencystats") {
        let Some(command) = name.strip_prefix("latency_percentiles_usec_") else {
            continue;
        };
        let Some((at, stats)) = info.field_near(&format!("cmdstat_{command}"), near) else {
            continue;
        };
        near = at + 1;
        let numbers = pair(stats, "calls").and_then(number);
        let Some((calls, usec)) = numbers.zip(pair(stats, "usec").and_then(number)) else {
            continue;
        };
        let percentiles = value.split(',').filter_map(|text| {
            let (name, value) = text.split_once('=')?;
            Some((number(name.strip_prefix('p')?)?, number(value)?))
        });
        out.summary(("cmd", command), percentiles, usec, calls);
    }
}

fn errors(info: &Info<'_>, out: &mut Out<'_, '_>) {
    for (name, value) in info.section("Errorstats") {
        let code = name.strip_prefix("errorstat_");
        if let Some((code, text)) = code.zip(pair(value, "count")) {
            out.number(&[("err", code)], text, Unit::AsIs);
        }
    }
}

fn replicas(info: &Info<'_>, out: &mut Out<'_, '_>, what: &str) {
    for (name, value) in info.section("Replication") {
        let Some(text) = numbered(name, "slave").and(pair(value, what)) else {
            continue;
        };
        let label = |name| pair(value, name).unwrap_or_default();
        let labels = [
            ("slave_ip", label("ip")),
            ("slave_port", label("port")),
            ("slave_state", label("state")),
        ];
        out.number(&labels, text, Unit::AsIs);
    }
}

fn slave_info(info: &Info<'_>, out: &mut Out<'_, '_>) {
    if info.field("role") != Some("slave") {
        return;
    }
    let value = |name| info.field(name).unwrap_or_default();
    let labels = [
        ("master_host", value("master_host")),
        ("master_port", value("master_port")),
        ("read_only", value("slave_read_only")),
    ];
    out.sample(&labels, true);
}

/// What a replica says of its master; KeyDB numbers its masters (`master_1_host`). Host and port come before
/// the rest.
fn masters(info: &Info<'_>, out: &mut Out<'_, '_>, what: &str) {
    let (mut host, mut port) = ("", "");
    for (name, value) in info.section("Replication") {
        let rest = name.strip_prefix("master_").unwrap_or_default();
        let rest = rest
            .split_once('_')
            .filter(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .map_or(rest, |(_, rest)| rest);
        match rest {
            "host" => host = value,
            "port" => port = value,
            _ if rest == what || name == what => {
                let labels = [("master_host", host), ("master_port", port)];
                match what {
                    "link_status" => out.sample(&labels, value == "up"),
                    _ => out.number(&labels, value, Unit::AsIs),
                }
            }
            _ => {}
        }
    }
}

/// The masters of a Sentinel: name, address, and all that is said of them.
fn sentinel_masters<'a>(info: &'a Info<'_>) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
    info.section("Sentinel").filter_map(|(name, value)| {
        numbered(name, "master")?;
        Some((pair(value, "name")?, pair(value, "address")?, value))
    })
}

fn sentinel_status(info: &Info<'_>, out: &mut Out<'_, '_>) {
    for (name, address, value) in sentinel_masters(info) {
        let status = pair(value, "status").unwrap_or_default();
        let labels = [
            ("master_name", name),
            ("master_address", address),
            ("master_status", status),
        ];
        out.sample(&labels, status == "ok");
    }
}

fn sentinel_counts(info: &Info<'_>, out: &mut Out<'_, '_>, what: &str) {
    for (name, address, value) in sentinel_masters(info) {
        let labels = [("master_name", name), ("master_address", address)];
        if let Some(text) = pair(value, what) {
            out.number(&labels, text, Unit::AsIs);
        }
    }
}

fn modules(info: &Info<'_>, out: &mut Out<'_, '_>) {
    for (_, value) in info
        .section("Modules")
        .filter(|(name, _)| *name == "module")
    {
        let names = ["name", "ver", "api", "filters", "usedby", "using"];
        let labels = names.map(|name| (name, pair(value, name).unwrap_or_default()));
        out.sample(&labels, true);
    }
}

fn certificates(info: &Info<'_>, out: &mut Out<'_, '_>) {
    for certificate in ["server", "client", "ca"] {
        if let Some(serial) = info.field(&format!("tls_{certificate}_cert_serial")) {
            let labels = [("certificate", certificate), ("serial", serial)];
            out.sample(&labels, true);
        }
    }
}

fn engines(info: &Info<'_>, out: &mut Out<'_, '_>, what: Option<&str>) {
    let engines = info.section("Scripting Engines");
    for (_, value) in engines.filter(|(name, _)| numbered(name, "engine_").is_some()) {
        let label = |name| pair(value, name).unwrap_or_default();
        let labels = [
            ("engine", label("name")),
            ("module", label("module")),
            ("abi_version", label("abi_version")),
        ];
        match what.map(|what| pair(value, what)) {
            None => out.sample(&labels, true),
            Some(Some(text)) => out.number(&labels, text, Unit::AsIs),
            Some(None) => {}
        }
    }
}

fn io_threads(info: &Info<'_>, out: &mut Out<'_, '_>) {
    for (name, value) in info.section("CPU") {
        if let Some(thread) = numbered(name, "used_active_time_io_thread_") {
            out.number(&[("thread", thread)], value, Unit::AsIs);
        }
    }
}

/// The digits behind a prefix.
fn numbered<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let digits = name.strip_prefix(prefix)?;
    let are = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are.then_some(digits)
}
