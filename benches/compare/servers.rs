//! The servers, one run of redis-benchmark against one of them, and what it cost.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::leash::Leash;
use super::measure::Sample;

/// How long a server may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(15);

/// The Redis and the Respite in front of it; dropping them ends them.
pub(crate) struct Servers {
    pub(crate) redis: (u16, Leash),
    pub(crate) respite: (u16, Leash),
}

/// A connection for single commands.
pub(crate) struct Connection(BufReader<TcpStream>);

/// What one run came to: requests in a second, and microseconds of processor time for each, of Redis and of Respite.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) rps: f64,
    pub(crate) redis: f64,
    pub(crate) respite: f64,
}

/// How a run is made.
pub(crate) struct Run<'a> {
    pub(crate) port: u16,
    pub(crate) command: &'a [String],
    pub(crate) pipeline: u32,
    pub(crate) clients: u32,
    pub(crate) requests: u64,
}

// === impl Servers ===

impl Servers {
    /// Starts both, with so many workers (0: as many as Respite finds right), for so many clients.
    pub(crate) fn start(workers: u16, clients: usize) -> io::Result<Self> {
        Self::behind(workers, clients, |redis| redis)
    }

    /// The same with something between them: `way` leads to a port of Redis and says by which port.
    pub(crate) fn behind(
        workers: u16,
        clients: usize,
        way: impl FnOnce(u16) -> u16,
    ) -> io::Result<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reads");
        fs::create_dir_all(&dir)?;
        let words = |line: &str| -> Vec<String> {
            let words = line.split_whitespace().map(str::to_owned);
            // The value of the last option: no snapshots, no HTTP.
            words.chain([String::new()]).collect()
        };
        let redis = free_port()?;
        let line = format!(
            "--bind 127.0.0.1 --port {redis} --appendonly no --maxclients {clients} --save"
        );
        let program = Path::new("redis-server");
        let child = Leash::start(program, &words(&line), &[], dir.join("redis.log"))?;
        wait_until_ready(redis)?;
        let respite = free_port()?;
        let upstream = way(redis);
        let line = format!(
            "serve --upstream redis://127.0.0.1:{upstream} --listen 127.0.0.1:{respite} --http"
        );
        let named = std::env::var("RESPITE_BIN").ok();
        let program = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_respite").to_owned());
        let env = [
            ("RESPITE_WORKERS".to_owned(), workers.to_string()),
            ("RESPITE_LIMITS__CLIENTS".to_owned(), clients.to_string()),
        ];
        let log = dir.join("respite.log");
        let front = Leash::start(Path::new(&program), &words(&line), &env, log)?;
        wait_until_ready(respite)?;
        Ok(Self {
            redis: (redis, child),
            respite: (respite, front),
        })
    }

    /// Makes a run, and looks at what both servers have used meanwhile.
    pub(crate) fn run(&self, run: &Run<'_>) -> io::Result<Cost> {
        let times = || [&self.redis, &self.respite].map(|(_, process)| cpu_time(process.pid()));
        let before = times();
        let sample = run.make()?;
        let after = times();
        let each = |n: usize| {
            let used = after[n].saturating_sub(before[n]);
            used.as_secs_f64() * 1e6 / run.requests as f64
        };
        Ok(Cost {
            rps: sample.rps,
            redis: each(0),
            respite: each(1),
        })
    }
}

fn wait_until_ready(port: u16) -> io::Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        match Connection::open(port).and_then(|mut client| client.ask(&["GET", "none"])) {
            Ok(line) if line.starts_with('$') => return Ok(()),
            reply if Instant::now() > deadline => {
                return Err(io::Error::other(format!("not ready: {reply:?}")));
            }
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// What a process has used of the processors.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).ok();
    let nanos = |stat: String| stat.split_whitespace().next()?.parse::<u64>().ok();
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().filter_map(Result::ok);
    Duration::from_nanos(tasks.filter_map(stat).filter_map(nanos).sum())
}

// === impl Run ===

impl Run<'_> {
    fn make(&self) -> io::Result<Sample> {
        let line = format!(
            "-h 127.0.0.1 -p {} -c {} -P {} -n {} -r 1000000000 --csv -q",
            self.port, self.clients, self.pipeline, self.requests
        );
        let output = Command::new("redis-benchmark")
            .args(line.split_whitespace())
            .args(self.command)
            .output()?;
        let csv = String::from_utf8_lossy(&output.stdout).into_owned();
        Sample::parse(&csv).ok_or_else(|| io::Error::other(format!("no result in {csv:?}")))
    }
}

// === impl Connection ===

impl Connection {
    /// Connects; every later read and write gives up after five seconds.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let limit = Duration::from_secs(5);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&addr, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command and returns the first line of its reply, which has to be all of it.
    pub(crate) fn ask(&mut self, command: &[&str]) -> io::Result<String> {
        let mut bytes = format!("*{}\r\n", command.len());
        for word in command {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(bytes.as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Reads so many bytes more.
    pub(crate) fn read(&mut self, bytes: usize) -> io::Result<String> {
        let mut text = vec![0; bytes];
        self.0.read_exact(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
