//! How a shard's state follows from its polls.

use super::*;
use crate::config::Config;

fn shard(settings: &FleetSettings) -> Shard {
    Shard::new(found("redis://h"), settings)
}

fn found(url: &str) -> Found {
    let target = Target {
        id: "x".to_owned(),
        endpoint: url.parse().expect("a URL"),
        labels: Default::default(),
    };
    Found {
        target: Arc::new(target),
        source: "test".into(),
    }
}

fn info(text: &str) -> Snapshot {
    Snapshot::new(text.as_bytes().to_vec()).expect("INFO")
}

fn ago(seconds: f64) -> Instant {
    let ago = Duration::from_secs_f64(seconds);
    Instant::now()
        .checked_sub(ago)
        .expect("the machine is up for longer")
}

#[test]
fn states_follow_from_what_happened() {
    let settings = Config::default().fleet;
    let shard = shard(&settings);
    let state = || shard.status(&settings).state;
    assert_eq!(state(), State::Pending);
    shard.failed(Trouble::Other, "no", &settings);
    assert_eq!(state(), State::Pending);
    shard.answered(info("role:master\r\n"), Instant::now(), &settings);
    assert_eq!(state(), State::Live);
    shard.failed(Trouble::Other, "no", &settings);
    shard.failed(Trouble::Other, "no", &settings);
    assert_eq!(state(), State::Live, "two failures are within the grace");
    shard.failed(Trouble::Other, "no", &settings);
    assert_eq!(state(), State::Down);
    shard.failed(Trouble::Auth, "WRONGPASS", &settings);
    assert_eq!(state(), State::AuthFail);
    shard.failed(Trouble::Loading, "LOADING", &settings);
    assert_eq!(state(), State::Loading);
    assert!(shard.leave() && !shard.leave());
    assert_eq!(state(), State::Gone);
    assert!(shard.find_again(found("redis://h"), &settings));
    assert_eq!(state(), State::Live, "its INFO was kept");
    shard.answered(info("loading:1\r\n"), Instant::now(), &settings);
    assert_eq!(state(), State::Loading);
    assert!(!shard.find_again(found("redis://h"), &settings));
    assert!(shard.find_again(found("redis://elsewhere"), &settings));
}

#[test]
fn stale_is_older_than_three_intervals_and_the_timeout() {
    let settings = Config::default().fleet;
    let shard = shard(&settings);
    // An idle server: the interval is 1 s after the first poll, 1.5 s after the second.
    for (age, state) in [(3.9, State::Live), (5.6, State::Stale), (8.0, State::Stale)] {
        shard.answered(info("a:1\r\n"), ago(age), &settings);
        let status = shard.status(&settings);
        assert_eq!(status.state, state, "{age} s old at {:?}", status.interval);
    }
}

#[test]
fn warnings_begin_at_the_grace_and_grow_rare() {
    let settings = Config::default().fleet;
    let shard = shard(&settings);
    let mut told = Vec::new();
    let mut waits = Vec::new();
    for n in 1..=30 {
        let (wait, news) = shard.failed(Trouble::Other, "no", &settings);
        waits.push(wait.as_secs());
        if let News::Failing(failures) = news {
            assert_eq!(failures, n);
            told.push(n);
        }
    }
    assert_eq!(told, [3, 6, 12, 24]);
    assert_eq!(waits[..6], [1, 2, 4, 8, 10, 10]);
    let (wait, news) = shard.answered(info("a:1\r\n"), Instant::now(), &settings);
    assert_eq!((wait, news), (Duration::from_secs(1), News::Recovered(30)));
    let (wait, news) = shard.failed(Trouble::Other, "no", &settings);
    assert_eq!((wait, news), (Duration::from_secs(1), News::None));
}

#[test]
fn an_answer_tells_role_and_operations() {
    let settings = Config::default().fleet;
    let shard = shard(&settings);
    for (text, role, ops) in [
        (
            "role:master\r\ninstantaneous_ops_per_sec:7\r\n",
            Some(Role::Master),
            Some(5),
        ),
        ("role:slave\r\n", Some(Role::Replica), None),
        ("redis_mode:sentinel\r\n", Some(Role::Sentinel), None),
        ("server_mode:sentinel\r\n", Some(Role::Sentinel), None),
        ("x:y\r\n", None, None),
    ] {
        shard.answered(info(text), Instant::now(), &settings);
        let latest = shard.latest().expect("answered");
        assert_eq!((latest.role, latest.ops_per_sec), (role, ops), "{text}");
    }
}

#[test]
fn states_have_names() {
    for state in State::ALL {
        assert_eq!(state.name().to_uppercase().parse(), Ok(state));
    }
    assert_eq!("up".parse::<State>(), Err(()));
}
