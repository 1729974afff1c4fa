//! How long a command takes when little is going on, and how far away the backing may be: through Respite and directly in
//! the same run.
//!
//! ```text
//! cargo bench --bench latency -- [--rounds N] [--millis N] [--write]
//! ```
//!
//! With few clients, each sends its next command when it has the reply. At a rate, commands are sent when they are due,
//! whatever is still unanswered, and a reply is late by the time since its command was due: nothing is left out because
//! the server was slow. A relay between (the client or Respite) and Redis stands for a network of so many milliseconds there
//! and back. `--write` puts the table into docs/performance.md. `RESPITE_BIN` names another Respite.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

mod far;
mod load;
#[path = "../compare/shared.rs"]
mod shared;

use std::io;
use std::thread;
use std::time::Duration;

use far::Relay;
use load::{Load, Took, play};
use shared::measure::Spread;
use shared::servers::{Servers, cpu_time};
use shared::table::Table;
use shared::{args, page};

/// Microseconds there and back.
const WAYS: [u64; 4] = [0, 100, 500, 2000];

struct Options {
    rounds: usize,
    millis: u64,
    write: bool,
}

/// What one round of one load came to, and what a command cost Redis.
#[derive(Clone, Copy)]
struct Result {
    took: Took,
    redis: f64,
}

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let loads = [
        Load::Clients(1),
        Load::Clients(5),
        Load::Clients(20),
        Load::Clients(50),
        Load::Rate(5_000),
        Load::Rate(20_000),
    ];
    let mut lines = Vec::new();
    for way in WAYS {
        let relay = (way > 0).then(|| Relay::new(Duration::from_micros(way / 2)));
        let relay = relay.transpose()?;
        let servers = Servers::behind(0, 10_000, |redis| match &relay {
            Some(relay) => relay.lead_to(redis),
            None => redis,
        })?;
        let direct = relay.as_ref().map_or(servers.redis.0, Relay::port);
        let ports = [direct, servers.respite.0];
        // Warm.
        for port in ports {
            play(Load::Clients(5), port, 100)?;
        }
        for load in loads {
            let mut results: [Vec<Result>; 2] = Default::default();
            for round in 0..options.rounds {
                for n in 0..2 {
                    let system = (n + round) % 2;
                    let pid = servers.redis.1.pid();
                    let before = cpu_time(pid);
                    let took = play(load, ports[system], options.millis)?;
                    let used = cpu_time(pid).saturating_sub(before).as_secs_f64();
                    let redis = used * 1e6 / took.commands as f64;
                    results[system].push(Result { took, redis });
                }
            }
            lines.extend(rows(way, load, &results));
        }
    }
    let header = [
        "way, ms",
        "`SET` by",
        "through",
        "commands/s",
        "p50 µs",
        "p99 µs",
        "CPU of Redis",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(lines);
    let table = Table {
        title: "Latency".to_owned(),
        rows,
    };
    println!("{}", table.text());
    if options.write {
        page::write(
            "performance.md",
            "`make bench-latency`",
            &text(&table, &options),
        )?;
    }
    Ok(())
}

fn rows(way: u64, load: Load, results: &[Vec<Result>; 2]) -> Vec<Vec<String>> {
    let row = |(name, results): (&str, &Vec<Result>)| {
        let median = |of: fn(&Result) -> f64| {
            let spread = Spread::of(results.iter().map(of));
            spread.map_or(f64::NAN, |spread| spread.median)
        };
        vec![
            format!("{}", way as f64 / 1000.0),
            load.to_string(),
            name.to_owned(),
            format!("{:.0}", median(|it| it.took.rate)),
            format!("{:.0}", median(|it| it.took.p50)),
            format!("{:.0}", median(|it| it.took.p99)),
            format!("{:.2}", median(|it| it.redis)),
        ]
    };
    ["Redis", "Respite"]
        .into_iter()
        .zip(results)
        .map(row)
        .collect()
}

fn text(table: &Table, options: &Options) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "`SET` of 64 bytes, one command at a time for each client, all on one machine ({cores} cores); medians of {} rounds of {} ms. CPU is microseconds of Redis' processor time for \
         a command.\n\n{}",
        options.rounds,
        options.millis,
        table.markdown()
    )
}

impl Options {
    fn from_args() -> Self {
        Self {
            rounds: args::number("--rounds", 3),
            millis: args::number("--millis", 500),
            write: args::has("--write"),
        }
    }
}
