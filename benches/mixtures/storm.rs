//! Connections that are made for one command: open, `GET`, close.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::packets::{Shapes, wrong};

/// Connections at the same time.
pub(crate) const AT_ONCE: usize = 50;
/// Connections of a run: a closed one keeps its port of the 28,000 that an address has for a minute.
const MOST: u64 = 12_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of it.
pub(crate) struct Stormed {
    pub(crate) connections: u64,
    pub(crate) rate: f64,
    /// Microseconds from before a connection is opened to its reply.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// One after the other at each of many places for so long, from an address of this machine that no other run uses.
pub(crate) fn storm(
    port: u16,
    run: usize,
    keys: u32,
    value_bytes: usize,
    time: Duration,
) -> io::Result<Stormed> {
    let from = match cfg!(target_os = "linux") {
        true => Ipv4Addr::new(127, 0, 1 + (run / 250 % 250) as u8, 1 + (run % 250) as u8),
        false => Ipv4Addr::LOCALHOST,
    };
    let shapes = Shapes::new(value_bytes);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(AT_ONCE);
    let mut packet = Vec::new();
    let mut buffer = vec![0; 4 * value_bytes];
    let (mut opened, mut took) = (0, Vec::<u32>::new());
    let start = Instant::now();
    let mut open = |n: usize, poll: &Poll| {
        let since = Instant::now();
        let key = (opened * 7919 % u64::from(keys)) as u32;
        opened += 1;
        let mut stream = connect(from, port)?;
        packet.clear();
        shapes.request(&mut packet, key, false);
        stream.write_all(&packet)?;
        poll.registry()
            .register(&mut stream, Token(n), Interest::READABLE)?;
        Ok::<_, io::Error>((stream, key, since))
    };
    let mut places = Vec::new();
    for n in 0..AT_ONCE {
        places.push(Some(open(n, &poll)?));
    }
    let mut busy = AT_ONCE;
    while busy > 0 {
        poll.poll(&mut events, Some(PATIENCE))?;
        if events.is_empty() {
            return Err(io::Error::other(format!("{busy} clients wait for ever")));
        }
        for event in &events {
            let Token(n) = event.token();
            let Some((stream, key, since)) = &mut places[n] else {
                continue;
            };
            let got = match stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                got => got?,
            };
            let reply = shapes.reply(*key, false);
            // So short a reply comes in one piece.
            if got != reply.bytes || !reply.has(&buffer[..got], 0) {
                return Err(wrong("not the reply that was due", &buffer[..got]));
            }
            let nanos = since.elapsed().as_nanos();
            took.push(u32::try_from(nanos).unwrap_or(u32::MAX));
            places[n] = None;
            if start.elapsed() < time && (took.len() + AT_ONCE) as u64 <= MOST {
                places[n] = Some(open(n, &poll)?);
            } else {
                busy -= 1;
            }
        }
    }
    let lasted = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |part: f64| f64::from(took[(took.len() as f64 * part) as usize]) / 1000.0;
    Ok(Stormed {
        connections: took.len() as u64,
        rate: took.len() as f64 / lasted,
        p50: at(0.5),
        p99: at(0.99),
    })
}

fn connect(from: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if !from.eq(&Ipv4Addr::LOCALHOST) {
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}
