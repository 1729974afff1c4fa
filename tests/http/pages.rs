//! The index, `/stats` and `/dump`.

use crate::gateway::{Backend, Rig, service};
use crate::support::{RedisServer, Respite, fetch, get};

#[test]
fn the_index_lists_what_is_there() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).http().start();
    let port = respite.http_port();
    let (status, index) = get(port, "/");
    assert_eq!(status, 200);
    for path in [
        "/health",
        "/ready",
        "/stats",
        "/dump",
        "/metrics",
        "/sd",
        "/shards",
        "/services",
    ] {
        assert!(index.contains(path), "{path}: {index}");
        assert_eq!(get(port, path).0, 200, "{path}");
    }
    for path in [
        "/scrape?target=ID",
        "/shards/{id}/info",
        "/bus/{bus}/methods",
        "/keys/{key}",
    ] {
        assert!(index.contains(path), "{path}: {index}");
    }
    let missing = fetch(port, "GET", "/nothing", &[]);
    assert_eq!(
        (missing.status, missing.json()["error"].as_str()),
        (404, Some("there is no such page"))
    );
    assert_eq!(fetch(port, "POST", "/stats", &[]).status, 405);
    assert_eq!(fetch(port, "HEAD", "/stats", &[]).status, 200);
}

#[test]
fn stats_and_dump_are_json() {
    let (one, two) = (Backend::start(), Backend::start());
    let rig = Rig::with(&service(&[&one, &two]), "", |builder| builder);
    rig.wait_healthy(2);
    get(rig.port(), "/");
    let port = rig.respite.http_port();
    let response = fetch(port, "GET", "/stats", &[]);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let stats = response.json();
    let service = &stats["services"][0];
    assert_eq!(
        (service["service"].as_str(), service["requests"].as_u64()),
        (Some("app"), Some(1))
    );
    let instances = service["instances"].as_array().expect("instances");
    assert_eq!(instances.len(), 2);
    for (instance, backend) in instances.iter().zip([&one, &two]) {
        assert_eq!(instance["url"], format!("127.0.0.1:{}", backend.port()));
        assert_eq!(instance["state"], "up");
        assert_eq!(instance["polling"], "health (HTTP GET /health)");
        let poll = &instance["polls"][0];
        assert_eq!(
            (poll["ok"].as_bool(), poll["status"].as_u64()),
            (Some(true), Some(200))
        );
        assert!(poll["error"].is_null() && poll["start"].is_u64() && poll["end"].is_u64());
    }
    assert_eq!(get(port, "/stats?polls=x").0, 400);
    let dump = fetch(port, "GET", "/dump", &[]);
    let disposition = dump.header("content-disposition").expect("a download");
    assert!(disposition.starts_with("attachment"), "{disposition}");
    assert_eq!(dump.json()["services"][0]["service"], "app");
}
