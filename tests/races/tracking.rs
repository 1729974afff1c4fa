//! A backing that cannot track, or cannot say now whether it does.

use super::{CALM, Stage, come_up, warm};
use crate::support::{Client, DEADLINE, Respite, Scripted, Wire, wait_until};

const NOPERM: &str = "NOPERM this user has no permissions to run the 'client|tracking' command";
const HIDDEN: [&str; 3] = ["EVAL", "return redis.call('SET', 'k', 'new')", "0"];

fn state(client: &mut Client) -> [String; 2] {
    let stats = client.call(&["CACHE.STATS"]);
    ["mode", "state"].map(|name| stats.field(name).as_str().to_owned())
}

/// A client in a database whose links track or do not.
fn enter(respite: &Respite, backing: &Scripted, db: u32) -> (Client, Wire) {
    let mut client = respite.connect();
    client.call(&["SELECT", &db.to_string()]).assert_ok();
    let (fill, _) = come_up(backing, &mut client, db);
    (client, fill)
}

/// It is asked again until it can answer; meanwhile reads go to it, and nothing is said of its abilities.
#[test]
fn a_backing_that_cannot_say_now_is_asked_again() {
    for error in [
        "BUSY Redis is busy running a script.",
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down",
        "NOAUTH Authentication required.",
    ] {
        let backing = Scripted::start();
        backing.refuses_tracking(0, Some(error));
        let respite = Respite::builder()
            .upstream(&backing.url())
            .workers(1)
            .config(CALM)
            .start();
        let mut client = respite.connect();
        for n in 1..=2 {
            wait_until("it is asked", DEADLINE, || {
                client.send(&["GET", "k"]);
                backing.expect_anywhere(&["GET", "k"]).1.value("old");
                client.read_reply().assert_str("old");
                backing.refused() > n
            });
        }
        assert_eq!(state(&mut client), ["tracking", "on"], "{error}");
        assert_eq!(backing.fill_links(0), 0, "{error}");
        backing.refuses_tracking(0, None);
        let fill = backing.fill_link(0, 1);
        warm(&mut client, &fill, "k", "old");
        backing.holds(0, "k", Some("new"));
        fill.push_invalidate("k");
        wait_until("the push is heard", DEADLINE, || {
            client.call(&["GET", "k"]).as_str() == "new"
        });
    }
}

/// One link without tracking is enough: what a script changes may be there. A link of another database that does
/// track says nothing about it.
#[test]
fn a_link_that_tracks_does_not_vouch_for_one_that_does_not() {
    let mut stage = Stage::start();
    stage.respite.allow_log("no tracking that works");
    stage.backing.refuses_tracking(1, Some(NOPERM));
    assert_eq!(state(&mut stage.client), ["tracking", "on"]);
    let (mut other, fill) = enter(&stage.respite, &stage.backing, 1);
    assert_eq!(state(&mut stage.client), ["expiry", "degraded"]);
    warm(&mut other, &fill, "k", "old");
    let (_third, _fill) = enter(&stage.respite, &stage.backing, 2);
    assert_eq!(state(&mut stage.client), ["expiry", "degraded"]);
    let mut writer = stage.respite.connect();
    writer.send(&HIDDEN);
    stage.backing.expect_anywhere(&HIDDEN).1.ok();
    stage.backing.holds(1, "k", Some("new"));
    writer.read_reply().assert_ok();
    other.call(&["GET", "k"]).assert_str("new");
    let log = stage.respite.log();
    let said = log.iter().filter(|line| line.contains("no tracking"));
    assert_eq!(said.count(), 1, "once");
}

/// When the script was sent every link tracked; one that does not was opened while it ran.
#[test]
fn a_fence_does_not_trust_a_link_that_cannot_track() {
    let mut stage = Stage::start();
    stage.respite.allow_log("no tracking that works");
    let mut writer = stage.respite.connect();
    writer.send(&HIDDEN);
    let script = stage.backing.expect_anywhere(&HIDDEN).1;
    stage.backing.refuses_tracking(1, Some(NOPERM));
    let mut other = stage.respite.connect();
    other.call(&["SELECT", "1"]).assert_ok();
    other.send(&["GET", "first"]);
    stage.backing.expect_anywhere(&["GET", "first"]).1.nil();
    assert!(other.read_reply().is_null());
    let fill = stage.backing.fill_link(1, 1);
    warm(&mut other, &fill, "k", "old");
    stage.backing.holds(1, "k", Some("new"));
    script.ok();
    writer.read_reply().assert_ok();
    other.call(&["GET", "k"]).assert_str("new");
}
