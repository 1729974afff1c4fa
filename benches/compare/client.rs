//! The load: runs of redis-benchmark, and a few plain connections that prepare keys, ask whether a
//! server is ready, or stay idle.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::Sample;

/// Clients of one run.
pub(crate) const CLIENTS: u32 = 50;
/// Bytes of one value.
pub(crate) const VALUE_BYTES: usize = 64;
/// Keys that a run draws from.
pub(crate) const KEYS: usize = 10_000;
/// A run that takes longer is ended and counts as failed.
const RUN_LIMIT: Duration = Duration::from_secs(60);
/// Requests written before their replies are read, when keys are prepared.
const CHUNK: usize = 500;

/// redis-benchmark, or Valkey's.
pub(crate) struct Benchmark {
    /// Where the program is.
    pub(crate) program: PathBuf,
}

impl Benchmark {
    /// The arguments of one run, with the port as text, so that the report can print them too.
    pub(crate) fn args(port: &str, test: &str, pipeline: u32, requests: &str) -> Vec<String> {
        let line = format!(
            "-h 127.0.0.1 -p {port} -t {test} -c {CLIENTS} -d {VALUE_BYTES} -P {pipeline} \
             -n {requests} -r {KEYS} --csv -q"
        );
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Runs one test against the server at `port`.
    pub(crate) fn run(
        &self,
        port: u16,
        test: &str,
        pipeline: u32,
        requests: u64,
    ) -> io::Result<Sample> {
        let args = Self::args(&port.to_string(), test, pipeline, &requests.to_string());
        let mut child = Command::new(&self.program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + RUN_LIMIT;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::other(format!("no result after {RUN_LIMIT:?}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        let mut csv = String::new();
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_string(&mut csv)?;
        }
        Sample::parse(&csv).ok_or_else(|| io::Error::other(format!("no result in {csv:?}")))
    }
}

/// A plain connection to a server on this machine.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects; every later read and write gives up after five seconds.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        // The capacity is small because thousands of these are held at once.
        Ok(Self {
            stream: BufReader::with_capacity(128, stream),
        })
    }

    /// Sends one command and returns the first line of its reply; the rest of a longer reply stays
    /// unread.
    pub(crate) fn ask(&mut self, command: &[&str]) -> io::Result<String> {
        self.stream.get_mut().write_all(&request(command))?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// Writes every key that a run may draw, so that a read finds a value.
pub(crate) fn fill_keys(port: u16) -> io::Result<()> {
    let value = "x".repeat(VALUE_BYTES);
    for_each_key(port, b"+OK\r\n".len(), |key| request(&["SET", key, &value]))
}

/// Reads every key once, so that a cache holds it.
pub(crate) fn warm_keys(port: u16) -> io::Result<()> {
    let reply_bytes = format!("${VALUE_BYTES}\r\n").len() + VALUE_BYTES + "\r\n".len();
    for_each_key(port, reply_bytes, |key| request(&["GET", key]))
}

fn for_each_key(
    port: u16,
    reply_bytes: usize,
    request_for: impl Fn(&str) -> Vec<u8>,
) -> io::Result<()> {
    let mut connection = Connection::open(port)?;
    for start in (0..KEYS).step_by(CHUNK) {
        let keys = start..KEYS.min(start + CHUNK);
        let mut replies = vec![0; reply_bytes * keys.len()];
        // The names are redis-benchmark's own: twelve digits.
        let requests: Vec<u8> = keys
            .flat_map(|n| request_for(&format!("key:{n:012}")))
            .collect();
        connection.stream.get_mut().write_all(&requests)?;
        connection.stream.read_exact(&mut replies)?;
    }
    Ok(())
}

fn request(command: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len());
    for arg in command {
        bytes += &format!("${}\r\n{arg}\r\n", arg.len());
    }
    bytes.into_bytes()
}
