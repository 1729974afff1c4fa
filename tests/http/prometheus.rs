//! Prometheus itself, with the configuration that the documentation has: it finds the shards and scrapes them.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::metrics::rig;
use crate::gateway::Backend;
use crate::support::{DEADLINE, RedisServer, ReservedPort, Respite, get, wait_until};

/// A Prometheus; dropping it kills it.
struct Prometheus {
    child: Child,
    port: ReservedPort,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one with these `scrape_configs`.
    #[track_caller]
    fn start(scrape_configs: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let port = ReservedPort::any();
        let file = folder.path().join("prometheus.yml");
        let global = "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n";
        std::fs::write(&file, format!("{global}{scrape_configs}")).expect("written");
        let data = folder.path().join("data");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", port.get()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus: scripts/setup.sh test installs it");
        Prometheus {
            child,
            port,
            _folder: folder,
        }
    }

    /// The results of a query: the labels and the value of each.
    fn query(&self, query: &str) -> Vec<(Value, String)> {
        if TcpStream::connect(("127.0.0.1", self.port.get())).is_err() {
            return Vec::new();
        }
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (status, text) = get(self.port.get(), &format!("/api/v1/query?query={query}"));
        if status != 200 {
            return Vec::new();
        }
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let results = answer["data"]["result"].as_array().cloned();
        let result = |result: Value| {
            let value = result["value"][1].as_str().unwrap_or_default().to_owned();
            (result["metric"].clone(), value)
        };
        results
            .unwrap_or_default()
            .into_iter()
            .map(result)
            .collect()
    }

    /// Waits until a query has one result, of this value.
    #[track_caller]
    fn wait_value(&self, query: &str, value: &str) -> Value {
        let mut labels = Value::Null;
        wait_until(&format!("{query} is {value}"), DEADLINE * 3, || {
            let results = self.query(query);
            let [(found, seen)] = results.as_slice() else {
                return false;
            };
            labels = found.clone();
            seen == value
        });
        labels
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// The `scrape_configs` of docs/http.md that have this in them, for a Respite at a port.
#[track_caller]
fn documented(has: &str, port: u16) -> String {
    let text = include_str!("../../docs/http.md");
    let mut blocks = text.split("```yaml\n").skip(1);
    let block = blocks
        .find(|block| block.contains(has))
        .expect("in docs/http.md");
    let config = block.split("```").next().expect("it ends");
    assert!(config.contains("respite:8008"), "{config}");
    config.replace("respite:8008", &format!("127.0.0.1:{port}"))
}

/// A Respite with the shard `carts`, which has keys.
fn start() -> (RedisServer, RedisServer, Respite) {
    let (redis, carts) = (RedisServer::start(), RedisServer::start());
    carts.call(&["MSET", "a", "1", "b", "2"]).assert_ok();
    let respite = Respite::builder().upstream(&redis.url()).http().start();
    let add = [
        "SHARD.ADD",
        "carts",
        &carts.addr(),
        "LABELS",
        "1",
        "env",
        "prod",
    ];
    respite.call(&add).assert_ok();
    wait_until("carts answers", DEADLINE, || {
        let path = "/scrape?target=carts";
        get(respite.http_port(), path)
            .1
            .contains("redis_db_keys{db=\"db0\"} 2")
    });
    (redis, carts, respite)
}

#[test]
fn prometheus_scrapes_the_metrics() {
    let backend = Backend::start();
    let rig = rig(&backend);
    let port = rig.respite.http_port();
    let job = format!(
        "scrape_configs: [{{job_name: respite, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    );
    let prometheus = Prometheus::start(&job);
    let requests = "respite_gateway_requests_total";
    let labels = prometheus.wait_value(requests, "2");
    assert_eq!(labels["service"], "app");
    prometheus.wait_value("redis_up", "1");
    prometheus.wait_value(
        "histogram_quantile(0.5, respite_bus_work_seconds_bucket) >= bool 0",
        "1",
    );
}

#[test]
fn prometheus_finds_the_shards_and_scrapes_each() {
    let (redis, _carts, respite) = start();
    let config = documented("http_sd_configs", respite.http_port());
    let prometheus = Prometheus::start(&config);
    let labels = prometheus.wait_value(
        "redis_db_keys{job=\"redis\",instance=\"carts\",db=\"db0\"}",
        "2",
    );
    assert_eq!(labels["env"], "prod", "a label of the shard");
    prometheus.wait_value("redis_up{instance=\"carts\"}", "1");
    let backing = format!("redis_up{{instance=\"{}\"}}", redis.addr());
    prometheus.wait_value(&backing, "1");
    prometheus.wait_value(
        "redis_commands_total{instance=~\"carts\",cmd=\"mset\"}",
        "1",
    );
    prometheus.wait_value("count(redis_instance_info{job=\"redis\"})", "2");
    // What Prometheus thinks of the scrapes themselves.
    prometheus.wait_value("count(up == 1)", "3");
}

#[test]
fn one_scrape_can_be_enough() {
    let (_redis, _carts, respite) = start();
    let config = documented("metric_relabel_configs", respite.http_port());
    let prometheus = Prometheus::start(&config);
    prometheus.wait_value("redis_db_keys{instance=\"carts\",db=\"db0\"}", "2");
    let labels = prometheus.wait_value("respite_shard_info{instance=\"carts\"}", "1");
    assert_eq!(labels["label_env"], "prod");
    let own = format!(
        "respite_upstream_up{{instance=\"127.0.0.1:{}\"}}",
        respite.http_port()
    );
    prometheus.wait_value(&own, "1");
}
