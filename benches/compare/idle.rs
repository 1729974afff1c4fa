//! What a connection costs in memory while its client is silent.

use std::io;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::client::Connection;
use crate::systems::{Kind, Setting, System};

/// File descriptors that the benchmark keeps for itself.
const RESERVE: usize = 64;
/// Time for the system to come to rest before its memory is read.
const REST: Duration = Duration::from_millis(500);

/// What was measured on one system.
pub(crate) struct Idle {
    /// Which one.
    pub(crate) kind: Kind,
    /// Idle connections that were open.
    pub(crate) connections: usize,
    /// Resident memory just after the start, with one connection.
    pub(crate) base_bytes: u64,
    /// Growth of the resident memory per further connection.
    pub(crate) bytes_each: f64,
}

/// Starts the system afresh, so that no memory freed by an earlier load hides the growth, and opens
/// `connections` connections of which each sends one `PING`.
pub(crate) fn measure(
    kind: Kind,
    setting: &Setting,
    backing: u16,
    connections: usize,
) -> io::Result<Idle> {
    let system = match kind {
        Kind::Direct => System::start(kind, setting, None)?,
        _ => System::start(kind, setting, Some(backing))?,
    };
    let resident = || {
        thread::sleep(REST);
        let bytes = system.process.resident_bytes();
        bytes.ok_or_else(|| io::Error::other("this system does not tell a process's memory"))
    };
    let connections = connections.min(open_files().saturating_sub(RESERVE)).max(1);
    let mut held = vec![ping(system.port)?];
    let before = resident()?;
    for _ in 0..connections {
        held.push(ping(system.port)?);
    }
    let after = resident()?;
    drop(held);
    #[expect(
        clippy::cast_precision_loss,
        reason = "memory sizes are far below 2^52"
    )]
    let bytes_each = after.saturating_sub(before) as f64 / connections as f64;
    Ok(Idle {
        kind,
        connections,
        base_bytes: before,
        bytes_each,
    })
}

fn ping(port: u16) -> io::Result<Connection> {
    let mut connection = Connection::open(port)?;
    match connection.ask(&["PING"])? {
        reply if reply == "+PONG" => Ok(connection),
        reply => Err(io::Error::other(format!(
            "PING was answered with {reply:?}"
        ))),
    }
}

/// The limit on this process's open files.
fn open_files() -> usize {
    let output = Command::new("sh").args(["-c", "ulimit -n"]).output();
    let text = output
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    match text.trim() {
        "unlimited" => usize::MAX,
        number => number.parse().unwrap_or(256),
    }
}
