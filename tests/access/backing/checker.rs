//! Rights change while many read: whoever may not read a key is given no byte of it, a second after he has lost the right.
//!
//! Who changes rights notes when; who reads notes when each read began. A value that was given to a read that began more
//! than a second after the right was gone, and before it was back, is wrong. What the clock says is compared on one host.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{ALL, admin, backing, builder, log_in, set_user};
use crate::support::Respite;

const LOAD_FOR: Duration = Duration::from_secs(12);
/// How old rules may be.
const GRACE: Duration = Duration::from_secs(1);
const USERS: usize = 4;
const READERS: usize = 2;

/// From when to when a user had no right to a key: from when that was answered, to when the change back was sent.
#[derive(Clone, Copy)]
struct Without {
    user: usize,
    from: Instant,
    to: Option<Instant>,
}

/// A read that was given a value.
#[derive(Clone, Copy)]
struct Given {
    user: usize,
    began: Instant,
    ended: Instant,
}

/// The reads that were given what they must not.
fn wrong(without: &[Without], given: &[Given]) -> Vec<(usize, Duration)> {
    let mut wrong = Vec::new();
    for read in given {
        for gap in without.iter().filter(|gap| gap.user == read.user) {
            let late = read.began.saturating_duration_since(gap.from);
            // One that ends after the right is back may have been given it then.
            if late > GRACE && gap.to.is_none_or(|to| read.ended < to) {
                wrong.push((read.user, late));
            }
        }
    }
    wrong
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let gap = Without {
        user: 1,
        from: at(1000),
        to: Some(at(4000)),
    };
    let given = |user, millis| Given {
        user,
        began: at(millis),
        ended: at(millis + 100),
    };
    for (read, is_wrong) in [
        (given(1, 900), false),
        (given(1, 1900), false),
        (given(1, 2100), true),
        (given(0, 2100), false),
        (given(1, 3950), false),
        (given(1, 4100), false),
    ] {
        assert_eq!(!wrong(&[gap], &[read]).is_empty(), is_wrong);
    }
}

/// Reads in packets until told to stop.
fn read(
    respite: &Respite,
    user: usize,
    stop: &AtomicBool,
    given: &Mutex<Vec<Given>>,
    refused: &AtomicU64,
) {
    let mut client = log_in(respite, &format!("u{user}"), "pw");
    let reads: [&[&str]; 4] = [
        &["GET", "shared:1"],
        &["HGETALL", "shared:h"],
        &["MGET", "shared:1", "shared:2"],
        &["GET", "shared:2"],
    ];
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let replies = client.pipeline(&reads);
        let ended = Instant::now();
        let mut all = given.lock();
        for reply in replies {
            match reply.is_error() {
                true => {
                    reply.assert_error("NOPERM");
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                false => all.push(Given { user, began, ended }),
            }
        }
    }
}

#[test]
fn no_cached_byte_goes_to_whom_may_not_read_it_while_rights_change() {
    let (redis, url) = backing(ALL);
    let mut root = admin(&redis);
    for user in 0..USERS {
        set_user(
            &mut root,
            &format!("u{user}"),
            &["on", ">pw", "~shared:*", "+@all"],
        );
    }
    root.call(&["MSET", "shared:1", "1", "shared:2", "2"])
        .assert_ok();
    root.call(&["HSET", "shared:h", "f", "v"]);
    let respite = builder(&url).start();
    let (stop, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    let (given, without) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for user in 0..USERS {
            for _ in 0..READERS {
                let (respite, stop, given, refused) = (&respite, &stop, &given, &refused);
                scope.spawn(move || read(respite, user, stop, given, refused));
            }
        }
        let until = Instant::now() + LOAD_FOR;
        let mut round = 0;
        while Instant::now() < until {
            let user = round % USERS;
            let name = format!("u{user}");
            // By keys, by commands, by category: each for longer than the grace.
            let (take, give): (&[&str], &[&str]) = match round % 3 {
                0 => (&["resetkeys", "~other"], &["resetkeys", "~shared:*"]),
                1 => (&["-@read"], &["+@all"]),
                _ => (&["nocommands"], &["+@all"]),
            };
            set_user(&mut root, &name, take);
            let from = Instant::now();
            thread::sleep(GRACE + Duration::from_millis(400));
            let to = Some(Instant::now());
            set_user(&mut root, &name, give);
            without.lock().push(Without { user, from, to });
            // Writes too, so that values are fetched again.
            root.call(&["SET", "shared:1", &round.to_string()])
                .assert_ok();
            round += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (given, without) = (given.into_inner(), without.into_inner());
    let found = wrong(&without, &given);
    assert!(
        found.is_empty(),
        "{} reads: {:?}",
        found.len(),
        &found[..found.len().min(20)]
    );
    assert!(
        refused.load(Ordering::Relaxed) > 0 && given.len() > 1000,
        "{}",
        given.len()
    );
    let mut boss = log_in(&respite, "u0", "pw");
    let stats = boss.call(&["CACHE.STATS"]);
    assert!(stats.field("hits").int() > 1000, "{stats:?}");
}
