//! Many users at once: the backing has a bounded number of connections, and they go.

use std::time::Duration;

use super::{ALL, admin, backing, builder, log_in, set_user, users_of};
use crate::support::wait_until;

const USERS: usize = 200;
/// Idle connections are closed after ten seconds.
const CLOSED_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn two_hundred_users_have_a_connection_each_and_none_when_they_rest() {
    let (redis, url) = backing(ALL);
    let mut admin = admin(&redis);
    for n in 0..USERS {
        let keys = format!("~u{n}:*");
        set_user(&mut admin, &format!("u{n}"), &["on", ">pw", &keys, "+@all"]);
    }
    let respite = builder(&url).workers(1).start();
    let mut clients = Vec::new();
    for n in 0..USERS {
        // Three each, all of which do something.
        for _ in 0..3 {
            let mut client = log_in(&respite, &format!("u{n}"), "pw");
            client.call(&["SET", &format!("u{n}:k"), "v"]).assert_ok();
            client.call(&["GET", &format!("u{n}:k")]).assert_str("v");
            clients.push((n, client));
        }
    }
    for (n, client) in &mut clients {
        client.call(&["SET", &format!("u{n}:k"), "w"]).assert_ok();
    }
    let users = users_of(&mut admin);
    assert!(users.len() <= USERS, "{}", users.len());
    wait_until("idle connections are closed", CLOSED_WITHIN, || {
        users_of(&mut admin).is_empty()
    });
    // Nobody has noticed.
    for (n, client) in &mut clients {
        let other = format!("u{}:k", (*n + 1) % USERS);
        client.call(&["GET", &format!("u{n}:k")]).assert_str("w");
        client.call(&["GET", &other]).assert_error("NOPERM");
    }
    // Whoever goes leaves nothing behind.
    clients.clear();
    wait_until("all are gone", CLOSED_WITHIN, || {
        users_of(&mut admin).is_empty()
    });
}
