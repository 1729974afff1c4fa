//! A million calls, and what they leave in memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::wire::{Client, Reply};
use crate::{Servers, Way};

const CALLS: u64 = 1_000_000;
const CALLERS: usize = 32;

/// Makes the calls over two Respites, directly and through the backing; returns a table of memory, with a row for each tenth.
pub(crate) fn run(servers: &Servers, workers: usize) -> io::Result<String> {
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let mut table = format!(
        "A million calls, {CALLERS} callers on one Respite and {workers} workers, half on it and half on another: resident memory of both, used memory and keys of \
         Redis.\n\n| calls | Respite of the callers | the other Respite | Redis | keys |\n|---|---|---|---|---|\n"
    );
    table += &row(servers, "none yet")?;
    let workers = Way::Both.workers(servers, workers, &stop)?;
    let callers: Vec<JoinHandle<io::Result<()>>> = (0..CALLERS)
        .map(|number| {
            let (done, port) = (Arc::clone(&done), servers.respites[0]);
            thread::spawn(move || {
                let mut caller = Way::Both.caller(port, number)?;
                while done.fetch_add(1, Ordering::Relaxed) < CALLS {
                    caller.round_trip()?;
                }
                Ok(())
            })
        })
        .collect();
    for calls in [
        CALLS / 100,
        CALLS / 10,
        CALLS / 4,
        CALLS / 2,
        CALLS * 3 / 4,
        CALLS,
    ] {
        while done.load(Ordering::Relaxed) < calls
            && callers.iter().any(|caller| !caller.is_finished())
        {
            thread::sleep(Duration::from_millis(5));
        }
        table += &row(servers, &calls.to_string())?;
    }
    for caller in callers {
        caller.join().expect("no panic")?;
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().expect("no panic")?;
    }
    // The last callers' thanks go with the upkeep, once a second.
    thread::sleep(Duration::from_secs(3));
    table += &row(servers, "3 s later")?;
    Client::connect(servers.respites[0])?.call(&[b"BUS.CLEANUP", Way::Both.bus()])?;
    table += &row(servers, "after `BUS.CLEANUP`")?;
    Ok(table)
}

fn row(servers: &Servers, when: &str) -> io::Result<String> {
    let mut redis = Client::connect(servers.redis)?;
    let Reply::Number(keys) = redis.call(&[b"DBSIZE"])? else {
        return Err(io::Error::other("no number of keys"));
    };
    let info = redis.call(&[b"INFO", b"memory"])?;
    let info = String::from_utf8_lossy(info.text()).into_owned();
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let [one, two] = [1, 2].map(|at: usize| servers.leashes[at].resident_bytes().unwrap_or(0));
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    Ok(format!(
        "| {when} | {:.1} MiB | {:.1} MiB | {:.2} MiB | {keys} |\n",
        mib(one),
        mib(two),
        mib(used)
    ))
}
