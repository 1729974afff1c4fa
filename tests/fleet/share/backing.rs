//! The backing of a shared fleet: away, emptied, a cluster, behind sentinels.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::fakes::Fakes;
use super::{SHARED, check_polls, number, start, wait_divided, wait_polled};
use crate::fleet::{field, listed, wait_state};
use crate::support::{DEADLINE, RedisCluster, RedisServer, Respite, SentinelSet, wait_until};

#[test]
fn while_the_backing_is_away_each_goes_on_with_its_own() {
    let mut redis = RedisServer::start();
    let fakes = Fakes::start(40);
    let config = format!("{SHARED}{}", fakes.config(""));
    let respite = || {
        Respite::builder()
            .upstream(&redis.url())
            .workers(1)
            .config(&config)
            .allow_log("backing not usable")
            .allow_log("link lost")
            .allow_log("what other Respites poll cannot be heard of")
            .start()
    };
    let (first, second) = (respite(), respite());
    let (mut a, mut b) = (first.connect(), second.connect());
    wait_divided(&mut [&mut a, &mut b], 41);
    wait_polled(&fakes, 2);

    let (began, before) = (Instant::now(), fakes.counts());
    redis.kill();
    for client in [&mut a, &mut b] {
        wait_until("it says so", DEADLINE, || {
            let info = client.call(&["INFO", "respite"]);
            !field(info.as_str(), "fleet_share_error").is_empty()
        });
    }
    wait_polled(&fakes, 3);
    // What the other one polls grows older here, and only that.
    let mut stale = [0, 0];
    for index in 0..fakes.len() {
        let id = format!("s{index}");
        for (client, stale) in [&mut a, &mut b].into_iter().zip(&mut stale) {
            let info = client.call(&["INFO", &id, "respite"]);
            if info.as_str().contains("shard_poller:") {
                wait_state(client, &id, "stale");
                *stale += 1;
            } else {
                assert_eq!(field(info.as_str(), "shard_state"), "live", "{id}");
            }
        }
    }
    assert_eq!(stale[0] + stale[1], fakes.len());
    check_polls("without the backing", &fakes, &before, began, 0);

    // It comes back without what was in it.
    let (began, before) = (Instant::now(), fakes.counts());
    redis.restart();
    wait_divided(&mut [&mut a, &mut b], 41);
    wait_polled(&fakes, 2);
    // They had gone on: nobody polls for another what is only late to be told.
    check_polls("with the backing again", &fakes, &before, began, 0);
    for client in [&mut a, &mut b] {
        assert_eq!(number(client, "fleet_orphan_polls"), 0);
    }
    for index in 0..fakes.len() {
        for client in [&mut a, &mut b] {
            wait_state(client, &format!("s{index}"), "live");
        }
    }
}

#[test]
fn an_emptied_backing_is_filled_again() {
    let redis = RedisServer::start();
    let fakes = Fakes::start(20);
    let config = format!("{SHARED}{}", fakes.config(""));
    let (first, second) = (start(&redis, &config), start(&redis, &config));
    let (mut a, mut b) = (first.connect(), second.connect());
    wait_divided(&mut [&mut a, &mut b], 21);
    let (began, before) = (Instant::now(), fakes.counts());
    for _ in 0..3 {
        a.call(&["FLUSHALL"]).assert_ok();
        wait_divided(&mut [&mut a, &mut b], 21);
    }
    wait_polled(&fakes, 2);
    check_polls("after FLUSHALL", &fakes, &before, began, 1);
}

#[test]
fn who_dies_is_replaced_while_the_backing_has_no_memory() {
    let redis = RedisServer::start();
    let fakes = Fakes::start(40);
    let config = format!("{SHARED}{}", fakes.config(""));
    let (first, second) = (start(&redis, &config), start(&redis, &config));
    let (mut a, mut b) = (first.connect(), second.connect());
    wait_divided(&mut [&mut a, &mut b], 41);
    b.call(&["CONFIG", "SET", "maxmemory", "1000kb"])
        .assert_ok();
    b.call(&["SET", "x", "x"]).assert_error("OOM");
    first.signal(Signal::SIGKILL);
    first.kill();
    wait_divided(&mut [&mut b], 41);
    wait_polled(&fakes, 2);
    let info = b.call(&["INFO", "respite"]);
    assert_eq!(field(info.as_str(), "fleet_share_error"), "");
    // One that comes finds its part, too.
    let third = start(&redis, &config);
    wait_divided(&mut [&mut b, &mut third.connect()], 41);
}

#[test]
fn a_cluster_behind() {
    let cluster = RedisCluster::start(3, 0);
    let fakes = Fakes::start(20);
    let config = format!("{SHARED}{}", fakes.config(""));
    let respite = || {
        Respite::builder()
            .upstream(&cluster.url())
            .workers(1)
            .config(&config)
            .start()
    };
    let (first, second) = (respite(), respite());
    let (mut a, mut b) = (first.connect(), second.connect());
    // Its three nodes are shards as well.
    wait_divided(&mut [&mut a, &mut b], 23);
    wait_polled(&fakes, 2);
    for index in 0..fakes.len() {
        for client in [&mut a, &mut b] {
            let shard = listed(client, &format!("s{index}")).expect("there");
            assert_eq!(shard.field("state").as_str(), "live");
        }
    }
}

#[test]
fn a_failover_behind() {
    let mut set = SentinelSet::start(1);
    let fakes = Fakes::start(20);
    let config = format!("{SHARED}{}", fakes.config(""));
    let respite = || {
        Respite::builder()
            .upstream(&set.url())
            .workers(1)
            .config(&config)
            .allow_log("not usable")
            .allow_log("lost")
            .allow_log("what other Respites poll cannot be heard of")
            .start()
    };
    let (first, second) = (respite(), respite());
    let (mut a, mut b) = (first.connect(), second.connect());
    let shards = a.call(&["SHARD.LIST"]).items().len();
    wait_divided(&mut [&mut a, &mut b], shards);
    wait_polled(&fakes, 2);
    let (began, before) = (Instant::now(), fakes.counts());
    let master = set.servers[0].port();
    set.servers[0].kill();
    set.wait_for_another(master);
    wait_polled(&fakes, 2);
    wait_until("the shards are divided again", DEADLINE, || {
        let held = |client| number(client, "fleet_shards_polled_here");
        number(&mut a, "fleet_members") == 2
            && held(&mut a) + held(&mut b) == a.call(&["SHARD.LIST"]).items().len()
    });
    check_polls("over a failover", &fakes, &before, began, 1);
}
