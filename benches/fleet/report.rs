//! The report, as Markdown.

use std::fmt::Write;

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
    pub(crate) rates: Vec<Rates>,
}

/// Medians over all rounds at one depth of the pipeline.
pub(crate) struct Rates {
    pipeline: u32,
    /// Requests per second.
    info: f64,
    get: f64,
    /// Of the two runs of one round.
    ratio: f64,
    /// Microseconds of processor time per request.
    info_cpu: f64,
    get_cpu: f64,
}

/// Rates and processor times, round by round.
pub(crate) fn rates(pipeline: u32, info: &[(f64, f64)], get: &[(f64, f64)]) -> Rates {
    let rates = |runs: &[(f64, f64)]| median(runs.iter().map(|run| run.0).collect());
    let cpu = |runs: &[(f64, f64)]| median(runs.iter().map(|run| run.1).collect());
    Rates {
        pipeline,
        info: rates(info),
        get: rates(get),
        ratio: median(
            info.iter()
                .zip(get)
                .map(|(info, get)| info.0 / get.0)
                .collect(),
        ),
        info_cpu: cpu(info),
        get_cpu: cpu(get),
    }
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
             | shards | bytes | pipeline | INFO | GET | INFO/GET | CPU of Respite: INFO | GET |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for serving in &self.serving {
            for rates in &serving.rates {
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {:.0} | {:.0} | {:.2} | {:.1} µs | {:.1} µs |",
                    serving.shards,
                    serving.bytes,
                    rates.pipeline,
                    rates.info,
                    rates.get,
                    rates.ratio,
                    rates.info_cpu,
                    rates.get_cpu
                );
            }
        }
        text
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
