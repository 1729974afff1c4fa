//! `/services` and `/bus/{bus}/methods`: what the backing knows, and what is said when it is away.

use serde_json::{Value, json};

use crate::support::{DEADLINE, RedisServer, Respite, fetch, wait_until};

fn start(redis: &RedisServer) -> Respite {
    let builder = Respite::builder().upstream(&redis.url()).http();
    builder.config("timeouts.connect = \"100ms\"").start()
}

fn page(respite: &Respite, path: &str) -> (u16, Value) {
    let response = fetch(respite.http_port(), "GET", path, &[]);
    (response.status, response.json())
}

fn services(respite: &Respite) {
    let mut client = respite.connect();
    client.call(&["DISCOVERY.REGISTER", "empty", "http://x"]);
    client.call(&[
        "DISCOVERY.JOIN",
        "api",
        "n/1",
        "ADDR",
        "10.0.0.7",
        "80",
        "TTL",
        "1000",
        "TAGS",
        "1",
        "blue",
        "FACTS",
        "1",
        "os",
        "linux",
    ]);
    client.call(&["DISCOVERY.JOIN", "api", "n2"]);
    client.call(&["DISCOVERY.JOIN", "other", "n", "GROUP", "b c"]);
}

/// Registers a method, and has one call of it done.
pub(super) fn use_bus(respite: &Respite, bus: &str) {
    let (mut caller, mut worker) = (respite.connect(), respite.connect());
    caller.call(&[
        "BUS.REGISTER",
        bus,
        "sum",
        "PARAMS",
        "2",
        "a",
        "b=2",
        "CACHE",
        "{a}",
        "CACHETTL",
        "0.5",
    ]);
    let id = caller.call(&["BUS.CAST", bus, "sum", "ARGS", "1"]);
    let calls = worker.call(&["BUS.FETCH", bus, "w", "*"]);
    let token = calls.items()[0].field("token").as_str().to_owned();
    worker
        .call(&["BUS.REPLY", bus, id.as_str(), &token, "3"])
        .assert_int(1);
}

#[test]
fn services_are_told_with_their_nodes() {
    let redis = RedisServer::start();
    let respite = start(&redis);
    services(&respite);
    let (status, found) = page(&respite, "/services");
    assert_eq!((status, &found["group"]), (200, &json!("default")));
    let services = found["services"].as_array().expect("services");
    let names: Vec<_> = services.iter().map(|service| &service["service"]).collect();
    assert_eq!(names, ["api", "empty"]);
    let nodes = services[0]["nodes"].as_array().expect("nodes");
    let ttl = nodes[0]["ttl_ms"].as_u64().expect("a time");
    assert!((1..=1_000_000).contains(&ttl), "{ttl}");
    let mut first = nodes[0].clone();
    first["ttl_ms"] = Value::Null;
    assert_eq!(
        first,
        json!({
            "node": "n/1", "addr": "10.0.0.7:80", "state": "passing", "ttl_ms": null, "live": true,
            "tags": ["blue"], "facts": {"os": "linux"},
        })
    );
    assert_eq!(
        (&nodes[1]["node"], &nodes[1]["ttl_ms"]),
        (&json!("n2"), &Value::Null)
    );
    assert_eq!(services[1]["nodes"], json!([]));
    let (_, one) = page(&respite, "/services?service=api");
    assert_eq!(one["services"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        one["services"][0]["nodes"].as_array().map(Vec::len),
        Some(2)
    );
    let (_, other) = page(&respite, "/services?group=b%20c");
    assert_eq!(
        (&other["group"], &other["services"][0]["service"]),
        (&json!("b c"), &json!("other"))
    );
    assert_eq!(
        page(&respite, "/services?group=nobody").1["services"],
        json!([])
    );
    let (status, error) = page(&respite, "/services?group=a%0Ab");
    assert_eq!(status, 400, "{error}");
    let (status, error) = page(&respite, "/services?group=");
    assert_eq!(status, 400, "{error}");
}

#[test]
fn lapsed_nodes_are_shown_on_demand() {
    let redis = RedisServer::start();
    let respite = start(&redis);
    let join = [
        "DISCOVERY.JOIN",
        "api",
        "n",
        "TTL",
        "0.05",
        "DEREGISTERAFTER",
        "1000",
    ];
    respite.call(&join);
    wait_until("it has lapsed", DEADLINE, || {
        page(&respite, "/services").1["services"][0]["nodes"] == json!([])
    });
    let node = &page(&respite, "/services?all").1["services"][0]["nodes"][0];
    assert_eq!(
        (&node["state"], &node["live"]),
        (&json!("critical"), &json!(false))
    );
}

#[test]
fn the_methods_of_a_bus_are_told() {
    let redis = RedisServer::start();
    let respite = start(&redis);
    use_bus(&respite, "math/1");
    let (status, found) = page(&respite, "/bus/math%2F1/methods");
    assert_eq!((status, &found["bus"]), (200, &json!("math/1")), "{found}");
    let method = &found["methods"][0];
    for (name, value) in [
        ("method", json!("sum")),
        ("generation", json!(1)),
        ("params", json!(["a", "b=2"])),
        ("cache", json!("{a}")),
        ("cachettl", json!(0.5)),
        ("idempotent", json!(false)),
        ("workers", json!(1)),
        ("pending", json!(0)),
        ("in_flight", json!(0)),
        ("calls", json!(1)),
        ("errors", json!(0)),
        ("last_error", Value::Null),
    ] {
        assert_eq!(method[name], value, "{name}: {found}");
    }
    assert!(method["work_p99_ms"].is_f64(), "{method}");
    let (status, error) = page(&respite, "/bus/nobody/methods");
    assert_eq!(
        (status, error["error"].as_str()),
        (404, Some("NOBUS no method is registered on 'nobody'"))
    );
    assert_eq!(page(&respite, "/bus/a%0Ab/methods").0, 400);
    assert_eq!(page(&respite, "/bus/math").0, 404);
}

#[test]
fn a_backing_that_is_away_is_503() {
    let mut redis = RedisServer::start();
    let mut respite = start(&redis);
    respite.allow_log("not usable");
    services(&respite);
    use_bus(&respite, "math");
    redis.kill();
    for path in ["/services", "/bus/math/methods"] {
        wait_until("it is noticed", DEADLINE, || page(&respite, path).0 == 503);
        let (_, error) = page(&respite, path);
        assert!(
            error["error"]
                .as_str()
                .is_some_and(|text| text.starts_with("UPSTREAM")),
            "{error}"
        );
    }
    // What is in memory is told all the same.
    for path in ["/shards", "/sd", "/dump"] {
        assert_eq!(page(&respite, path).0, 200, "{path}");
    }
    let (_, dump) = page(&respite, "/dump");
    assert!(dump["discovery"]["error"].is_string(), "{dump}");
    redis.restart();
    wait_until("it is back", DEADLINE, || {
        page(&respite, "/services").0 == 200
    });
}

#[test]
fn a_dump_has_everything() {
    let redis = RedisServer::start();
    let respite = start(&redis);
    services(&respite);
    use_bus(&respite, "math");
    wait_until("the backing was polled", DEADLINE, || {
        page(&respite, "/shards?state=live").1 != json!([])
    });
    let (status, dump) = page(&respite, "/dump");
    assert_eq!(status, 200);
    assert_eq!(dump["respite"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(dump["respite"]["backing_usable"], 1);
    assert!(
        dump["clients"]["received"].as_u64() > Some(2),
        "{}",
        dump["clients"]
    );
    assert_eq!(dump["cache"]["mode"], "tracking");
    assert!(dump["cache"]["hit_ratio"].is_number());
    let watchers = dump["watchers"].as_array().expect("watchers");
    assert!(
        watchers.iter().any(|watcher| watcher["name"] == "backing"),
        "{watchers:?}"
    );
    let shard = &dump["shards"][0];
    assert_eq!(shard["id"], redis.addr());
    assert!(shard["info"]["Commandstats"].is_object(), "{shard}");
    let groups = dump["discovery"].as_array().expect("groups");
    let names: Vec<_> = groups.iter().map(|group| &group["group"]).collect();
    assert_eq!(names, ["b c", "default"]);
    assert_eq!(groups[1]["services"][0]["nodes"][0]["node"], "n/1");
    assert_eq!(dump["buses"][0]["methods"][0]["method"], "sum");
    assert_eq!(dump["services"], json!([]));
}
