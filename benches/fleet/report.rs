//! The report, as Markdown.

use std::fmt::Write;
use std::io;

const BEGIN: &str = "<!-- begin of what `make bench-fleet` writes -->";
const END: &str = "<!-- end of what `make bench-fleet` writes -->";

/// Shards being polled.
pub(crate) struct Polls {
    pub(crate) name: String,
    pub(crate) per_second: f64,
    pub(crate) failures: u64,
    pub(crate) cores: f64,
    pub(crate) late_p50: u64,
    pub(crate) late_p99: u64,
    pub(crate) bytes_per_shard: f64,
}

/// INFO beside a cached GET of the same size.
#[derive(Default)]
pub(crate) struct Serving {
    pub(crate) shards: usize,
    pub(crate) bytes: usize,
    /// Pipeline, INFO per second, GET per second.
    pub(crate) rates: Vec<(u32, f64, f64)>,
}

pub(crate) struct Report {
    shards: usize,
    pub(crate) polls: Vec<Polls>,
    pub(crate) serving: Vec<Serving>,
}

impl Report {
    pub(crate) fn new(shards: usize) -> Self {
        Report {
            shards,
            polls: Vec::new(),
            serving: Vec::new(),
        }
    }

    /// `info` is the length of the shards' INFO.
    pub(crate) fn markdown(&self, info: usize) -> String {
        let mut text = String::new();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{} simulated shards in one process, each with an INFO of {info} bytes; a machine with {cores} \
             cores, which the simulation shares:\n\n\
             | shards | polls/s | failed | CPU, cores | late, p50 | late, p99 | memory per shard | beyond its INFO |\n\
             |---|---|---|---|---|---|---|---|\n",
            self.shards
        );
        for polls in &self.polls {
            let kib = polls.bytes_per_shard / 1024.0;
            let _ = writeln!(
                text,
                "| {} | {:.0} | {} | {:.2} | {:.1} ms | {:.1} ms | {kib:.1} KiB | {:.1} KiB |",
                polls.name,
                polls.per_second,
                polls.failures,
                polls.cores,
                polls.late_p50 as f64 / 1000.0,
                polls.late_p99 as f64 / 1000.0,
                kib - info as f64 / 1024.0,
            );
        }
        text.push_str(
            "\n`INFO shard` beside a cached `GET` of a value of the same length, 50 clients, requests per second \
             (medians of alternating runs):\n\n\
             | shards | bytes | pipeline | INFO | GET | INFO/GET |\n|---|---|---|---|---|---|\n",
        );
        for serving in &self.serving {
            for (pipeline, info, get) in &serving.rates {
                let _ = writeln!(
                    text,
                    "| {} | {} | {pipeline} | {info:.0} | {get:.0} | {:.2} |",
                    serving.shards,
                    serving.bytes,
                    info / get
                );
            }
        }
        text
    }
}

pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Puts the report where docs/fleet.md has its place.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fleet.md");
    let page = std::fs::read_to_string(path)?;
    let missing = || io::Error::other("docs/fleet.md has no place for the report");
    let (before, rest) = page.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    std::fs::write(path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))
}
