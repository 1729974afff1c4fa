//! `CLIENT TRACKING` of clients: invalidations as pushes, and to another client by Respite's id.

use std::time::Duration;

use crate::support::{RedisServer, Reply, Respite};

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
