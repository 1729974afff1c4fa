//! What Respite tells of the nodes behind: over HTTP and in INFO, also while one of them is away.

use super::start;
use crate::support::{DEADLINE, RedisCluster, RedisServer, Respite, get, slot_of, wait_until};

/// A number of a metric.
fn metric(respite: &Respite, name: &str) -> f64 {
    let page = get(respite.http_port(), "/metrics").1;
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_else(|| panic!("no {name} in {page}"));
    value.trim().parse().expect("a number")
}

fn info(respite: &Respite, name: &str) -> String {
    let info = respite.call(&["INFO", "respite"]);
    let line = info
        .as_str()
        .lines()
        .find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|rest| rest.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

#[test]
fn a_master_that_is_away_is_told_of() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .http()
        .allow_log("link lost")
        .allow_log("is away")
        .allow_log("backing not usable")
        .allow_log("no node tells")
        .allow_log("fails")
        .start();
    let ready = || get(respite.http_port(), "/ready");
    wait_until("it is ready", DEADLINE, || ready().0 == 200);
    assert_eq!(info(&respite, "backing_slots_served"), "16384");
    assert_eq!(info(&respite, "backing_masters"), "3");
    assert_eq!(info(&respite, "backing_masters_up"), "3");
    assert_eq!(metric(&respite, "respite_upstream_slots_served "), 16_384.0);
    // One that is asked for what has moved says so.
    let mut client = respite.connect();
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3, || {});
    client.call(&["SET", "foo", "1"]).assert_ok();
    assert!(
        metric(
            &respite,
            "respite_upstream_redirects_total{kind=\"moved\"} "
        ) >= 1.0
    );
    assert_ne!(info(&respite, "backing_redirects_moved"), "0");
    // Any of them: not only the one that the monitor is connected to.
    for away in [2, 1, 0] {
        let port = cluster.servers[away].port();
        cluster.servers[away].freeze();
        wait_until("it is not ready", DEADLINE, || ready().0 == 503);
        let said = ready().1;
        assert!(said.contains("2 of 3 masters answer"), "{port}: {said}");
        assert_eq!(info(&respite, "backing_masters_up"), "2");
        assert_eq!(info(&respite, "backing_usable"), "0");
        assert_eq!(metric(&respite, "respite_upstream_up "), 0.0);
        assert_eq!(metric(&respite, "respite_upstream_masters_up "), 2.0);
        let served = metric(&respite, "respite_upstream_slots_served ");
        assert!((10_000.0..12_000.0).contains(&served), "{served}");
        let overview = get(respite.http_port(), "/api/overview").1;
        assert!(overview.contains("\"masters_up\":2"), "{overview}");
        cluster.servers[away].thaw();
        wait_until("it is ready again", DEADLINE, || ready().0 == 200);
    }
}

/// An operator reads which master it is, once, and when it is over.
#[test]
fn the_log_names_the_master_that_is_away_once() {
    let mut cluster = RedisCluster::start(3, 1);
    cluster.wait_until_replicas_follow();
    let mut respite = start(&cluster);
    respite.allow_log("cannot");
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    let owner = cluster.owner(slot);
    let address = cluster.servers[owner].addr();
    let mut client = respite.connect();
    client.call(&["SET", "foo", "1"]).assert_ok();
    cluster.wait_for_replica(owner);
    let next = cluster.servers[cluster.replica_of(owner)].addr();
    cluster.servers[owner].kill();
    let away = respite.expect_log(&format!("the master {address} is away"));
    assert!(
        away.contains("slots are not served") && away.contains("WARN"),
        "{away}"
    );
    let doctor = client.call(&["RESPITE.DOCTOR"]);
    let said = format!("{doctor:?}");
    assert!(
        said.contains(&address) && said.contains("of its 3 masters"),
        "{said}"
    );
    respite.expect_log(&format!(
        "the slots of {address} are served again, by {next}"
    ));
    respite.expect_log(&format!(
        "{next} has slots now, {address} none any more: 3 masters, 16384 slots"
    ));
    let count = |text: &str| {
        respite
            .log()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    };
    assert_eq!(count("is away"), 1, "{:#?}", respite.log());
    assert!(count("link lost") <= 1, "{:#?}", respite.log());
    assert_eq!(count("not usable"), 0, "{:#?}", respite.log());
}

/// What changes by intention is one line.
#[test]
fn a_failover_by_command_is_one_line_in_the_log() {
    let cluster = RedisCluster::start(3, 1);
    cluster.wait_until_replicas_follow();
    let respite = start(&cluster);
    let before = respite.log().len();
    let owner = cluster.owner(slot_of(&mut cluster.servers[0].connect(), "foo"));
    let old = cluster.servers[owner].addr();
    let replica = cluster.replica_of(owner);
    let new = cluster.servers[replica].addr();
    cluster.fail_over_to(replica);
    let mut client = respite.connect();
    wait_until("the next master is used", DEADLINE, || {
        let _ = client.try_send_raw(b"SET foo 1\r\n");
        let set = client
            .try_read_reply_raw()
            .is_ok_and(|reply| reply == b"+OK\r\n");
        if !set {
            client = respite.connect();
        }
        set && respite.log().iter().any(|line| line.contains(&new))
    });
    let log = respite.log();
    let says = |told: String| log[before..].iter().any(|line| line.contains(&told));
    let at_once = format!("{new} has slots now, {old} none any more: 3 masters, 16384 slots");
    // From Redis 8.2 on nobody has them for a moment, as `CLUSTER SHARDS` has it.
    let in_two = RedisServer::version() >= (8, 2, 0)
        && says(format!("{old} has no slots any more: 2 masters"))
        && says(format!("{new} has slots now: 3 masters, 16384 slots"));
    assert!(says(at_once) || in_two, "{log:#?}");
    assert!(log.len() - before <= 2, "{log:#?}");
}

/// Whoever asks who the server is gets an answer from a node that is there.
#[test]
fn hello_is_answered_while_the_first_node_is_away() {
    let mut cluster = RedisCluster::start(3, 0);
    let args = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
    for server in &cluster.servers {
        server.call(&args).assert_ok();
    }
    // Whichever is the first one of the map.
    for away in 0..3 {
        cluster.servers[away].kill();
        let url = cluster.url();
        let other = cluster.servers[(away + 2) % 3].addr();
        let respite = Respite::builder()
            .upstream(&format!("{url},{other}"))
            .allow_log("backing not usable")
            .allow_log("is away")
            .allow_log("no node tells")
            .start();
        let mut client = respite.connect();
        wait_until("somebody answers", DEADLINE, || {
            !client.call(&["HELLO", "3"]).is_error()
        });
        drop(respite);
        cluster.servers[away].restart();
        cluster.wait_until_agreed();
    }
}
