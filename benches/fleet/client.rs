//! Connections that ask one thing after the other, and runs of redis-benchmark.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Requests of one run.
pub(crate) const REQUESTS: usize = 200_000;

pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let reader = BufReader::new(stream);
        Ok(Connection { reader })
    }

    /// Waits until a server is there that answers.
    pub(crate) fn patiently(port: u16, limit: Duration) -> io::Result<Self> {
        let end = Instant::now() + limit;
        loop {
            let opened = Self::open(port).and_then(|mut opened| {
                opened.call(&["PING"])?;
                Ok(opened)
            });
            if opened.is_ok() || Instant::now() > end {
                return opened;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The text of a reply; of a list, its items' texts in lines.
    pub(crate) fn call(&mut self, command: &[impl AsRef<str>]) -> io::Result<String> {
        let mut request = format!("*{}\r\n", command.len());
        for word in command {
            let word = word.as_ref();
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.reader.get_mut().write_all(request.as_bytes())?;
        self.read()
    }

    fn read(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.get(1..).unwrap_or_default().trim_end().to_owned();
        match line.as_bytes()[0] {
            b'-' => Err(io::Error::other(text)),
            b'$' => {
                let Ok(len) = text.parse::<usize>() else {
                    return Ok(String::new());
                };
                let mut bytes = vec![0; len + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(len);
                String::from_utf8(bytes).map_err(io::Error::other)
            }
            b'*' => {
                let count = text.parse().map_err(io::Error::other)?;
                let items: io::Result<Vec<String>> = (0..count).map(|_: u64| self.read()).collect();
                Ok(items?.join("\n"))
            }
            _ => Ok(text),
        }
    }
}

/// Requests per second.
pub(crate) fn benchmark(port: u16, pipeline: u32, command: &[&str]) -> io::Result<f64> {
    let line = format!("-h 127.0.0.1 -p {port} -c 50 -P {pipeline} -n {REQUESTS} --csv");
    let output = Command::new("redis-benchmark")
        .args(line.split(' '))
        .args(command)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    let rate = last
        .split("\",\"")
        .nth(1)
        .and_then(|rate| rate.trim_matches('"').parse().ok());
    rate.ok_or_else(|| io::Error::other(format!("redis-benchmark said {text:?}")))
}
