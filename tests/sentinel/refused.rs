//! Sentinels that cannot help: a name that they do not know, a login that they do not take.

use super::builder;
use crate::support::{DEADLINE, MASTER, Respite, SentinelSet, wait_until};

#[test]
fn an_unknown_name_ends_the_start_and_tells_the_known_ones() {
    let set = SentinelSet::with(0, 1, &[]);
    let url = set.url().replace(&format!("/{MASTER}"), "/nobody");
    let stopped = Respite::builder().upstream(&url).run_to_end();
    assert_eq!(stopped.status.code(), Some(2));
    let log = stopped.log.join("\n");
    assert!(
        log.contains("no sentinel knows a master called \"nobody\"; they know main"),
        "{log}"
    );
}

#[test]
fn sentinels_with_a_password_want_a_credential_of_their_own() {
    let set = SentinelSet::with(0, 1, &["requirepass watchful"]);
    let mut respite = builder(&set)
        .config("[timeouts]\nconnect = \"300ms\"")
        .start();
    respite.expect_log("NOAUTH");
    let reply = respite.call(&["GET", "k"]);
    reply.assert_error("UPSTREAM the master is not known");
    drop(respite);

    let config = "sentinel_credential = \"watch\"\n[credentials.watch]\npassword = \"watchful\"";
    let respite = builder(&set).config(config).start();
    wait_until("the master is found", DEADLINE, || {
        !respite.call(&["SET", "k", "v"]).is_error()
    });
    set.servers[0].call(&["GET", "k"]).assert_str("v");
}
