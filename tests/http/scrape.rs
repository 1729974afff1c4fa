//! `/scrape`, `/sd`, `/shards` and the shards in `/metrics`, of real servers.

use serde_json::json;

use super::exposition::{Exposition, promtool};
use crate::support::{
    Client, DEADLINE, FakeServer, RedisServer, Respite, Says, fetch, get, wait_until,
};

/// One poll, and then none for a long time.
const ONE_POLL: &str = "[fleet]\ninterval_min = \"1h\"\ninterval_max = \"1h\"\n";

fn start(redis: &RedisServer, config: &str) -> Respite {
    let builder = Respite::builder().upstream(&redis.url()).http();
    builder.config(config).start()
}

#[track_caller]
fn wait_state(client: &mut Client, id: &str, state: &str) {
    wait_until(&format!("{id} is {state}"), DEADLINE, || {
        let list = client.call(&["SHARD.LIST", "STATE", state]);
        let mut ids = list.items().iter().map(|shard| shard.field("id").as_str());
        ids.any(|found| found == id)
    });
}

#[track_caller]
fn add(client: &mut Client, id: &str, addr: &str) {
    let labels = ["LABELS", "2", "env", "prod", "a-b", "x\"y"];
    let command = ["SHARD.ADD", id, addr];
    client
        .call(&[&command[..], &labels[..]].concat())
        .assert_ok();
    wait_state(client, id, "live");
}

#[track_caller]
fn scrape(respite: &Respite, target: &str) -> Exposition {
    let (status, text) = get(respite.http_port(), &format!("/scrape?target={target}"));
    assert_eq!(status, 200, "{target}: {text}");
    Exposition::read(&text)
}

/// Real servers: the backing, a shard with keys and commands, a replica of it.
struct Real {
    respite: Respite,
    backing: RedisServer,
    carts: RedisServer,
    _replica: RedisServer,
}

impl Real {
    fn start() -> Self {
        let at_once = ["--repl-diskless-sync-delay", "0"];
        let backing = RedisServer::start();
        let carts = RedisServer::builder().args(at_once).start();
        carts.call(&["SET", "k", "v", "EX", "1000"]).assert_ok();
        carts.call(&["LPUSH", "k", "x"]).assert_error("WRONGTYPE");
        let (host, port) = ("127.0.0.1", carts.port().to_string());
        let replica = RedisServer::builder()
            .args(["--replicaof", host, &port])
            .start();
        wait_until("the replica is in step", DEADLINE, || {
            carts.info("replication", "connected_slaves") == "1"
                && replica.info("replication", "master_link_status") == "up"
        });
        let respite = start(&backing, ONE_POLL);
        let mut client = respite.connect();
        add(&mut client, "carts", &carts.addr());
        add(&mut client, "replica/1", &replica.addr());
        wait_state(&mut client, &backing.addr(), "live");
        Real {
            respite,
            backing,
            carts,
            _replica: replica,
        }
    }
}

#[test]
fn a_target_is_told_as_redis_exporter_tells_it() {
    let real = Real::start();
    let (respite, carts) = (&real.respite, &real.carts);
    let text = get(respite.http_port(), "/scrape?target=carts").1;
    let found = Exposition::read(&text);
    for (series, value) in [
        ("redis_up", 1.0),
        ("redis_exporter_last_scrape_error{err=\"\"}", 0.0),
        ("redis_db_keys{db=\"db0\"}", 1.0),
        ("redis_db_keys_expiring{db=\"db0\"}", 1.0),
        ("redis_commands_total{cmd=\"set\"}", 1.0),
        ("redis_commands_failed_calls_total{cmd=\"lpush\"}", 1.0),
        ("redis_errors_total{err=\"WRONGTYPE\"}", 1.0),
        ("redis_connected_slaves", 1.0),
    ] {
        assert_eq!(found.get(series), Some(value), "{series}: {text}");
    }
    for metric in [
        "redis_memory_used_bytes",
        "redis_commands_duration_seconds_total",
        "redis_start_time_seconds",
        "redis_connected_slave_offset_bytes",
        "redis_config_maxclients",
    ] {
        assert!(!found.of(metric).is_empty(), "{metric}: {text}");
    }
    if !RedisServer::lacks((7, 0), "INFO latencystats") {
        let metric = "redis_latency_percentiles_usec";
        assert!(!found.of(metric).is_empty(), "{metric}: {text}");
    }
    assert_eq!(found.types["redis_commands_processed_total"], "counter");
    let pid = carts.info("server", "process_id");
    let info = found.of("redis_instance_info");
    assert!(
        info[0].contains(&format!("process_id=\"{pid}\"")),
        "{info:?}"
    );
    let replica = scrape(respite, "replica%2F1");
    let labels = format!(
        "{{master_host=\"127.0.0.1\",master_port=\"{}\"",
        carts.port()
    );
    let link = format!("redis_master_link_up{labels}}}");
    assert_eq!(replica.get(&link), Some(1.0));
    let follows = format!("redis_slave_info{labels},read_only=\"1\"}}");
    assert_eq!(replica.get(&follows), Some(1.0));
    // The names are redis_exporter's, which are not all as Prometheus would have them.
    for said in promtool(&text) {
        assert!(said.starts_with("redis_"), "{said}");
    }
}

#[test]
fn a_target_is_found_by_its_address() {
    let real = Real::start();
    let addr = real.carts.addr();
    let encoded = addr.replace(':', "%3A");
    for target in [
        addr.clone(),
        format!("redis://{addr}"),
        format!("redis%3A%2F%2F{encoded}"),
        format!("redis://user:password@{addr}/0"),
        format!("valkey://{addr}"),
    ] {
        let found = scrape(&real.respite, &target);
        assert_eq!(found.get("redis_connected_slaves"), Some(1.0), "{target}");
    }
    let backing = scrape(&real.respite, &real.backing.addr());
    assert_eq!(backing.get("redis_connected_slaves"), Some(0.0));
    let port = real.respite.http_port();
    for (path, status, error) in [
        ("/scrape?target=unknown", 404, "NOSHARD no shard 'unknown'"),
        ("/scrape?target=10.9.9.9:1", 404, "NOSHARD"),
        ("/scrape?target=http://x", 404, "NOSHARD"),
        ("/scrape?target=", 400, "the parameter target"),
        ("/scrape", 400, "the parameter target"),
    ] {
        let response = fetch(port, "GET", path, &[]);
        let said = response.json();
        assert_eq!(response.status, status, "{path}: {said}");
        assert!(
            said["error"].as_str().expect("an error").starts_with(error),
            "{said}"
        );
    }
}

#[test]
fn nobody_is_asked_for_a_page() {
    let redis = RedisServer::start();
    let fake = FakeServer::start(FakeServer::info("uptime_in_seconds:7\r\n"));
    let respite = start(&redis, ONE_POLL);
    add(&mut respite.connect(), "fake", &fake.addr());
    let before = fake.count("INFO");
    for path in [
        "/scrape?target=fake",
        "/metrics",
        "/sd",
        "/shards",
        "/shards/fake/info",
        "/dump",
    ] {
        for _ in 0..5 {
            assert_eq!(get(respite.http_port(), path).0, 200, "{path}");
        }
    }
    assert_eq!(fake.count("INFO"), before);
    let found = scrape(&respite, "fake");
    assert_eq!(found.get("redis_uptime_in_seconds"), Some(7.0));
}

#[test]
fn a_server_that_is_down_is_told_down() {
    let (redis, mut carts) = (RedisServer::start(), RedisServer::start());
    let config = "[fleet]\ninterval_min = \"50ms\"\ninterval_max = \"50ms\"\ngrace = 1\n";
    let mut respite = start(&redis, config);
    respite.allow_log("not usable");
    add(&mut respite.connect(), "carts", &carts.addr());
    carts.kill();
    wait_until("it is down", DEADLINE, || {
        scrape(&respite, "carts").get("redis_up") == Some(0.0)
    });
    let found = scrape(&respite, "carts");
    assert!(found.of("redis_uptime_in_seconds").is_empty());
    let errors = found.of("redis_exporter_last_scrape_error");
    assert_eq!(found.get(errors[0]), Some(1.0), "{errors:?}");
    let all = Exposition::read(&get(respite.http_port(), "/metrics").1);
    assert_eq!(all.get("redis_up{shard=\"carts\"}"), Some(0.0));
    assert_eq!(all.get("redis_uptime_in_seconds{shard=\"carts\"}"), None);
    let down = all.of("respite_shard_state");
    assert!(
        down.iter()
            .any(|series| series.contains("\"carts\",state=\"down\"")),
        "{down:?}"
    );
    assert!(all.get("respite_fleet_shards{state=\"down\"}") >= Some(1.0));
    carts.restart();
    wait_until("it is up", DEADLINE, || {
        scrape(&respite, "carts").get("redis_up") == Some(1.0)
    });
}

#[test]
fn every_shard_is_in_the_metrics() {
    let real = Real::start();
    let port = real.respite.http_port();
    let text = get(port, "/metrics").1;
    let found = Exposition::read(&text);
    for id in ["carts", "replica/1", &real.backing.addr()] {
        for metric in [
            "redis_up",
            "redis_memory_used_bytes",
            "respite_shard_info_age_seconds",
        ] {
            let series = format!("{metric}{{shard=\"{id}\"}}");
            assert!(
                found.get(&series).is_some_and(|value| value > 0.0),
                "{series}: {text}"
            );
        }
    }
    let info = format!(
        "respite_shard_info{{shard=\"carts\",addr=\"{}\",role=\"master\",source=\"added\",\
         label_a_b=\"x\\\"y\",label_env=\"prod\"}}",
        real.carts.addr()
    );
    assert_eq!(found.get(&info), Some(1.0), "{text}");
    assert_eq!(
        found.get("redis_commands_total{shard=\"carts\",cmd=\"set\"}"),
        Some(1.0)
    );
    assert_eq!(found.get("respite_fleet_shards{state=\"live\"}"), Some(3.0));
    for said in promtool(&text) {
        assert!(said.starts_with("redis_"), "{said}");
    }
    real.respite
        .reload(&format!("{ONE_POLL}[http]\nfleet_metrics = false\n"));
    wait_until("the shards are gone", DEADLINE, || {
        !get(port, "/metrics").1.contains("redis_up")
    });
    let found = Exposition::read(&get(port, "/metrics").1);
    assert!(found.of("respite_shard_info").is_empty());
    assert_eq!(found.get("respite_fleet_shards{state=\"live\"}"), Some(3.0));
}

#[test]
fn many_shards_are_written_metric_by_metric() {
    const SHARDS: usize = 200;
    let redis = RedisServer::start();
    let info = include_str!("../../src/fleet/testdata/redis-7.0.txt").replace('\n', "\r\n");
    let fake = FakeServer::start(Says::Info(info));
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("targets.json");
    let target = |n| json!({"targets": [fake.addr()], "labels": {"id": format!("s{n:03}")}});
    let targets: Vec<_> = (0..SHARDS).map(target).collect();
    std::fs::write(&file, json!(targets).to_string()).expect("written");
    // New shards are spread over the shortest interval.
    let seldom = "interval_min = \"100ms\"\ninterval_max = \"1h\"\ninterval_step = \"1h\"\n";
    let paths = format!(
        "[fleet]\n{seldom}[fleet.file]\npaths = ['{}']\n",
        file.display()
    );
    let respite = start(&redis, &paths);
    let port = respite.http_port();
    let live = format!("respite_fleet_shards{{state=\"live\"}} {}", SHARDS + 1);
    wait_until("all are live", DEADLINE, || {
        get(port, "/metrics").1.contains(&live)
    });
    let text = get(port, "/metrics").1;
    assert!(text.len() > 1_000_000, "it is sent in many pieces");
    let found = Exposition::read(&text);
    for metric in [
        "redis_up",
        "redis_memory_used_bytes",
        "redis_commands_total",
        "redis_instance_info",
        "redis_latency_percentiles_usec_count",
        "redis_cpu_user_main_thread_seconds_total",
    ] {
        let series = found.of(metric);
        let of_files = series.iter().filter(|series| series.contains("shard=\"s"));
        assert_eq!(of_files.count(), SHARDS, "{metric}");
    }
    let sd = fetch(port, "GET", "/sd", &[]).json();
    assert_eq!(sd.as_array().map(Vec::len), Some(SHARDS + 1));
    let listed = fetch(port, "GET", "/shards?match=s19*", &[]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(10));
}

#[test]
fn prometheus_is_told_of_the_shards() {
    let real = Real::start();
    let response = fetch(real.respite.http_port(), "GET", "/sd", &[]);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let targets = response.json();
    let carts = json!({
        "targets": [real.carts.addr()],
        "labels": {
            "__param_target": "carts",
            "__meta_respite_shard": "carts",
            "__meta_respite_state": "live",
            "__meta_respite_role": "master",
            "__meta_respite_source": "added",
            "__meta_respite_label_env": "prod",
            "__meta_respite_label_a_b": "x\"y",
        },
    });
    let all = targets.as_array().expect("a list");
    assert!(all.contains(&carts), "{targets:#}");
    assert_eq!(all.len(), 3);
    real.respite.call(&["SHARD.DEL", "carts"]).assert_int(1);
    wait_until("it is gone", DEADLINE, || {
        let targets = fetch(real.respite.http_port(), "GET", "/sd", &[]).json();
        targets.as_array().map(Vec::len) == Some(2)
    });
    let found = scrape(&real.respite, "carts");
    assert_eq!(found.get("redis_up"), Some(0.0), "it is kept for a minute");
    let all = Exposition::read(&get(real.respite.http_port(), "/metrics").1);
    assert_eq!(all.get("redis_up{shard=\"carts\"}"), None);
}

#[test]
fn shards_are_listed_as_json() {
    let real = Real::start();
    let port = real.respite.http_port();
    let list = fetch(port, "GET", "/shards", &[]).json();
    let ids: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|shard| shard["id"].as_str().expect("an id"))
        .collect();
    assert!(ids.is_sorted() && ids.len() == 3, "{ids:?}");
    let carts = list
        .as_array()
        .expect("a list")
        .iter()
        .find(|shard| shard["id"] == "carts");
    let carts = carts.expect("carts");
    assert_eq!(carts["addr"], real.carts.addr());
    assert_eq!(carts["labels"], json!({"env": "prod", "a-b": "x\"y"}));
    assert_eq!(
        (
            &carts["role"],
            &carts["state"],
            &carts["source"],
            &carts["error"]
        ),
        (
            &json!("master"),
            &json!("live"),
            &json!("added"),
            &json!(null)
        )
    );
    assert!(
        carts["age_ms"].is_u64() && carts["interval_ms"].is_u64(),
        "{carts}"
    );
    let none = fetch(port, "GET", "/shards?state=down&match=*", &[]).json();
    assert_eq!(none, json!([]));
    assert_eq!(get(port, "/shards?state=well").0, 400);
}

#[test]
fn a_shard_is_told_with_its_info() {
    let real = Real::start();
    let port = real.respite.http_port();
    let of = |path: &str| fetch(port, "GET", path, &[]).json();
    let carts = of("/shards/carts/info");
    assert_eq!(
        (&carts["id"], &carts["state"]),
        (&json!("carts"), &json!("live"))
    );
    assert_eq!(
        carts["info"]["Keyspace"]["db0"].as_str().map(|db| &db[..6]),
        Some("keys=1")
    );
    assert_eq!(
        carts["info"]["Server"]["tcp_port"],
        real.carts.port().to_string()
    );
    assert!(
        carts["info"]["Commandstats"].is_null(),
        "as INFO without a section"
    );
    let memory = of("/shards/carts/info?section=MEMORY");
    let sections = memory["info"].as_object().expect("sections");
    assert!(
        sections.len() == 1 && sections.contains_key("Memory"),
        "{sections:?}"
    );
    let two = of("/shards/carts/info?section=memory,cpu&section=commandstats");
    assert_eq!(
        two["info"].as_object().map(serde_json::Map::len),
        Some(3),
        "{two}"
    );
    let all = of("/shards/carts/info?section=everything");
    assert!(
        all["info"]["Commandstats"]["cmdstat_set"].is_string(),
        "{all}"
    );
    let slash = of("/shards/replica%2F1/info");
    assert_eq!(
        (&slash["id"], &slash["role"]),
        (&json!("replica/1"), &json!("replica"))
    );
    assert_eq!(of("/shards/replica/1/info")["id"], "replica/1");
    let missing = fetch(port, "GET", "/shards/nobody/info", &[]);
    assert_eq!(
        (missing.status, missing.json()["error"].as_str()),
        (404, Some("NOSHARD no shard 'nobody'"))
    );
    assert_eq!(get(port, "/shards/carts").0, 404);
}

#[test]
fn a_shard_that_was_not_heard_yet_is_503() {
    let redis = RedisServer::start();
    let fake = FakeServer::start(Says::Nothing);
    let respite = start(&redis, "[fleet]\ntimeout = \"1h\"\n");
    respite
        .call(&["SHARD.ADD", "mute", &fake.addr()])
        .assert_ok();
    wait_until("it is there", DEADLINE, || {
        get(respite.http_port(), "/shards/mute/info").0 != 404
    });
    let response = fetch(respite.http_port(), "GET", "/shards/mute/info", &[]);
    assert_eq!(response.status, 503);
    let error = response.json()["error"].as_str().map(str::to_owned);
    assert!(error.is_some_and(|error| error.starts_with("NOTREADY")));
    assert_eq!(scrape(&respite, "mute").get("redis_up"), Some(0.0));
}
