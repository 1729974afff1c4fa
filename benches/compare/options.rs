//! The command line: each option is also an environment variable, `COMPARE_ROUNDS` for `--rounds`.

use std::collections::BTreeMap;
use std::env;
use std::str::FromStr;

use crate::systems::Kind;

/// Printed by `--help`.
pub(crate) const HELP: &str = "\
Runs Respite beside direct Redis and other proxies, and prints the ratios.

  cargo bench --bench compare -- [options]

  --rounds N             rounds; every ratio is taken within a round [5]
  --requests N           requests of a run at P=1; √P times as many with pipelines [120000]
  --only ROWS            of set,get,hit [all that Respite has]
  --pipelines N,…        requests in flight per client [1,16,64]
  --systems NAMES        of respite,twemproxy,envoy, next to direct [all that are found]
  --workers N            Respite's workers [its own choice]
  --idle N               idle connections whose memory is measured, 0 for none [5000]
  --quick                a look in half a minute: 2 rounds, 20000 requests, 1000 connections
  --write                writes the report to docs/benchmarks.md

An option is also read from the environment: COMPARE_ROUNDS=3 is --rounds 3.
RESPITE_BIN names another Respite to measure.
";

/// One line of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// `SET`: every one goes to the backing Redis.
    Set,
    /// `GET` that goes to the backing Redis.
    Get,
    /// `GET` of a key that Respite's cache holds.
    Hit,
}

/// What to run.
pub(crate) struct Options {
    /// Rounds.
    pub(crate) rounds: usize,
    /// Requests of a run without pipelining.
    pub(crate) requests: u32,
    /// Rows.
    pub(crate) rows: Vec<Row>,
    /// Requests in flight per client.
    pub(crate) pipelines: Vec<u32>,
    /// Systems other than direct Redis, in the order of the report; none: those that are found.
    pub(crate) systems: Option<Vec<Kind>>,
    /// Respite's workers.
    pub(crate) workers: Option<u16>,
    /// Idle connections.
    pub(crate) idle: usize,
    /// Whether the report is written to its file.
    pub(crate) write: bool,
    /// Whether this is only a look.
    pub(crate) quick: bool,
}

// === impl Row ===

impl Row {
    const ALL: [Self; 3] = [Self::Set, Self::Get, Self::Hit];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Get => "get",
            Self::Hit => "hit",
        }
    }

    /// The name in the report.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Set => "SET forwarded",
            Self::Get => "GET forwarded",
            Self::Hit => "GET from the cache",
        }
    }

    /// The name for redis-benchmark.
    pub(crate) fn test(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Get | Self::Hit => "get",
        }
    }
}

// === impl Options ===

impl Options {
    const VALUED: [&str; 7] = [
        "rounds",
        "requests",
        "only",
        "pipelines",
        "systems",
        "workers",
        "idle",
    ];
    const FLAGS: [&str; 2] = ["quick", "write"];

    /// Reads the arguments, and the environment for what they leave out.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let name = arg.strip_prefix("--").unwrap_or_default();
            let (name, inline) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            if Self::VALUED.contains(&name) {
                let value = inline.or_else(|| args.next());
                given.insert(
                    name.to_owned(),
                    value.ok_or(format!("--{name} needs a value"))?,
                );
            } else if Self::FLAGS.contains(&name) && inline.is_none() {
                given.insert(name.to_owned(), "1".to_owned());
            } else if arg != "--bench" {
                // `cargo bench` adds --bench itself.
                return Err(format!("unknown argument {arg:?}; --help lists them"));
            }
        }
        let text = |name: &str| {
            let variable = format!("COMPARE_{}", name.to_uppercase());
            given
                .get(name)
                .cloned()
                .or_else(|| env::var(variable).ok())
                .filter(|v| !v.is_empty())
        };
        let quick = text("quick").is_some();
        let rows = list(text("only"), |name| {
            Row::ALL.into_iter().find(|row| row.name() == name)
        })?;
        let systems = list(text("systems"), |name| {
            Kind::ALL.into_iter().find(|kind| kind.name() == name)
        })?;
        let options = Self {
            rounds: number(text("rounds"))?.unwrap_or(if quick { 2 } else { 5 }),
            requests: number(text("requests"))?.unwrap_or(if quick { 20_000 } else { 120_000 }),
            rows: rows.unwrap_or(Row::ALL.to_vec()),
            pipelines: list(text("pipelines"), |n| n.parse().ok())?.unwrap_or(vec![1, 16, 64]),
            systems,
            workers: number(text("workers"))?,
            idle: number(text("idle"))?.unwrap_or(if quick { 1_000 } else { 5_000 }),
            write: text("write").is_some(),
            quick,
        };
        if options.rounds == 0 || options.requests == 0 || options.pipelines.contains(&0) {
            return Err("rounds, requests and pipelines must be at least 1".to_owned());
        }
        Ok(options)
    }

    /// Requests of one run: enough with pipelines, too, for a run to take about a second.
    pub(crate) fn requests_at(&self, pipeline: u32) -> u64 {
        let root = u64::from(pipeline.isqrt().max(1));
        u64::from(self.requests) * root
    }
}

fn number<T: FromStr>(text: Option<String>) -> Result<Option<T>, String> {
    text.map(|text| {
        text.parse()
            .map_err(|_| format!("not a valid number: {text}"))
    })
    .transpose()
}

fn list<T: PartialEq>(
    text: Option<String>,
    item: impl Fn(&str) -> Option<T>,
) -> Result<Option<Vec<T>>, String> {
    let Some(text) = text else { return Ok(None) };
    let mut items = Vec::new();
    for name in text.split(',').map(str::trim) {
        let found = item(name).ok_or(format!("not one of the choices: {name:?}"))?;
        if !items.contains(&found) {
            items.push(found);
        }
    }
    Ok(Some(items))
}
