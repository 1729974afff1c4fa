//! Many Respites, one fleet: each shard is polled by one of them, and all of them know what it said.

mod backing;
mod fakes;
mod odd;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{field, wait_state};
use crate::support::{Client, DEADLINE, RedisServer, Respite, wait_until};
use fakes::{Fakes, unix_ms};

/// How often each shard is polled.
const INTERVAL: Duration = Duration::from_secs(2);
const SHARED: &str =
    "[fleet]\nshare = true\ninterval_min = \"2s\"\ninterval_max = \"2s\"\ninterval_step = 0\n";

fn start(redis: &RedisServer, config: &str) -> Respite {
    Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .config(config)
        .start()
}

/// A number of `INFO respite`.
#[track_caller]
fn number(client: &mut Client, name: &str) -> usize {
    let info = client.call(&["INFO", "respite"]);
    field(info.as_str(), name).parse().expect("a number")
}

/// Waits until these Respites, and no others, poll so many shards together, each of them a part.
#[track_caller]
fn wait_divided(clients: &mut [&mut Client], shards: usize) -> Vec<usize> {
    let mut parts = Vec::new();
    wait_until("the shards are divided", DEADLINE, || {
        let there = clients.len();
        let settled = |client: &mut &mut Client| {
            number(client, "fleet_members") == there
                && number(client, "fleet_shards_polled_by_nobody") == 0
        };
        if !clients.iter_mut().all(settled) {
            return false;
        }
        let held = |client: &mut &mut Client| number(client, "fleet_shards_polled_here");
        parts = clients.iter_mut().map(held).collect();
        parts.iter().sum::<usize>() == shards
    });
    parts
}

/// How many shards these Respites have taken over so far.
#[track_caller]
fn acquired(clients: &mut [&mut Client]) -> usize {
    let acquired = |client: &mut &mut Client| number(client, "fleet_moves_here");
    clients.iter_mut().map(acquired).sum()
}

/// Waits until every server was polled so many times more.
#[track_caller]
fn wait_polled(fakes: &Fakes, times: usize) {
    let before = fakes.counts();
    wait_until("every shard was polled again", 3 * DEADLINE, || {
        let now = fakes.counts();
        now.iter()
            .zip(&before)
            .all(|(now, before)| *now >= before + times)
    });
}

/// What a server may be polled in the time since then, whatever happens to those who poll it: once in each interval, less
/// the jitter, and once more at either end; and `more` where it may have been polled without anybody having been told.
fn most_polls(began: Instant, more: usize) -> usize {
    let intervals = began.elapsed().as_secs_f64() / (INTERVAL.as_secs_f64() * 0.95);
    intervals as usize + 2 + more
}

#[track_caller]
fn check_polls(what: &str, fakes: &Fakes, before: &[usize], began: Instant, more: usize) {
    let most = most_polls(began, more);
    let now = fakes.counts();
    let polls: Vec<usize> = now.iter().zip(before).map(|(now, old)| now - old).collect();
    let total: usize = polls.iter().sum();
    let (shortest, longest) = fakes.gaps(began);
    eprintln!(
        "{what}: {total} polls of {} shards in {:.1} s; gaps from {shortest:.2?} to {longest:.2?}",
        fakes.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(
        polls.iter().all(|polls| *polls <= most),
        "{polls:?} > {most}"
    );
}

#[test]
fn three_divide_three_hundred_shards() {
    let redis = RedisServer::start();
    let fakes = Fakes::start(300);
    let config = format!("{SHARED}{}", fakes.config(""));
    let all = [0; 3].map(|_| start(&redis, &config));
    let mut clients = [0, 1, 2].map(|n: usize| all[n].connect());
    let [a, b, c] = &mut clients;
    // The backing is a shard, too.
    let parts = wait_divided(&mut [a, b, c], 301);
    // A third each; the standard deviation is 8.
    assert!(
        parts.iter().all(|part| (50..=150).contains(part)),
        "{parts:?}"
    );

    let (began, before) = (Instant::now(), fakes.counts());
    wait_polled(&fakes, 3);
    check_polls("three Respites", &fakes, &before, began, 0);

    // All of them tell the same, and nobody makes it younger than it is.
    for index in 0..fakes.len() {
        let id = format!("s{index}");
        for client in &mut clients {
            let asked = unix_ms();
            let info = client.call(&["INFO", &id, "server", "respite"]);
            let info = info.as_str();
            assert_eq!(field(info, "run_id"), format!("fake-{index}"));
            assert_eq!(field(info, "shard_state"), "live");
            let age: u128 = field(info, "info_age_ms").parse().expect("a number");
            let said: u128 = field(info, "server_unix_ms").parse().expect("a number");
            assert!(age + 2 >= asked.saturating_sub(said), "{age} ms; {info}");
        }
    }
    wait_until("all three have the same INFO", DEADLINE, || {
        let mut infos = clients.iter_mut().map(|client| {
            let info = client.call(&["INFO", "s7", "server"]);
            field(info.as_str(), "polls").to_owned()
        });
        let first = infos.next();
        infos.all(|info| Some(info) == first)
    });
    // Each tells who polls what.
    let mut members: Vec<Vec<String>> = Vec::new();
    for client in &mut clients {
        client.hello3();
        let watchers = client.call(&["SHARD.WATCHERS"]);
        let pollers = watchers.items().iter();
        let pollers = pollers.filter(|watcher| watcher.field("kind").as_str() == "poller");
        let mut shown: Vec<_> = pollers
            .map(|poller| {
                assert!(poller.field("targets").int() > 0 && poller.field("error").is_null());
                poller.field("name").as_str().to_owned()
            })
            .collect();
        let own = client.call(&["INFO", "respite"]);
        assert_eq!(field(own.as_str(), "fleet_member"), shown[0]);
        shown.sort();
        members.push(shown);
    }
    assert_eq!(members[0].len(), 3);
    assert!(members.iter().all(|shown| *shown == members[0]));
}

#[test]
fn who_dies_or_hangs_is_replaced_and_who_comes_takes_a_part() {
    let redis = RedisServer::start();
    let fakes = Fakes::start(300);
    let config = format!("{SHARED}{}", fakes.config(""));
    let first = start(&redis, &config);
    let second = start(&redis, &config);
    let third = start(&redis, &config);
    let (mut a, mut b, mut c) = (first.connect(), second.connect(), third.connect());
    wait_divided(&mut [&mut a, &mut b, &mut c], 301);
    wait_polled(&fakes, 2);

    let (began, before) = (Instant::now(), fakes.counts());
    third.signal(Signal::SIGKILL);
    third.kill();
    wait_divided(&mut [&mut a, &mut b], 301);
    wait_polled(&fakes, 2);
    check_polls("after a SIGKILL", &fakes, &before, began, 1);

    let (began, before) = (Instant::now(), fakes.counts());
    // On a busy machine one may beat too late, and lose what it has to another. They take nothing over otherwise.
    let had = acquired(&mut [&mut a, &mut b]);
    let third = start(&redis, &config);
    let mut c = third.connect();
    let parts = wait_divided(&mut [&mut a, &mut b, &mut c], 301);
    wait_polled(&fakes, 2);
    let more = usize::from(acquired(&mut [&mut a, &mut b]) > had);
    check_polls("after one has come", &fakes, &before, began, more);

    let (began, before) = (Instant::now(), fakes.counts());
    let had = acquired(&mut [&mut a, &mut c]);
    second.signal(Signal::SIGSTOP);
    wait_divided(&mut [&mut a, &mut c], 301);
    wait_polled(&fakes, 2);
    second.signal(Signal::SIGCONT);
    wait_divided(&mut [&mut a, &mut b, &mut c], 301);
    wait_polled(&fakes, 2);
    // What the stopped one had, and nothing else.
    let more = 1 + usize::from(acquired(&mut [&mut a, &mut c]) > had + parts[1]);
    check_polls(
        "after a SIGSTOP and a SIGCONT",
        &fakes,
        &before,
        began,
        more,
    );

    // One that is told to stop says so.
    let (began, before) = (Instant::now(), fakes.counts());
    second.stop();
    wait_divided(&mut [&mut a, &mut c], 301);
    wait_polled(&fakes, 2);
    check_polls("after one has left", &fakes, &before, began, 1);
    for client in [&mut a, &mut c] {
        assert_eq!(number(client, "fleet_orphan_polls"), 0);
    }
}

#[test]
fn a_refresh_is_polled_by_who_was_asked_and_the_others_hear_of_it() {
    let redis = RedisServer::start();
    let fakes = Fakes::start(8);
    // After its first poll nobody asks a shard by himself for the time of this test.
    let seldom = "[fleet]\nshare = true\ninterval_min = \"100ms\"\ninterval_step = \"1h\"\ninterval_max = \"1h\"\n\
                  active_ops = 1000000\ninactive_ops = 1000000\n";
    let config = format!("{seldom}{}", fakes.config(""));
    let all = [0; 2].map(|_| start(&redis, &config));
    let mut clients = [0, 1].map(|n: usize| all[n].connect());
    let [a, b] = &mut clients;
    wait_divided(&mut [a, b], 9);
    let ids: Vec<String> = (0..fakes.len()).map(|index| format!("s{index}")).collect();
    for id in ids.iter().map(String::as_str).chain([&*redis.addr()]) {
        for client in &mut clients {
            wait_state(client, id, "live");
        }
    }
    let polls = |clients: &mut [Client; 2]| clients.each_mut().map(|c| number(c, "fleet_polls"));
    let mut expected = polls(&mut clients);
    for asked in [0, 1] {
        for (index, id) in ids.iter().enumerate() {
            let times = fakes.counts()[index] + 1;
            clients[asked].call(&["SHARD.REFRESH", id]).assert_ok();
            for client in &mut clients {
                wait_until("both know what it says now", DEADLINE, || {
                    let info = client.call(&["INFO", id, "server"]);
                    field(info.as_str(), "polls") == times.to_string()
                });
            }
            // Whoever holds the shard.
            expected[asked] += 1;
            assert_eq!(polls(&mut clients), expected, "{id}");
        }
    }
    assert_eq!(fakes.counts(), vec![3; fakes.len()]);
}
