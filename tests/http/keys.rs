//! `GET /keys/{key}`: the same values as over RESP, from the same cache.

use serde_json::{Value, json};

use crate::support::{DEADLINE, RedisServer, Respite, fetch, wait_until};

fn key(respite: &Respite, path: &str) -> (u16, Value) {
    let response = fetch(respite.http_port(), "GET", &format!("/keys/{path}"), &[]);
    (response.status, response.json())
}

fn start(config: &str) -> (RedisServer, Respite) {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).config(config);
    let respite = builder.http().start();
    (redis, respite)
}

#[test]
fn a_value_comes_from_redis_and_then_from_memory() {
    let (_redis, respite) = start("");
    let mut client = respite.connect();
    client.call(&["SET", "k", "value"]).assert_ok();
    assert_eq!(
        key(&respite, "k"),
        (200, json!({"value": "value", "source": "redis"}))
    );
    wait_until("it is cached", DEADLINE, || {
        key(&respite, "k").1["source"] == "local"
    });
    assert_eq!(
        key(&respite, "k"),
        (200, json!({"value": "value", "source": "local"}))
    );
    // What HTTP has cached serves Redis clients, and the other way round.
    let hits = client.call(&["CACHE.STATS"]).field("hits").int();
    client.call(&["GET", "k"]).assert_str("value");
    assert_eq!(client.call(&["CACHE.STATS"]).field("hits").int(), hits + 1);
}

#[test]
fn a_read_follows_every_write() {
    let (redis, respite) = start("");
    let mut client = respite.connect();
    for n in 0..200 {
        let value = n.to_string();
        client.call(&["SET", "k", &value]).assert_ok();
        for _ in 0..3 {
            assert_eq!(key(&respite, "k").1["value"], value.as_str());
        }
    }
    client
        .call(&["EVAL", "return redis.call('SET', 'k', 'script')", "0"])
        .assert_ok();
    assert_eq!(key(&respite, "k").1["value"], "script");
    client.call(&["DEL", "k"]);
    assert_eq!(key(&respite, "k").0, 404);
    redis.call(&["SET", "k", "direct"]);
    wait_until("a direct write is seen", DEADLINE, || {
        key(&respite, "k").1["value"] == "direct"
    });
}

#[test]
fn keys_and_values_are_any_bytes() {
    let (_redis, respite) = start("cache.mode = \"off\"");
    let mut client = respite.connect();
    client.call(&["SET", "", "empty"]).assert_ok();
    client.call(&["SET", "a/b c?d", "slash"]).assert_ok();
    client
        .call(&[b"SET".as_slice(), b"\xff\x00", b"\xfe\x01"])
        .assert_ok();
    client.call(&["SET", "é", "ü\n\""]).assert_ok();
    client.call(&["SET", "none", ""]).assert_ok();
    client.call(&["LPUSH", "list", "x"]);
    let redis = |value: Value| json!({"value": value, "source": "redis"});
    assert_eq!(key(&respite, ""), (200, redis(json!("empty"))));
    assert_eq!(key(&respite, "a%2Fb%20c%3Fd"), (200, redis(json!("slash"))));
    assert_eq!(key(&respite, "a/b%20c%3Fd"), (200, redis(json!("slash"))));
    assert_eq!(
        key(&respite, "%ff%00"),
        (200, redis(json!({"base64": "/gE="})))
    );
    assert_eq!(key(&respite, "%C3%A9"), (200, redis(json!("ü\n\""))));
    assert_eq!(key(&respite, "none"), (200, redis(json!(""))));
    assert_eq!(key(&respite, "missing"), (404, redis(Value::Null)));
    let (status, error) = key(&respite, "list");
    assert_eq!(status, 400);
    assert!(
        error["error"]
            .as_str()
            .is_some_and(|text| text.starts_with("WRONGTYPE")),
        "{error}"
    );
    client.call(&["SETRANGE", "huge", &(17 << 20).to_string(), "x"]);
    assert_eq!(key(&respite, "huge").0, 413);
}

#[test]
fn another_database_is_named() {
    let (_redis, respite) = start("");
    let mut client = respite.connect();
    client.call(&["SET", "k", "zero"]).assert_ok();
    client.call(&["SELECT", "3"]).assert_ok();
    client.call(&["SET", "k", "three"]).assert_ok();
    assert_eq!(key(&respite, "k?db=3").1["value"], "three");
    assert_eq!(key(&respite, "k?db=0").1["value"], "zero");
    assert_eq!(key(&respite, "k").1["value"], "zero");
    wait_until("it is cached", DEADLINE, || {
        key(&respite, "k?db=3").1["source"] == "local"
    });
    client.call(&["SET", "k", "four"]).assert_ok();
    assert_eq!(key(&respite, "k?db=3").1["value"], "four");
    assert_eq!(key(&respite, "k?db=9999").0, 400);
    assert_eq!(key(&respite, "k?db=x").0, 400);
}

#[test]
fn a_lost_backing_is_503() {
    let (mut redis, mut respite) = start("timeouts.connect = \"100ms\"");
    respite.allow_log("backing not usable");
    assert_eq!(key(&respite, "k").0, 404);
    redis.kill();
    wait_until("it is noticed", DEADLINE, || {
        key(&respite, "other").0 == 503
    });
    redis.restart();
    wait_until("it is back", DEADLINE, || key(&respite, "other").0 == 404);
    // A client inside the process goes when its request has ended, which is noticed a little later.
    wait_until("no client inside is left", DEADLINE, || {
        let clients = respite.call(&["CLIENT", "LIST"]);
        !clients.as_str().contains("internal")
    });
}
