//! Clients that send `SET`s, and how long each takes.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Connections that commands at a rate are spread over.
const CONNECTIONS: usize = 50;
const REPLY: &[u8] = b"+OK\r\n";
const KEYS: usize = 100_000;

/// How commands are sent.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// By so many clients, each when it has the reply to the one before.
    Clients(usize),
    /// So many in a second, when they are due.
    Rate(u64),
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::Clients(1) => write!(f, "1 client"),
            Load::Clients(n) => write!(f, "{n} clients"),
            Load::Rate(n) => write!(f, "{n}/s"),
        }
    }
}

/// How long commands took, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    pub(crate) commands: usize,
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

struct Client {
    stream: TcpStream,
    /// Since when each unanswered command is due.
    due: VecDeque<Instant>,
    /// Bytes of a reply that has come in part.
    begun: usize,
}

/// Sends commands for so long.
pub(crate) fn play(load: Load, port: u16, millis: u64) -> io::Result<Took> {
    let count = match load {
        Load::Clients(n) => n,
        Load::Rate(_) => CONNECTIONS,
    };
    let mut clients = Vec::new();
    for _ in 0..count {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        clients.push(Client {
            stream,
            due: VecDeque::new(),
            begun: 0,
        });
    }
    let start = Instant::now();
    let end = start + Duration::from_millis(millis);
    let mut took: Vec<u32> = Vec::new();
    let mut sent = 0;
    loop {
        let now = Instant::now();
        let goes_on = now < end;
        if goes_on {
            match load {
                Load::Clients(_) => {
                    for client in clients.iter_mut().filter(|client| client.due.is_empty()) {
                        client.send(sent, now)?;
                        sent += 1;
                    }
                }
                Load::Rate(rate) => {
                    let due =
                        |n: usize| start + Duration::from_nanos(n as u64 * 1_000_000_000 / rate);
                    while due(sent) <= now {
                        clients[sent % CONNECTIONS].send(sent, due(sent))?;
                        sent += 1;
                    }
                }
            }
        } else if took.len() == sent {
            break;
        }
        wait(&clients, matches!(load, Load::Rate(_)) && goes_on)?;
        for client in &mut clients {
            client.receive(&mut took)?;
        }
    }
    let lasted = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |part: f64| f64::from(took[(took.len() as f64 * part) as usize]) / 1000.0;
    Ok(Took {
        commands: took.len(),
        rate: took.len() as f64 / lasted,
        p50: at(0.5),
        p99: at(0.99),
    })
}

/// Waits for replies; for commands that are due soon only a moment.
fn wait(clients: &[Client], due: bool) -> io::Result<()> {
    let awaiting = clients.iter().filter(|client| !client.due.is_empty());
    let mut polled: Vec<PollFd<'_>> = awaiting
        .map(|client| PollFd::new(client.stream.as_fd(), PollFlags::POLLIN))
        .collect();
    if due {
        // What is due is looked at again at once, without keeping others from the processor.
        poll(&mut polled, PollTimeout::ZERO)?;
        std::thread::sleep(Duration::from_micros(20));
    } else {
        poll(&mut polled, 1000_u16)?;
    }
    Ok(())
}

impl Client {
    fn send(&mut self, n: usize, due: Instant) -> io::Result<()> {
        let key = format!("key:{:012}", n.wrapping_mul(7919) % KEYS);
        let value = "v".repeat(64);
        let command = format!(
            "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$64\r\n{value}\r\n",
            key.len()
        );
        // A few bytes always fit.
        self.stream.write_all(command.as_bytes())?;
        self.due.push_back(due);
        Ok(())
    }

    fn receive(&mut self, took: &mut Vec<u32>) -> io::Result<()> {
        if self.due.is_empty() {
            return Ok(());
        }
        let mut buffer = [0; 4096];
        let n = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(io::Error::other("closed")),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        self.begun += n;
        while self.begun >= REPLY.len() {
            self.begun -= REPLY.len();
            let due = self.due.pop_front();
            let due = due.ok_or_else(|| io::Error::other("a reply too many"))?;
            let nanos = now.saturating_duration_since(due).as_nanos();
            took.push(u32::try_from(nanos).unwrap_or(u32::MAX));
        }
        Ok(())
    }
}
