//! Users who are deleted, switched off or given another password while somebody is logged in as them.

use super::{ALL, admin, backing, builder, log_in, set_user, users_of};
use crate::support::{Client, DEADLINE, Respite, wait_until};

const ANN: &[&str] = &["on", ">pw", "~*", "&*", "+@all"];

#[track_caller]
fn wait_until_closed(client: &mut Client) {
    client.set_timeout(DEADLINE);
    assert!(client.closed());
}

#[test]
fn whoever_is_logged_in_as_a_deleted_user_is_closed() {
    let (redis, url) = backing(ALL);
    let mut admin = admin(&redis);
    set_user(&mut admin, "ann", ANN);
    set_user(&mut admin, "bob", ANN);
    let respite = builder(&url).allow_log("link lost").start();
    let mut bob = log_in(&respite, "bob", "pw");
    // One who has done nothing, one with a link, one blocked, one subscribed, one in a transaction.
    let mut idle = log_in(&respite, "ann", "pw");
    let mut busy = log_in(&respite, "ann", "pw");
    busy.call(&["SET", "k", "v"]).assert_ok();
    busy.call(&["GET", "k"]).assert_str("v");
    let mut blocked = log_in(&respite, "ann", "pw");
    blocked.send(&["BLPOP", "none", "0"]);
    let mut subscribed = log_in(&respite, "ann", "pw");
    subscribed.call(&["SUBSCRIBE", "news"]);
    let mut queueing = log_in(&respite, "ann", "pw");
    queueing.call(&["MULTI"]).assert_ok();
    bob.call(&["GET", "k"]).assert_str("v");
    admin.call(&["ACL", "DELUSER", "ann"]).assert_int(1);
    for client in [&mut idle, &mut busy, &mut subscribed, &mut queueing] {
        wait_until_closed(client);
    }
    // The backing closes who is blocked; the reply that tells of it may come first.
    blocked.set_timeout(DEADLINE);
    while blocked.try_read_reply_raw().is_ok() {}
    bob.call(&["GET", "k"]).assert_str("v");
    let mut late = respite.connect();
    late.call(&["AUTH", "ann", "pw"]).assert_error("WRONGPASS");
    // One of the same name is another user.
    set_user(&mut admin, "ann", &["on", ">new", "~other", "+@all"]);
    let mut ann = log_in(&respite, "ann", "new");
    ann.call(&["GET", "k"]).assert_error("NOPERM");
    ann.call(&["ACL", "WHOAMI"]).assert_str("ann");
}

#[test]
fn whoever_is_logged_in_stays_when_the_user_is_switched_off() {
    let (redis, url) = backing(ALL);
    let mut admin = admin(&redis);
    set_user(&mut admin, "ann", ANN);
    let respite = builder(&url).workers(1).start();
    let mut ann = log_in(&respite, "ann", "pw");
    ann.call(&["SET", "k", "v"]).assert_ok();
    set_user(&mut admin, "ann", &["off"]);
    for _ in 0..20 {
        ann.call(&["GET", "k"]).assert_str("v");
        ann.call(&["ACL", "WHOAMI"]).assert_str("ann");
    }
    respite
        .connect()
        .call(&["AUTH", "ann", "pw"])
        .assert_error("WRONGPASS");
    // On again, as if nothing had been.
    set_user(&mut admin, "ann", &["on"]);
    log_in(&respite, "ann", "pw")
        .call(&["GET", "k"])
        .assert_str("v");
}

/// Has Respite open a new connection for a user: the ones that are there are closed at the backing.
fn cut_off(admin: &mut Client, respite: &Respite) {
    admin.call(&["CLIENT", "KILL", "USER", "ann"]);
    wait_until("they are closed", DEADLINE, || users_of(admin).is_empty());
    drop(respite.connect());
}

#[test]
fn a_changed_password_keeps_who_is_logged_in_until_a_connection_has_to_be_opened() {
    let (redis, url) = backing(ALL);
    let mut admin = admin(&redis);
    set_user(&mut admin, "ann", ANN);
    let respite = builder(&url).workers(1).allow_log("link lost").start();
    let mut ann = log_in(&respite, "ann", "pw");
    ann.call(&["SET", "k", "v"]).assert_ok();
    set_user(&mut admin, "ann", &["resetpass", ">new"]);
    ann.call(&["GET", "k"]).assert_str("v");
    ann.call(&["SET", "k", "w"]).assert_ok();
    cut_off(&mut admin, &respite);
    // Told why, and closed: the client logs in again with what it knows by then.
    let said = ann.call(&["SET", "k", "x"]);
    said.assert_error("UPSTREAM ");
    assert!(
        said.error().contains("WRONGPASS") && said.error().contains("not sent"),
        "{said:?}"
    );
    wait_until_closed(&mut ann);
    admin.call(&["GET", "k"]).assert_str("w");
    // A new password that somebody knows serves all who are logged in.
    let mut ann = log_in(&respite, "ann", "new");
    set_user(&mut admin, "ann", &["resetpass", ">third"]);
    let mut other = log_in(&respite, "ann", "third");
    cut_off(&mut admin, &respite);
    ann.call(&["SET", "k", "y"]).assert_ok();
    other.call(&["GET", "k"]).assert_str("y");
}

#[test]
fn one_who_was_deleted_and_made_again_at_once_with_another_password_is_told_nothing() {
    let (redis, url) = backing(ALL);
    let mut admin = admin(&redis);
    set_user(&mut admin, "ann", ANN);
    set_user(&mut admin, "bob", ANN);
    let respite = builder(&url).workers(1).allow_log("link lost").start();
    let mut bob = log_in(&respite, "bob", "pw");
    bob.call(&["SET", "k", "v"]).assert_ok();
    let mut ann = log_in(&respite, "ann", "pw");
    let hits = |client: &mut Client| client.call(&["CACHE.STATS"]).field("hits").int();
    let before = hits(&mut bob);
    wait_until("the cache answers", DEADLINE, || {
        ann.call(&["GET", "k"]).assert_str("v");
        hits(&mut bob) > before
    });
    // Between two looks: nobody was away.
    let replies = admin.pipeline(&[
        &["MULTI"][..],
        &["ACL", "DELUSER", "ann"],
        &["ACL", "SETUSER", "ann", "on", ">new", "~*", "+@all"],
        &["EXEC"],
    ]);
    assert_eq!(replies[3].items().len(), 2);
    // Told from the cache for as long as rules are good, then by nobody.
    wait_until("it is closed", DEADLINE, || {
        ann.send(&["GET", "k"]);
        match ann.try_read_reply_raw() {
            Ok(reply) => {
                let told = reply == b"$1\r\nv\r\n" || reply.starts_with(b"-UPSTREAM ");
                assert!(told, "{}", crate::support::escape(&reply));
                false
            }
            Err(_) => true,
        }
    });
    bob.call(&["GET", "k"]).assert_str("v");
}

#[test]
fn what_a_user_may_changes_while_he_is_logged_in() {
    let (redis, url) = backing(ALL);
    let mut admin = admin(&redis);
    set_user(
        &mut admin,
        "ann",
        &["on", ">pw", "~*", "&*", "+@all", "-ping", "-client"],
    );
    let respite = builder(&url).start();
    let mut ann = log_in(&respite, "ann", "pw");
    // What is given counts at once, also of what Respite answers itself.
    for _ in 0..5 {
        ann.call(&["PING"]).assert_error("NOPERM");
        set_user(&mut admin, "ann", &["+ping", "+client"]);
        ann.call(&["PING"]).assert_str("PONG");
        ann.call(&["CLIENT", "GETNAME"]);
        set_user(&mut admin, "ann", &["-ping", "-client"]);
        wait_until("taken away", DEADLINE, || ann.call(&["PING"]).is_error());
    }
}
