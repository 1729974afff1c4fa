//! How long and how large the pages about the fleet are, and what waits while they are written.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Connection;

/// One page.
pub(crate) struct Page {
    path: &'static str,
    bytes: usize,
    took: Duration,
    /// Respite's processor time.
    cpu: Duration,
    /// The longest that `/health` took meanwhile, which is answered by the same thread, and `PING`.
    health: Duration,
    ping: Duration,
    /// By how much the resident memory was larger than before, at most.
    memory: u64,
}

/// What is known of the process meanwhile.
pub(crate) struct Watched<'a> {
    pub(crate) http: u16,
    pub(crate) port: u16,
    pub(crate) cpu: &'a dyn Fn() -> io::Result<Duration>,
    pub(crate) resident: &'a (dyn Fn() -> io::Result<u64> + Sync),
}

/// Fetches each page.
pub(crate) fn measure(watched: &Watched<'_>) -> io::Result<Vec<Page>> {
    let paths = [
        "/metrics",
        "/scrape?target=shard-1",
        "/sd",
        "/shards",
        "/dump",
    ];
    paths.iter().map(|path| page(watched, path)).collect()
}

fn page(watched: &Watched<'_>, path: &'static str) -> io::Result<Page> {
    fetch(watched.http, path)?;
    let done = Arc::new(AtomicBool::new(false));
    let (http, port) = (watched.http, watched.port);
    let health = longest(&done, move || fetch(http, "/health").map(drop));
    let mut client = Connection::open(port)?;
    let ping = longest(&done, move || client.call(&["PING"]).map(drop));
    let before = (watched.resident)()?;
    let cpu = (watched.cpu)()?;
    let (fetched, most) = thread::scope(|scope| {
        let resident = scope.spawn(|| {
            let mut most = before;
            while !done.load(Ordering::Relaxed) {
                most = most.max((watched.resident)().unwrap_or(0));
                thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let start = Instant::now();
        let fetched = fetch(watched.http, path).map(|bytes| (bytes, start.elapsed()));
        done.store(true, Ordering::Relaxed);
        (fetched, resident.join().unwrap_or(before))
    });
    let (bytes, took) = fetched?;
    let join = |thread: thread::JoinHandle<Duration>| {
        thread
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))
    };
    Ok(Page {
        path,
        bytes,
        took,
        cpu: (watched.cpu)()? - cpu,
        health: join(health)?,
        ping: join(ping)?,
        memory: most - before,
    })
}

/// Does something again and again; gives the longest time that it took.
fn longest(
    done: &Arc<AtomicBool>,
    mut once: impl FnMut() -> io::Result<()> + Send + 'static,
) -> thread::JoinHandle<Duration> {
    let done = Arc::clone(done);
    thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !done.load(Ordering::Relaxed) {
            let start = Instant::now();
            if once().is_err() {
                return Duration::MAX;
            }
            longest = longest.max(start.elapsed());
            thread::sleep(Duration::from_millis(1));
        }
        longest
    })
}

/// The bytes of a response, head and all.
fn fetch(port: u16, path: &str) -> io::Result<usize> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes += read,
        }
    }
}

/// A table of the pages.
pub(crate) fn markdown(shards: usize, pages: &[Page]) -> String {
    let mut text = format!(
        "{shards} shards:\n\n| page | bytes | took | CPU of Respite | longest `/health` meanwhile | longest `PING` meanwhile | memory |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for page in pages {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {:.0} ms | {:.0} ms | {:.1} ms | {:.1} ms | +{:.1} MiB |",
            page.path,
            page.bytes,
            ms(page.took),
            ms(page.cpu),
            ms(page.health),
            ms(page.ping),
            page.memory as f64 / f64::from(1 << 20)
        );
    }
    text
}
