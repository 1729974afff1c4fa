//! What policies of admission and eviction keep of the same bytes, on made-up traces.
//!
//! `cargo bench --bench eviction [-- --write]`: a minute. `--write` puts the tables into docs/cache.md. Shows shares of reads that
//! hit, and shares of the backing's work that hits have saved.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

#[path = "../compare/page.rs"]
mod page;
mod policies;
#[path = "../compare/table.rs"]
mod table;
mod traces;

use std::io;

use policies::{Lru, Own, Policy, Quick, S3Fifo};
use table::Table;
use traces::{Trace, cost};

/// Bytes that may be kept: about a tenth and a fiftieth of all that there is.
const ROOMS: [usize; 2] = [12 * 1024 * 1024, 5 * 1024 * 1024 / 2];

type Make = fn(usize) -> Box<dyn Policy>;

const POLICIES: [(&str, Make); 6] = [
    ("Respite", |most| Box::new(Own::new(most))),
    ("LRU and marks", |most| Box::new(Lru::marked(most))),
    ("marks by cost", |most| Box::new(Lru::marked_by_cost(most))),
    ("LRU", |most| Box::new(Lru::plain(most))),
    ("S3-FIFO", |most| Box::new(S3Fifo::new(most))),
    ("quick_cache", |most| Box::new(Quick::new(most))),
];

/// Shares in percent: of the reads that hit, of the work that was saved.
fn shares(trace: &Trace, policy: &mut dyn Policy) -> [f64; 2] {
    let (mut hits, mut saved, mut work) = (0.0, 0.0, 0.0);
    // What is there at first is not judged.
    let warm = trace.reads.len() / 4;
    for (n, key) in trace.reads.iter().enumerate() {
        let hit = policy.read(*key);
        if n < warm {
            continue;
        }
        work += cost(*key);
        if hit {
            hits += 1.0;
            saved += cost(*key);
        }
    }
    let reads = (trace.reads.len() - warm) as f64;
    [hits / reads * 100.0, saved / work * 100.0]
}

fn main() -> io::Result<()> {
    let traces = traces::all();
    let mut text = String::new();
    for room in ROOMS {
        let header: Vec<String> = [format!("{} KiB", room / 1024)]
            .into_iter()
            .chain(POLICIES.map(|(name, _)| name.to_owned()))
            .collect();
        let mut tables = ["hits", "work saved"].map(|what| Table {
            title: format!("Percent of {what}, {} KiB", room / 1024),
            rows: vec![header.clone()],
        });
        for trace in &traces {
            let found = POLICIES.map(|(_, make)| shares(trace, &mut *make(room)));
            for (n, table) in tables.iter_mut().enumerate() {
                let cells = found.iter().map(|shares| format!("{:.1}", shares[n]));
                table
                    .rows
                    .push([trace.name.to_owned()].into_iter().chain(cells).collect());
            }
        }
        for table in &tables {
            println!("{}", table.text());
            text += &table.markdown();
            text.push('\n');
        }
    }
    if std::env::args().any(|arg| arg == "--write") {
        page::write("cache.md", "the eviction bench", &text)?;
    }
    Ok(())
}
