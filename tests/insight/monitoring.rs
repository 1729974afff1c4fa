//! `config/grafana` and `config/prometheus`: whatever they name exists.

use std::process::Command;

use serde_json::Value;

use crate::support::{DEADLINE, RedisServer, Respite, fetch, get, wait_until};

const GRAFANA: &str = include_str!("../../config/grafana/respite.json");
const ALERTS: &str = include_str!("../../config/prometheus/alerts.yml");

/// The names of metrics in a text.
fn metrics(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("respite_") || word.starts_with("redis_"));
    let mut names: Vec<String> = names.map(ToOwned::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn every_metric_they_name_exists() {
    let redis = RedisServer::start();
    let replica = RedisServer::builder()
        .args([
            "--replicaof".to_owned(),
            "127.0.0.1".to_owned(),
            redis.port().to_string(),
        ])
        .start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&format!(
            "[[fleet.static]]\nid = \"replica\"\naddr = \"{}\"",
            replica.addr()
        ))
        .http()
        .start();
    let mut text = String::new();
    wait_until("the replica was polled", DEADLINE, || {
        text = get(respite.http_port(), "/metrics").1;
        text.contains("redis_master_link_up{")
    });
    let declared = include_str!("../../src/metrics.rs");
    let dashboard: Value = serde_json::from_str(GRAFANA).expect("JSON");
    let mut exprs = String::new();
    let mut panels = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            exprs.push_str(target["expr"].as_str().expect("an expression"));
            exprs.push('\n');
            panels += 1;
        }
    }
    assert!(panels > 30, "{panels}");
    let rules: String = ALERTS
        .lines()
        .filter(|line| {
            !line.trim_start().starts_with("description:")
                && !line.trim_start().starts_with("summary:")
        })
        .collect::<Vec<_>>()
        .join("\n");
    let named = metrics(&(exprs + &rules));
    assert!(named.len() > 25, "{named:?}");
    for name in named {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let own = [Some(name.as_str()), base]
            .into_iter()
            .flatten()
            .any(|name| declared.contains(&format!("\"{name}\"")));
        let of_shards =
            text.contains(&format!("\n{name}{{")) || text.contains(&format!("\n{name} "));
        assert!(own || of_shards, "no metric {name}");
    }
}

#[test]
fn promtool_accepts_the_rules() {
    for (what, file) in [("rules", "alerts.yml"), ("config", "prometheus.yml")] {
        let output = Command::new("promtool")
            .args(["check", what])
            .arg(format!(
                "{}/config/prometheus/{file}",
                env!("CARGO_MANIFEST_DIR")
            ))
            .output()
            .expect("promtool: scripts/setup.sh test installs it");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{file}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn prometheus_asks_by_a_name_that_is_let_in() {
    let compose = include_str!("../../docker-compose.yml");
    let prometheus = include_str!("../../config/prometheus/prometheus.yml");
    assert!(prometheus.contains("targets: ['respite:8008']"));
    assert!(compose.contains("\n      RESPITE_HTTP__HOSTS: respite\n"));
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .env("RESPITE_HTTP__HOSTS", "respite")
        .http()
        .start();
    for path in ["/metrics", "/sd", "/api/overview"] {
        let by_name = fetch(
            respite.http_port(),
            "GET",
            path,
            &[("Host", "respite:8008")],
        );
        assert_eq!(by_name.status, 200, "{path}");
    }
}
