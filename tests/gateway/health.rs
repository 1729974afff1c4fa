//! Polling: when an instance is up, down or unknown, and what is remembered.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;

use super::{Backend, Rig, service};
use crate::support::{DEADLINE, get, wait_until};

fn polls(stats: &Value) -> Vec<(bool, Option<u64>)> {
    let polls = stats["polls"].as_array().expect("polls").iter();
    polls
        .map(|poll| (poll["ok"].as_bool().expect("ok"), poll["status"].as_u64()))
        .collect()
}

fn with_retries(backend: &Backend) -> String {
    format!(
        "app:\n  servers:\n    127.0.0.1:{}: {{method: health, endpoint: /health, frequency: 0.05, \
         retries: 2, retry_delay: 10ms}}\n  apis: [/]\n",
        backend.port()
    )
}

#[test]
fn down_after_a_whole_round_and_up_after_two_successes() {
    let backend = Backend::start();
    let rig = Rig::start(&with_retries(&backend));
    assert_eq!(get(rig.port(), "/").0, 202);
    backend.set_health(500);
    rig.wait_state(backend.port(), "down");
    let stats = rig.stats(backend.port());
    let failed = polls(&stats).iter().rev().take_while(|(ok, _)| !ok).count();
    assert!(failed >= 3, "1 + retries failures: {stats}");
    assert!(polls(&stats).contains(&(false, Some(500))), "{stats}");
    let last = stats["polls"]
        .as_array()
        .and_then(|polls| polls.last())
        .expect("a poll");
    assert_eq!(last["error"], "answered with 500");
    assert!(
        last["start"].as_u64() <= last["end"].as_u64() && last["start"].as_u64() > Some(1 << 40)
    );
    let (status, text) = get(rig.port(), "/");
    assert_eq!(status, 503);
    assert!(
        text.contains("no instance of service app is healthy"),
        "{text}"
    );
    backend.set_health(204);
    rig.wait_state(backend.port(), "up");
    let stats = rig.stats(backend.port());
    let succeeded = polls(&stats).iter().rev().take_while(|(ok, _)| *ok).count();
    assert!(succeeded >= 2, "{stats}");
    assert_eq!(get(rig.port(), "/").0, 202);
}

#[test]
fn a_round_ends_at_its_first_success() {
    let backend = Backend::start();
    // As many failures as there are retries, and then a success: round after round.
    backend.set_health(3);
    let rig = Rig::start(&with_retries(&backend));
    wait_until("there were ten rounds", DEADLINE, || backend.polls() > 30);
    assert_eq!(rig.state(backend.port()), "up");
    let log = rig.respite.log();
    assert!(!log.iter().any(|line| line.contains("is down")), "{log:?}");
}

#[test]
fn before_its_first_poll_an_instance_is_unknown() {
    let backend = Backend::start();
    backend.set_health(0);
    let rig = Rig::with(&service(&[&backend]), "", |builder| builder);
    wait_until("it is being polled", DEADLINE, || backend.polls() > 0);
    assert_eq!(rig.state(backend.port()), "unknown");
    rig.respite
        .call(&["GATEWAY.PICK", "app"])
        .assert_error("NOINSTANCE ");
    assert_eq!(get(rig.port(), "/").0, 503);
    // A request waits a moment for the first poll.
    std::thread::scope(|scope| {
        let request = scope.spawn(|| get(rig.port(), "/").0);
        backend.set_health(200);
        assert_eq!(request.join().expect("a response"), 202);
    });
    assert_eq!(rig.state(backend.port()), "up");
}

#[test]
fn a_ping_is_a_tcp_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let services = format!(
        "app:\n  server: 127.0.0.1:{port}\n  polling: {{method: ping, frequency: 50ms}}\n  apis: [/]\n"
    );
    let rig = Rig::start(&services);
    assert_eq!(rig.stats(port)["polling"], "ping (TCP connect)");
    let stats = rig.respite.call(&["GATEWAY.STATS"]);
    let instance = &stats.items()[0].field("instances").items()[0];
    assert_eq!(instance.field("polling").as_str(), "ping (TCP connect)");
    drop(listener);
    rig.wait_state(port, "down");
    let stats = rig.stats(port);
    let last = stats["polls"]
        .as_array()
        .and_then(|polls| polls.last())
        .expect("a poll");
    assert_eq!(last["error"], "cannot connect: connection refused");
    assert_eq!(last["status"], Value::Null);
}

#[test]
fn the_last_polls_are_kept() {
    let backend = Backend::start();
    let services =
        service(&[&backend]).replace("frequency: 50ms", "frequency: 10ms, packet_limit: 3");
    let rig = Rig::start(&services);
    wait_until("there were more polls than are kept", DEADLINE, || {
        backend.polls() > 6
    });
    let stats = rig.stats(backend.port());
    assert_eq!(polls(&stats).len(), 3);
    assert!(stats["polls_total"].as_u64() > Some(3), "{stats}");
    let (_, text) = get(rig.respite.http_port(), "/stats?polls=1");
    assert_eq!(text.matches("\"start\"").count(), 1, "{text}");
}

#[test]
fn a_check_polls_at_once() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]).replace("50ms", "1h"));
    let before = backend.polls();
    rig.respite.call(&["GATEWAY.CHECK", "app"]).assert_ok();
    wait_until("it is polled", DEADLINE, || backend.polls() > before);
    backend.set_health(503);
    let url = format!("127.0.0.1:{}", backend.port());
    rig.respite
        .call(&["GATEWAY.CHECK", "app", &url])
        .assert_ok();
    rig.wait_state(backend.port(), "down");
}
