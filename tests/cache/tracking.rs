//! `CLIENT TRACKING` of a real backing that is busy, and how many keys it tracks.

use super::{start, stat, warm};
use crate::support::{DEADLINE, RedisServer, Respite, wait_until};

/// Keeps Redis busy for so many milliseconds; from a tenth of a second on it answers `BUSY`.
const BUSY: &str = "local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end \
    local stop = now() + 1500 while now() < stop do end return 'done'";

#[test]
fn a_busy_backing_still_tracks_afterwards() {
    let redis = RedisServer::builder()
        .args(["--lua-time-limit", "100"])
        .start();
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    wait_until("the backing is known", DEADLINE, || {
        !client.call(&["HELLO", "2"]).is_error()
    });
    let mut busy = redis.connect();
    busy.send(&["EVAL", BUSY, "0"]);
    let mut direct = redis.connect();
    wait_until("it is busy", DEADLINE, || direct.call(&["PING"]).is_error());
    // the first read of this worker: its fill link asks for tracking now
    let _busy = client.call(&["GET", "k"]);
    busy.read_reply().assert_str("done");
    direct.call(&["SET", "k", "old"]).assert_ok();
    warm(&mut client, "k");
    let stats = client.call(&["CACHE.STATS"]);
    assert_eq!(stats.field("mode").as_str(), "tracking");
    assert_eq!(stats.field("state").as_str(), "on");
    direct.call(&["SET", "k", "new"]).assert_ok();
    wait_until("the direct write is seen", DEADLINE, || {
        client.call(&["GET", "k"]).as_str() == "new"
    });
}

#[test]
fn no_more_is_kept_than_the_backing_tracks() {
    let redis = RedisServer::builder()
        .args(["--tracking-table-max-keys", "50"])
        .start();
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .workers(2)
        .config("[cache]\nmax_entries = 20000")
        .start();
    respite.allow_log("at most 50 entries are kept");
    let mut client = respite.connect();
    warm(&mut client, "k");
    respite.expect_log("at most 50 entries are kept");
    for n in 0..200 {
        client.call(&["GET", &n.to_string()]);
    }
    let stats = client.call(&["CACHE.STATS"]);
    assert_eq!(stats.field("max_entries").int(), 20_000);
    assert_eq!(stats.field("effective_max_entries").int(), 50);
    assert!(stats.field("entries").int() <= 50, "{stats:?}");
    let log = respite.log();
    let said = log.iter().filter(|line| line.contains("at most 50"));
    assert_eq!(said.count(), 1, "once");
}

#[test]
fn a_backing_that_does_not_tell_how_many_keys_it_tracks_is_trusted() {
    let redis = RedisServer::builder()
        .args(["--tracking-table-max-keys", "50"])
        .start();
    let rules = [
        "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-config",
    ];
    redis.call(&rules).assert_ok();
    let url = redis.url().replace("redis://", "redis://app:secret@");
    let respite = Respite::builder().upstream(&url).workers(1).start();
    let mut client = respite.connect();
    warm(&mut client, "k");
    let limits = ["max_entries", "effective_max_entries"].map(|name| stat(&mut client, name));
    assert_eq!(limits[0], limits[1]);
    // and the defaults are within what Redis tracks
    let (_redis, _respite, mut client) = start("");
    warm(&mut client, "k");
    let limits = ["max_entries", "effective_max_entries"].map(|name| stat(&mut client, name));
    assert_eq!(limits[0], limits[1]);
}
