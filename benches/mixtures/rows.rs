//! The rows of the report, except that of workers.

use std::io;
use std::time::{Duration, Instant};

use crate::client::{self, Benchmark, Connection};
use crate::draws;
use crate::load::{Load, Plan, Until, play};
use crate::measure::Sample;
use crate::options::Options;
use crate::pops::Waiting;
use crate::report::{Case, Outcome, Section};
use crate::shared::table::Table;
use crate::stage::{self, Front, Stage};
use crate::storm::storm;
use crate::systems::Kind;

const VALUE_BYTES: usize = 64;
const CLIENTS: usize = 50;
/// Keys that are asked for by Zipf's law.
const SKEWED: u32 = 200_000;
/// Of these a cache of so much holds about a quarter.
const CACHE_BYTES: &str = "13MB";
/// Which of the systems has it.
const CACHED: usize = 1;
const STORM_KEYS: u32 = 1000;
/// Clients that wait.
const WAITING: usize = 1000;
/// How long they may take until all wait.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn zipf(options: &Options) -> io::Result<Vec<Table>> {
    skewed("90 % `GET`, 10 % `SET`, skewed keys", &[CLIENTS], options)
}

pub(crate) fn crowds(options: &Options) -> io::Result<Vec<Table>> {
    skewed("The same by many connections", &[1000, 5000], options)
}

fn skewed(title: &str, clients: &[usize], options: &Options) -> io::Result<Vec<Table>> {
    let front = Front {
        env: vec![("RESPITE_CACHE__MAX_BYTES", CACHE_BYTES.to_owned())],
        ..stage::respite()
    };
    let uncached = Front {
        name: "Respite, no cache".to_owned(),
        kind: Kind::Uncached,
        ..stage::respite()
    };
    let stage = Stage::start(&[front, uncached])?;
    let systems = stage.names();
    stage.fill(0..systems.len() as u32 * SKEWED, VALUE_BYTES)?;
    let draws = draws::zipfian(SKEWED, 0.99, 10);
    let plan = |system: usize, clients: usize, pipeline: usize, from: usize| Plan {
        port: stage.port(system),
        clients,
        pipeline,
        value_bytes: VALUE_BYTES,
        draws: &draws,
        // Each system has keys of its own: what is written through another one must not be taken out of the cache.
        base: system as u32 * SKEWED,
        from: from % draws.len(),
        threads: 1,
    };
    play(plan(CACHED, CLIENTS, 16, 0), Until::Over(options.warm))?;
    let depths = |clients: &usize| [1, 16].map(|pipeline| (*clients, pipeline));
    let cases = clients.iter().flat_map(depths);
    let section = Section {
        title,
        labels: &["connections", "P"],
        systems,
        cases: cases
            .map(|(clients, pipeline)| Case {
                labels: vec![clients.to_string(), pipeline.to_string()],
                what: (clients, pipeline),
            })
            .collect(),
        unit: "commands/s",
    };
    let table = section.measure(options, |(clients, pipeline), system, run| {
        // Another part of the sequence each time, the same one for each system.
        let from = (run + 1) * 250_007;
        let mut load = Load::connect(plan(system, *clients, *pipeline, from))?;
        let before = (system == CACHED)
            .then(|| stage.cache(system))
            .transpose()?;
        let mut outcome = played(&stage, system, &mut load, options)?;
        if let Some(before) = before {
            // Of all reads: those behind a write of the same packet do not count as misses.
            let hits = stage.cache(system)?.hits - before.hits;
            outcome.hits = 100.0 * hits / load.reads() as f64;
        }
        Ok(outcome)
    })?;
    let held = stage.cache(CACHED)?.entries / f64::from(SKEWED) * 100.0;
    Ok(vec![Table {
        title: format!("{title} (the cache holds {held:.0} % of them)"),
        ..table
    }])
}

/// Plays for as long as a run takes, with what it costs.
pub(crate) fn played(
    stage: &Stage,
    system: usize,
    load: &mut Load<'_>,
    options: &Options,
) -> io::Result<Outcome> {
    stage.metered(system, || {
        let played = load.play(Until::Over(options.time))?;
        let outcome = Outcome {
            rate: played.rate,
            p50: played.p50,
            p99: played.p99,
            ..Outcome::NONE
        };
        Ok((played.commands, outcome))
    })
}

pub(crate) fn storms(options: &Options) -> io::Result<Vec<Table>> {
    let twemproxy = Front {
        name: Kind::Twemproxy.title().to_owned(),
        kind: Kind::Twemproxy,
        ..stage::respite()
    };
    let stage = Stage::start(&[stage::respite(), twemproxy])?;
    let systems = stage.names();
    // Redis 7.0 takes the other addresses of this machine for those of other machines.
    Connection::open(stage.port(0))?.ask(&["CONFIG", "SET", "protected-mode", "no"])?;
    stage.fill(0..STORM_KEYS, VALUE_BYTES)?;
    for system in 0..systems.len() {
        stage.warm(system, 0..STORM_KEYS, VALUE_BYTES)?;
    }
    let count = systems.len();
    let section = Section {
        title: "A connection for each `GET`",
        labels: &["at once"],
        systems,
        cases: vec![Case {
            labels: vec![crate::storm::AT_ONCE.to_string()],
            what: (),
        }],
        unit: "connections/s",
    };
    let table = section.measure(options, |(), system, run| {
        stage.metered(system, || {
            let (port, run) = (stage.port(system), run * count + system);
            let stormed = storm(port, run, STORM_KEYS, VALUE_BYTES, options.time)?;
            let outcome = Outcome {
                rate: stormed.rate,
                p50: stormed.p50,
                p99: stormed.p99,
                ..Outcome::NONE
            };
            Ok((stormed.connections, outcome))
        })
    })?;
    Ok(vec![table])
}

/// Values of one length: keys that are only read, and others that are only written.
struct Large {
    bytes: usize,
    reads: Vec<u32>,
    writes: Vec<u32>,
}

pub(crate) fn values(options: &Options) -> io::Result<Vec<Table>> {
    let stage = Stage::start(&[stage::respite()])?;
    let kinds = [(4, 10_000, 1000), (64, 20_000, 100)].map(|(kib, first, keys)| Large {
        bytes: kib * 1024,
        reads: draws::reads(first..first + keys),
        writes: draws::all_written(first + keys..first + 2 * keys),
    });
    let mut cases = Vec::new();
    for large in &kinds {
        let first = large.reads[0];
        let keys = first..first + large.reads.len() as u32;
        stage.fill(keys.clone(), large.bytes)?;
        stage.warm(1, keys, large.bytes)?;
        for (name, draws) in [("`GET`, a hit", &large.reads), ("`SET`", &large.writes)] {
            for pipeline in [1, 16] {
                let kib = format!("{} KiB", large.bytes / 1024);
                cases.push(Case {
                    labels: vec![name.to_owned(), kib, pipeline.to_string()],
                    what: (large.bytes, draws, pipeline),
                });
            }
        }
    }
    let section = Section {
        title: "Large values",
        labels: &["command", "of", "P"],
        systems: stage.names(),
        cases,
        unit: "commands/s",
    };
    let table = section.measure(options, |(value_bytes, draws, pipeline), system, _| {
        let mut load = Load::connect(Plan {
            port: stage.port(system),
            clients: CLIENTS,
            pipeline: *pipeline,
            value_bytes: *value_bytes,
            draws,
            base: 0,
            from: 0,
            threads: 1,
        })?;
        played(&stage, system, &mut load, options)
    })?;
    Ok(vec![table])
}

pub(crate) fn resp3(options: &Options) -> io::Result<Vec<Table>> {
    let stage = Stage::start(&[stage::respite()])?;
    client::fill_keys(stage.port(0))?;
    client::warm_keys(stage.port(1))?;
    let mut cases = Vec::new();
    for (name, test) in [("`GET`, a hit", "get"), ("`SET`", "set")] {
        for pipeline in [1, 16] {
            for protocol in [2, 3] {
                let labels = [name.to_owned(), pipeline.to_string(), protocol.to_string()];
                cases.push(Case {
                    labels: labels.to_vec(),
                    what: (test, pipeline, protocol),
                });
            }
        }
    }
    let section = Section {
        title: "RESP3 beside RESP2, by redis-benchmark",
        labels: &["command", "P", "RESP"],
        systems: stage.names(),
        cases,
        unit: "commands/s",
    };
    let table = section.measure(options, |(test, pipeline, protocol), system, _| {
        let port = stage.port(system);
        let run = |requests: u64| benchmark(port, test, *pipeline, *protocol, requests);
        let trial = run(5000 * u64::from(*pipeline))?;
        if *test == "get" && system > 0 {
            client::warm_keys(port)?;
        }
        let requests = (trial.rps * options.time.as_secs_f64()) as u64 + 1;
        stage.metered(system, || {
            let sample = run(requests)?;
            let micros = |millis: Option<f64>| millis.map_or(f64::NAN, |millis| millis * 1000.0);
            let outcome = Outcome {
                rate: sample.rps,
                p50: micros(sample.p50_ms),
                p99: micros(sample.p99_ms),
                ..Outcome::NONE
            };
            Ok((requests, outcome))
        })
    })?;
    Ok(vec![table])
}

/// A run of redis-benchmark, which fails at the first error that it is answered.
fn benchmark(
    port: u16,
    test: &str,
    pipeline: u32,
    protocol: u8,
    requests: u64,
) -> io::Result<Sample> {
    let mut args = Benchmark::args(&port.to_string(), test, pipeline, &requests.to_string());
    if protocol == 3 {
        args.push("-3".to_owned());
    }
    let csv = stage::run("redis-benchmark", &args.join(" "))?;
    Sample::parse(&csv).ok_or_else(|| io::Error::other(format!("no result in {csv:?}")))
}

pub(crate) fn blocked(options: &Options) -> io::Result<Vec<Table>> {
    let front = || Front {
        env: vec![("RESPITE_LIMITS__PINNED", (WAITING + 100).to_string())],
        ..stage::respite()
    };
    let section = Section {
        title: "Clients that wait in `BLPOP`",
        labels: &["clients"],
        systems: vec!["Redis".to_owned(), front().name],
        cases: vec![Case {
            labels: vec![WAITING.to_string()],
            what: (),
        }],
        unit: "pops/s",
    };
    let table = section.measure(options, |(), system, _| {
        // New processes: what they hold is what these clients make them hold.
        let stage = Stage::start(&[front()])?;
        let before = stage.resident(system);
        let mut waiting = Waiting::connect(stage.port(system), WAITING)?;
        all_wait(stage.port(0))?;
        let grown = stage.resident(system);
        let each = |n: usize| (grown[n] - before[n]) / WAITING as f64;
        let outcome = stage.metered(system, || {
            let popped = waiting.play(options.time)?;
            let outcome = Outcome {
                rate: popped.rate,
                p50: popped.p50,
                p99: popped.p99,
                ..Outcome::NONE
            };
            Ok((popped.pops, outcome))
        })?;
        Ok(Outcome {
            redis_kib: each(0),
            front_kib: if system > 0 { each(1) } else { f64::NAN },
            ..outcome
        })
    })?;
    Ok(vec![table])
}

/// Waits until Redis has so many clients that are blocked.
fn all_wait(redis: u16) -> io::Result<()> {
    let ask = || {
        let client = redis::Client::open(format!("redis://127.0.0.1:{redis}"))?;
        let info: redis::InfoDict = redis::cmd("INFO")
            .arg("clients")
            .query(&mut client.get_connection()?)?;
        Ok::<_, redis::RedisError>(info.get("blocked_clients").unwrap_or(0))
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let blocked: usize = ask().map_err(io::Error::other)?;
        if blocked == WAITING {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(io::Error::other(format!("{blocked} of {WAITING} wait")));
        }
        stage::pause();
    }
}
