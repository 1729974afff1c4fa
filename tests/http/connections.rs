//! Probes are answered however many connections there are.

use crate::support::{DEADLINE, HttpClient, RedisServer, Respite, get, wait_until};

#[test]
fn idle_connections_shut_nobody_out() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).http().start();
    let port = respite.http_port();
    let mut idle: Vec<HttpClient> = (0..520).map(|_| HttpClient::connect(port)).collect();
    for page in ["/health", "/ready", "/stats"] {
        assert_eq!(get(port, page).0, 200, "{page}");
    }
    // One that is used is not the oldest for ever, but one that waits may be the next to go.
    let mut newest = idle.pop().expect("one of them");
    assert_eq!(
        newest
            .call("GET", "/health", &[], b"")
            .expect("alive")
            .status,
        200
    );
    let end = idle[0].read("GET");
    assert!(end.is_err(), "the oldest gave way: {end:?}");
}

#[test]
fn connections_that_are_busy_leave_room_for_probes() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .http()
        .allow_log("backing not usable")
        .allow_log("link lost")
        .start();
    let port = respite.http_port();
    assert_eq!(get(port, "/services").0, 200);
    // The backing answers nobody, so these are under way for as long as it likes: the
    // connection that asks it is open.
    redis.freeze();
    let mut busy = Vec::new();
    for _ in 0..512 {
        let mut client = HttpClient::connect(port);
        client.send("GET", "/services", &[], b"").expect("sent");
        busy.push(client);
    }
    wait_until("all places are taken", DEADLINE, || {
        get(port, "/stats").0 == 503
    });
    assert_eq!(get(port, "/health").0, 200);
    let mut more: Vec<HttpClient> = (0..100).map(|_| HttpClient::connect(port)).collect();
    assert_eq!(get(port, "/health").0, 200);
    assert!(more[0].read("GET").is_err(), "the reserve is bounded, too");
    redis.thaw();
    for client in &mut busy {
        client.read("GET").expect("an answer");
    }
}
