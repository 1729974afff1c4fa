//! The backing killed and restarted while clients are at work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{NOT_SENT, SENT};
use crate::support::{Client, RedisServer, Reply, Respite, encode, wait_until};

const CLIENTS: usize = 4;
const ROUNDS: usize = 3;
/// Requests of each kind in one packet.
const BATCH: usize = 8;
/// Loading the append-only file and the backoff of all links together.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one client has seen.
#[derive(Default)]
struct Seen {
    served: AtomicUsize,
    errors: AtomicUsize,
}

#[test]
fn restarts_cost_errors_and_never_a_wrong_reply() {
    let mut redis = RedisServer::builder()
        .args(["--appendonly", "yes", "--appendfsync", "no"])
        .start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("[timeouts]\nconnect = \"200ms\"")
        .allow_log("link lost")
        .allow_log("backing not usable")
        .start();
    let seen: Vec<Seen> = (0..CLIENTS).map(|_| Seen::default()).collect();
    let over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let workers: Vec<_> = seen
            .iter()
            .enumerate()
            .map(|(n, seen)| {
                let (client, over) = (respite.connect(), &over);
                scope.spawn(move || work(client, n, seen, over))
            })
            .collect();
        let all_grow = |what: &str, count: fn(&Seen) -> &AtomicUsize| {
            let counts = || seen.iter().map(|seen| count(seen).load(Ordering::Relaxed));
            let before: Vec<usize> = counts().collect();
            wait_until(what, PATIENCE, || {
                counts().zip(&before).all(|(now, before)| now > before + 2)
                    || workers.iter().any(|worker| worker.is_finished())
            });
        };
        for _ in 0..ROUNDS {
            all_grow("all clients are served", |seen| &seen.served);
            redis.kill();
            all_grow("all clients see errors", |seen| &seen.errors);
            redis.restart();
        }
        all_grow("all clients are served again", |seen| &seen.served);
        over.store(true, Ordering::Relaxed);
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a client failed"))
            .collect::<Vec<_>>()
    });
    let mut admin = redis.connect();
    for (key, fate) in written {
        let stored = admin.call(&["STRLEN", &key]).int();
        match fate {
            Fate::Done => assert_eq!(
                stored,
                i64::try_from(key.len()).expect("fits"),
                "{key} is lost"
            ),
            Fate::NotSent => assert_eq!(stored, 0, "{key} was not sent, and was executed"),
            Fate::Unknown => {}
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Done,
    NotSent,
    Unknown,
}

/// Writes and reads keys of its own until it is over; returns what became of each write.
fn work(mut client: Client, n: usize, seen: &Seen, over: &AtomicBool) -> Vec<(String, Fate)> {
    let mut written = Vec::new();
    let mut next = 0;
    while !over.load(Ordering::Relaxed) {
        let keys: Vec<String> = (next..next + BATCH)
            .map(|key| format!("{n}:{key}"))
            .collect();
        next += BATCH;
        let requests = |key: &String| {
            let absent = format!("absent:{key}");
            // APPEND: done twice it shows
            [
                encode(&["APPEND", key, key]),
                encode(&["GET", key]),
                encode(&["EXISTS", &absent, key, key]),
            ]
            .concat()
        };
        client.send_raw(&keys.iter().flat_map(requests).collect::<Vec<u8>>());
        let mut failed = false;
        for key in keys {
            let [append, get, exists] = [(); 3].map(|()| client.read_reply());
            let fate = fate(&append, &key);
            failed |= append.is_error() || get.is_error() || exists.is_error();
            check_reads(&key, fate, &get, &exists);
            written.push((key, fate));
        }
        let counter = if failed { &seen.errors } else { &seen.served };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    written
}

fn fate(append: &Reply, key: &str) -> Fate {
    match append {
        Reply::Int(len) if usize::try_from(*len) == Ok(key.len()) => Fate::Done,
        Reply::Error(_) if is_loading(append) => Fate::NotSent,
        Reply::Error(_) => {
            append.assert_error("UPSTREAM ");
            match append.error() {
                text if text.ends_with(NOT_SENT) => Fate::NotSent,
                text if text.ends_with(SENT) => Fate::Unknown,
                text => panic!("says not whether it was sent: {text}"),
            }
        }
        _ => panic!("APPEND {key}: {append:?}"),
    }
}

/// The backing's own words while it reads its file; no failure of Respite's.
fn is_loading(reply: &Reply) -> bool {
    reply.is_error() && reply.error().starts_with("LOADING ")
}

fn check_reads(key: &str, fate: Fate, get: &Reply, exists: &Reply) {
    let stored = |reply: &Reply, yes: &Reply, no: &Reply| {
        let right = match fate {
            Fate::Done => reply == yes,
            Fate::NotSent => reply == no,
            Fate::Unknown => reply == yes || reply == no,
        };
        let refused = reply.is_error() && reply.error().starts_with("UPSTREAM ");
        assert!(
            right || refused || is_loading(reply),
            "{key} {fate:?}: {reply:?}"
        );
    };
    stored(get, &Reply::Bulk(key.as_bytes().to_vec()), &Reply::Null);
    stored(exists, &Reply::Int(2), &Reply::Int(0));
}
