//! Round trips over the bus, beside the pattern that one writes by hand (`LPUSH` and `BRPOP` on a list of
//! requests and a list of replies per caller) on the same Redis in the same run, and beside NATS where it is installed.
//!
//! ```text
//! cargo bench --bench bus -- [--seconds N] [--rounds N] [--workers N] [--callers 1,16,64] [--ways hand,one,two,both,nats] [--million] [--write]
//! ```
//!
//! `--million` makes a million calls instead and prints the memory of Respite and Redis as they go. `--write` does
//! both and puts the tables into docs/bus.md.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

mod million;
mod nats;
mod report;
mod wire;

#[path = "../compare/leash.rs"]
mod leash;
#[path = "../compare/page.rs"]
mod page;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use leash::Leash;
use nats::Nats;
use wire::{Client, Reply};

const PAYLOAD: &[u8] = &[b'x'; 64];

/// What is measured.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Lists on the Redis itself.
    ByHand,
    /// One Respite.
    One,
    /// Callers on one Respite, workers on another.
    Two,
    /// Callers on one Respite, workers on it and on another.
    Both,
    /// No Redis and no Respite, but a nats-server.
    Nats,
}

struct Options {
    seconds: f64,
    rounds: usize,
    workers: usize,
    callers: Vec<usize>,
    ways: Vec<Way>,
    million: bool,
    write: bool,
}

/// The servers; dropping them ends them.
struct Servers {
    redis: u16,
    respites: [u16; 2],
    /// Where there is one.
    nats: Option<u16>,
    leashes: Vec<Leash>,
}

/// What one run came to.
struct Sample {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    /// Microseconds of processor time per round trip: Redis or nats-server, both Respites.
    cpu: [f64; 2],
    /// Scripts per round trip.
    scripts: f64,
}

fn main() -> io::Result<()> {
    let options = Options::from_args();
    let mut text = String::new();
    if options.write || !options.million {
        text += &round_trips(&Servers::start()?, &options)?;
    }
    if options.write || options.million {
        // Fresh ones, so that nothing of before is in their memory.
        let memory = million::run(&Servers::start()?, options.workers)?;
        text = format!("{text}\n{memory}").trim_start().to_owned();
    }
    println!("{text}");
    if options.write {
        page::write("bus.md", "`make bench-bus`", &text)?;
    }
    Ok(())
}

/// Measures all ways with each number of callers; returns the table.
fn round_trips(servers: &Servers, options: &Options) -> io::Result<String> {
    let mut ways = options.ways.clone();
    ways.retain(|way| *way != Way::Nats || servers.nats.is_some());
    let mut table = report::heading(options.workers, options.rounds, options.seconds);
    for &callers in &options.callers {
        let mut samples: Vec<Vec<Sample>> = ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for (way, samples) in ways.iter().zip(&mut samples) {
                samples.push(measure(*way, servers, callers, options)?);
            }
        }
        let by_hand = median(&samples[0]);
        for (way, samples) in ways.iter().zip(&samples) {
            table += &report::row(callers, way.name(), &median(samples), &by_hand);
        }
    }
    Ok(table)
}

fn measure(way: Way, servers: &Servers, callers: usize, options: &Options) -> io::Result<Sample> {
    let stop = Arc::new(AtomicBool::new(false));
    // Workers go on until the last caller has its reply.
    let workers_stop = Arc::new(AtomicBool::new(false));
    let workers = way.workers(servers, options.workers, &workers_stop)?;
    let port = match way {
        Way::ByHand => servers.redis,
        Way::One | Way::Two | Way::Both => servers.respites[0],
        Way::Nats => servers.nats.expect("a nats-server"),
    };
    let begin = Arc::new(Barrier::new(callers + 1));
    let threads: Vec<JoinHandle<io::Result<Vec<Duration>>>> = (0..callers)
        .map(|number| {
            let (stop, begin) = (Arc::clone(&stop), Arc::clone(&begin));
            thread::spawn(move || {
                let mut caller = way.caller(port, number)?;
                for _ in 0..20 {
                    caller.round_trip()?;
                }
                begin.wait();
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    caller.round_trip()?;
                    times.push(start.elapsed());
                }
                Ok(times)
            })
        })
        .collect();
    begin.wait();
    let before = used(servers)?;
    let start = Instant::now();
    thread::sleep(Duration::from_secs_f64(options.seconds));
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for thread in threads {
        times.extend(thread.join().expect("no panic")?);
    }
    let elapsed = start.elapsed();
    let after = used(servers)?;
    let calls = times.len() as f64;
    let per_call = |at: usize| (after[at] - before[at]) / calls;
    workers_stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().expect("no panic")?;
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    Ok(Sample {
        per_second: times.len() as f64 / elapsed.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        cpu: [per_call(0), per_call(1)],
        scripts: per_call(2),
    })
}

/// The medians of rate, p50, p99, processor times and scripts; times in microseconds.
fn median(samples: &[Sample]) -> [f64; 6] {
    let of = |pick: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    [
        of(|sample| sample.per_second),
        of(|sample| sample.p50.as_secs_f64() * 1e6),
        of(|sample| sample.p99.as_secs_f64() * 1e6),
        of(|sample| sample.cpu[0]),
        of(|sample| sample.cpu[1]),
        of(|sample| sample.scripts),
    ]
}

/// What the servers have used so far: processor time of Redis with nats-server, of which one works, and of both
/// Respites in microseconds, scripts.
fn used(servers: &Servers) -> io::Result<[f64; 3]> {
    let cpu = |leash: &Leash| cpu_time(leash.pid()).unwrap_or_default().as_secs_f64() * 1e6;
    let [redis, one, two] = [0, 1, 2].map(|at| cpu(&servers.leashes[at]));
    let nats = servers.leashes.get(3).map_or(0.0, cpu);
    let info = Client::connect(servers.redis)?.call(&[b"INFO", b"commandstats"])?;
    let info = String::from_utf8_lossy(info.text()).into_owned();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let scripts = line.and_then(|line| line.split(',').next()?.parse().ok());
    Ok([redis + nats, one + two, scripts.unwrap_or(0.0)])
}

/// Processor time that a process has used, where the system tells it.
fn cpu_time(pid: u32) -> Option<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let stats =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    let nanos = |stat: String| stat.split_whitespace().next()?.parse::<u64>().ok();
    Some(Duration::from_nanos(stats.filter_map(nanos).sum()))
}

/// A caller's connection.
enum Caller {
    /// With the list of its replies.
    ByHand(Client, Vec<u8>),
    /// With the bus.
    Respite(Client, &'static [u8]),
    /// With its number.
    Nats(Nats, usize),
}

impl Caller {
    fn round_trip(&mut self) -> io::Result<()> {
        match self {
            Caller::ByHand(client, replies) => {
                let mut request = replies.clone();
                request.push(b' ');
                request.extend_from_slice(PAYLOAD);
                client.call(&[b"LPUSH", b"requests", &request])?;
                let reply = client.call(&[b"BRPOP", replies, b"30"])?;
                assert_eq!(reply.items()[1].text(), PAYLOAD);
            }
            Caller::Respite(client, bus) => {
                let reply = client.call(&[b"BUS.CALL", bus, b"echo", b"PAYLOAD", PAYLOAD])?;
                assert_eq!(reply.text(), PAYLOAD);
            }
            Caller::Nats(nats, number) => assert_eq!(nats.request(*number, PAYLOAD)?, PAYLOAD),
        }
        Ok(())
    }
}

/// A worker's connection.
enum Worker {
    ByHand(Client),
    /// With its name.
    Respite(Client, String),
    Nats(Nats),
}

impl Way {
    fn from_arg(arg: &str) -> Self {
        match arg {
            "hand" => Way::ByHand,
            "one" => Way::One,
            "two" => Way::Two,
            "both" => Way::Both,
            "nats" => Way::Nats,
            other => panic!("unknown way {other}"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Way::ByHand => "by hand",
            Way::One => "one Respite",
            Way::Two => "two Respites",
            Way::Both => "workers on both",
            Way::Nats => "NATS",
        }
    }

    /// Each has a bus of its own, so that no Respite has had workers of another way.
    fn bus(self) -> &'static [u8] {
        match self {
            Way::ByHand | Way::Nats => b"",
            Way::One => b"one",
            Way::Two => b"two",
            Way::Both => b"both",
        }
    }

    fn caller(self, port: u16, number: usize) -> io::Result<Caller> {
        Ok(match self {
            Way::ByHand => {
                let replies = format!("replies:{number}").into_bytes();
                Caller::ByHand(Client::connect(port)?, replies)
            }
            Way::One | Way::Two | Way::Both => Caller::Respite(Client::connect(port)?, self.bus()),
            Way::Nats => Caller::Nats(Nats::caller(port, number)?, number),
        })
    }

    fn worker(self, servers: &Servers, number: usize) -> io::Result<Worker> {
        let respite = |at: usize| {
            let client = Client::connect(servers.respites[at])?;
            Ok(Worker::Respite(client, format!("worker-{number}")))
        };
        match self {
            Way::ByHand => Ok(Worker::ByHand(Client::connect(servers.redis)?)),
            Way::One => respite(0),
            Way::Two => respite(1),
            Way::Both => respite(number % 2),
            Way::Nats => {
                let port = servers.nats.expect("a nats-server");
                Ok(Worker::Nats(Nats::worker(port)?))
            }
        }
    }

    /// Starts workers that reply with what they were sent, and returns when they are there.
    fn workers(
        self,
        servers: &Servers,
        count: usize,
        stop: &Arc<AtomicBool>,
    ) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
        if !self.bus().is_empty() {
            let mut client = Client::connect(servers.respites[0])?;
            client.call(&[b"BUS.REGISTER", self.bus(), b"echo"])?;
        }
        let workers = (0..count)
            .map(|number| {
                let (stop, mut worker) = (Arc::clone(stop), self.worker(servers, number)?);
                Ok(thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        match &mut worker {
                            Worker::ByHand(client) => serve_by_hand(client)?,
                            Worker::Respite(client, name) => {
                                serve(client, self.bus(), name.as_bytes())?;
                            }
                            Worker::Nats(nats) => nats.serve()?,
                        }
                    }
                    Ok(())
                }))
            })
            .collect::<io::Result<_>>()?;
        thread::sleep(Duration::from_millis(100));
        Ok(workers)
    }
}

fn serve_by_hand(client: &mut Client) -> io::Result<()> {
    let request = client.call(&[b"BRPOP", b"requests", b"0.2"])?;
    if request == Reply::Null {
        return Ok(());
    }
    let request = request.items()[1].text();
    let space = request
        .iter()
        .position(|&byte| byte == b' ')
        .expect("a name before the payload");
    client.call(&[b"LPUSH", &request[..space], &request[space + 1..]])?;
    Ok(())
}

fn serve(client: &mut Client, bus: &[u8], name: &[u8]) -> io::Result<()> {
    let calls = client.call(&[b"BUS.FETCH", bus, name, b"echo", b"TIMEOUT", b"200"])?;
    if calls == Reply::Null {
        return Ok(());
    }
    for call in calls.items() {
        let [id, token, payload] = ["id", "token", "payload"].map(|name| call.field(name).text());
        client.call(&[b"BUS.REPLY", bus, id, token, payload])?;
    }
    Ok(())
}

impl Options {
    fn from_args() -> Self {
        let mut options = Options {
            seconds: 3.0,
            rounds: 3,
            workers: 8,
            callers: vec![1, 16, 64],
            ways: vec![Way::ByHand, Way::One, Way::Both, Way::Two, Way::Nats],
            million: false,
            write: false,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut number = || {
                args.next()
                    .and_then(|text| text.parse::<f64>().ok())
                    .expect("a number")
            };
            match arg.as_str() {
                "--seconds" => options.seconds = number(),
                "--rounds" => options.rounds = number() as usize,
                "--workers" => options.workers = number() as usize,
                "--callers" => {
                    let list = args.next().expect("numbers");
                    options.callers = list
                        .split(',')
                        .map(|n| n.parse().expect("a number"))
                        .collect();
                }
                "--ways" => {
                    let list = args.next().expect("ways");
                    options.ways = list.split(',').map(Way::from_arg).collect();
                }
                "--million" => options.million = true,
                "--write" => options.write = true,
                "--bench" => {}
                other => panic!("unknown option {other}"),
            }
        }
        options
    }
}

impl Servers {
    fn start() -> io::Result<Self> {
        let [redis, one, two] = [free_port()?, free_port()?, free_port()?];
        let log = |name: &str| {
            std::env::temp_dir().join(format!("respite-bench-{name}-{}.log", std::process::id()))
        };
        let redis_args = [
            "--port",
            &redis.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        .map(str::to_owned);
        let program = PathBuf::from("redis-server");
        let mut leashes = vec![Leash::start(&program, &redis_args, &[], log("redis"))?];
        ready(redis)?;
        for port in [one, two] {
            let args = [
                "serve".to_owned(),
                "--listen".to_owned(),
                format!("127.0.0.1:{port}"),
                "--http".to_owned(),
                String::new(),
                "--upstream".to_owned(),
                format!("redis://127.0.0.1:{redis}"),
            ];
            let program = PathBuf::from(env!("CARGO_BIN_EXE_respite"));
            leashes.push(Leash::start(&program, &args, &[], log(&port.to_string()))?);
            if let Err(error) = ready(port) {
                let words = leashes[leashes.len() - 1].last_words();
                return Err(io::Error::other(format!("{error}: {words}")));
            }
        }
        let nats = match nats::program() {
            Some(program) => {
                let port = free_port()?;
                let args = ["-a", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
                leashes.push(Leash::start(&program, &args, &[], log("nats"))?);
                until_ready(|| nats::is_ready(port))?;
                Some(port)
            }
            None => None,
        };
        Ok(Servers {
            redis,
            respites: [one, two],
            nats,
            leashes,
        })
    }
}

fn ready(port: u16) -> io::Result<()> {
    until_ready(|| {
        let mut client = Client::connect(port)?;
        client.call(&[b"PING"]).map(drop)
    })
}

fn until_ready(look: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match look() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
