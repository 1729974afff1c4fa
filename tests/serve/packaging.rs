//! What is shipped beside the program: units of systemd, the manifest for Kubernetes, completions and pages.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::run;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

#[test]
fn completions_and_pages_are_printed() {
    let output = run(&["completions", "bash"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("check-config"));
    assert_eq!(run(&["completions", "tcsh"]).status.code(), Some(2));
    let output = run(&["man"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains(".SH SYNOPSIS"));
    let folder = TempDir::new().expect("a folder");
    let into = folder.path().to_str().expect("UTF-8");
    assert!(run(&["man", into]).status.success());
    assert!(folder.path().join("respite-serve.1").exists());
    let output = run(&["man", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("respite: cannot write: "), "{said}");
}

/// With the program under test in place of the installed one.
#[test]
fn the_units_are_sound() {
    let folder = TempDir::new().expect("a folder");
    let unit = read("deploy/systemd/respite.service")
        .replace("/usr/bin/respite", env!("CARGO_BIN_EXE_respite"))
        .replace("Documentation=man:respite(1)\n", "");
    let mut files = Vec::new();
    for (name, text) in [
        ("respite.service", unit),
        ("respite.socket", read("deploy/systemd/respite.socket")),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("written");
        files.push(file);
    }
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .args(&files)
        .output();
    let Ok(verified) = verified else {
        eprintln!("no systemd-analyze: the units are not looked at");
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    // Other units of the machine are looked at as well.
    let wrong: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("respite"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_manifest_fits_the_server() {
    let text = read("deploy/kubernetes/respite.yaml");
    let documents: Vec<Value> = text
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).expect("YAML"))
        .collect();
    let of_kind = |kind: &str| {
        let found = documents.iter().find(|document| document["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}"))
    };
    let config = of_kind("ConfigMap")["data"]["respite.toml"]
        .as_str()
        .expect("a configuration");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("respite.toml");
    std::fs::write(&file, config).expect("written");
    let output = run(&["check-config", path(&file)]);
    assert!(output.status.success(), "{output:?}");
    let checked: toml::Table = toml::from_str(config).expect("TOML");

    let pod = &of_kind("Deployment")["spec"]["template"];
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/path"], "/metrics");
    let spec = &pod["spec"];
    assert_eq!(spec["enableServiceLinks"], false);
    let container = &spec["containers"][0];
    let seconds = |value: &Value| value.as_u64().expect("seconds");
    let drain = checked["timeouts"]["drain"].as_str().expect("a period");
    let drain: u64 = drain.trim_end_matches('s').parse().expect("seconds");
    let before = seconds(&container["lifecycle"]["preStop"]["sleep"]["seconds"]);
    assert!(seconds(&spec["terminationGracePeriodSeconds"]) > drain + before);
    for (probe, path) in [
        ("startupProbe", "/health"),
        ("livenessProbe", "/health"),
        ("readinessProbe", "/ready"),
    ] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
    }
    let ports: Vec<String> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| format!("0.0.0.0:{}", port["containerPort"]))
        .collect();
    let listens = checked["listen"][0].as_str().expect("an address");
    let pages = checked["http"]["listen"].as_str().expect("an address");
    assert_eq!(ports, [listens, pages]);
    let labels = &of_kind("Deployment")["spec"]["selector"]["matchLabels"];
    assert_eq!(labels, &pod["metadata"]["labels"]);
    assert_eq!(labels, &of_kind("Service")["spec"]["selector"]);
}

/// What the manifest says is what Kubernetes understands: a field of which it knows nothing fails.
#[test]
fn the_manifest_obeys_the_schema() {
    for version in ["1.30", "1.37"] {
        let checked = Command::new(root().join("tests/clients/run.sh"))
            .args(["kubernetes", version])
            .arg(root().join("deploy/kubernetes/respite.yaml"))
            .env(
                "RESPITE_CLIENTS_CACHE",
                concat!(env!("CARGO_TARGET_TMPDIR"), "/clients"),
            )
            .output()
            .expect("run.sh starts");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{version}: {said}");
    }
}

fn path(file: &Path) -> &str {
    file.to_str().expect("UTF-8")
}
