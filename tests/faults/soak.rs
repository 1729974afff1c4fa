//! Everything at once for long, with a fault every few seconds: nothing may grow, and every error is explained.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::backing::{Backing, Kind};
use super::client::{Player, World};
use super::fault::{Fault, Needs, Stage};
use super::habits::{EXPLAINED, HABITS, Ports, follow};
use super::list::FAULTS;
use super::run::{StopAtEnd, nothing_old_is_kept};
use super::table::put_into_page;
use super::tally::{Tally, thousands};
use crate::support::{DEADLINE, Random, Respite, get, wait_until};

const PLAYERS: usize = 8;
/// How long a fault lasts.
const HOLD: Duration = Duration::from_millis(700);
/// Quiet between two faults, in which the process is looked at.
const CALM: Duration = Duration::from_millis(1000);
/// So much the process may be larger at the end: caches, pools and the allocator fill up.
const SLACK: f64 = 1.25;
const SLACK_MIB: f64 = 16.0;
const SLACK_COUNT: f64 = 24.0;

/// What the process holds at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    mib: f64,
    descriptors: f64,
    tasks: f64,
    /// At the backing.
    keys: f64,
    /// Of everybody, at the backing.
    connections: f64,
}

fn sample(respite: &Respite, backing: &mut Backing) -> Sample {
    let process = format!("/proc/{}", respite.pid());
    let status = fs::read_to_string(format!("{process}/status")).expect("it runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = resident
        .and_then(|text| text.trim().trim_end_matches(" kB").parse().ok())
        .expect("VmRSS");
    let descriptors = fs::read_dir(format!("{process}/fd"))
        .expect("it runs")
        .count();
    let (_, metrics) = get(respite.http_port(), "/metrics");
    let tasks = metrics
        .lines()
        .filter(|line| line.starts_with("respite_tasks{"));
    let tasks: f64 = tasks
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    let redis = backing.one();
    // A client may have been served from the cache while Redis still loads its file.
    wait_until("Redis has loaded its file", DEADLINE, || {
        !redis.call(&["DBSIZE"]).is_error()
    });
    let number = |text: String| text.parse().expect("a number");
    Sample {
        mib: kib / 1024.0,
        descriptors: descriptors as f64,
        tasks,
        keys: redis.call(&["DBSIZE"]).int() as f64,
        connections: number(redis.info("clients", "connected_clients")),
    }
}

/// The faults that one server with a file behind a relay survives without a loss.
fn playable(fault: &Fault) -> bool {
    let here = fault.behind.contains(&Kind::One) && !fault.loses;
    here && matches!(fault.needs, Needs::Nothing | Needs::Relays | Needs::File)
}

/// A server with a file behind a relay, Respite in front of it, and a method of a bus.
fn start() -> (Backing, Respite) {
    let args = ["--appendonly", "yes", "--appendfsync", "no"].map(str::to_owned);
    let backing = Backing::start(Kind::One, true, &args, None);
    let respite = Respite::builder()
        .upstream(&backing.url())
        .http()
        .config("[timeouts]\nconnect = \"1s\"\nreply = \"2s\"\n")
        .allow_log("")
        .start();
    let register = [
        "BUS.REGISTER",
        "soak",
        "echo",
        "PARAMS",
        "1",
        "text",
        "IDEMPOTENT",
    ];
    let registered = respite.call(&register);
    assert!(!registered.is_error(), "{registered:?}");
    (backing, respite)
}

/// `make soak`: `SOAK_SECONDS`, 6 unless told; SOAK=write puts the table into the page.
#[test]
fn nothing_grows() {
    let seconds = std::env::var("SOAK_SECONDS").ok();
    let seconds: f64 = seconds.map_or(6.0, |text| text.parse().expect("SOAK_SECONDS is a number"));
    let (mut backing, respite) = start();
    let ports = Ports {
        redis: respite.port(),
        http: respite.http_port(),
    };
    let world = World::default();
    let mut random = Random::from_env();
    // For which fault each client was served again, by the moment when that was healed.
    let progress: Vec<AtomicU64> = (0..PLAYERS).map(|_| Default::default()).collect();
    let mut sum = Tally::default();
    let (mut samples, mut played) = (Vec::new(), 0);
    let folder = TempDir::new().expect("a folder");
    std::thread::scope(|scope| {
        let players: Vec<_> = progress
            .iter()
            .enumerate()
            .map(|(number, back)| {
                let random = Random::with_seed(random.next());
                let player = Player::new(number, ports.redis, &world, EXPLAINED, random);
                scope.spawn(move || {
                    player.play(|told| {
                        let back_of = told.back.map_or(0, |(healed, _)| World::moment(healed));
                        back.store(back_of, Ordering::SeqCst);
                    })
                })
            })
            .collect();
        let world = &world;
        let habits: Vec<_> = HABITS
            .iter()
            .map(|habit| scope.spawn(move || follow(habit, ports, world)))
            .collect();
        let failed = || {
            players.iter().any(|player| player.is_finished())
                || habits.iter().any(|habit| habit.is_finished())
        };
        let end = StopAtEnd(world);
        let all: Vec<&Fault> = FAULTS.iter().filter(|fault| playable(fault)).collect();
        let over = Instant::now() + Duration::from_secs_f64(seconds);
        samples.push(sample(&respite, &mut backing));
        while Instant::now() < over && !failed() {
            let fault = random.pick(&all);
            eprintln!("{}", fault.name);
            (fault.strike)(&mut Stage {
                backing: &mut backing,
                world,
                random: &mut random,
                hold: HOLD,
                folder: folder.path().to_owned(),
            });
            played += 1;
            let healed = World::moment(world.healed.lock().expect("it was healed"));
            wait_until("all clients are served again", DEADLINE, || {
                failed()
                    || progress
                        .iter()
                        .all(|back| back.load(Ordering::SeqCst) == healed)
            });
            std::thread::sleep(CALM);
            samples.push(sample(&respite, &mut backing));
        }
        drop(end);
        for player in players {
            let told = player.join().expect("no wrong reply");
            sum.add(&told.tally);
        }
        for (habit, done) in HABITS.iter().zip(habits) {
            let came = done.join().expect("no wrong reply");
            eprintln!("{}: {came:?}", habit.name);
            assert!(came.served > 0, "{}: never served", habit.name);
            sum.add(&came);
        }
    });
    nothing_old_is_kept(&backing, &respite, PLAYERS);
    let info = respite.call(&["INFO", "respite"]);
    assert!(info.as_str().contains("\r\npanics:0\r\n"), "{info:?}");
    let text = judge(&samples, played, seconds, &sum);
    eprintln!("{text}");
    if std::env::var("SOAK").is_ok_and(|what| what == "write") {
        put_into_page("soak", &text);
    }
}

/// One number of a sample.
type Pick = fn(&Sample) -> f64;

/// Compares the second eighth of the run, when everything had been used once, with the last.
fn judge(samples: &[Sample], played: u64, seconds: f64, sum: &Tally) -> String {
    let eighth = (samples.len() / 8).max(1);
    let first = samples.len().min(2 * eighth);
    let early = &samples[first.saturating_sub(eighth)..first];
    let late = &samples[samples.len() - eighth..];
    let median = |samples: &[Sample], pick: Pick| {
        let mut values: Vec<f64> = samples.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut text = format!(
        "{} minutes, {played} faults, {} requests served, errors: {}.\n\n\
         | | after an eighth of the time | at the end | at most |\n|---|---|---|---|\n",
        (seconds / 60.0).round(),
        thousands(sum.served),
        sum.errors()
    );
    let rows: [(&str, Pick, f64); 5] = [
        ("resident memory, MiB", |one| one.mib, SLACK_MIB),
        ("open descriptors", |one| one.descriptors, SLACK_COUNT),
        ("tasks", |one| one.tasks, SLACK_COUNT),
        ("keys at the backing", |one| one.keys, SLACK_COUNT),
        (
            "connections at the backing",
            |one| one.connections,
            SLACK_COUNT,
        ),
    ];
    for (name, pick, slack) in rows {
        let (before, after) = (median(early, pick), median(late, pick));
        let most = samples.iter().map(pick).fold(0.0, f64::max);
        let _ = writeln!(text, "| {name} | {before:.0} | {after:.0} | {most:.0} |");
        assert!(
            after <= before * SLACK + slack,
            "{name} grows from {before} to {after}: {samples:#?}"
        );
    }
    text
}
