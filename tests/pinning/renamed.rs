//! Commands of which nothing is known, because the backing has given them other names: what they do to a connection
//! is nobody else's.

use crate::support::{Client, RedisServer, Respite};

fn renamed(command: &str) -> (RedisServer, Respite) {
    let redis = RedisServer::builder()
        .args(["--rename-command", command, "zz"])
        .start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .allow_log("no tracking that works")
        .start();
    (redis, respite)
}

/// Another client's ordinary commands, while the first one has used the renamed command.
fn assert_undisturbed(respite: &Respite, command: &str) {
    let mut other = respite.connect();
    for n in 1..4 {
        other.call(&["SET", "k", "v"]).assert_ok();
        other.call(&["GET", "k"]).assert_str("v");
        assert_eq!(other.call(&["INCR", "n"]).int(), n, "{command}");
    }
}

#[test]
fn the_state_that_they_leave_stays_with_their_client() {
    let cases: [(&str, &[&str]); 7] = [
        ("SELECT", &["zz", "5"]),
        ("MULTI", &["zz"]),
        ("SUBSCRIBE", &["zz", "channel"]),
        ("BLPOP", &["zz", "list", "0"]),
        ("CLIENT", &["zz", "REPLY", "OFF"]),
        ("MONITOR", &["zz"]),
        ("WATCH", &["zz", "k"]),
    ];
    for (command, call) in cases {
        let (redis, respite) = renamed(command);
        let mut client: Client = respite.connect();
        client.send(call);
        // Its own commands follow on the same connection; what they get there is its business.
        client.send(&["SET", "mine", "1"]);
        client.send(&["GET", "mine"]);
        assert_undisturbed(&respite, command);
        drop(client);
        // A connection that goes back to the pool would bring the state to whoever is next.
        let mut next = respite.connect();
        let multi = if command == "MULTI" { "zz" } else { "MULTI" };
        let replies = next.pipeline(&[&[multi][..], &["GET", "k"], &["EXEC"]]);
        replies[2].items()[0].assert_str("v");
        drop(redis);
    }
}

#[test]
fn a_renamed_select_holds_for_its_client_in_a_transaction_too() {
    let (redis, respite) = renamed("SELECT");
    let mut client = respite.connect();
    client.call(&["zz", "5"]).assert_ok();
    client.call(&["SET", "k", "five"]).assert_ok();
    client.pipeline(&[&["MULTI"][..], &["zz", "6"], &["EXEC"]]);
    client.call(&["SET", "k", "six"]).assert_ok();
    let mut direct = redis.connect();
    for (db, value) in [("5", "five"), ("6", "six")] {
        direct.call(&["zz", db]).assert_ok();
        direct.call(&["GET", "k"]).assert_str(value);
    }
    let mut other = respite.connect();
    assert!(other.call(&["GET", "k"]).is_null());
}

#[test]
fn a_command_that_the_backing_does_not_know_costs_no_connection() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .config("[limits]\npinned = 1")
        .start();
    let mut clients: Vec<Client> = (0..20).map(|_| respite.connect()).collect();
    for client in &mut clients {
        client
            .call(&["zz", "1"])
            .assert_error("ERR unknown command");
    }
}
