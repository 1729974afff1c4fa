//! Clients that wait in `BLPOP`, and one that pushes what they pop.

use std::io::{self, Read, Write};
use std::net::TcpStream as Plain;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::packets::wrong;

const LIST: &str = "blocked";
const DIGITS: usize = 12;
/// Elements that are pushed in one packet.
const PACKET: usize = 16;
/// Elements that may be on their way.
const ON_THEIR_WAY: usize = 256;
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients that wait, and the one that pushes.
pub(crate) struct Waiting {
    poll: Poll,
    poppers: Vec<(TcpStream, Vec<u8>)>,
    pusher: TcpStream,
    pop: Vec<u8>,
}

/// What came of it.
pub(crate) struct Popped {
    pub(crate) pops: u64,
    pub(crate) rate: f64,
    /// Microseconds from a push to its pop.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Waiting {
    /// Clients whose `BLPOP` is on its way; they wait when `blocked` says so many.
    pub(crate) fn connect(port: u16, clients: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let pop = format!(
            "*3\r\n$5\r\nBLPOP\r\n${}\r\n{LIST}\r\n$1\r\n0\r\n",
            LIST.len()
        );
        let mut waiting = Self {
            pusher: connect(port, clients, &poll)?,
            poppers: Vec::new(),
            poll,
            pop: pop.into_bytes(),
        };
        for n in 0..clients {
            let mut stream = connect(port, n, &waiting.poll)?;
            stream.write_all(&waiting.pop)?;
            waiting.poppers.push((stream, Vec::new()));
        }
        Ok(waiting)
    }

    /// Pushes and pops for so long, and until all is popped: each element once.
    pub(crate) fn play(&mut self, time: Duration) -> io::Result<Popped> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 4096];
        let mut pushed: Vec<Instant> = Vec::new();
        let mut popped = vec![];
        let (mut unanswered, mut line, mut count) = (0, Vec::new(), 0);
        let mut took: Vec<u32> = Vec::new();
        let start = Instant::now();
        loop {
            let goes_on = start.elapsed() < time;
            if goes_on && unanswered == 0 && pushed.len() + PACKET <= count + ON_THEIR_WAY {
                let now = Instant::now();
                let packet = push(pushed.len());
                self.pusher.write_all(&packet)?;
                pushed.extend([now; PACKET]);
                popped.extend([false; PACKET]);
                unanswered = PACKET;
            }
            if !goes_on && unanswered == 0 && count == pushed.len() {
                break;
            }
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                let all = pushed.len();
                return Err(io::Error::other(format!("{count} of {all} were popped")));
            }
            for event in &events {
                let Token(n) = event.token();
                if n == self.poppers.len() {
                    let got = self.pusher.read(&mut buffer)?;
                    line.extend_from_slice(&buffer[..got]);
                    unanswered -= lengths(&mut line)?;
                    continue;
                }
                let (stream, reply) = &mut self.poppers[n];
                let got = stream.read(&mut buffer)?;
                reply.extend_from_slice(&buffer[..got]);
                let Some(number) = element(reply)? else {
                    if got == 0 {
                        return Err(io::Error::other("a client was closed"));
                    }
                    continue;
                };
                match popped.get_mut(number) {
                    Some(done @ false) => *done = true,
                    _ => return Err(wrong("not an element that was due", reply)),
                }
                let nanos = pushed[number].elapsed().as_nanos();
                took.push(u32::try_from(nanos).unwrap_or(u32::MAX));
                count += 1;
                reply.clear();
                stream.write_all(&self.pop)?;
            }
        }
        let lasted = start.elapsed().as_secs_f64();
        took.sort_unstable();
        let at = |part: f64| f64::from(took[(count as f64 * part) as usize]) / 1000.0;
        Ok(Popped {
            pops: count as u64,
            rate: count as f64 / lasted,
            p50: at(0.5),
            p99: at(0.99),
        })
    }
}

fn connect(port: u16, n: usize, poll: &Poll) -> io::Result<TcpStream> {
    let stream = Plain::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry()
        .register(&mut stream, Token(n), Interest::READABLE)?;
    Ok(stream)
}

/// Pushes of elements that are numbers, the next ones.
fn push(next: usize) -> Vec<u8> {
    let length = LIST.len();
    let one = |n: usize| {
        format!("*3\r\n$5\r\nRPUSH\r\n${length}\r\n{LIST}\r\n${DIGITS}\r\n{n:0DIGITS$}\r\n")
    };
    (next..next + PACKET)
        .map(one)
        .collect::<String>()
        .into_bytes()
}

/// How many replies to pushes there are, which are taken away.
fn lengths(lines: &mut Vec<u8>) -> io::Result<usize> {
    let mut count = 0;
    while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
        if lines[0] != b':' {
            return Err(wrong("not the reply to a push", lines));
        }
        lines.drain(..=end);
        count += 1;
    }
    Ok(count)
}

/// The number in a reply to `BLPOP`, if it is all there.
fn element(reply: &[u8]) -> io::Result<Option<usize>> {
    let head = format!("*2\r\n${}\r\n{LIST}\r\n${DIGITS}\r\n", LIST.len());
    let known = reply.len().min(head.len());
    let whole = head.len() + DIGITS + 2;
    if reply[..known] != head.as_bytes()[..known] || reply.len() > whole {
        return Err(wrong("not the reply to a pop", reply));
    }
    if reply.len() < whole {
        return Ok(None);
    }
    let digits = std::str::from_utf8(&reply[head.len()..head.len() + DIGITS]);
    let number = digits.ok().and_then(|digits| digits.parse().ok());
    number.map(Some).ok_or_else(|| wrong("not a number", reply))
}
