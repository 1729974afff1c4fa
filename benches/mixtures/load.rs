//! Clients that send packets of commands, each when it has the replies to the one before, and look at every reply.

use std::io::{self, Read, Write};
use std::net::TcpStream as Plain;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::draws::{key, writes};
use crate::packets::{Shapes, wrong};

/// How long all clients may wait for a reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;

/// What is sent, and by how many.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) port: u16,
    pub(crate) clients: usize,
    pub(crate) pipeline: usize,
    pub(crate) value_bytes: usize,
    /// Commands in their order; after the last one the first again.
    pub(crate) draws: &'a [u32],
    /// What is added to each key.
    pub(crate) base: u32,
    /// With which of them to begin.
    pub(crate) from: usize,
    /// Threads that the clients are divided among.
    pub(crate) threads: usize,
}

/// For how long.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Over(Duration),
    /// Every command was sent once.
    Sent,
}

/// What came of it.
pub(crate) struct Played {
    pub(crate) commands: u64,
    pub(crate) rate: f64,
    /// Microseconds from a packet to the last of its replies.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Connected clients, a part of them for each thread.
pub(crate) struct Load<'a> {
    plan: Plan<'a>,
    shapes: Shapes,
    parts: Vec<Part>,
}

struct Part {
    poll: Poll,
    clients: Vec<Client>,
    /// Which command is next.
    cursor: usize,
    sent: usize,
    /// How many of what was sent were reads.
    reads: u64,
    answered: u64,
    /// Nanoseconds that packets took.
    took: Vec<u32>,
}

struct Client {
    stream: TcpStream,
    packet: Vec<u8>,
    written: usize,
    /// The first command of the packet.
    first: usize,
    /// Replies that have come, and bytes of one that has come in part.
    replies: usize,
    begun: usize,
    since: Instant,
}

/// Connects and plays.
pub(crate) fn play(plan: Plan<'_>, until: Until) -> io::Result<Played> {
    Load::connect(plan)?.play(until)
}

// === impl Load ===

impl<'a> Load<'a> {
    pub(crate) fn connect(plan: Plan<'a>) -> io::Result<Self> {
        let parts = (0..plan.threads).map(|n| {
            let poll = Poll::new()?;
            let mine = (n..plan.clients).step_by(plan.threads);
            let clients = mine
                .enumerate()
                .map(|(n, _)| Client::connect(plan.port, n, &poll));
            Ok(Part {
                clients: clients.collect::<io::Result<_>>()?,
                poll,
                cursor: plan.from + n * plan.draws.len() / plan.threads,
                sent: 0,
                reads: 0,
                answered: 0,
                took: Vec::new(),
            })
        });
        let parts = parts.collect::<io::Result<_>>()?;
        let shapes = Shapes::new(plan.value_bytes);
        Ok(Self {
            plan,
            shapes,
            parts,
        })
    }

    /// Reads that were sent.
    pub(crate) fn reads(&self) -> u64 {
        self.parts.iter().map(|part| part.reads).sum()
    }

    /// Ends when everything that was sent is answered; fails at the first reply that is not the right one.
    pub(crate) fn play(&mut self, until: Until) -> io::Result<Played> {
        let start = Instant::now();
        let (plan, shapes) = (&self.plan, &self.shapes);
        if let [part] = &mut self.parts[..] {
            part.play(plan, shapes, until)?;
        } else {
            thread::scope(|scope| {
                let parts = self.parts.iter_mut();
                let threads: Vec<_> = parts
                    .map(|part| scope.spawn(move || part.play(plan, shapes, until)))
                    .collect();
                let mut ends = threads.into_iter().map(|thread| thread.join());
                ends.try_for_each(|end| end.unwrap_or_else(|_| Err(io::Error::other("a panic"))))
            })?;
        }
        let lasted = start.elapsed().as_secs_f64();
        let commands = self.parts.iter().map(|part| part.answered).sum();
        let mut took: Vec<u32> = Vec::new();
        for part in &mut self.parts {
            took.append(&mut part.took);
        }
        took.sort_unstable();
        let at = |part: f64| f64::from(took[(took.len() as f64 * part) as usize]) / 1000.0;
        Ok(Played {
            commands,
            rate: commands as f64 / lasted,
            p50: at(0.5),
            p99: at(0.99),
        })
    }
}

// === impl Part ===

impl Part {
    fn play(&mut self, plan: &Plan<'_>, shapes: &Shapes, until: Until) -> io::Result<()> {
        let start = Instant::now();
        let goes_on = |now: Instant, sent: usize| match until {
            Until::Over(time) => now - start < time,
            Until::Sent => sent < plan.draws.len(),
        };
        let mut busy = 0;
        for n in 0..self.clients.len() {
            let now = Instant::now();
            if goes_on(now, self.sent) {
                self.send(n, now, plan, shapes)?;
                busy += 1;
            }
        }
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BYTES];
        while busy > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                return Err(io::Error::other(format!("{busy} clients wait for ever")));
            }
            for event in &events {
                let Token(n) = event.token();
                if event.is_writable() {
                    self.clients[n].flush()?;
                }
                if !event.is_readable() || !self.clients[n].receive(&mut buffer, plan, shapes)? {
                    continue;
                }
                let now = Instant::now();
                let nanos = (now - self.clients[n].since).as_nanos();
                self.took.push(u32::try_from(nanos).unwrap_or(u32::MAX));
                self.answered += plan.pipeline as u64;
                if goes_on(now, self.sent) {
                    self.send(n, now, plan, shapes)?;
                } else {
                    busy -= 1;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, n: usize, now: Instant, plan: &Plan<'_>, shapes: &Shapes) -> io::Result<()> {
        let client = &mut self.clients[n];
        client.packet.clear();
        client.first = self.cursor;
        for n in 0..plan.pipeline {
            let draw = plan.draws[(self.cursor + n) % plan.draws.len()];
            self.reads += u64::from(!writes(draw));
            shapes.request(&mut client.packet, plan.base + key(draw), writes(draw));
        }
        self.cursor = (self.cursor + plan.pipeline) % plan.draws.len();
        self.sent += plan.pipeline;
        (client.written, client.replies, client.since) = (0, 0, now);
        client.flush()
    }
}

// === impl Client ===

impl Client {
    fn connect(port: u16, n: usize, poll: &Poll) -> io::Result<Self> {
        let stream = Plain::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(n), interest)?;
        Ok(Self {
            stream,
            packet: Vec::new(),
            written: 0,
            first: 0,
            replies: 0,
            begun: 0,
            since: Instant::now(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.written < self.packet.len() {
            match self.stream.write(&self.packet[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the packet's last reply has come.
    fn receive(&mut self, buffer: &mut [u8], plan: &Plan<'_>, shapes: &Shapes) -> io::Result<bool> {
        loop {
            let n = match self.stream.read(buffer) {
                Ok(0) => return Err(io::Error::other("a client was closed")),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            self.look_at(&buffer[..n], plan, shapes)?;
            if self.replies == plan.pipeline && self.written == self.packet.len() {
                return Ok(true);
            }
            // What filled the buffer may have left something behind.
            if n < buffer.len() {
                return Ok(false);
            }
        }
    }

    fn look_at(&mut self, mut bytes: &[u8], plan: &Plan<'_>, shapes: &Shapes) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.replies == plan.pipeline {
                return Err(wrong("a reply too many", bytes));
            }
            let draw = plan.draws[(self.first + self.replies) % plan.draws.len()];
            let reply = shapes.reply(plan.base + key(draw), writes(draw));
            let (part, rest) = bytes.split_at(bytes.len().min(reply.bytes - self.begun));
            if !reply.has(part, self.begun) {
                return Err(wrong("not the reply that was due", bytes));
            }
            self.begun += part.len();
            if self.begun == reply.bytes {
                self.begun = 0;
                self.replies += 1;
            }
            bytes = rest;
        }
        Ok(())
    }
}
