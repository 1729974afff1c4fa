//! One name in two databases: a push names the key and not the database.

use super::{Stage, come_up, warm};
use crate::support::{Client, Wire};

/// A client of database 1, with the fill link and the shared link of that database.
fn other_database(stage: &Stage) -> (Client, Wire, Wire) {
    let mut client = stage.respite.connect();
    client.call(&["SELECT", "1"]).assert_ok();
    let (fill, link) = come_up(&stage.backing, &mut client, 1);
    (client, fill, link)
}

#[test]
fn a_push_is_for_the_database_of_its_link() {
    let mut stage = Stage::start();
    let (mut other, fill, _link) = other_database(&stage);
    stage.warm("k", "in 0");
    warm(&mut other, &fill, "k", "in 1");
    stage.client.call(&["GET", "k"]).assert_str("in 0");
    // each link hears of it, in any order; until then the other entry may stay
    fill.push_invalidate("k");
    stage.wait_stat("invalidations", 1);
    stage.backing.holds(1, "k", Some("new in 1"));
    for _ in 0..2 {
        other.call(&["GET", "k"]).assert_str("new in 1");
        stage.client.call(&["GET", "k"]).assert_str("in 0");
    }
    stage.fill.push_invalidate("k");
    stage.wait_stat("invalidations", 2);
    stage.assert_reads("k", "new in 0");
    other.call(&["GET", "k"]).assert_str("new in 1");
}

#[test]
fn a_write_is_for_the_database_of_its_client() {
    let mut stage = Stage::start();
    let (mut other, fill, link) = other_database(&stage);
    stage.warm("k", "in 0");
    warm(&mut other, &fill, "k", "in 1");
    other.send(&["SET", "k", "new in 1"]);
    link.expect(&["SET", "k", "new in 1"]).ok();
    other.read_reply().assert_ok();
    stage.backing.holds(1, "k", Some("new in 1"));
    other.call(&["GET", "k"]).assert_str("new in 1");
    stage.client.call(&["GET", "k"]).assert_str("in 0");
}

/// These name the other database themselves.
#[test]
fn move_and_copy_cover_the_database_that_they_name() {
    for command in [
        &["MOVE", "k", "1"][..],
        &["COPY", "other", "k", "DB", "1"],
        &["COPY", "other", "k", "db", "1", "REPLACE"],
        &["COPY", "db", "k", "DB", "1"],
        &["COPY", "other", "k", "DB", "0", "DB", "1"],
    ] {
        let mut stage = Stage::start();
        let (mut other, fill, _link) = other_database(&stage);
        warm(&mut other, &fill, "k", "old");
        stage.client.send(command);
        stage.link.expect(command).int(1);
        assert_eq!(stage.client.read_reply().int(), 1);
        stage.backing.holds(1, "k", Some("new"));
        other.call(&["GET", "k"]).assert_str("new");
    }
}

/// A flush of one database may be pushed on the link of another only: both go.
#[test]
fn a_push_of_null_is_for_every_database() {
    let mut stage = Stage::start();
    let (mut other, fill, _link) = other_database(&stage);
    stage.warm("k", "old");
    warm(&mut other, &fill, "k", "old");
    stage.fill.push_flush();
    stage.wait_stat("flushes", 1);
    stage.backing.holds(1, "k", Some("new"));
    other.call(&["GET", "k"]).assert_str("new");
    stage.assert_reads("k", "new");
}
