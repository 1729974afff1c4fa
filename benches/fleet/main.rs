//! How many servers one Respite can watch, what each costs, and how fast `INFO` is served.
//!
//! `cargo bench --bench fleet -- [--shards N] [--seconds S] [--rounds R] [--write] [--pages]`; `--pages` measures
//! the pages of the admin listener instead. The shards are
//! simulated by one process with one port and a connection for each, so what it takes of the cores is
//! not Respite's. `--write` puts the report into docs/fleet.md.

mod client;
mod fake;
#[path = "../compare/leash.rs"]
#[allow(dead_code, reason = "shared with the comparison, which uses all of it")]
mod leash;
#[path = "../compare/page.rs"]
mod page;
mod pages;
mod report;

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Connection, benchmark};
use crate::leash::Leash;
use crate::report::{Polls, Report, Serving};

/// What the simulated shards answer.
const INFO: &str = include_str!("../../src/fleet/testdata/redis-7.0.txt");
/// The key whose value is as long as an INFO.
const KEY: &str = "bench:info";
/// How long anything may take to be ready.
const PATIENCE: Duration = Duration::from_secs(120);

struct Options {
    shards: usize,
    seconds: u64,
    rounds: usize,
    write: bool,
    pages: bool,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut options = Options {
        shards: 10_000,
        seconds: 20,
        rounds: 5,
        write: false,
        pages: false,
    };
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse().ok());
        match arg.as_str() {
            "--fake" => return fake::serve(&info(), number().unwrap_or(0)),
            "--shards" => options.shards = number().unwrap_or(options.shards),
            "--seconds" => options.seconds = number().map_or(options.seconds, |n| n as u64),
            "--rounds" => options.rounds = number().unwrap_or(options.rounds),
            "--write" => options.write = true,
            "--pages" => options.pages = true,
            // What cargo itself hands over.
            "--bench" => {}
            other => {
                eprintln!("unknown argument {other}");
                return ExitCode::from(2);
            }
        }
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn info() -> String {
    INFO.replace('\n', "\r\n")
}

/// The processes of one measurement.
struct Setup {
    respite: Leash,
    port: u16,
    /// The admin listener's.
    http: u16,
    _redis: Leash,
    _fake: Leash,
    dir: PathBuf,
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn run(options: &Options) -> io::Result<()> {
    if options.pages {
        return pages(options);
    }
    let mut report = Report::new(options.shards);
    // Idle shards at the defaults, at the rate of the target, and all of them busy.
    for (name, ops, config) in [
        ("idle, defaults (3 s)", 0, String::new()),
        (
            "2,000 a second",
            0,
            format!(
                "interval_max = \"{}ms\"\ninterval_step = \"1m\"",
                options.shards / 2
            ),
        ),
        ("busy, defaults (0.5 s)", 1000, String::new()),
    ] {
        eprintln!("{} shards, {name} …", options.shards);
        report.polls.push(polls(options, name, ops, &config)?);
    }
    for shards in [1, options.shards] {
        eprintln!("INFO and GET, {shards} shards …");
        report.serving.push(serving(options, shards)?);
    }
    let text = report.markdown(info().len());
    io::stdout().write_all(text.as_bytes())?;
    if options.write {
        page::write("fleet.md", "`make bench-fleet`", &text)?;
    }
    Ok(())
}

fn polls(options: &Options, name: &str, ops: usize, config: &str) -> io::Result<Polls> {
    let setup = Setup::start(ops, config)?;
    let before = setup.resident()?;
    setup.track(options.shards)?;
    // Until every interval is what it stays, and memory too.
    thread::sleep(Duration::from_secs(options.seconds.max(15)));
    let first = setup.look()?;
    thread::sleep(Duration::from_secs(options.seconds));
    let last = setup.look()?;
    let seconds = (last.at - first.at).as_secs_f64();
    let memory = setup.resident()?.saturating_sub(before);
    Ok(Polls {
        name: name.to_owned(),
        per_second: (last.polls - first.polls) as f64 / seconds,
        failures: last.failures - first.failures,
        cores: (last.cpu - first.cpu).as_secs_f64() / seconds,
        late_p50: last.late_p50,
        late_p99: last.late_p99,
        bytes_per_shard: memory as f64 / options.shards as f64,
    })
}

/// The pages of a fleet that is polled at the defaults.
fn pages(options: &Options) -> io::Result<()> {
    let setup = Setup::start(0, "")?;
    setup.track(options.shards)?;
    thread::sleep(Duration::from_secs(10));
    let before = setup.look()?;
    let watched = pages::Watched {
        http: setup.http,
        port: setup.port,
        cpu: &|| Ok(setup.look()?.cpu),
        resident: &|| setup.resident(),
    };
    let measured = pages::measure(&watched)?;
    let after = setup.look()?;
    let text = pages::markdown(options.shards, &measured);
    io::stdout().write_all(text.as_bytes())?;
    println(&format!(
        "failed polls meanwhile: {}; late, p99: {} ms before, {} ms after",
        after.failures - before.failures,
        before.late_p99 / 1000,
        after.late_p99 / 1000
    ))
}

fn println(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "\n{line}")
}

fn serving(options: &Options, shards: usize) -> io::Result<Serving> {
    let setup = Setup::start(0, "interval_max = \"1m\"\ninterval_step = \"1m\"")?;
    setup.track(shards)?;
    let id = format!("shard-{}", shards / 2);
    let mut client = Connection::open(setup.port)?;
    let text = client.call(&["INFO", &id])?;
    client.call(&["SET", KEY, &"x".repeat(text.len())])?;
    let mut serving = Serving {
        shards,
        bytes: text.len(),
        ..Serving::default()
    };
    for pipeline in [1, 16] {
        let (mut info, mut get) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            get.push(setup.measure(pipeline, &["GET", KEY])?);
            info.push(setup.measure(pipeline, &["INFO", &id])?);
        }
        serving.rates.push(report::rates(pipeline, &info, &get));
    }
    Ok(serving)
}

/// Counters at one moment.
struct Look {
    at: Instant,
    cpu: Duration,
    polls: u64,
    failures: u64,
    late_p50: u64,
    late_p99: u64,
}

impl Setup {
    fn start(ops: usize, config: &str) -> io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("respite-bench-fleet-{}", free_port()?));
        std::fs::create_dir_all(&dir)?;
        let fake_port = free_port()?;
        let itself = std::env::current_exe()?;
        let args = [
            "--fake".to_owned(),
            (fake_port as usize * 10_000 + ops).to_string(),
        ];
        let fake = Leash::start(&itself, &args, &[], dir.join("fake.log"))?;
        let redis_port = free_port()?;
        let line = format!("--port {redis_port} --bind 127.0.0.1 --save '' --appendonly no");
        let args: Vec<String> = line.split(' ').map(|word| word.replace('\'', "")).collect();
        let redis = Leash::start(Path::new("redis-server"), &args, &[], dir.join("redis.log"))?;
        let mut redis_conn = Connection::patiently(redis_port, PATIENCE)?;
        Connection::patiently(fake_port, PATIENCE)?;
        // Where the fake is, for `track`.
        redis_conn.call(&["SET", "fake", &fake_port.to_string()])?;
        let toml = dir.join("respite.toml");
        std::fs::write(&toml, format!("[fleet]\n{config}\n"))?;
        let (port, http) = (free_port()?, free_port()?);
        let line = format!(
            "serve --listen 127.0.0.1:{port} --upstream redis://127.0.0.1:{redis_port} --config {}",
            toml.display()
        );
        let mut args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        args.extend(["--http".to_owned(), format!("127.0.0.1:{http}")]);
        let program = Path::new(env!("CARGO_BIN_EXE_respite"));
        let respite = Leash::start(program, &args, &[], dir.join("respite.log"))?;
        Connection::patiently(port, PATIENCE)?;
        Ok(Setup {
            respite,
            port,
            http,
            _redis: redis,
            _fake: fake,
            dir,
        })
    }

    /// Has so many shards tracked, and waits until all have been polled.
    fn track(&self, shards: usize) -> io::Result<()> {
        let mut client = Connection::open(self.port)?;
        let fake = client.call(&["GET", "fake"])?;
        // As SHARD.ADD keeps them, in one go.
        let mut command = vec!["HSET".to_owned(), "respite:f:shards".to_owned()];
        for n in 0..shards {
            command.extend([format!("shard-{n}"), format!("addr=127.0.0.1%3A{fake}")]);
        }
        command.extend([String::new(), "bench".to_owned()]);
        client.call(&command)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let polled = client.call(&["SHARD.FIELDS", "MATCH", "1", "none", "PARTIAL"])?;
            if polled.matches("shard-").count() >= shards {
                return Ok(());
            }
            if Instant::now() > end {
                let words = self.respite.last_words();
                return Err(io::Error::other(format!("not all shards answer: {words}")));
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn resident(&self) -> io::Result<u64> {
        let known = self.respite.resident_bytes();
        known.ok_or_else(|| io::Error::other("the system does not tell the memory of a process"))
    }

    /// Requests per second, and microseconds of Respite's processor time for each.
    fn measure(&self, pipeline: u32, command: &[&str]) -> io::Result<(f64, f64)> {
        let before = self.look()?.cpu;
        let rate = benchmark(self.port, pipeline, command)?;
        let cpu = self.look()?.cpu - before;
        Ok((rate, cpu.as_secs_f64() * 1e6 / client::REQUESTS as f64))
    }

    fn look(&self) -> io::Result<Look> {
        let text = Connection::open(self.port)?.call(&["INFO", "respite"])?;
        let field = |name: &str| {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok());
            value.ok_or_else(|| io::Error::other(format!("no {name} in INFO respite")))
        };
        Ok(Look {
            at: Instant::now(),
            cpu: cpu_time(field("process_id")?)?,
            polls: field("fleet_polls")?,
            failures: field("fleet_poll_failures")?,
            late_p50: field("fleet_poll_late_p50_usec")?,
            late_p99: field("fleet_poll_late_p99_usec")?,
        })
    }
}

/// The processor time that a process has taken, in ticks of 10 ms.
fn cpu_time(pid: u64) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = rest
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
