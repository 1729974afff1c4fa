//! Reads of every kind from the cache, beside direct Redis in the same rounds.
//!
//! ```text
//! cargo bench --bench reads -- [--rounds N] [--millis N] [--only TEXT] [--workers N] [--write]
//! ```
//!
//! In every round, and for every row and pipeline depth, Redis and the Respite in front of it are measured directly
//! after one another, in turns one or the other first; a ratio is taken within a round. `--write` puts the table into docs/cache.md.
//! `RESPITE_BIN` names another Respite.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

mod rows;
#[path = "../compare/shared.rs"]
mod shared;

use std::io;
use std::thread;

use rows::Row;
use shared::measure::Spread;
use shared::servers::{Connection, Cost, Run, Servers};
use shared::table::Table;
use shared::{args, page};

const PIPELINES: [u32; 2] = [1, 16];
const CLIENTS: u32 = 20;
/// Requests by which the length of the others is found.
const TRIAL: u64 = 2000;

struct Options {
    rounds: usize,
    /// How long a run takes.
    millis: u64,
    only: Option<String>,
    workers: u16,
    write: bool,
}

/// The runs of one row at one depth: of Redis, and of Respite.
type Pair = [Cost; 2];

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let servers = Servers::start(options.workers, 10_000)?;
    rows::prepare(&mut Connection::open(servers.redis.0)?)?;
    let rows: Vec<Row> = rows::all()
        .into_iter()
        .filter(|row| {
            options
                .only
                .as_ref()
                .is_none_or(|only| row.name.contains(only))
        })
        .collect();
    let mut pairs: Vec<Vec<Pair>> = rows.iter().flat_map(|_| [Vec::new(), Vec::new()]).collect();
    for round in 0..options.rounds {
        for (n, row) in rows.iter().enumerate() {
            for (at, pipeline) in PIPELINES.into_iter().enumerate() {
                let pair = measure(&servers, row, pipeline, &options, round)?;
                pairs[n * PIPELINES.len() + at].push(pair);
            }
        }
    }
    let table = report(&rows, &pairs);
    println!("{}", table.text());
    if options.write {
        page::write("cache.md", "`make bench-reads`", &text(&table, &options))?;
    }
    Ok(())
}

/// Both systems, directly after one another.
fn measure(
    servers: &Servers,
    row: &Row,
    pipeline: u32,
    options: &Options,
    round: usize,
) -> io::Result<Pair> {
    let ports = [servers.redis.0, servers.respite.0];
    let run = |port: u16, requests: u64| {
        servers.run(&Run {
            port,
            command: &row.command,
            pipeline,
            clients: CLIENTS,
            requests,
        })
    };
    Connection::open(ports[1])?.ask(&["CACHE.FLUSH"])?;
    let mut costs = [None; 2];
    for n in 0..2 {
        let system = (n + round) % 2;
        // The cache is warm after this.
        let trial = run(ports[system], TRIAL)?;
        let requests = (trial.rps * options.millis as f64 / 1000.0) as u64;
        costs[system] = Some(run(ports[system], requests.max(TRIAL))?);
    }
    let [Some(direct), Some(through)] = costs else {
        return Err(io::Error::other("a system was left out"));
    };
    Ok([direct, through])
}

fn report(rows: &[Row], pairs: &[Vec<Pair>]) -> Table {
    let header = [
        "read",
        "P",
        "to direct",
        "direct/s",
        "Respite/s",
        "CPU direct",
        "CPU Respite",
        "and its Redis",
    ];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for (n, pairs) in pairs.iter().enumerate() {
        let (row, pipeline) = (&rows[n / PIPELINES.len()], PIPELINES[n % PIPELINES.len()]);
        let spread = |of: fn(&Pair) -> f64| Spread::of(pairs.iter().map(of));
        let median = |of| spread(of).map_or(f64::NAN, |spread| spread.median);
        let ratio = spread(|[direct, through]| through.rps / direct.rps);
        lines.push(vec![
            row.name.to_owned(),
            pipeline.to_string(),
            ratio.map_or_else(String::new, |ratio| ratio.to_string()),
            format!("{:.0}", median(|[direct, _]| direct.rps)),
            format!("{:.0}", median(|[_, through]| through.rps)),
            format!("{:.2}", median(|[direct, _]| direct.redis)),
            format!("{:.2}", median(|[_, through]| through.respite)),
            match row.hits {
                true => "–".to_owned(),
                false => format!("{:.2}", median(|[_, through]| through.redis)),
            },
        ]);
    }
    Table {
        title: "Reads from memory, beside direct Redis".to_owned(),
        rows: lines,
    }
}

fn text(table: &Table, options: &Options) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "redis-benchmark with {CLIENTS} clients on the same machine ({cores} cores) as Redis and Respite (workers: {}); medians of {} \
         rounds (lowest and highest ratio), runs of {} ms. CPU is microseconds of processor time per command, of the process itself.\n\n{}",
        options.workers,
        options.rounds,
        options.millis,
        table.markdown()
    )
}

impl Options {
    fn from_args() -> Self {
        Self {
            rounds: args::number("--rounds", 5),
            millis: args::number("--millis", 500),
            only: args::value("--only"),
            workers: args::number("--workers", 1),
            write: args::has("--write"),
        }
    }
}
