//! What the loads of users do, beside direct Redis in the same run: skewed keys, many connections, short connections, large
//! values, several workers, RESP3, and clients that wait.
//!
//! ```text
//! cargo bench --bench mixtures -- [--rounds N] [--millis N] [--only ROW] [--quick] [--write]
//! ```
//!
//! Each row starts servers of its own. In every round, and for every case of the row, the systems are measured directly after
//! one another, each time another one first; a ratio is taken within a round. A reply that is not the right one ends the run with an error.
//! `--only` takes `zipf`, `crowds`, `storms`, `values`, `workers`, `resp3` or `blocked`; `--quick` is a look in a minute or two;
//! `--write` puts the tables into docs/performance.md. `RESPITE_BIN` names another Respite.
//!
//! # Layout
//!
//! `packets` and `draws` (what is sent) · `load`, `storm`, `pops` (clients) · `stage` (servers, and what they use) · `report` (rounds
//! and tables) · `rows`, `workers` (what is measured).
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

#[path = "../compare/client.rs"]
#[allow(dead_code, reason = "what `systems` and some rows ask of it")]
mod client;
mod draws;
mod load;
mod options;
mod packets;
mod pops;
mod report;
mod rows;
#[path = "../compare/shared.rs"]
mod shared;
mod stage;
mod storm;
#[path = "../compare/systems.rs"]
#[allow(dead_code, reason = "not every system is started")]
mod systems;
mod workers;

use std::io;
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use options::Options;
use shared::table::Table;
// What `client` and `systems` find at the root.
use shared::{leash, measure, page};

/// A name for `--only`, and what is measured.
type Row = (&'static str, fn(&Options) -> io::Result<Vec<Table>>);

const ROWS: [Row; 7] = [
    ("zipf", rows::zipf),
    ("crowds", rows::crowds),
    ("storms", rows::storms),
    ("values", rows::values),
    ("workers", workers::measure),
    ("resp3", rows::resp3),
    ("blocked", rows::blocked),
];

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let only = options.only.as_deref();
    if options.write && only.is_some() {
        return Err(io::Error::other("--write takes the place of all tables"));
    }
    let chosen = |(name, _): &&Row| only.is_none_or(|only| only == *name);
    let rows: Vec<&Row> = ROWS.iter().filter(chosen).collect();
    if rows.is_empty() {
        let names = ROWS.map(|(name, _)| name).join(", ");
        return Err(io::Error::other(format!("--only takes one of {names}")));
    }
    let mut tables = Vec::new();
    for (_, measure) in rows {
        let measured = measure(&options)?;
        measured
            .iter()
            .for_each(|table| println!("{}", table.text()));
        tables.extend(measured);
    }
    if options.write {
        let marks = ["begin", "end"].map(|at| format!("<!-- mixtures: {at} -->"));
        page::between("performance.md", &marks, &text(&tables, &options))?;
    }
    Ok(())
}

fn text(tables: &[Table], options: &Options) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let tables: Vec<String> = tables.iter().map(Table::markdown).collect();
    format!(
        "All on one machine ({cores} cores); medians of {} rounds (lowest and highest ratio), runs of {} ms.\n\n{}",
        options.rounds,
        options.time.as_millis(),
        tables.join("\n")
    )
}
