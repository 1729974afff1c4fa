//! Instances that fail requests: others are tried, and who fails five times in a row has a pause.

use super::{Backend, Rig, service};
use crate::support::{HttpClient, Reply, get};

fn ping(backends: &[&Backend]) -> String {
    service(backends)
        .replace("method: health, endpoint: /health", "method: ping")
        .replace("50ms", "1h")
}

fn instance(rig: &Rig, backend: &Backend) -> Reply {
    let url = format!("127.0.0.1:{}", backend.port());
    let instances = rig.instances("app");
    let found = instances
        .iter()
        .find(|one| one.field("url").as_str() == url);
    found.expect("the instance").clone()
}

#[test]
fn who_cannot_be_connected_to_is_passed_over() {
    let (mut gone, there) = (Backend::start(), Backend::start());
    let rig = Rig::with(&ping(&[&gone, &there]), "", |builder| builder);
    rig.wait_healthy(2);
    gone.kill();
    let large = vec![b'x'; 300_000];
    for (method, body) in [
        ("POST", b"a".as_slice()),
        ("GET", b""),
        ("POST", &large),
        ("PUT", &large),
    ] {
        for _ in 0..10 {
            let mut client = HttpClient::connect(rig.port());
            let response = client
                .call(method, "/count", &[], body)
                .expect("a response");
            assert_eq!(response.text(), body.len().to_string(), "{method}");
        }
    }
    let failed = instance(&rig, &gone);
    assert_eq!(failed.field("failures").int(), 5, "then it is ejected");
    assert!(failed.field("ejected_ms").int() > 0);
    assert_eq!(
        failed.field("state").as_str(),
        "up",
        "polls have not noticed yet"
    );
    let stats = rig.respite.call(&["GATEWAY.STATS", "app"]);
    assert_eq!(stats.items()[0].field("reconnects").int(), 5);
}

#[test]
fn five_failures_in_a_row_eject_but_never_the_last() {
    let (bad, good) = (Backend::start(), Backend::start());
    let rig = Rig::with(&ping(&[&bad, &good]), "", |builder| builder);
    rig.wait_healthy(2);
    let url = |backend: &Backend| format!("127.0.0.1:{}", backend.port());
    let mut client = rig.client();
    let fail = |times: usize| {
        for _ in 0..times {
            assert_eq!(get(rig.port(), "/status/500").0, 500);
        }
    };
    client
        .call(&["GATEWAY.DRAIN", "app", &url(&good)])
        .assert_ok();
    fail(4);
    assert_eq!(get(rig.port(), "/status/200").0, 200);
    fail(4);
    assert_eq!(
        instance(&rig, &bad).field("ejected_ms").int(),
        0,
        "not in a row"
    );
    fail(10);
    assert_eq!(
        instance(&rig, &bad).field("ejected_ms").int(),
        0,
        "it is the last"
    );
    client
        .call(&["GATEWAY.UNDRAIN", "app", &url(&good)])
        .assert_ok();
    while instance(&rig, &bad).field("ejected_ms").int() == 0 {
        fail(1);
    }
    let left = instance(&rig, &bad).field("ejected_ms").int();
    assert!(left <= 30_000, "{left}");
    let before = bad.requests();
    for _ in 0..20 {
        assert_eq!(get(rig.port(), "/").0, 202);
    }
    assert_eq!(bad.requests(), before);
    fail(10);
    assert_eq!(
        instance(&rig, &good).field("ejected_ms").int(),
        0,
        "it is the last"
    );
    // The one that works is taken away: better the other than none.
    client
        .call(&["GATEWAY.DRAIN", "app", &url(&good)])
        .assert_ok();
    assert_eq!(get(rig.port(), "/").0, 202);
    assert_eq!(bad.requests(), before + 1);
}

#[test]
fn nobody_to_connect_to_is_502() {
    let mut gone = Backend::start();
    let rig = Rig::with(&ping(&[&gone]), "", |builder| builder);
    rig.wait_healthy(1);
    gone.kill();
    let (status, text) = get(rig.port(), "/");
    assert_eq!(status, 502);
    assert!(text.contains("has answered: Connection refused"), "{text}");
    gone.restart();
    assert_eq!(get(rig.port(), "/").0, 202);
}
