//! What the coherence test has found, each as its smallest story.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{Direction, RedisServer, Relay, Respite, wait_until};

/// The answer to the first `SELECT` of a database, and the end of the connection that it came on, are
/// read at once: the client was told `+OK`, so it has to be in that database.
#[test]
fn select_holds_though_its_connection_is_lost() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder().upstream(&relay.url()).workers(1).start();
    relay.when(selects, |connection| connection.pause(Direction::Down));
    // often the answer is read before the end is; a database that is known is not asked for again
    for db in 1..=12 {
        let db = db.to_string();
        let mut direct = redis.connect();
        direct.call(&["SELECT", &db]).assert_ok();
        direct.call(&["SET", "key", &db]).assert_ok();
        let mut client = respite.connect();
        client.send(&["SELECT", &db]);
        let connection = relay.find(selects);
        connection.wait_held(Direction::Down);
        respite.signal(Signal::SIGSTOP);
        let before = connection.forwarded(Direction::Down);
        connection.resume(Direction::Down);
        wait_until("the answer is passed on", Duration::from_secs(5), || {
            connection.forwarded(Direction::Down) > before
        });
        // it is counted before it is written
        std::thread::sleep(Duration::from_millis(20));
        connection.cut();
        respite.signal(Signal::SIGCONT);
        client.read_reply().assert_ok();
        client.call(&["GET", "key"]).assert_str(&db);
    }
}

/// Whether these are the first bytes of a pinned connection that has been asked to select.
fn selects(first: &[u8]) -> bool {
    let has = |part: &[u8]| first.windows(part.len()).any(|window| window == part);
    has(b"respite-pinned") && has(b"SELECT")
}
