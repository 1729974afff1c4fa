//! `timeouts.idle` and clients with connections of their own: who left something open and went is
//! closed, who waits is not.

use crate::support::{Client, RedisServer, Respite};

fn respite(redis: &RedisServer) -> Respite {
    Respite::builder()
        .upstream(&redis.url())
        .config("[timeouts]\nidle = \"400ms\"")
        .start()
}

#[test]
fn what_was_left_open_is_closed() {
    type Leave = fn(&mut Client);
    let scenes: [Leave; 4] = [
        |client| client.call(&["WATCH", "k"]).assert_ok(),
        |client| client.call(&["MULTI"]).assert_ok(),
        |client| {
            client.call(&["MULTI"]).assert_ok();
            client.call(&["SET", "k", "1"]).assert_str("QUEUED");
        },
        |client| {
            client.hello3();
            client.call(&["CLIENT", "TRACKING", "ON"]).assert_ok();
        },
    ];
    let redis = RedisServer::start();
    let respite = respite(&redis);
    for leave in scenes {
        let mut client = respite.connect();
        leave(&mut client);
        assert!(client.closed());
    }
    assert!(redis.call(&["GET", "k"]).is_null());
}

#[test]
fn who_waits_is_not() {
    let redis = RedisServer::start();
    let respite = respite(&redis);
    let [mut blocked, mut subscriber, mut monitor, mut fetching] =
        [(); 4].map(|()| respite.connect());
    blocked.send(&["BLPOP", "list", "0"]);
    subscriber.call(&["SUBSCRIBE", "c"]);
    monitor.call(&["MONITOR"]).assert_ok();
    fetching.send(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "0"]);
    // longer than they may be idle
    for _ in 0..2 {
        let mut silent = respite.connect();
        silent.call(&["WATCH", "k"]).assert_ok();
        assert!(silent.closed());
    }
    redis.call(&["RPUSH", "list", "x"]);
    assert_eq!(blocked.read_reply().strings(), ["list", "x"]);
    redis.call(&["PUBLISH", "c", "m"]);
    subscriber.read_reply().items()[2].assert_str("m");
    while !monitor.read_reply().as_str().contains("\"WATCH\"") {}
    let mut caller = respite.connect();
    caller.call(&["BUS.REGISTER", "b", "m"]);
    caller.send(&["BUS.CALL", "b", "m"]);
    assert!(!fetching.read_reply().is_error());
}
