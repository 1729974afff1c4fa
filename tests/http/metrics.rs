//! `/metrics`: every series is there, and Prometheus' own tools find nothing wrong with it.

use super::backing::use_bus;
use super::exposition::{Exposition, promtool};
use crate::gateway::{Backend, Rig, service};
use crate::support::{DEADLINE, get, wait_until};

/// A Respite with something of everything.
pub(super) fn rig(backend: &Backend) -> Rig {
    let rig = Rig::start(&service(&[backend]));
    rig.respite.call(&["SET", "a", "1"]).assert_ok();
    get(rig.port(), "/");
    get(rig.port(), "/status/500");
    use_bus(&rig.respite, "math");
    // Fetched, and never answered: it is in flight as long as its worker is there.
    let port = rig.respite.http_port();
    wait_until(
        "the bus has counted, the backing was polled",
        DEADLINE,
        || {
            let text = get(port, "/metrics").1;
            text.contains("respite_bus_work_seconds_count{bus=\"math\",method=\"sum\"} 1")
                && text.contains("redis_up{")
        },
    );
    rig
}

#[test]
fn every_metric_is_written() {
    let backend = Backend::start();
    let rig = rig(&backend);
    let mut worker = rig.respite.connect();
    rig.respite.call(&["BUS.CAST", "math", "sum", "ARGS", "2"]);
    worker.call(&["BUS.FETCH", "math", "w", "*"]);
    let (status, text) = get(rig.respite.http_port(), "/metrics");
    assert_eq!(status, 200);
    let source = include_str!("../../src/metrics.rs");
    let declared: Vec<&str> = source
        .split('"')
        .filter(|word| {
            word.starts_with("respite_") && word.len() > 8 && !word.contains(['{', ' ', '\\'])
        })
        .collect();
    assert!(declared.len() > 50, "{declared:?}");
    let documented = include_str!("../../docs/http.md");
    for name in declared {
        assert!(
            text.contains(&format!("\n{name}")) || text.starts_with(name),
            "{name}: {text}"
        );
        assert!(
            documented.contains(&format!("`{name}`")),
            "docs/http.md: {name}"
        );
    }
    let found = Exposition::read(&text);
    let instance = format!(
        "service=\"app\",instance_url=\"127.0.0.1:{}\"",
        backend.port()
    );
    let method = "bus=\"math\",method=\"sum\"";
    for (series, value) in [
        ("respite_upstream_up".to_owned(), 1.0),
        (
            "respite_gateway_requests_total{service=\"app\"}".to_owned(),
            2.0,
        ),
        (format!("respite_gateway_instance_up{{{instance}}}"), 1.0),
        (
            format!("respite_gateway_instance_requests_total{{{instance},result=\"failure\"}}"),
            1.0,
        ),
        (format!("respite_bus_calls_in_flight{{{method}}}"), 1.0),
        (
            format!("respite_bus_queue_seconds_bucket{{{method},le=\"+Inf\"}}"),
            1.0,
        ),
        (format!("respite_bus_work_seconds_count{{{method}}}"), 1.0),
        ("respite_fleet_shards{state=\"live\"}".to_owned(), 1.0),
        (
            "respite_fleet_watcher_up{watcher=\"backing\",kind=\"backing\"}".to_owned(),
            1.0,
        ),
    ] {
        assert_eq!(found.get(&series), Some(value), "{series}: {text}");
    }
    assert!(found.get("respite_fleet_polls_total") >= Some(1.0));
    for (metric, kind) in [
        ("respite_bus_work_seconds", "histogram"),
        ("respite_fleet_poll_lateness_seconds", "summary"),
    ] {
        assert_eq!(found.types[metric], kind);
    }
}

#[test]
fn what_is_watched_is_counted() {
    let backend = Backend::start();
    let rig = rig(&backend);
    let mut client = rig.client();
    client.call(&["DISCOVERY.JOIN", "api", "one"]);
    client.call(&["DISCOVERY.JOIN", "api", "two"]);
    let mut watcher = rig.client();
    let index = client.call(&["DISCOVERY.NODES", "api"]);
    let index = index.field("index").as_str();
    watcher.send(&["DISCOVERY.WATCH", "api", "INDEX", index]);
    wait_until("somebody watches", DEADLINE, || {
        let found = Exposition::read(&get(rig.respite.http_port(), "/metrics").1);
        found.get("respite_discovery_watchers") == Some(1.0)
            && found.get("respite_discovery_watched_services") == Some(1.0)
            && found.get("respite_discovery_watched_nodes") == Some(2.0)
    });
}

#[test]
fn promtool_finds_nothing_wrong() {
    let backend = Backend::start();
    let rig = rig(&backend);
    let text = get(rig.respite.http_port(), "/metrics").1;
    Exposition::read(&text);
    // redis_exporter's names are not all as Prometheus would have them; Respite's own are.
    for said in promtool(&text) {
        assert!(said.starts_with("redis_"), "{said}\n{text}");
    }
}
