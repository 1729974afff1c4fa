//! `CLIENT TRACKING` of clients: invalidations as pushes, and to another client by Respite's id.

use std::time::Duration;

use super::backing_clients;
use crate::support::{Client, RedisServer, Reply, Respite};

const MOMENT: Duration = Duration::from_millis(60);

#[test]
fn resp3_clients_get_pushes_until_they_switch_tracking_off() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(1).start();
    let (mut client, mut writer) = (respite.connect(), respite.connect());
    client.hello3();
    client.call(&["CLIENT", "TRACKING", "ON"]).assert_ok();
    for value in ["1", "2"] {
        client.call(&["GET", "k"]);
        writer.call(&["SET", "k", value]).assert_ok();
        let push = client.read_reply();
        assert!(matches!(push, Reply::Push(_)), "{push:?}");
        push.items()[0].assert_str("invalidate");
        assert_eq!(push.items()[1].strings(), ["k"]);
    }
    client.call(&["GET", "k"]).assert_str("2");
    client.call(&["CLIENT", "TRACKING", "OFF"]).assert_ok();
    writer.call(&["SET", "k", "3"]).assert_ok();
    assert!(client.silent_for(MOMENT));
    // whoever gets the connection next is not told either
    let mut next = respite.connect();
    next.hello3();
    next.call(&["WATCH", "w"]).assert_ok();
    next.call(&["GET", "k"]).assert_str("3");
    writer.call(&["SET", "k", "4"]).assert_ok();
    assert!(next.silent_for(MOMENT) && client.silent_for(MOMENT));
}

#[test]
fn redirect_takes_and_shows_ids_of_respite() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let (mut target, mut client, mut writer) =
        (respite.connect(), respite.connect(), respite.connect());
    let target_id = target.call(&["CLIENT", "ID"]).int();
    target.call(&["SUBSCRIBE", "__redis__:invalidate"]);
    let id = target_id.to_string();
    client
        .call(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id])
        .assert_ok();
    assert_eq!(client.call(&["CLIENT", "GETREDIR"]).int(), target_id);
    assert_eq!(
        client
            .call(&["CLIENT", "TRACKINGINFO"])
            .field("redirect")
            .int(),
        target_id
    );
    client.call(&["GET", "k"]);
    writer.call(&["SET", "k", "1"]).assert_ok();
    let message = target.read_reply();
    message.items()[1].assert_str("__redis__:invalidate");
    assert_eq!(message.items()[2].strings(), ["k"]);

    let mut lost = respite.connect();
    lost.call(&["CLIENT", "TRACKING", "ON", "REDIRECT", "1000000"])
        .assert_error("ERR The client ID you want redirect to does not exist");
    assert_eq!(lost.call(&["CLIENT", "GETREDIR"]).int(), -1);
}

/// Reads the invalidation of a key as a RESP2 subscriber gets it.
#[track_caller]
fn assert_invalidated(client: &mut Client, key: &str) {
    let message = client.read_reply();
    message.items()[1].assert_str("__redis__:invalidate");
    assert_eq!(message.items()[2].strings(), [key]);
}

#[test]
fn a_client_redirects_to_itself() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut writer = respite.connect();
    // the second time over a warm connection
    for _ in 0..2 {
        let mut client = respite.connect();
        let id = client.call(&["CLIENT", "ID"]).int().to_string();
        let on = [
            "CLIENT", "TRACKING", "ON", "REDIRECT", &id, "BCAST", "PREFIX", "x:",
        ];
        client.call(&on).assert_ok();
        assert_eq!(client.call(&["CLIENT", "GETREDIR"]).int().to_string(), id);
        client.call(&["SUBSCRIBE", "__redis__:invalidate"]);
        writer.call(&["SET", "y:1", "1"]).assert_ok();
        writer.call(&["SET", "x:1", "1"]).assert_ok();
        assert_invalidated(&mut client, "x:1");
    }
}

#[test]
fn an_idle_client_that_subscribes_later_is_told() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(2).start();
    let mut writer = respite.connect();
    for round in 0..4 {
        // one of them is on another worker
        let (mut target, mut client) = (respite.connect(), respite.connect());
        if round % 2 == 1 {
            target.call(&["GET", "k"]);
        }
        let id = target.call(&["CLIENT", "ID"]).int().to_string();
        let replies = client.pipeline(&[
            &["CLIENT", "TRACKING", "ON", "REDIRECT", &id][..],
            &["GET", "k"],
            &["CLIENT", "TRACKINGINFO"],
        ]);
        replies[0].assert_ok();
        assert_eq!(replies[2].field("redirect").int().to_string(), id);
        target.call(&["SET", "other", "1"]).assert_ok();
        target.call(&["SUBSCRIBE", "__redis__:invalidate"]);
        writer.call(&["SET", "k", "1"]).assert_ok();
        assert_invalidated(&mut target, "k");
        let list = client.call(&["CLIENT", "LIST"]);
        // It is the last field in version 6.
        let redirects = format!(" redir={id}");
        let shows =
            |line: &str| line.ends_with(&redirects) || line.contains(&(redirects.clone() + " "));
        assert!(list.as_str().lines().any(shows), "{list:?}");
    }
}

#[test]
fn no_spelling_names_a_connection_of_respite() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut admin = redis.connect();
    let mut client = respite.connect();
    client.hello3();
    client.call(&["SET", "k", "1"]).assert_ok();
    client.call(&["GET", "k"]);
    let ours: Vec<String> = backing_clients(&mut admin)
        .iter()
        .filter(|line| line.contains(" name=respite"))
        .filter_map(|line| Some(line.strip_prefix("id=")?.split(' ').next()?.to_owned()))
        .collect();
    assert!(ours.len() >= 3, "{ours:?}");
    let known = client.call(&["CLIENT", "LIST"]);
    let is_client = |id: &str| known.as_str().contains(&format!("id={id} "));
    let no_such = "ERR The client ID you want redirect to does not exist";
    for id in ours.iter().filter(|id| !is_client(id)) {
        for options in [
            &["ON", "BCAST", "PREFIX", "REDIRECT", "REDIRECT", id][..],
            &["ON", "PREFIX", "REDIRECT", "REDIRECT", id, "BCAST"],
            &[
                "ON", "PREFIX", "REDIRECT", "PREFIX", "REDIRECT", "BCAST", "redirect", id,
            ],
            &["ON", "REDIRECT", id],
            &["OFF", "REDIRECT", id],
        ] {
            let command = [&["CLIENT", "TRACKING"][..], options].concat();
            // OFF with an id that is none may come to nothing, but never to the backing
            client.call(&command).assert_error("ERR ");
            let replies = client.pipeline(&[&["MULTI"][..], &command, &["EXEC"]]);
            replies[1].assert_str("QUEUED");
            replies[2].items()[0].assert_error("ERR ");
        }
        let direct = [
            "CLIENT", "TRACKING", "ON", "PREFIX", "REDIRECT", "REDIRECT", id,
        ];
        client.call(&direct).assert_error(no_such);
        assert_eq!(client.call(&["CLIENT", "UNBLOCK", id]).int(), 0);
        assert_eq!(client.call(&["CLIENT", "KILL", "ID", id]).int(), 0);
        let replies = client.pipeline(&[
            &["MULTI"][..],
            &["CLIENT", "KILL", "ID", id],
            &["CLIENT", "GETREDIR"],
            &["EXEC"],
        ]);
        assert_eq!(replies[3].items()[0].int(), 0);
    }
    let script = "return redis.call('client', 'kill', 'type', 'normal')";
    assert!(client.call(&["EVAL", script, "0"]).is_error());
    let lines = backing_clients(&mut admin);
    // It is the last field in version 6.
    let redir = |line: &&String| {
        line.split(" redir=")
            .nth(1)?
            .split(' ')
            .next()
            .map(str::to_owned)
    };
    let redirected: Vec<&String> = lines
        .iter()
        .filter(|line| redir(line).is_some_and(|id| id != "-1"))
        .collect();
    let fill_only = redirected
        .iter()
        .all(|line| redir(line).as_deref() == Some("0"));
    assert!(fill_only, "{redirected:#?}");
}

#[test]
fn tracking_begun_in_a_transaction_is_redirected_by_our_id() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let (mut target, mut client) = (respite.connect(), respite.connect());
    let id = target.call(&["CLIENT", "ID"]).int().to_string();
    let replies = client.pipeline(&[
        &["MULTI"][..],
        &["CLIENT", "TRACKING", "ON", "REDIRECT", &id],
        &["GET", "k"],
        &["CLIENT", "GETREDIR"],
        &["CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT"],
        &["EXEC"],
    ]);
    let done = replies[5].items();
    done[0].assert_ok();
    assert_eq!(done[2].int().to_string(), id);
    done[3].assert_error("ERR syntax error");
    assert_eq!(client.call(&["CLIENT", "GETREDIR"]).int().to_string(), id);
    client.call(&["GET", "k"]);
    target.call(&["SUBSCRIBE", "__redis__:invalidate"]);
    redis.call(&["SET", "k", "1"]).assert_ok();
    assert_invalidated(&mut target, "k");
}
