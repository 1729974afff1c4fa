//! A `MULTI` or `WATCH` that is refused: nothing behind it is executed as if it had not been there.

use crate::support::{Client, DEADLINE, RedisServer, Reply, Respite, get, wait_until};

const ABORTED: &str = "EXECABORT Transaction discarded because of previous errors.";

/// As redis-py does it: all in one packet.
fn transact(client: &mut Client) -> Vec<Reply> {
    client.pipeline(&[
        &["MULTI"][..],
        &["INCR", "n"],
        &["PING"],
        &["CLIENT", "SETNAME", "x"],
        &["EXEC"],
    ])
}

#[track_caller]
fn assert_refused(replies: &[Reply], why: &str) {
    assert!(replies[0].error().contains(why), "{replies:?}");
    replies[1..4].iter().for_each(|reply| {
        reply.assert_error("EXECABORT not executed");
    });
    replies[4].assert_error(ABORTED);
}

#[test]
fn beyond_the_limit_nothing_behind_multi_runs() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("[limits]\npinned = 1")
        .start();
    let (mut holder, mut client) = (respite.connect(), respite.connect());
    holder.call(&["WATCH", "w"]).assert_ok();
    assert_refused(&transact(&mut client), "limits.pinned");
    assert!(client.call(&["GET", "n"]).is_null());
}

#[test]
fn discard_reset_and_another_multi_end_it() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("[limits]\npinned = 1")
        .start();
    let mut holder = respite.connect();
    for end in ["DISCARD", "RESET", "MULTI"] {
        let mut client = respite.connect();
        holder.call(&["WATCH", "w"]).assert_ok();
        assert!(client.call(&["MULTI"]).is_error());
        for command in [
            &["INCR", "n"][..],
            &["GET", "n"],
            &["PING"],
            &["WATCH", "n"],
        ] {
            client.call(command).assert_error("EXECABORT not executed");
        }
        holder.call(&["UNWATCH"]).assert_ok();
        assert!(!client.call(&[end]).is_error(), "{end}");
        if end == "MULTI" {
            client.call(&["GET", "n"]).assert_str("QUEUED");
            assert!(client.call(&["EXEC"]).items()[0].is_null());
        }
        assert!(client.call(&["GET", "n"]).is_null());
        assert!(
            client
                .call(&["EXEC"])
                .error()
                .starts_with("ERR EXEC without")
        );
    }
}

#[test]
fn keys_whose_watch_was_refused_count_as_changed() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("[limits]\npinned = 1")
        .start();
    let (mut holder, mut client) = (respite.connect(), respite.connect());
    holder.call(&["WATCH", "w"]).assert_ok();
    assert!(client.call(&["WATCH", "n"]).is_error());
    holder.call(&["UNWATCH"]).assert_ok();
    let replies = client.pipeline(&[&["MULTI"][..], &["INCR", "n"], &["EXEC"]]);
    assert!(replies[2].is_null(), "{replies:?}");
    let replies = client.pipeline(&[&["MULTI"][..], &["INCR", "n"], &["EXEC"]]);
    assert_eq!(replies[2].items()[0].int(), 1);
}

#[test]
fn a_backing_that_takes_no_connections_is_told_of() {
    let redis = RedisServer::start();
    let mut admin = redis.connect();
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .http()
        .workers(1)
        .start();
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    let ready = |respite: &Respite| get(respite.http_port(), "/ready").0;
    wait_until("it is ready", DEADLINE, || ready(&respite) == 200);
    admin
        .call(&["CONFIG", "SET", "requirepass", "secret"])
        .assert_ok();
    assert_refused(&transact(&mut client), "NOAUTH");
    respite.expect_log("backing not usable for a new connection: ");
    wait_until("it is not ready any more", DEADLINE, || {
        ready(&respite) == 503
    });
    // what has a connection goes on
    client.call(&["SET", "a", "2"]).assert_ok();
    respite.allow_log("backing not usable");
    admin
        .call(&["CONFIG", "SET", "requirepass", ""])
        .assert_ok();
    wait_until("it is ready again", DEADLINE, || ready(&respite) == 200);
    let replies = transact(&mut client);
    assert_eq!(replies[4].items()[0].int(), 1, "{replies:?}");
}

#[test]
fn a_multi_that_the_backing_refuses_takes_the_rest_with_it() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(1).start();
    let mut client = respite.connect();
    // the connection is warm, and its MULTI was taken before
    assert_eq!(transact(&mut client)[4].items()[0].int(), 1);
    redis
        .call(&["ACL", "SETUSER", "default", "-multi"])
        .assert_ok();
    for _ in 0..2 {
        assert_refused(&transact(&mut client), "NOPERM");
    }
    client.call(&["WATCH", "n"]).assert_ok();
    assert_refused(&transact(&mut client), "NOPERM");
    client.call(&["GET", "n"]).assert_str("1");
    redis
        .call(&["ACL", "SETUSER", "default", "+multi"])
        .assert_ok();
    // what was watched is not any more
    redis.call(&["INCR", "n"]);
    assert_eq!(transact(&mut client)[4].items()[0].int(), 3);
}
