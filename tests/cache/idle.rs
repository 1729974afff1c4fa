//! Fill links live as long as somebody reads.

use std::time::Duration;

use super::{start, stat, warm};
use crate::support::{RedisServer, wait_until};

/// Ten seconds after the last client has gone a link is closed.
const LONG: Duration = Duration::from_secs(60);

fn fill_links(redis: &RedisServer) -> usize {
    let list = redis.call(&["CLIENT", "LIST"]);
    let fills = list
        .as_str()
        .lines()
        .filter(|line| line.contains("name=respite-fill"));
    fills.count()
}

#[test]
fn fill_links_end_with_the_last_client_of_their_database() {
    let (redis, respite, mut client) = start("");
    let mut staying = respite.connect();
    for db in ["0", "3", "7"] {
        client.call(&["SELECT", db]).assert_ok();
        warm(&mut client, "k");
    }
    warm(&mut staying, "stays");
    assert!(fill_links(&redis) >= 3);
    drop(client);
    wait_until("the others are closed", LONG, || fill_links(&redis) == 1);
    wait_until("their entries are gone", LONG, || {
        stat(&mut staying, "entries") <= 2
    });
    // who is still there is served as before
    staying.call(&["GET", "stays"]);
    assert!(!staying.call(&["CACHE.INSPECT", "stays"]).is_null());
    drop(staying);
    wait_until("all are closed", LONG, || fill_links(&redis) == 0);
    let mut again = respite.connect();
    warm(&mut again, "k");
}
