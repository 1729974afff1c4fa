//! When servers are polled, and how.

use super::{add, add_fake, listed, start, wait_state};
use crate::support::{DEADLINE, FakeServer, RedisServer, Says, wait_until};

#[test]
fn refresh_polls_soon_and_not_too_often() {
    let redis = RedisServer::start();
    // An idle server is polled again after an hour.
    let config = "[fleet]\ninterval_min = \"200ms\"\ninterval_step = \"1h\"\ninterval_max = \"1h\"";
    let (_respite, mut client) = start(&redis, config);
    let fake = add_fake(&mut client, "fake", "");
    let began = std::time::Instant::now();
    let mut asked = 0;
    while fake.count("INFO") < 4 {
        client.call(&["SHARD.REFRESH", "fake"]).assert_ok();
        asked += 1;
        assert!(began.elapsed() < DEADLINE, "it was never polled");
    }
    // Three polls after the first take three times the shortest interval.
    assert!(began.elapsed().as_millis() >= 400, "{:?}", began.elapsed());
    assert!(asked > 4, "{asked}");
}

#[test]
fn a_connection_is_kept_and_replaced_when_it_is_lost() {
    let redis = RedisServer::start();
    let config = "[fleet]\ninterval_min = \"20ms\"\ninterval_max = \"20ms\"\ngrace = 1";
    let (_respite, mut client) = start(&redis, config);
    let fake = add_fake(&mut client, "fake", "");
    wait_until("it was polled often", DEADLINE, || fake.count("INFO") > 10);
    assert_eq!(fake.accepted(), 1);
    // With a grace of one, a failure would be logged as a warning, which fails the test.
    fake.cut();
    let polled = fake.count("INFO");
    wait_until("it is polled on", DEADLINE, || {
        fake.count("INFO") > polled + 10
    });
    assert_eq!(fake.accepted(), 1);
}

#[test]
fn as_many_polls_at_a_time_as_are_allowed() {
    let redis = RedisServer::start();
    let config = "[fleet]\nmax_concurrent_polls = 1\ntimeout = \"1h\"\n\
                  interval_min = \"1h\"\ninterval_max = \"1h\"";
    let (_respite, mut client) = start(&redis, config);
    let hung = FakeServer::start(Says::Nothing);
    add(&mut client, "hung", &hung.addr());
    wait_until("it is being polled", DEADLINE, || hung.count("CLIENT") == 1);
    let other = FakeServer::start(FakeServer::info(""));
    add(&mut client, "other", &other.addr());
    assert_eq!(other.count("INFO"), 0);
    hung.cut();
    wait_state(&mut client, "other", "live");
}

#[test]
fn servers_that_know_fewer_words_are_asked_with_fewer() {
    let redis = RedisServer::start();
    let config = "[fleet]\ninterval_min = \"20ms\"\ninterval_max = \"20ms\"";
    let (_respite, mut client) = start(&redis, config);
    // What a Redis before 6.0 answers to INFO everything, and one before 2.6 to INFO all.
    let fake = FakeServer::start(Says::Old);
    add(&mut client, "old", &fake.addr());
    wait_state(&mut client, "old", "live");
    wait_until("it was polled often", DEADLINE, || fake.count("INFO") > 10);
    // The two questions that it does not answer were asked once.
    assert_eq!(fake.count("INFO EVERYTHING"), 1);
    assert_eq!(fake.count("INFO ALL"), 1);
}

#[test]
fn a_busy_server_is_polled_more_often_than_an_idle_one() {
    let redis = RedisServer::start();
    let config =
        "[fleet]\ninterval_min = \"30ms\"\ninterval_step = \"10ms\"\ninterval_max = \"60ms\"";
    let (_respite, mut client) = start(&redis, config);
    let fake = add_fake(&mut client, "fake", "instantaneous_ops_per_sec:0\r\n");
    let mut wait_interval = |millis: i64| {
        wait_until(&format!("the interval is {millis} ms"), DEADLINE, || {
            let shard = listed(&mut client, "fake").expect("there");
            shard.field("interval_ms").int() == millis
        });
    };
    wait_interval(60);
    fake.say(FakeServer::info("instantaneous_ops_per_sec:1000\r\n"));
    wait_interval(30);
    // 33 of these are the poller's own: 7 are neither busy nor idle.
    fake.say(FakeServer::info("instantaneous_ops_per_sec:40\r\n"));
    wait_interval(30);
    fake.say(FakeServer::info("instantaneous_ops_per_sec:0\r\n"));
    wait_interval(60);
}
