//! Logins are the backing's to judge, on whichever connection and in whichever words.

use super::{ALL, admin, backing, builder, builder_with, log_in, set_user, users_of};
use crate::access::{ROOT, config};
use crate::support::{DEADLINE, Respite, wait_until};

#[test]
fn the_backing_names_the_user_everywhere() {
    let (redis, url) = backing(ALL);
    set_user(&mut admin(&redis), "ann", &["on", ">pw", "~app:*", "+@all"]);
    let respite = builder(&url).start();
    let mut ann = log_in(&respite, "ann", "pw");
    ann.call(&["ACL", "WHOAMI"]).assert_str("ann");
    ann.call(&["GET", "other"]).assert_error("NOPERM");
    let log = ann.call(&["ACL", "LOG"]);
    log.items()[0].field("username").assert_str("ann");
    let info = ann.call(&["CLIENT", "INFO"]);
    assert!(info.as_str().contains(" user=ann "), "{info:?}");
    assert_eq!(users_of(&mut admin(&redis)), ["ann"]);
    // And in a transaction, blocked and subscribed.
    let replies = ann.pipeline(&[&["MULTI"][..], &["ACL", "WHOAMI"], &["EXEC"]]);
    replies[2].items()[0].assert_str("ann");
    ann.send(&["BLPOP", "app:list", "0"]);
    let mut admin = admin(&redis);
    wait_until("ann is blocked", DEADLINE, || {
        let list = admin.call(&["CLIENT", "LIST"]);
        let mut lines = list.as_str().lines();
        lines.any(|line| line.contains("cmd=blpop") && line.contains("user=ann"))
    });
    admin.call(&["RPUSH", "app:list", "x"]).assert_int(1);
    assert_eq!(ann.read_reply().strings(), ["app:list", "x"]);
}

#[test]
fn another_login_is_another_user_from_then_on() {
    let (redis, url) = backing(ALL);
    for (name, keys) in [("ann", "~a:*"), ("bob", "~b:*")] {
        set_user(
            &mut admin(&redis),
            name,
            &["on", ">pw", keys, "+@all", "&*"],
        );
    }
    let respite = builder(&url).workers(1).start();
    let mut client = log_in(&respite, "ann", "pw");
    // In one packet, with reads that are being fetched, and with a connection of its own that keeps state.
    let replies = client.pipeline(&[
        &["SET", "a:1", "1"][..],
        &["GET", "a:1"],
        &["AUTH", "bob", "pw"],
        &["GET", "a:1"],
        &["SET", "b:1", "2"],
        &["GET", "b:1"],
        &["ACL", "WHOAMI"],
        &["AUTH", "bob", "wrong"],
        &["ACL", "WHOAMI"],
        &["WATCH", "b:1"],
        &["AUTH", "ann", "pw"],
        &["MULTI"],
        &["SET", "a:1", "3"],
        &["EXEC"],
        &["ACL", "WHOAMI"],
    ]);
    let said: Vec<String> = replies.iter().map(|reply| format!("{reply:?}")).collect();
    let starts = |at: usize, start: &str| assert!(said[at].starts_with(start), "{at}: {said:#?}");
    for (at, start) in [
        (0, "+OK"),
        (2, "+OK"),
        (3, "-NOPERM"),
        (4, "+OK"),
        (7, "-WRONGPASS"),
        (9, "+OK"),
        (10, "+OK"),
        (12, "+QUEUED"),
    ] {
        starts(at, start);
    }
    replies[1].assert_str("1");
    replies[5].assert_str("2");
    replies[6].assert_str("bob");
    replies[8].assert_str("bob");
    replies[13].items()[0].assert_ok();
    replies[14].assert_str("ann");
    // A subscriber becomes another user, too.
    let mut subscriber = respite.connect();
    subscriber.call(&["HELLO", "3", "AUTH", "ann", "pw"]);
    subscriber.call(&["SUBSCRIBE", "news"]);
    subscriber.call(&["AUTH", "bob", "pw"]).assert_ok();
    subscriber.call(&["ACL", "WHOAMI"]).assert_str("bob");
    subscriber.call(&["GET", "a:1"]).assert_error("NOPERM");
    subscriber.call(&["RESET"]);
    subscriber.call(&["GET", "a:1"]).assert_error("NOAUTH");
}

#[test]
fn a_login_in_a_transaction_is_refused_with_it() {
    let (redis, url) = backing(ALL);
    set_user(&mut admin(&redis), "ann", &["on", ">pw", "~*", "+@all"]);
    let respite = builder(&url).start();
    let mut ann = log_in(&respite, "ann", "pw");
    let replies = ann.pipeline(&[
        &["MULTI"][..],
        &["AUTH", "ann", "pw"],
        &["EXEC"],
        &["MULTI"],
        &["HELLO", "3", "AUTH", "ann", "pw"],
        &["EXEC"],
        &["ACL", "WHOAMI"],
    ]);
    for at in [1, 4] {
        replies[at].assert_error("ERR Command not allowed inside a transaction");
        replies[at + 1].assert_error("EXECABORT");
    }
    replies[6].assert_str("ann");
}

#[test]
fn guesses_are_slowed_counted_and_logged() {
    let (redis, url) = backing(ALL);
    set_user(&mut admin(&redis), "ann", &["on", ">pw", "~*", "+@all"]);
    let mut respite = builder(&url).start();
    // At once and over many connections: no more are judged than one by one.
    let mut clients: Vec<_> = (0..30).map(|_| respite.connect()).collect();
    clients
        .iter_mut()
        .for_each(|client| client.send(&["AUTH", "ann", "guess"]));
    let mut slowed = 0;
    for client in &mut clients {
        let said = client.read_reply();
        match said.error() {
            text if text.starts_with("WRONGPASS ") => {}
            text if text.starts_with("ERR too many logins have failed") => slowed += 1,
            text => panic!("{text}"),
        }
    }
    // Ten are free, ten more may wait for their turns.
    assert!(slowed > 0);
    respite.expect_log("logins fail again and again");
    let failures = admin(&redis).call(&["ACL", "LOG"]);
    assert!(!failures.items().is_empty());
}

#[test]
fn passwords_are_in_no_log() {
    let (redis, url) = backing(ALL);
    set_user(
        &mut admin(&redis),
        "ann",
        &["on", ">hush-hush", "~*", "+@all"],
    );
    let respite = builder(&url).env("RESPITE_LOG_LEVEL", "trace").start();
    let mut ann = log_in(&respite, "ann", "hush-hush");
    ann.call(&["SET", "k", "v"]).assert_ok();
    ann.call(&["AUTH", "ann", "not-it-either"])
        .assert_error("WRONGPASS");
    let log = respite.log().join("\n");
    assert!(
        !log.contains("hush-hush") && !log.contains("not-it-either"),
        "{log}"
    );
}

#[test]
fn logins_fail_clearly_while_the_backing_is_away() {
    let (mut redis, url) = backing(ALL);
    set_user(&mut admin(&redis), "ann", &["on", ">pw", "~*", "+@all"]);
    admin(&redis)
        .call(&["CONFIG", "SET", "save", ""])
        .assert_ok();
    let respite = builder_with(&url, "[timeouts]\nconnect = \"300ms\"\n")
        .allow_log("backing not usable")
        .allow_log("link lost")
        .allow_log("cannot be read")
        .start();
    redis.kill();
    let mut client = respite.connect();
    client.call(&["AUTH", "ann", "pw"]).assert_error("UPSTREAM");
    let mut stranger = respite.connect();
    stranger.set_timeout(DEADLINE);
    wait_until("strangers hear of it", DEADLINE, || {
        let said = stranger.call(&["GET", "k"]);
        said.is_error() && said.error().starts_with("UPSTREAM ")
    });
}

#[test]
fn a_default_that_needs_no_password_is_everybody() {
    let (redis, url) = backing(ALL);
    set_user(
        &mut admin(&redis),
        "default",
        &["reset", "on", "nopass", "~*", "&*", "+@all"],
    );
    let respite = builder(&url).workers(1).start();
    let mut anybody = respite.connect();
    // The first request may be larger than strangers may send.
    let mut large = vec!["MSET".to_owned()];
    (0..200).for_each(|n| large.extend([format!("k{n}"), "v".to_owned()]));
    anybody.call(&large).assert_ok();
    anybody.call(&["ACL", "WHOAMI"]).assert_str("default");
    set_user(&mut admin(&redis), "default", &["resetkeys", "~k1"]);
    wait_until("default may less", DEADLINE, || {
        anybody.call(&["GET", "k2"]).is_error()
    });
    anybody.call(&["GET", "k1"]).assert_str("v");
    // Who is in stays in; others have to log in.
    set_user(&mut admin(&redis), "default", &[">pw"]);
    wait_until("strangers are refused", DEADLINE, || {
        let mut next = respite.connect();
        next.call(&["HELLO", "3"]).is_error()
    });
    anybody.call(&["GET", "k1"]).assert_str("v");
    let mut next = respite.connect();
    next.call(&["GET", "k1"]).assert_error("NOAUTH");
    next.call(&["AUTH", "pw"]).assert_ok();
    next.call(&["GET", "k1"]).assert_str("v");
}

#[test]
fn a_change_of_whose_users_they_are_waits_for_a_restart_and_opens_nothing() {
    let (redis, url) = backing(ALL);
    set_user(
        &mut admin(&redis),
        "root",
        &["on", ">toor", "~*", "&*", "+@all"],
    );
    let theirs = "[access]\nusers_of = \"backing\"\n".to_owned();
    let ours = config(&[ROOT]);
    for (before, after) in [
        (&theirs, &ours),
        (&ours, &theirs),
        (&theirs, &"# the defaults\n".to_owned()),
    ] {
        let respite = Respite::builder()
            .upstream(&url)
            .config(before)
            .allow_log("takes effect at the next start")
            .start();
        let mut root = log_in(&respite, "root", "toor");
        respite.rewrite_config(after);
        let waiting = root.call(&["RESPITE.RELOAD"]);
        assert_eq!(waiting.strings(), ["access.users_of"], "{before} {after}");
        root.call(&["SET", "k", "v"]).assert_ok();
        let mut stranger = respite.connect();
        stranger.call(&["GET", "k"]).assert_error("NOAUTH");
        log_in(&respite, "root", "toor")
            .call(&["GET", "k"])
            .assert_str("v");
    }
}
