//! `/metrics`: every series is there, and Prometheus' own tools find nothing wrong with it.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::gateway::{Backend, Rig, service};
use crate::support::{DEADLINE, ReservedPort, get, wait_until};

fn rig(backend: &Backend) -> Rig {
    let rig = Rig::start(&service(&[backend]));
    rig.respite.call(&["SET", "a", "1"]).assert_ok();
    get(rig.port(), "/");
    get(rig.port(), "/status/500");
    rig
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("no {program}: scripts/setup.sh test installs it");
    }
    found
}

#[test]
fn every_metric_is_written() {
    let backend = Backend::start();
    let rig = rig(&backend);
    let (status, text) = get(rig.respite.http_port(), "/metrics");
    assert_eq!(status, 200);
    let source = include_str!("../../src/metrics.rs");
    let declared: Vec<&str> = source
        .split('"')
        .filter(|word| {
            word.starts_with("respite_") && word.len() > 8 && !word.contains(['{', ' ', '\\'])
        })
        .collect();
    assert!(declared.len() > 30, "{declared:?}");
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
    let instance = format!(
        "service=\"app\",instance_url=\"127.0.0.1:{}\"",
        backend.port()
    );
    for line in [
        "respite_upstream_up 1".to_owned(),
        "respite_gateway_requests_total{service=\"app\"} 2".to_owned(),
        format!("respite_gateway_instance_up{{{instance}}} 1"),
        format!("respite_gateway_instance_requests_total{{{instance},result=\"failure\"}} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn promtool_finds_nothing_wrong() {
    if !has("promtool") {
        return;
    }
    let backend = Backend::start();
    let rig = rig(&backend);
    let (_, text) = get(rig.respite.http_port(), "/metrics");
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    let checked = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(
        checked.status.success() && said.is_empty(),
        "{said}\n{text}"
    );
}

#[test]
fn prometheus_scrapes_it() {
    if !has("prometheus") {
        return;
    }
    let backend = Backend::start();
    let rig = rig(&backend);
    let folder = tempfile::TempDir::new().expect("a folder");
    let port = ReservedPort::any();
    let config = format!(
        "scrape_configs:\n  - job_name: respite\n    scrape_interval: 200ms\n    scrape_timeout: 200ms\n    \
         static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        rig.respite.http_port()
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config).expect("written");
    let mut prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{}", port.get()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus");
    let path = "/api/v1/query?query=respite_gateway_requests_total";
    let scraped = std::panic::catch_unwind(|| {
        wait_until("the series is there", DEADLINE * 3, || {
            std::net::TcpStream::connect(("127.0.0.1", port.get())).is_ok()
                && get(port.get(), path).1.contains("\"service\":\"app\"")
        });
    });
    prometheus.kill().expect("killed");
    prometheus.wait().expect("ended");
    scraped.expect("prometheus has scraped the metrics");
}
