//! Requests that the backing's limits forbid: it closes the connection that they came on.

use super::{builder, link};
use crate::support::{Client, Direction, RedisServer, Relay, Respite};

const MIB: usize = 1024 * 1024;

/// Two clients of one worker, the second of which has sent what is too large for the backing while
/// the reply of the first one's command was on its way.
fn too_large(redis: &RedisServer, config: &str, prepare: impl FnOnce(&Respite) -> Vec<Client>) {
    let relay = Relay::to(redis.port());
    let respite = builder(&relay.url()).config(config).start();
    let _busy = prepare(&respite);
    let (mut modest, mut large) = (respite.connect(), respite.connect());
    modest.call(&["INCR", "n"]).assert_int(1);
    let shared = link(&relay);
    shared.pause(Direction::Up);
    modest.send(&["INCR", "n"]);
    shared.wait_held(Direction::Up);
    large.send(&["SET", "large", &"x".repeat(2 * MIB)]);
    let refused = String::from_utf8(large.read_reply_raw()).expect("text");
    assert!(refused.starts_with('-'), "{refused}");
    modest.send(&["INCR", "n"]);
    shared.resume(Direction::Up);
    modest.read_reply().assert_int(2);
    modest.read_reply().assert_int(3);
    assert!(shared.is_open(), "the shared link was lost");
    modest.call(&["EXISTS", "large"]).assert_int(0);
}

#[test]
fn a_request_too_large_for_the_backing_takes_no_other_client_along() {
    for limit in ["proto-max-bulk-len", "client-query-buffer-limit"] {
        let redis = RedisServer::builder()
            .args(["--".to_owned() + limit, "1mb".into()])
            .start();
        too_large(&redis, "", |_| Vec::new());
    }
}

#[test]
fn nor_when_no_connection_of_its_own_is_left() {
    let redis = RedisServer::builder()
        .args(["--proto-max-bulk-len", "1mb"])
        .start();
    too_large(&redis, "[limits]\npinned = 1", |respite| {
        let mut blocked = respite.connect();
        blocked.send(&["SUBSCRIBE", "channel"]);
        blocked.read_reply_raw();
        vec![blocked]
    });
}
