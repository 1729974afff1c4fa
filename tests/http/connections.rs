//! Probes are answered however many connections there are.

use crate::support::{HttpClient, RedisServer, Respite, get};

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
