//! Runs Respite beside direct Redis, twemproxy and Envoy on this machine and reports the ratios.
//!
//! One Redis backs them all. In every round, and for every row and pipeline depth, the systems run
//! directly after one another in an order that rotates; a ratio is taken within a round, so that a
//! machine that is slow for a while is slow for all of them. `--help` lists the options.
//!
//! # Layout
//!
//! `options` (the command line) · `systems` (start each one) on `leash` (a child that cannot stay
//! behind) · `client` (the load) · `idle` (memory) · `measure` (numbers) · `report` on `table` and
//! `machine`.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

mod client;
mod idle;
mod leash;
mod machine;
mod measure;
mod options;
mod report;
mod systems;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, io, thread};

use client::{Benchmark, Connection};
use idle::Idle;
use machine::Machine;
use options::{Options, Row};
use report::{Cell, Report};
use systems::{Kind, Setting, System};

/// Between two runs: the last run's connections close.
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    if env::args().any(|arg| arg == "--help") {
        print!("{}", options::HELP);
        return ExitCode::SUCCESS;
    }
    match Options::parse(env::args().skip(1)).and_then(|options| {
        let result = run(options);
        result.map_err(|err| err.to_string())
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("compare: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Options) -> io::Result<()> {
    let missing = || io::Error::other("redis-benchmark not found; scripts/setup.sh bench gets it");
    let program = systems::on_path("redis-benchmark")
        .or_else(|| systems::on_path("valkey-benchmark"))
        .ok_or_else(missing)?;
    let machine = Machine::this();
    let setting = Setting {
        dir: Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare"),
        workers: options.workers,
        env: Vec::new(),
        threads: machine.cores,
    };
    fs::create_dir_all(&setting.dir)?;
    let benchmark_version = systems::first_line(&program, &["--version"]).unwrap_or_default();
    let benchmark = Benchmark { program };

    let mut running = start_all(&options, &setting)?;
    let kinds: Vec<Kind> = running.iter().map(|system| system.kind).collect();
    let idle = measure_idle(&kinds, &setting, running[0].port, options.idle);
    add_uncached(&mut options, &mut running, &setting)?;
    let cells = measure_rounds(&options, &running, &benchmark)?;
    drop(running);

    let options = &options;
    let setting = &setting;
    let report = Report {
        machine,
        options,
        setting,
        kinds,
        cells,
        idle,
        benchmark_version,
    };
    print!("{}", report.text());
    if options.write {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        fs::create_dir_all(&docs)?;
        fs::write(docs.join("benchmarks.md"), report.markdown())?;
        eprintln!("written: docs/benchmarks.md");
    }
    Ok(())
}

/// Starts direct Redis, fills its keys, then starts the others.
///
/// A system that was asked for must start; one that is not found is left out otherwise.
fn start_all(options: &Options, setting: &Setting) -> io::Result<Vec<System>> {
    let direct = System::start(Kind::Direct, setting, None)
        .map_err(|err| io::Error::other(format!("redis-server: {err}")))?;
    let backing = direct.port;
    client::fill_keys(backing)?;
    let mut running = vec![direct];
    for kind in Kind::ALL.into_iter().skip(1) {
        let asked_for = options.systems.as_ref().map(|kinds| kinds.contains(&kind));
        let found = kind.program().is_some();
        match asked_for {
            Some(false) => continue,
            None if !found => {
                eprintln!("{}: not found, left out", kind.name());
                continue;
            }
            Some(true) | None => {}
        }
        let system = System::start(kind, setting, Some(backing));
        running.push(system.map_err(|err| io::Error::other(format!("{}: {err}", kind.name())))?);
    }
    Ok(running)
}

fn measure_idle(kinds: &[Kind], setting: &Setting, backing: u16, connections: usize) -> Vec<Idle> {
    let mut measured = Vec::new();
    for kind in kinds.iter().filter(|_| connections > 0) {
        eprintln!("memory of idle connections: {}", kind.title());
        match idle::measure(*kind, setting, backing, connections) {
            Ok(idle) => measured.push(idle),
            Err(err) => eprintln!("  no result: {err}"),
        }
    }
    measured
}

/// Where Respite has a cache, its forwarded reads need a second one without; where it has none, or
/// does not run, the row of cached reads is dropped.
fn add_uncached(
    options: &mut Options,
    running: &mut Vec<System>,
    setting: &Setting,
) -> io::Result<()> {
    let backing = running[0].port;
    let respite = running.iter().find(|system| system.kind == Kind::Respite);
    let cache = respite
        .and_then(|system| {
            Connection::open(system.port)
                .ok()?
                .ask(&["CACHE.STATS"])
                .ok()
        })
        .is_some_and(|reply| reply.starts_with(['*', '%']));
    if !cache {
        options.rows.retain(|row| *row != Row::Hit);
    } else if options.rows.contains(&Row::Get) {
        running.push(System::start(Kind::Uncached, setting, Some(backing))?);
    }
    Ok(())
}

/// The process that stands for a system in a row, if it has a part there.
fn stand_in(running: &[System], kind: Kind, row: Row) -> Option<&System> {
    let find = |kind| running.iter().find(move |system| system.kind == kind);
    match (kind, row) {
        (Kind::Uncached, _) => None,
        (Kind::Respite, Row::Get) => find(Kind::Uncached).or_else(|| find(Kind::Respite)),
        (Kind::Twemproxy | Kind::Envoy, Row::Hit) => None,
        (kind, _) => find(kind),
    }
}

fn measure_rounds(
    options: &Options,
    running: &[System],
    benchmark: &Benchmark,
) -> io::Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for row in &options.rows {
        for pipeline in &options.pipelines {
            let part = |system: &System| stand_in(running, system.kind, *row).is_some();
            let kinds = running
                .iter()
                .filter(|system| part(system))
                .map(|system| system.kind);
            let runs = kinds.map(|kind| (kind, Vec::new())).collect();
            cells.push(Cell {
                row: *row,
                pipeline: *pipeline,
                runs,
            });
        }
    }
    for system in running {
        // Not measured: memory, connections and caches come to where they stay.
        benchmark.run(system.port, "set", 16, 20_000)?;
    }
    for round in 0..options.rounds {
        for (number, cell) in cells.iter_mut().enumerate() {
            let requests = options.requests_at(cell.pipeline);
            eprint!(
                "round {}/{} {} P={}:",
                round + 1,
                options.rounds,
                cell.row.title(),
                cell.pipeline
            );
            let systems = cell.runs.len();
            for turn in 0..systems {
                let (kind, samples) = &mut cell.runs[(turn + round + number) % systems];
                let Some(system) = stand_in(running, *kind, cell.row) else {
                    continue;
                };
                if cell.row == Row::Hit && *kind == Kind::Respite {
                    client::warm_keys(system.port)?;
                }
                let run = benchmark.run(system.port, cell.row.test(), cell.pipeline, requests);
                match &run {
                    Ok(sample) => eprint!(" {} {:.0}", kind.name(), sample.rps),
                    Err(err) => eprint!(" {} failed ({err})", kind.name()),
                }
                samples.push(run.ok());
                thread::sleep(PAUSE);
            }
            eprintln!();
        }
    }
    Ok(cells)
}
