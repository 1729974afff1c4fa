//! How many workers are right for a machine: Respite with some numbers of them, free and on a core of its own.

use std::{fs, io};

use crate::draws;
use crate::load::{Load, Plan};
use crate::options::Options;
use crate::report::{Case, Section};
use crate::rows::played;
use crate::shared::table::Table;
use crate::stage::{self, Front, Stage, run};

const WORKERS: [u16; 3] = [1, 2, 4];
/// Threads of the clients: one would be busy before several workers are.
const THREADS: usize = 2;
const CLIENTS: usize = 50;
const VALUE_BYTES: usize = 64;
const KEYS: u32 = 10_000;

/// Where processes run.
#[derive(Clone, Copy)]
enum Place {
    /// Wherever the system puts them.
    Free,
    /// Redis on one core and Respite on another.
    Apart,
}

pub(crate) fn measure(options: &Options) -> io::Result<Vec<Table>> {
    let front = |workers: u16| Front {
        name: match workers {
            1 => "1 worker".to_owned(),
            n => format!("{n} workers"),
        },
        workers: Some(workers),
        ..stage::respite()
    };
    let stage = Stage::start(&WORKERS.map(front))?;
    let cores = cores()?;
    // Two of them: reads that are cached, and writes that nobody has cached.
    let (reads, writes) = (draws::reads(0..KEYS), draws::all_written(KEYS..2 * KEYS));
    stage.fill(0..KEYS, VALUE_BYTES)?;
    for system in 1..=WORKERS.len() {
        stage.warm(system, 0..KEYS, VALUE_BYTES)?;
    }
    let places: &[(&str, Place)] = match cores.len() {
        1 => &[("free", Place::Free)],
        _ => &[("free", Place::Free), ("a core each", Place::Apart)],
    };
    let mut cases = Vec::new();
    for (name, draws) in [("`GET`, a hit", &reads), ("`SET`", &writes)] {
        for pipeline in [1, 16] {
            for (place, at) in places {
                let labels = [name.to_owned(), pipeline.to_string(), (*place).to_owned()];
                cases.push(Case {
                    labels: labels.to_vec(),
                    what: (draws, pipeline, *at),
                });
            }
        }
    }
    let section = Section {
        title: "Workers",
        labels: &["command", "P", "processes"],
        systems: stage.names(),
        cases,
        unit: "commands/s",
    };
    let table = section.measure(options, |(draws, pipeline, place), system, _| {
        for n in [0, system] {
            let to = match place {
                Place::Free => cores.join(","),
                Place::Apart => cores[n.min(1)].clone(),
            };
            pin(stage.pid(n), &to)?;
        }
        let mut load = Load::connect(Plan {
            port: stage.port(system),
            clients: CLIENTS,
            pipeline: *pipeline,
            value_bytes: VALUE_BYTES,
            draws,
            base: 0,
            from: 0,
            threads: THREADS,
        })?;
        played(&stage, system, &mut load, options)
    })?;
    Ok(vec![table, choices(stage.port(0), &cores)?])
}

/// How many workers Respite chooses by itself on some cores.
fn choices(redis: u16, cores: &[String]) -> io::Result<Table> {
    let mut rows = vec![vec!["cores".to_owned(), "workers".to_owned()]];
    let mut counts = vec![1, 2.min(cores.len()), cores.len()];
    counts.dedup();
    for count in counts {
        let own = std::process::id();
        // What this process starts runs where it runs itself.
        pin(own, &cores[..count].join(","))?;
        let started = stage::start(&stage::respite(), Some(redis));
        pin(own, &cores.join(","))?;
        let workers = workers_of(started?.process.pid())?;
        rows.push(vec![count.to_string(), workers.to_string()]);
    }
    Ok(Table {
        title: "What `workers = 0` chooses".to_owned(),
        rows,
    })
}

/// Threads of a Respite that are workers, by their names.
fn workers_of(pid: u32) -> io::Result<usize> {
    let mut workers = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = fs::read_to_string(thread?.path().join("comm"))?;
        workers += usize::from(name.starts_with("worker-"));
    }
    Ok(workers)
}

/// The cores that this process may use.
fn cores() -> io::Result<Vec<String>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mut cores = Vec::new();
    for range in line.unwrap_or_default().trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let [first, last] = [first, last].map(|n| n.parse::<usize>().map_err(io::Error::other));
        cores.extend((first?..=last?).map(|n| n.to_string()));
    }
    Ok(cores)
}

/// Lets all threads of a process run on these cores only.
fn pin(pid: u32, cores: &str) -> io::Result<()> {
    run("taskset", &format!("-a -c -p {cores} {pid}")).map(drop)
}
