//! The report: tables for the terminal, and the same with everything needed to repeat them as
//! Markdown.

use std::fmt::Write;
use std::path::PathBuf;

use crate::client::{Benchmark, CLIENTS, KEYS, VALUE_BYTES};
use crate::idle::Idle;
use crate::machine::Machine;
use crate::measure::{Sample, Spread};
use crate::options::{Options, Row};
use crate::systems::{Kind, Ports, Setting};
use crate::table::Table;

/// All runs of one row at one pipeline depth.
pub(crate) struct Cell {
    /// The row.
    pub(crate) row: Row,
    /// Requests in flight per client.
    pub(crate) pipeline: u32,
    /// For every system that ran here, a sample per round; none where the run failed.
    pub(crate) runs: Vec<(Kind, Vec<Option<Sample>>)>,
}

/// Everything that was measured.
pub(crate) struct Report<'a> {
    /// Where.
    pub(crate) machine: Machine,
    /// With which options.
    pub(crate) options: &'a Options,
    /// With which settings of the systems.
    pub(crate) setting: &'a Setting,
    /// The systems, in order; direct Redis is the first.
    pub(crate) kinds: Vec<Kind>,
    /// Throughput and latency.
    pub(crate) cells: Vec<Cell>,
    /// Memory of idle connections.
    pub(crate) idle: Vec<Idle>,
    /// The benchmark program's own version.
    pub(crate) benchmark_version: String,
}

// === impl Cell ===

impl Cell {
    fn samples(&self, kind: Kind) -> &[Option<Sample>] {
        self.runs
            .iter()
            .find(|(k, _)| *k == kind)
            .map_or(&[], |(_, samples)| samples)
    }

    /// Ratios to direct Redis, each within one round.
    fn ratio(&self, kind: Kind) -> Option<Spread> {
        let rounds = self.samples(kind).iter().zip(self.samples(Kind::Direct));
        Spread::of(
            rounds.filter_map(|(mine, direct)| Some(mine.as_ref()?.rps / direct.as_ref()?.rps)),
        )
    }

    /// The median of one number over the rounds.
    fn median(&self, kind: Kind, number: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let numbers = self.samples(kind).iter().flatten().filter_map(number);
        Spread::of(numbers).map(|spread| spread.median)
    }
}

// === impl Report ===

impl Report<'_> {
    /// The tables for the terminal.
    pub(crate) fn text(&self) -> String {
        let tables: Vec<String> = self.tables().iter().map(Table::text).collect();
        format!("\n{}\n{}\n", tables.join("\n"), self.caveat())
    }

    /// The whole report as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("# Respite beside direct Redis and other proxies\n\n");
        text += "Written by `make bench`; edits are lost with its next run.\n\n";
        let _ = writeln!(text, "{}\n\n## Results\n", self.caveat());
        for table in self.tables() {
            let _ = writeln!(text, "{}", table.markdown());
        }
        text += &self.circumstances();
        text
    }

    fn caveat(&self) -> String {
        let quick = if self.options.quick {
            " A quick look: too short to rely on."
        } else {
            ""
        };
        format!(
            "Everything shares the machine's {} cores: the load generator, the backing Redis and \
             the system under test. A ratio is a system's requests per second over those of direct \
             Redis in the same round; shown is the median of {} rounds and, in brackets, the \
             smallest and the largest.{quick}",
            self.machine.cores, self.options.rounds,
        )
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for row in &self.options.rows {
            let cells: Vec<&Cell> = self.cells.iter().filter(|cell| cell.row == *row).collect();
            let ratios = |kind| move |cell: &&Cell| cell.ratio(kind).map(|ratio| ratio.to_string());
            let title = format!("{}, ratio to direct Redis", row.title());
            tables.push(self.by_pipeline(title, &cells, 1, ratios));
            let rates =
                |kind| move |cell: &&Cell| cell.median(kind, |s| Some(s.rps)).map(thousands);
            let title = format!("{}, requests per second", row.title());
            tables.push(self.by_pipeline(title, &cells, 0, rates));
        }
        tables.extend(self.latency());
        tables.push(self.memory());
        tables.retain(|table| table.rows.len() > 1);
        tables
    }

    /// One line per system from `skip` on that ran in these cells, one column per pipeline depth.
    fn by_pipeline<F>(
        &self,
        title: String,
        cells: &[&Cell],
        skip: usize,
        show: impl Fn(Kind) -> F,
    ) -> Table
    where
        F: Fn(&&Cell) -> Option<String>,
    {
        let depths = cells.iter().map(|cell| format!("P={}", cell.pipeline));
        let mut rows = vec![[String::new()].into_iter().chain(depths).collect()];
        for kind in self.kinds.iter().skip(skip) {
            if cells.iter().any(|cell| !cell.samples(*kind).is_empty()) {
                let shown = cells.iter().map(show(*kind)).map(or_dash);
                rows.push([kind.title().to_owned()].into_iter().chain(shown).collect());
            }
        }
        Table { title, rows }
    }

    fn latency(&self) -> Option<Table> {
        let cells: Vec<&Cell> = self
            .cells
            .iter()
            .filter(|cell| cell.pipeline == 1)
            .collect();
        let mut header = vec![String::new()];
        for cell in &cells {
            header.extend(["p50", "p99"].map(|name| format!("{} {name}", cell.row.title())));
        }
        let mut rows = vec![header];
        for kind in &self.kinds {
            let mut line = vec![kind.title().to_owned()];
            for cell in &cells {
                let p50 = cell.median(*kind, |sample| sample.p50_ms);
                let p99 = cell.median(*kind, |sample| sample.p99_ms);
                line.extend([p50, p99].map(|ms| or_dash(ms.map(|ms| format!("{ms:.3}")))));
            }
            rows.push(line);
        }
        let title = "Latency in ms with P=1, medians over the rounds".to_owned();
        (!cells.is_empty()).then_some(Table { title, rows })
    }

    fn memory(&self) -> Table {
        let header = ["", "connections", "per connection", "after the start"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for idle in &self.idle {
            rows.push(vec![
                idle.kind.title().to_owned(),
                idle.connections.to_string(),
                format!("{:.1} KiB", idle.bytes_each / 1024.0),
                format!("{} MiB", idle.base_bytes >> 20),
            ]);
        }
        let title = "Resident memory of idle connections".to_owned();
        Table { title, rows }
    }

    /// Machine, versions, commands and configurations.
    fn circumstances(&self) -> String {
        let Machine {
            date,
            cores,
            processor,
            kernel,
            load,
        } = &self.machine;
        let mut text = String::from("## Circumstances\n\n");
        let _ = writeln!(
            text,
            "- {date} (UTC), load average before the start: {load}"
        );
        let _ = writeln!(text, "- {cores} cores, {processor}, {kernel}");
        let _ = writeln!(text, "- {}", self.benchmark_version);
        for kind in &self.kinds {
            let version = kind
                .version()
                .unwrap_or_else(|| "version unknown".to_owned());
            let _ = writeln!(text, "- {}: {version}", kind.title());
        }
        let _ = writeln!(
            text,
            "\n{CLIENTS} clients, values of {VALUE_BYTES} bytes, {KEYS} keys, all written before \
             the start. Within a round, the systems of one column run directly after one another, \
             in an order that rotates. P is the number of requests that a client has in flight. \
             Memory is measured on a process just started, whose connections each sent one `PING`.\n"
        );
        text += "```sh\n";
        for cell in &self.cells {
            let requests = self.options.requests_at(cell.pipeline).to_string();
            let args = Benchmark::args("PORT", cell.row.test(), cell.pipeline, &requests);
            let line = format!("redis-benchmark {}", args.join(" "));
            if !text.contains(&line) {
                let _ = writeln!(text, "{line}");
            }
        }
        text += "\n";
        let mut files = String::new();
        let has_hit = self.options.rows.contains(&Row::Hit);
        for kind in &self.kinds {
            let _ = writeln!(text, "{}", self.command(*kind));
            if *kind == Kind::Respite && has_hit && self.options.rows.contains(&Row::Get) {
                let uncached = self.command(Kind::Uncached);
                let _ = writeln!(text, "{uncached}   # for {}", Row::Get.title());
            }
            if let Some((name, config)) = kind.config(&named_ports()) {
                let _ = writeln!(files, "\n`{name}`:\n\n```yaml\n{config}```");
            }
        }
        text + "```\n" + &files
    }

    /// The command that starts a system, without this machine's folders and ports.
    fn command(&self, kind: Kind) -> String {
        let setting = Setting {
            dir: PathBuf::new(),
            env: self.setting.env.clone(),
            ..*self.setting
        };
        let env = kind
            .env(&setting)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        let program = kind.program().unwrap_or_default();
        let program = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let quote = |arg: String| if arg.is_empty() { "''".to_owned() } else { arg };
        let args = kind.args(&setting, &named_ports()).into_iter().map(quote);
        env.chain([program])
            .chain(args)
            .collect::<Vec<String>>()
            .join(" ")
    }
}

fn named_ports() -> Ports {
    let [own, backing, spare] = ["PORT", "REDIS", "SPARE"].map(str::to_owned);
    Ports {
        own,
        backing,
        spare,
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

/// A whole number with its thousands apart.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
