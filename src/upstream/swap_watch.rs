//! Finds out whether a script, a function or an unknown command has exchanged databases.
//!
//! Redis pushes nothing for `SWAPDB`, and what a script may do cannot be read off it. But the server
//! counts the executions of each command, under its own name even when it was renamed, also those
//! inside scripts: a fence asks for that count, once for all that wait. Where it cannot be had, and
//! the login may swap, whoever asks has to take it that databases were exchanged.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::backing::Backing;
use super::backing::apart::ask;
use super::connect::{Conn, ConnectOptions};
use super::error::UpstreamError;
use super::fill_link::Fence;
use super::link_key::LinkKey;
use super::topology::HOME;
use crate::resp::Proto;
use crate::tasks::{self, Kind};

/// How long a count is waited for. A backing that takes longer must not hold replies back.
const LATE_AFTER: Duration = Duration::from_millis(500);
/// A connection that nobody needs is used this often, so that the backing does not close it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// That it is blind is said once.
static TOLD: AtomicBool = AtomicBool::new(false);
/// Tells whether the login may exchange databases. Harmless: these are none. Rights are looked at first.
const PROBE: &[&[u8]] = &[b"SWAPDB", b"respite", b"respite"];
/// The pause between two attempts to connect.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A handle to the watch. Its queue holds at most what clients have in flight.
#[derive(Debug)]
pub struct SwapWatch {
    requests: UnboundedSender<Option<Fence>>,
}

/// Whose commands reach the backing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logins {
    /// Those of Respite's own login alone.
    Own,
    /// Those of the backing's users as well, who may do what Respite may not.
    Users,
}

/// What the server has counted.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    /// The executions of `SWAPDB`; what was refused is none.
    swaps: u64,
    /// The executions of `INFO`.
    infos: u64,
    /// The whole reply: whether the counters were reset shows in any of them.
    info: Vec<u8>,
}

/// The connection, and what is known.
struct Counter {
    conn: Conn,
    seen: Seen,
}

enum Seen {
    Count(Count),
    /// The login may not exchange databases, so nobody does, as long as that is so: there is no other.
    Forbidden,
    /// It cannot be known.
    Blind,
    /// Another connection may know.
    Lost,
}

impl SwapWatch {
    /// Starts the watch, which connects when it is first needed. `swapped` is called before the
    /// fence is dropped of whom it may concern. `logins`: whose commands there are.
    pub fn start(
        backing: Arc<Backing>,
        logins: Logins,
        swapped: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (requests, queue) = unbounded_channel();
        let (queue, swapped) = (Arc::new(tokio::sync::Mutex::new(queue)), Arc::new(swapped));
        tokio::spawn(tasks::keep(Kind::Backing, move || {
            let (queue, swapped) = (Arc::clone(&queue), Arc::clone(&swapped));
            let backing = Arc::clone(&backing);
            // Nobody else takes from the queue: it is locked for the whole time.
            async move { run(&mut *queue.lock().await, backing, logins, &*swapped).await }
        }));
        SwapWatch { requests }
    }

    /// Connects, so that the first fence finds a count to compare with.
    pub fn open(&self) {
        // Without the task the process is ending.
        let _ = self.requests.send(None);
    }

    /// Drops `fence` when it is known whether databases were exchanged before now.
    pub fn check(&self, fence: Fence) {
        let _ = self.requests.send(Some(fence));
    }
}

async fn run(
    queue: &mut UnboundedReceiver<Option<Fence>>,
    backing: Arc<Backing>,
    logins: Logins,
    swapped: &(impl Fn() + Send + Sync),
) {
    let mut counter: Option<Counter> = None;
    let mut opening: Option<JoinHandle<Result<Counter, UpstreamError>>> = None;
    let mut tried: Option<Instant> = None;
    loop {
        let opened = async {
            match &mut opening {
                Some(task) => task.await,
                None => std::future::pending().await,
            }
        };
        let first = tokio::select! {
            biased;
            opened = opened => {
                opening = None;
                match opened {
                    Ok(Ok(new)) => counter = Some(new),
                    Ok(Err(error)) => debug!("swaps cannot be counted: {error}"),
                    Err(error) => debug!("swaps cannot be counted: {error}"),
                }
                // What scripts did before the first count has emptied the cache then.
                continue;
            }
            first = timeout(KEEP_ALIVE, queue.recv()) => first,
        };
        let mut fences: Vec<Fence> = Vec::new();
        match first {
            Ok(None) => return,
            Ok(Some(fence)) => fences.extend(fence),
            Err(_) if counter.is_none() => continue,
            Err(_) => {}
        }
        while let Ok(fence) = queue.try_recv() {
            fences.extend(fence);
        }
        // Dropped before the fences are.
        let _unknown = Unknown(swapped);
        tasks::point("swaps");
        if let Some(known) = &mut counter {
            if known.has_swapped().await {
                swapped();
            }
            if matches!(known.seen, Seen::Lost) {
                counter = None;
            }
        } else if !fences.is_empty() {
            swapped();
        }
        if counter.is_none()
            && opening.is_none()
            && tried.is_none_or(|tried| tried.elapsed() >= RETRY_AFTER)
        {
            tried = Some(Instant::now());
            let open = open(Arc::clone(&backing), logins);
            opening = Some(tokio::spawn(tasks::named(Kind::Backing, open)));
        }
        drop(fences);
    }
}

/// After a panic nobody knows whether databases were exchanged.
struct Unknown<'a, F: Fn()>(&'a F);

impl<F: Fn()> Drop for Unknown<'_, F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

async fn open(backing: Arc<Backing>, logins: Logins) -> Result<Counter, UpstreamError> {
    let connect = backing.connect_timeout();
    let options = ConnectOptions {
        key: LinkKey::new(HOME, backing.first_db(), Proto::Resp3),
        name: "respite-swaps",
        timeout: connect,
    };
    let mut conn = backing.connect(options).await?;
    // The first is counted when the second is answered.
    ask(&mut conn, &[b"INFO", b"commandstats"], connect).await?;
    let info = ask(&mut conn, &[b"INFO", b"commandstats"], connect).await?;
    let seen = match Count::read(info) {
        Ok(count) => Seen::Count(count),
        Err(info) if is_passing(&info) => {
            return Err(UpstreamError::Refused {
                address: backing.address(),
                reply: String::from_utf8_lossy(&info).trim_end().to_owned(),
            });
        }
        Err(_) => {
            let said = ask(&mut conn, PROBE, connect).await?;
            if said.starts_with(b"-NOPERM") && logins == Logins::Own {
                Seen::Forbidden
            } else {
                if !TOLD.swap(true, Ordering::Relaxed) {
                    warn!(
                        "whether scripts exchange databases cannot be told, the backing does not \
                     answer INFO commandstats: each script empties the cache"
                    );
                }
                Seen::Blind
            }
        }
    };
    Ok(Counter { conn, seen })
}

/// Whether an answer is an error that says nothing of what the login may do: `BUSY`, `LOADING`.
fn is_passing(answer: &[u8]) -> bool {
    let lasting = [&b"-NOPERM"[..], b"-ERR"];
    answer.starts_with(b"-") && !lasting.iter().any(|error| answer.starts_with(error))
}

impl Counter {
    /// Whether databases may have been exchanged since it was asked last.
    async fn has_swapped(&mut self) -> bool {
        let seen = match &mut self.seen {
            Seen::Count(seen) => seen,
            Seen::Blind | Seen::Lost => return true,
            Seen::Forbidden => return !self.is_forbidden_still().await,
        };
        let info = ask(&mut self.conn, &[b"INFO", b"commandstats"], LATE_AFTER).await;
        let Some(count) = info.ok().and_then(|info| Count::read(info).ok()) else {
            // The connection may still owe a reply: it is of no use any more.
            self.seen = Seen::Lost;
            return true;
        };
        let same = count.swaps == seen.swaps && count.follows(seen);
        *seen = count;
        !same
    }

    /// Whether the login may not exchange databases now: nobody tells of it when that is granted.
    async fn is_forbidden_still(&mut self) -> bool {
        let said = ask(&mut self.conn, PROBE, LATE_AFTER).await;
        let still = said.is_ok_and(|said| said.starts_with(b"-NOPERM"));
        if !still {
            self.seen = Seen::Lost;
        }
        still
    }
}

/// The rows of `INFO commandstats`: the name of a command and what is counted of it.
fn rows(info: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = info.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        let row = line.strip_prefix(b"cmdstat_")?;
        let colon = memchr::memchr(b':', row)?;
        Some((&row[..colon], row[colon + 1..].trim_ascii_end()))
    })
}

/// The executions in such a row.
fn calls(row: &[u8]) -> Option<u64> {
    let digits = row
        .strip_prefix(b"calls=")?
        .split(|byte| *byte == b',')
        .next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// How often and how long a command was executed, without what was refused of it.
fn executed(row: &[u8]) -> &[u8] {
    let refused = memchr::memmem::find(row, b",usec_per_call");
    &row[..refused.unwrap_or(row.len())]
}

impl Count {
    /// Reads a reply to `INFO commandstats`; gives it back when it does not count.
    fn read(info: Vec<u8>) -> Result<Self, Vec<u8>> {
        // A command that was never executed has no row.
        let (mut swaps, mut infos) = (Some(0), None);
        for (name, row) in rows(&info) {
            match name {
                b"swapdb" => swaps = calls(row),
                b"info" => infos = calls(row),
                _ => {}
            }
        }
        match swaps.zip(infos) {
            Some((swaps, infos)) => Ok(Count { swaps, infos, info }),
            None => Err(info),
        }
    }

    /// What there is of `CONFIG RESETSTAT`: a reset leaves itself alone.
    fn resets(&self) -> Option<&[u8]> {
        let (_, row) = rows(&self.info).find(|(name, _)| *name == b"config|resetstat")?;
        Some(executed(row))
    }

    /// Whether the counters went on from what was seen before: they may have been reset, and have grown again since. Then
    /// a command has fewer executions than before, or the one that resets them shows another one of its own.
    fn follows(&self, before: &Self) -> bool {
        let mut now = rows(&self.info);
        let mut by_name: Option<HashMap<&[u8], &[u8]>> = None;
        // Nearly always they are in the same order.
        let grew = rows(&before.info).all(|(name, old)| {
            let new = match now.next() {
                Some((same, row)) if same == name => Some(row),
                _ => {
                    let rows = by_name.get_or_insert_with(|| rows(&self.info).collect());
                    rows.get(name).copied()
                }
            };
            new.is_some_and(|new| calls(new) >= calls(old))
        });
        grew && self.infos > before.infos && self.resets() == before.resets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_backing_is_asked_again() {
        assert!(is_passing(b"-BUSY Redis is busy running a script.\r\n"));
        for lasting in [
            &b"-NOPERM no\r\n"[..],
            b"-ERR unknown command\r\n",
            b"$1\r\nx\r\n",
        ] {
            assert!(!is_passing(lasting));
        }
    }

    fn read(info: &str) -> Option<Count> {
        Count::read(info.as_bytes().to_vec()).ok()
    }

    #[test]
    fn swaps_are_read_from_the_statistics_of_commands() {
        let info = "$99\r\n# Commandstats\r\ncmdstat_info:calls=7,usec=90,failed_calls=0\r\n\
            cmdstat_swapdb:calls=2,usec=5\r\ncmdstat_get:calls=1\r\n\r\n";
        let counts = |info| read(info).map(|count| (count.swaps, count.infos));
        assert_eq!(counts(info), Some((2, 7)));
        let info = "$99\r\ncmdstat_info:calls=7,usec=90\r\n\
            cmdstat_swapdb:calls=2,usec=5,usec_per_call=2.50,rejected_calls=9,failed_calls=0\r\n";
        assert_eq!(counts(info), Some((2, 7)));
        let none = read("$9\r\n# Commandstats\r\ncmdstat_info:calls=1,usec=1\r\n");
        assert_eq!(none.expect("a count").swaps, 0);
        for refused in ["-NOPERM no\r\n", "_\r\n", "$0\r\n\r\n"] {
            assert_eq!(read(refused), None);
        }
    }

    #[test]
    fn counters_that_were_reset_are_known_by_any_of_them() {
        let before = "cmdstat_get:calls=5,usec=9\r\ncmdstat_config|resetstat:calls=1,usec=70,\
                      usec_per_call=70.00,rejected_calls=0\r\ncmdstat_info:calls=7,usec=90\r\n";
        let before = read(before).expect("a count");
        let after = |get: &str, reset: &str, infos: u32| {
            let new = "cmdstat_new:calls=1,usec=1\r\n";
            let info = format!("cmdstat_info:calls={infos},usec=1\r\n");
            // In any order.
            [
                format!("{get}{reset}{info}{new}"),
                format!("{new}{info}{reset}{get}"),
            ]
            .map(|info| read(&info).expect("a count").follows(&before))
        };
        let get = "cmdstat_get:calls=6,usec=10\r\n";
        let reset =
            "cmdstat_config|resetstat:calls=1,usec=70,usec_per_call=70.00,rejected_calls=3\r\n";
        assert_eq!(after(get, reset, 8), [true; 2]);
        for (get, reset, infos) in [
            (get, reset, 7),
            ("cmdstat_get:calls=4,usec=10\r\n", reset, 100),
            ("", reset, 100),
            (get, "", 100),
            (
                get,
                "cmdstat_config|resetstat:calls=1,usec=71,usec_per_call=71.00\r\n",
                100,
            ),
        ] {
            assert_eq!(after(get, reset, infos), [false; 2], "{get}{reset}{infos}");
        }
        let none = read("cmdstat_info:calls=1,usec=90\r\n").expect("a count");
        let first =
            read("cmdstat_info:calls=2,usec=1\r\ncmdstat_config|resetstat:calls=1,usec=1\r\n");
        assert!(!first.expect("a count").follows(&none));
    }
}
