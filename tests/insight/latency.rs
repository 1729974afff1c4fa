//! How long commands took: `RESPITE.LATENCY` and the histograms of `/metrics`.

use crate::support::{Client, DEADLINE, RedisServer, Reply, Respite, get, wait_until};

/// The count of a kind and user, 0 when there is none.
fn count(client: &mut Client, kind: &str, user: &str) -> i64 {
    let lines = client.call(&["RESPITE.LATENCY"]);
    let line = lines
        .items()
        .iter()
        .find(|line| line.field("kind").as_str() == kind && line.field("user").as_str() == user);
    line.map_or(0, |line| {
        let number = |name| line.field(name).int();
        assert!(number("p50_us") <= number("p99_us"), "{line:?}");
        assert!(number("p99_us") <= number("max_us"), "{line:?}");
        number("count")
    })
}

fn hit(client: &mut Client, key: &str) {
    wait_until("a hit", DEADLINE, || {
        let before = count(client, "hit", "default");
        client.call(&["GET", key]);
        count(client, "hit", "default") > before
    });
}

#[test]
fn commands_count_as_what_becomes_of_them() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).http().start();
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    hit(&mut client, "a");
    client.call(&["RESPITE.LATENCY", "RESET"]).assert_ok();
    // Ten hits in one packet, two forwarded, a transaction, a command of a family.
    client.pipeline(&[&["GET", "a"][..]; 10]);
    client.pipeline(&[&["SET", "b", "1"][..], &["SET", "b", "2"]]);
    client.pipeline(&[&["MULTI"][..], &["SET", "c", "1"], &["EXEC"]]);
    client.call(&["CACHE.STATS"]);
    assert_eq!(count(&mut client, "hit", "default"), 10);
    assert_eq!(count(&mut client, "forward", "default"), 2);
    assert_eq!(count(&mut client, "pinned", "default"), 3);
    assert_eq!(count(&mut client, "cache", "default"), 1);
    // The write has taken the entry away: this is a fetch.
    client.call(&["SET", "a", "2"]).assert_ok();
    client.call(&["GET", "a"]);
    assert_eq!(count(&mut client, "fetch", "default"), 1);
    // What a reset leaves alone.
    let text = get(respite.http_port(), "/metrics").1;
    let hits = "respite_command_duration_seconds_count{kind=\"hit\",user=\"default\"} ";
    let hits = text.lines().find_map(|line| line.strip_prefix(hits));
    let hits: u64 = hits.expect("hits").parse().expect("a number");
    assert!(hits > 10, "{hits}");
    // What is answered here takes time as well.
    for kind in ["hit", "respite", "cache", "forward", "pinned"] {
        let sum =
            format!("respite_command_duration_seconds_sum{{kind=\"{kind}\",user=\"default\"}} ");
        let sum = text.lines().find_map(|line| line.strip_prefix(&sum));
        let sum: f64 = sum.expect("a sum").parse().expect("a number");
        assert!(sum > 0.0, "{kind}");
    }
}

#[test]
fn waiting_on_purpose_is_not_counted() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    let mut blocked = respite.connect();
    blocked.send(&["BLPOP", "list", "0"]);
    blocked.send(&["ECHO", "behind"]);
    let mut backing = redis.connect();
    wait_until("it is blocked", DEADLINE, || {
        let clients = backing.call(&["INFO", "clients"]);
        clients.as_str().contains("blocked_clients:1\r\n")
    });
    client.call(&["RPUSH", "list", "x"]);
    assert!(matches!(blocked.read_reply(), Reply::Array(_)));
    blocked.read_reply();
    // What was sent behind it, and not BLPOP.
    assert_eq!(count(&mut client, "pinned", "default"), 1);
    assert!(count(&mut client, "forward", "default") > 0);
}

#[test]
fn a_call_counts_and_waiting_for_work_does_not() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let (mut caller, mut worker) = (respite.connect(), respite.connect());
    worker.call(&["BUS.REGISTER", "b", "m"]);
    worker.send(&["BUS.FETCH", "b", "w", "m"]);
    wait_until("a worker is there", DEADLINE, || {
        !caller.call(&["BUS.WORKERS", "b"]).items().is_empty()
    });
    caller.call(&["RESPITE.LATENCY", "RESET"]).assert_ok();
    caller.send(&["BUS.CALL", "b", "m"]);
    let call = worker.read_reply().items()[0].clone();
    let id = |name| call.field(name).as_str().to_owned();
    worker.call(&["BUS.REPLY", "b", &id("id"), &id("token"), "done"]);
    caller.read_reply();
    // The call and the reply.
    assert_eq!(count(&mut caller, "bus", "default"), 2);
}

#[test]
fn users_are_told_apart() {
    let redis = RedisServer::start();
    let config = format!(
        "[access]\nusers = [{{ name = \"ann\", password_sha256 = \"{HASH}\" }}, {{ name = \"default\", password_sha256 = \"{HASH}\" }}]"
    );
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config)
        .start();
    let mut client = respite.connect();
    client.call(&["AUTH", "ann", "pw"]).assert_ok();
    client.call(&["SET", "a", "1"]).assert_ok();
    assert_eq!(count(&mut client, "forward", "ann"), 1);
    client.call(&["AUTH", "pw"]).assert_ok();
    client.call(&["SET", "a", "1"]).assert_ok();
    client.call(&["SET", "a", "1"]).assert_ok();
    assert_eq!(count(&mut client, "forward", "ann"), 1);
    assert_eq!(count(&mut client, "forward", "default"), 2);
}

#[test]
fn arguments_are_checked() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    for wrong in [
        &["RESPITE.LATENCY", "x"][..],
        &["RESPITE.LATENCY", "RESET", "x"],
    ] {
        assert_eq!(respite.call(wrong).error(), "ERR syntax error");
    }
}

/// The SHA-256 of `pw`.
const HASH: &str = "30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4";
