//! 500 nodes with leases of a second: no live node is ever missing, no lapsed one ever shown.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Pair, join, nodes};
use crate::support::{Client, encode};

const NODES: usize = 500;
const TTL: Duration = Duration::from_secs(1);
const BEAT_EVERY: Duration = Duration::from_millis(300);
/// How long it goes on, and when every second node falls silent.
const LASTS: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(2);
/// The lease is counted in whole milliseconds at both ends.
const ROUNDING: Duration = Duration::from_millis(2);

/// What is known of a node, in microseconds since the beginning.
#[derive(Default)]
struct Known {
    lease: String,
    /// When the last heartbeat that was answered was sent.
    sent: AtomicU64,
    /// When the last heartbeat of all was answered.
    last_answer: AtomicU64,
    /// No further heartbeat comes.
    silent: AtomicBool,
}

#[test]
fn no_live_node_is_missing_and_no_lapsed_one_is_shown() {
    let pair = Pair::start();
    let began = Instant::now();
    let micros = || u64::try_from(began.elapsed().as_micros()).expect("short");
    let mut client = pair.first.connect();
    let all: Vec<Known> = (0..NODES)
        .map(|n| {
            let sent = micros();
            let lease = join(&mut client, &format!("web n{n:03} TTL 1"));
            Known {
                lease,
                sent: AtomicU64::new(sent),
                last_answer: AtomicU64::new(micros()),
                silent: AtomicBool::new(false),
            }
        })
        .collect();
    let silence = began.elapsed() + SILENCE;
    let end = began.elapsed() + LASTS;
    let counts = std::thread::scope(|scope| {
        for (half, respite) in [&pair.first, &pair.second].into_iter().enumerate() {
            let (all, micros) = (&all, &micros);
            scope.spawn(move || {
                let mut client = respite.connect();
                while began.elapsed() < end {
                    let round = Instant::now();
                    let stop = began.elapsed() > silence;
                    let mine: Vec<usize> = (0..NODES).filter(|n| n % 2 == half).collect();
                    beat(&mut client, all, &mine, stop, micros);
                    std::thread::sleep(BEAT_EVERY.saturating_sub(round.elapsed()));
                }
            });
        }
        let checkers = [&pair.first, &pair.second].map(|respite| {
            let (all, micros) = (&all, &micros);
            scope.spawn(move || {
                let mut client = respite.connect();
                let mut counts = Counts::default();
                while began.elapsed() < end {
                    counts.check(&mut client, all, micros);
                }
                counts
            })
        });
        checkers.map(|checker| checker.join().expect("a checker"))
    });
    for counts in counts {
        eprintln!("{counts:?}");
        assert_eq!((counts.missing, counts.lapsed_shown), (0, 0), "{counts:?}");
        assert!(counts.must_be_shown > 1000, "{counts:?}");
        assert!(counts.must_not_be_shown > 250, "{counts:?}");
    }
}

/// Sends the heartbeats of these nodes in one go.
fn beat(client: &mut Client, all: &[Known], mine: &[usize], stop: bool, micros: &dyn Fn() -> u64) {
    // Every second of a Respite's nodes falls silent.
    let silenced = |n: usize| stop && n % 4 < 2;
    for n in mine.iter().filter(|n| silenced(**n)) {
        all[*n].silent.store(true, Ordering::SeqCst);
    }
    let beating: Vec<usize> = mine.iter().copied().filter(|n| !silenced(*n)).collect();
    let packet: Vec<u8> = beating
        .iter()
        .flat_map(|n| {
            let node = format!("n{n:03}");
            let lease = all[*n].lease.as_str();
            encode(&["DISCOVERY.HEARTBEAT", "web", &node, "LEASE", lease])
        })
        .collect();
    let sent = micros();
    let replies = client
        .exchange(&[&packet], beating.len())
        .expect("replies to heartbeats");
    let answered = micros();
    for (n, reply) in beating.into_iter().zip(replies) {
        if reply.starts_with(b"-") {
            // It came too late, on a machine that was busy elsewhere: nothing is known of this node.
            all[n].silent.store(true, Ordering::SeqCst);
        } else {
            all[n].sent.store(sent, Ordering::SeqCst);
            all[n].last_answer.store(answered, Ordering::SeqCst);
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    must_be_shown: usize,
    missing: usize,
    must_not_be_shown: usize,
    lapsed_shown: usize,
}

impl Counts {
    fn check(&mut self, client: &mut Client, all: &[Known], micros: &dyn Fn() -> u64) {
        let ttl = |since: u64| since + u64::try_from(TTL.as_micros()).expect("short");
        let rounding = u64::try_from(ROUNDING.as_micros()).expect("short");
        // Taken before the question, so that what comes meanwhile only makes a node live longer.
        let live_until: Vec<u64> = all
            .iter()
            .map(|k| ttl(k.sent.load(Ordering::SeqCst)))
            .collect();
        let lapsed_from: Vec<Option<u64>> = all
            .iter()
            .map(|known| {
                let silent = known.silent.load(Ordering::SeqCst);
                silent.then(|| ttl(known.last_answer.load(Ordering::SeqCst)) + rounding)
            })
            .collect();
        let asked = micros();
        let shown: HashSet<String> = nodes(client, "web").into_iter().collect();
        let answered = micros();
        for n in 0..NODES {
            let is_shown = shown.contains(&format!("n{n:03}"));
            if answered + rounding < live_until[n] {
                self.must_be_shown += 1;
                self.missing += usize::from(!is_shown);
            }
            if lapsed_from[n].is_some_and(|lapsed| lapsed < asked) {
                self.must_not_be_shown += 1;
                self.lapsed_shown += usize::from(is_shown);
            }
        }
    }
}
