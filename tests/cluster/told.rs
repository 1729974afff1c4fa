//! What Respite tells of the nodes behind: over HTTP and in INFO, also while one of them is away.

use crate::support::{DEADLINE, RedisCluster, Respite, get, slot_of, wait_until};

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
