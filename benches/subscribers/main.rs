//! Subscribers: what thousands of them cost, and how soon they hear, through Respite and directly in the same run.
//!
//! ```text
//! cargo bench --bench subscribers -- [--clients N] [--rounds N] [--write]
//! ```
//!
//! In every round, for all on one channel and each on a channel of its own, the clients subscribe to one server after the other,
//! and hear messages that carry the time at which they were published. `--write` puts the table into docs/performance.md.
//! `RESPITE_BIN` names another Respite.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

mod audience;
#[path = "../compare/shared.rs"]
mod shared;

use std::io;
use std::thread;

use audience::{Heard, Plan, hear};
use shared::measure::Spread;
use shared::servers::Servers;
use shared::table::Table;
use shared::{args, page};

struct Options {
    rounds: usize,
    clients: usize,
    write: bool,
}

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let plans = [
        Plan {
            name: "one channel",
            clients: options.clients,
            channels: 1,
            messages: 20,
            each_ms: 250,
        },
        Plan {
            name: "a channel each",
            clients: options.clients,
            channels: options.clients,
            messages: 4000,
            each_ms: 1,
        },
    ];
    let mut heard: Vec<[Vec<Heard>; 2]> = plans.iter().map(|_| Default::default()).collect();
    for round in 0..options.rounds {
        for (plan, heard) in plans.iter().zip(&mut heard) {
            for n in 0..2 {
                let system = (n + round) % 2;
                // New processes: what they hold is what these clients make them hold.
                let servers = Servers::start(0, options.clients + 100)?;
                let port = [servers.redis.0, servers.respite.0][system];
                heard[system].push(hear(plan, port, &servers)?);
            }
        }
    }
    let table = report(&plans, &heard);
    println!("{}", table.text());
    if options.write {
        page::write(
            "performance.md",
            "`make bench-subscribers`",
            &text(&table, &options),
        )?;
    }
    Ok(())
}

fn report(plans: &[Plan], heard: &[[Vec<Heard>; 2]]) -> Table {
    let header = [
        "subscribers of",
        "through",
        "p50 ms",
        "p99 ms",
        "CPU Redis",
        "CPU Respite",
        "KiB Redis",
        "KiB Respite",
        "at Redis",
    ];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for (plan, systems) in plans.iter().zip(heard) {
        for (name, heard) in ["Redis", "Respite"].into_iter().zip(systems) {
            let median = |of: fn(&Heard) -> f64| {
                let spread = Spread::of(heard.iter().map(of));
                spread.map_or(f64::NAN, |spread| spread.median)
            };
            let through = name == "Respite";
            let own = |of: fn(&Heard) -> f64| match through {
                true => format!("{:.2}", median(of)),
                false => "–".to_owned(),
            };
            lines.push(vec![
                plan.name.to_owned(),
                name.to_owned(),
                format!("{:.2}", median(|heard| heard.p50)),
                format!("{:.2}", median(|heard| heard.p99)),
                format!("{:.2}", median(|heard| heard.cpu[0])),
                own(|heard| heard.cpu[1]),
                format!("{:.2}", median(|heard| heard.kib[0])),
                own(|heard| heard.kib[1]),
                format!("{:.0}", median(|heard| heard.connections)),
            ]);
        }
    }
    Table {
        title: "Subscribers".to_owned(),
        rows: lines,
    }
}

fn text(table: &Table, options: &Options) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{} clients on the same machine ({cores} cores); medians of {} rounds. From when a message is published until a client has it; microseconds of processor time \
         for a message that one client gets, KiB of memory for a client, and connections of subscribers at Redis.\n\n{}",
        options.clients,
        options.rounds,
        table.markdown()
    )
}

impl Options {
    fn from_args() -> Self {
        Self {
            rounds: args::number("--rounds", 3),
            clients: args::number("--clients", 10_000),
            write: args::has("--write"),
        }
    }
}
