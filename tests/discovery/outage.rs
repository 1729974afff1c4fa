//! Outages: no lease lapses because nobody could renew it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{A_WHILE, Pair, index, join, nodes, run, send, single};
use crate::support::{DEADLINE, Direction, RedisServer, Relay, Respite, wait_until};

/// An outage: longer than the two seconds from which it counts as one.
const OUTAGE: Duration = Duration::from_secs(3);

fn outages(redis: &RedisServer) -> String {
    let outages = redis.call(&["HGET", "respite:d::presence", "outages"]);
    outages.as_str().to_owned()
}

#[test]
fn a_frozen_backing_makes_no_node_lapse() {
    let pair = Pair::start();
    let (mut one, mut two) = (pair.first.connect(), pair.second.connect());
    join(&mut one, "web lapsed TTL 0.05 DEREGISTERAFTER 60");
    wait_until("a node has lapsed before", DEADLINE, || {
        nodes(&mut one, "web").is_empty()
    });
    let lease = join(&mut one, "web n1 TTL 2.5");
    join(&mut one, "web silent TTL 2.5");
    pair.redis.freeze();
    std::thread::sleep(OUTAGE);
    pair.redis.thaw();
    let back = Instant::now();
    let beat = run(
        &mut two,
        &format!("DISCOVERY.HEARTBEAT web n1 LEASE {lease}"),
    );
    assert!(!beat.is_error(), "{beat:?}");
    let seen = nodes(&mut two, "web");
    let soon = back.elapsed() < Duration::from_secs(2);
    assert!(!soon || seen == ["n1", "silent"], "{seen:?}");
    // The one that lapsed before stays lapsed, and who stays silent lapses one TTL later, once.
    wait_until("the silent node has lapsed", DEADLINE, || {
        run(
            &mut two,
            &format!("DISCOVERY.HEARTBEAT web n1 LEASE {lease}"),
        );
        nodes(&mut two, "web") == ["n1"]
    });
    assert_eq!(outages(&pair.redis).split(' ').count(), 1);
}

#[test]
fn respites_that_were_all_cut_off_make_no_node_lapse() {
    let (redis, respite, mut client) = single();
    join(&mut client, "web n1 TTL 2");
    respite.signal(Signal::SIGSTOP);
    std::thread::sleep(OUTAGE);
    respite.signal(Signal::SIGCONT);
    let back = Instant::now();
    let seen = nodes(&mut client, "web");
    assert!(
        back.elapsed() > Duration::from_millis(1500) || seen == ["n1"],
        "{seen:?}"
    );
    wait_until("the node has lapsed", DEADLINE, || {
        nodes(&mut client, "web").is_empty()
    });
    assert_eq!(outages(&redis).split(' ').count(), 1);
}

/// What a Respite sent before it knew of the outage reaches the backing first.
#[test]
fn no_script_judges_before_the_outage_is_known() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let mut respite = Respite::builder().upstream(&relay.url()).start();
    respite.allow_log("backing not usable");
    let mut client = respite.connect();
    let lease = join(&mut client, "web n1 TTL 2");
    let theirs = relay.find(|bytes| {
        let sent = String::from_utf8_lossy(bytes);
        sent.contains("respite-control") && sent.contains("{default}")
    });
    relay.pause(Direction::Up);
    std::thread::sleep(OUTAGE);
    send(
        &mut client,
        &format!("DISCOVERY.HEARTBEAT web n1 LEASE {lease}"),
    );
    theirs.wait_held(Direction::Up);
    theirs.resume(Direction::Up);
    let beat = client.read_reply();
    assert_eq!(beat.field("ttl_ms").int(), 2000);
    relay.resume(Direction::Up);
    assert_eq!(outages(&redis).split(' ').count(), 1);
}

#[test]
fn as_long_as_one_respite_is_there_it_is_no_outage() {
    let pair = Pair::start();
    let mut client = pair.first.connect();
    join(&mut client, "web n1 TTL 1");
    // The other has to have noticed that discovery is used.
    nodes(&mut pair.second.connect(), "web");
    pair.second.signal(Signal::SIGSTOP);
    std::thread::sleep(OUTAGE);
    pair.second.signal(Signal::SIGCONT);
    assert!(nodes(&mut pair.second.connect(), "web").is_empty());
    assert_eq!(outages(&pair.redis), "");
}

#[test]
fn a_respite_that_was_restarted_quickly_does_not_matter() {
    let (redis, respite, mut client) = single();
    join(&mut client, "web n1 TTL 60");
    drop(client);
    let gone = Instant::now();
    let port = respite.port();
    respite.kill();
    let respite = Respite::builder().upstream(&redis.url()).port(port).start();
    assert_eq!(nodes(&mut respite.connect(), "web"), ["n1"]);
    assert!(gone.elapsed() > Duration::from_millis(1500) || outages(&redis).is_empty());
}

#[test]
fn a_backing_that_kept_its_data_grants_a_ttl_when_it_is_back() {
    let mut redis = RedisServer::builder()
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .start();
    let mut respite = Respite::in_front_of(&redis);
    respite.allow_log("backing not usable");
    let mut client = respite.connect();
    let lease = join(&mut client, "web n1 TTL 2");
    let before = index(&mut client, "web");
    redis.kill();
    std::thread::sleep(OUTAGE);
    redis.restart();
    let beat = format!("DISCOVERY.HEARTBEAT web n1 LEASE {lease}");
    let mut heard = run(&mut client, &beat);
    // While Respite still believes it away, it says so at once.
    wait_until("the backing is asked again", DEADLINE, || {
        if heard.is_error() {
            heard.assert_error("UPSTREAM");
            heard = run(&mut client, &beat);
        }
        !heard.is_error()
    });
    // Indexes go on, by more than could have been lost.
    let watch = format!("DISCOVERY.WATCH web INDEX {before} TIMEOUT 100");
    assert_eq!(run(&mut client, &watch).field("changed").int(), 1);
}

#[test]
fn a_backing_that_lost_its_data_resets_whoever_watches() {
    let (mut redis, mut respite, mut client) = single();
    respite.allow_log("backing not usable");
    join(&mut client, "web n1");
    let at = index(&mut client, "web");
    let mut watcher = respite.connect();
    send(&mut watcher, &format!("DISCOVERY.WATCH web INDEX {at}"));
    assert!(watcher.silent_for(A_WHILE));
    redis.kill();
    redis.restart();
    watcher.read_reply().assert_error("INDEXRESET");
}
