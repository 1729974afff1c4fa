//! All connected clients, across workers: what `CLIENT LIST` shows and `CLIENT KILL` acts on.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::resp::Proto;

/// Commands longer than this are cut in `CLIENT LIST`.
const COMMAND_BYTES: usize = 40;

/// Every connected client by its id.
#[derive(Debug, Default)]
pub struct Registry {
    clients: Mutex<BTreeMap<u64, Arc<ClientEntry>>>,
    last_id: AtomicU64,
    connected: AtomicU64,
    rejected: AtomicU64,
}

/// One client, as other clients may see it.
#[derive(Debug)]
pub struct ClientEntry {
    /// Its id, never used twice in the life of the process.
    pub id: u64,
    /// The worker that serves it.
    pub worker: usize,
    addr: String,
    laddr: String,
    created: Instant,
    facts: Mutex<Facts>,
    killed: AtomicBool,
    /// What `CLIENT UNBLOCK` asked for.
    unblock: AtomicU8,
    /// The backing's id of the connection pinned for it, 0 for none.
    pinned: AtomicU64,
    bytes_in: AtomicU64,
}

/// What changes in the life of a client.
#[derive(Debug, Clone)]
pub struct Facts {
    /// `CLIENT SETNAME`.
    pub name: String,
    /// `CLIENT SETINFO LIB-NAME`.
    pub lib_name: String,
    /// `CLIENT SETINFO LIB-VER`.
    pub lib_ver: String,
    /// The user it authenticated as.
    pub user: String,
    /// The database.
    pub db: u32,
    /// Protocol version.
    pub proto: Proto,
    /// Channels, patterns and shard channels.
    pub subscriptions: [u32; 3],
    /// In a transaction: the commands queued.
    pub multi: Option<u32>,
    /// Waits in a blocking command.
    pub blocked: bool,
    /// Is a `MONITOR`.
    pub monitor: bool,
    /// `CLIENT NO-EVICT on`.
    pub no_evict: bool,
    /// Keeps client-side caching state at the backing.
    pub tracking: bool,
    last_active: Instant,
    command: [u8; COMMAND_BYTES],
    command_len: usize,
}

/// How a client that waits in a command of Respite's own is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Unblock {
    /// It is not.
    Not,
    /// As if its time were up.
    Timeout,
    /// With an error.
    Error,
}

// === impl Registry ===

impl Registry {
    /// Adds a client.
    pub fn add(&self, worker: usize, addr: String, laddr: String, db: u32) -> Arc<ClientEntry> {
        let now = Instant::now();
        let entry = Arc::new(ClientEntry {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            worker,
            addr,
            laddr,
            created: now,
            facts: Mutex::new(Facts {
                name: String::new(),
                lib_name: String::new(),
                lib_ver: String::new(),
                user: "default".into(),
                db,
                proto: Proto::Resp2,
                subscriptions: [0; 3],
                multi: None,
                blocked: false,
                monitor: false,
                no_evict: false,
                tracking: false,
                last_active: now,
                command: [0; COMMAND_BYTES],
                command_len: 0,
            }),
            killed: AtomicBool::new(false),
            unblock: AtomicU8::new(Unblock::Not as u8),
            pinned: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
        });
        self.clients.lock().insert(entry.id, Arc::clone(&entry));
        self.connected.fetch_add(1, Ordering::Relaxed);
        entry
    }

    /// Removes a client.
    pub fn remove(&self, id: u64) {
        self.clients.lock().remove(&id);
    }

    /// Counts a client that was turned away.
    pub fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Clients that are connected now.
    pub fn len(&self) -> usize {
        self.clients.lock().len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Clients that have connected since the start.
    pub fn total_connections(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Clients that were turned away since the start.
    pub fn total_rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// One client.
    pub fn get(&self, id: u64) -> Option<Arc<ClientEntry>> {
        self.clients.lock().get(&id).cloned()
    }

    /// All clients, by id.
    pub fn all(&self) -> Vec<Arc<ClientEntry>> {
        self.clients.lock().values().cloned().collect()
    }
}

// === impl ClientEntry ===

impl ClientEntry {
    /// Its address, `ip:port` or the path of the socket with `:0`.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// The address it connected to.
    pub fn laddr(&self) -> &str {
        &self.laddr
    }

    /// Seconds since it connected.
    pub fn age_secs(&self) -> u64 {
        self.created.elapsed().as_secs()
    }

    /// Notes activity: the command that was last accepted and the bytes that came.
    pub(super) fn touch(&self, command: &[u8], bytes: usize) {
        let mut facts = self.facts.lock();
        facts.last_active = Instant::now();
        let n = command.len().min(COMMAND_BYTES);
        facts.command[..n].copy_from_slice(&command[..n]);
        facts.command_len = n;
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Changes what is known.
    pub(super) fn update(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.lock());
    }

    /// A copy of what is known.
    pub fn facts(&self) -> Facts {
        self.facts.lock().clone()
    }

    /// When it was last active.
    pub(super) fn last_active(&self) -> Instant {
        self.facts.lock().last_active
    }

    /// Marks it to be disconnected; its worker must be told to look.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
    }

    /// Whether it is to be disconnected.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Asks for its blocked command to end; its worker must be told to look.
    pub(super) fn unblock(&self, how: Unblock) {
        self.unblock.store(how as u8, Ordering::Release);
    }

    /// Whether its blocked command is to end, once.
    pub(super) fn take_unblock(&self) -> Unblock {
        match self.unblock.swap(Unblock::Not as u8, Ordering::AcqRel) {
            1 => Unblock::Timeout,
            2 => Unblock::Error,
            _ => Unblock::Not,
        }
    }

    /// Notes which connection of the backing is pinned for it.
    pub(super) fn set_pinned(&self, backing_id: u64) {
        self.pinned.store(backing_id, Ordering::Release);
    }

    /// The backing's id of its pinned connection.
    pub fn pinned(&self) -> Option<u64> {
        Some(self.pinned.load(Ordering::Acquire)).filter(|id| *id != 0)
    }

    /// Its kind, as `CLIENT LIST TYPE` names it.
    pub fn kind(&self) -> &'static str {
        let facts = self.facts.lock();
        if facts.subscriptions.iter().any(|n| *n > 0) {
            "pubsub"
        } else {
            "normal"
        }
    }

    /// Its line in `CLIENT LIST`, in the format of Redis 7.
    pub fn line(&self) -> String {
        let facts = self.facts();
        let mut flags = String::new();
        for (flag, set) in [
            ('O', facts.monitor),
            ('P', facts.subscriptions.iter().any(|n| *n > 0)),
            ('x', facts.multi.is_some()),
            ('b', facts.blocked),
            ('t', facts.tracking),
            ('e', facts.no_evict),
        ] {
            if set {
                flags.push(flag);
            }
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let command = String::from_utf8_lossy(&facts.command[..facts.command_len]).to_lowercase();
        let command = if command.is_empty() {
            "NULL".to_owned()
        } else {
            command
        };
        let mut line = String::with_capacity(256);
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db={} sub={} \
             psub={} ssub={} multi={} qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 \
             oll=0 omem=0 tot-mem=0 events=r cmd={command} user={} redir=-1 resp={} lib-name={} \
             lib-ver={}",
            self.id,
            self.addr,
            self.laddr,
            facts.name,
            self.age_secs(),
            facts.last_active.elapsed().as_secs(),
            facts.db,
            facts.subscriptions[0],
            facts.subscriptions[1],
            facts.subscriptions[2],
            facts.multi.map_or(-1, i64::from),
            facts.user,
            facts.proto.number(),
            facts.lib_name,
            facts.lib_ver,
        );
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_not_reused_and_lines_are_redis_like() {
        let registry = Registry::default();
        let first = registry.add(0, "127.0.0.1:5".into(), "127.0.0.1:7379".into(), 0);
        registry.remove(first.id);
        let second = registry.add(1, "127.0.0.1:6".into(), "127.0.0.1:7379".into(), 3);
        assert_eq!((second.id, registry.len()), (2, 1));
        second.touch(b"GET", 30);
        let line = second.line();
        assert!(line.starts_with("id=2 addr=127.0.0.1:6 laddr=127.0.0.1:7379 fd=-1 name= "));
        assert!(line.contains(" flags=N db=3 ") && line.contains(" cmd=get user=default "));
    }
}
