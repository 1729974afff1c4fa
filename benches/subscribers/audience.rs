//! Clients that subscribe and listen, and one that publishes.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::shared::servers::{Connection, Servers, cpu_time};

/// In front of the nanoseconds in a message.
const MARK: &[u8] = b"at:";
const DIGITS: usize = 20;
/// Bytes of a message, with what it takes to be 64.
const PADDING: usize = 64 - MARK.len() - DIGITS;
/// How long the last message may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who listens to what.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) clients: usize,
    pub(crate) channels: usize,
    pub(crate) messages: usize,
    pub(crate) each_ms: u64,
}

/// What came of it, of Redis first and of Respite behind it where there are two.
pub(crate) struct Heard {
    /// Milliseconds until a client had a message.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of processor time for a message that a client got.
    pub(crate) cpu: [f64; 2],
    /// Memory for a client.
    pub(crate) kib: [f64; 2],
    /// Connections of subscribers at Redis.
    pub(crate) connections: f64,
}

/// Carries out a plan at one port.
pub(crate) fn hear(plan: &Plan, port: u16, servers: &Servers) -> io::Result<Heard> {
    let pids = [servers.redis.1.pid(), servers.respite.1.pid()];
    let before = pids.map(resident_kib);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let start = Instant::now();
        let took: Rc<RefCell<Vec<u32>>> = Rc::default();
        for n in 0..plan.clients {
            let stream = subscribed(port, n % plan.channels).await?;
            let took = Rc::clone(&took);
            tokio::task::spawn_local(listen(stream, start, took));
        }
        let grown = pids.map(resident_kib);
        let kib = [0, 1].map(|n| (grown[n] - before[n]) / plan.clients as f64);
        let connections = subscribers(servers.redis.0)?;
        let mut publisher = TcpStream::connect(("127.0.0.1", port)).await?;
        let cpu = pids.map(cpu_time);
        for n in 0..plan.messages {
            let channel = n * 7919 % plan.channels;
            let at = start.elapsed().as_nanos();
            let payload = format!("at:{at:0DIGITS$}{}", "x".repeat(PADDING));
            publish(&mut publisher, &format!("c{channel}"), &payload).await?;
            tokio::time::sleep(Duration::from_millis(plan.each_ms)).await;
        }
        let all = plan.messages * (plan.clients / plan.channels);
        let end = Instant::now() + PATIENCE;
        while took.borrow().len() < all {
            if Instant::now() > end {
                let heard = took.borrow().len();
                return Err(io::Error::other(format!("{heard} of {all} were heard")));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let used = [0, 1].map(|n| {
            let used = cpu_time(pids[n]).saturating_sub(cpu[n]);
            used.as_secs_f64() * 1e6 / all as f64
        });
        let mut took = took.borrow_mut();
        took.sort_unstable();
        let at = |part: f64| f64::from(took[(all as f64 * part) as usize]) / 1000.0;
        Ok(Heard {
            p50: at(0.5),
            p99: at(0.99),
            cpu: used,
            kib,
            connections,
        })
    })
}

async fn subscribed(port: u16, channel: usize) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let channel = format!("c{channel}");
    let command = format!(
        "*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{channel}\r\n",
        channel.len()
    );
    stream.write_all(command.as_bytes()).await?;
    let mut reply = vec![0; 256];
    let mut got = 0;
    while !reply[..got].ends_with(b":1\r\n") {
        let n = stream.read(&mut reply[got..]).await?;
        if n == 0 {
            return Err(io::Error::other("a subscriber was closed"));
        }
        got += n;
    }
    Ok(stream)
}

/// Notes how many microseconds each message took.
async fn listen(mut stream: TcpStream, start: Instant, took: Rc<RefCell<Vec<u32>>>) {
    let mut data = Vec::with_capacity(512);
    loop {
        match stream.read_buf(&mut data).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let now = start.elapsed().as_nanos();
        while let Some(at) = memchr::memmem::find(&data, MARK) {
            let end = at + MARK.len() + DIGITS;
            if data.len() < end + PADDING {
                break;
            }
            let text = std::str::from_utf8(&data[at + MARK.len()..end]).unwrap_or_default();
            let published: u128 = text.parse().unwrap_or(now);
            let micros = now.saturating_sub(published) / 1000;
            took.borrow_mut()
                .push(u32::try_from(micros).unwrap_or(u32::MAX));
            data.drain(..end + PADDING);
        }
    }
}

async fn publish(stream: &mut TcpStream, channel: &str, payload: &str) -> io::Result<()> {
    let command = format!(
        "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n{payload}\r\n",
        channel.len(),
        payload.len()
    );
    stream.write_all(command.as_bytes()).await?;
    let mut reply = [0; 32];
    stream.read(&mut reply).await.map(|_| ())
}

/// How many connections of subscribers Redis has.
fn subscribers(redis: u16) -> io::Result<f64> {
    let mut connection = Connection::open(redis)?;
    let first = connection.ask(&["CLIENT", "LIST", "TYPE", "PUBSUB"])?;
    let bytes: usize = first.trim_start_matches('$').parse().unwrap_or(0);
    let text = connection.read(bytes)?;
    Ok(text.lines().filter(|line| line.starts_with("id=")).count() as f64)
}

fn resident_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0.0)
}
