//! All connected clients, across workers: what `CLIENT LIST` shows and `CLIENT KILL` acts on.
//!
//! Not here: how a client is shown (`client_line`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::resp::Proto;
use crate::upstream::NodeId;

/// The beginning of a request that is kept for `CLIENT LIST`: enough for a command and its subcommand.
const REQUEST_BYTES: usize = 64;
/// In the place of a backing connection's id: there is none to be had.
const NONE_TO_BE_HAD: u64 = u64::MAX;

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
    /// What other clients want of its session; it answers when it looks.
    wishes: Mutex<Vec<Wish>>,
    has_wishes: AtomicBool,
    /// It holds most of all clients, and has to go.
    evicted: AtomicBool,
    /// Bytes that are kept for it, about.
    memory: AtomicUsize,
    /// Bytes of the names it gave itself.
    names: AtomicUsize,
    /// The backing's id of the connection pinned for it, 0 for none.
    pinned: AtomicU64,
    pinned_at: AtomicU32,
    /// The same, of a connection that it keeps because others redirect invalidations to it.
    kept: AtomicU64,
    bytes_in: AtomicU64,
    commands: AtomicU64,
}

/// What another client wants of a session.
#[derive(Debug)]
pub(super) enum Wish {
    /// `CLIENT UNBLOCK`: to end its wait in a command of Respite's own. Whether it did is the answer.
    Unblock {
        /// With an error instead of as if its time were up.
        error: bool,
        /// Where the answer goes.
        done: oneshot::Sender<bool>,
    },
    /// `CLIENT TRACKING … REDIRECT`: to keep a connection at the backing that can be named there.
    /// The session that asks is woken when [`ClientEntry::kept`] tells.
    Keep {
        /// The worker of the session that asks.
        worker: usize,
        /// Its id.
        session: u64,
    },
}

/// What there is of the connection that a client keeps for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nobody has asked for one yet, or it is being opened.
    NotYet,
    /// The backing's id of it.
    Id(u64),
    /// It cannot have one.
    Refused,
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
    /// Channels and patterns on the connection that subscribers share.
    pub shared: [u32; 2],
    /// In a transaction: the commands queued.
    pub multi: Option<u32>,
    /// Waits in a blocking command at the backing, sent or about to be.
    pub blocked: bool,
    /// How many blocking commands it has sent to the backing.
    pub blocks: u64,
    /// Waits in a blocking command of Respite's own.
    pub blocked_here: bool,
    /// Keys that it watches.
    pub watching: u32,
    /// Is a `MONITOR`.
    pub monitor: bool,
    /// `CLIENT NO-EVICT on`.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH on`.
    pub no_touch: bool,
    /// Keeps client-side caching state at the backing.
    pub tracking: bool,
    /// Of that, by prefixes.
    pub broadcast: bool,
    /// The client that its invalidations are redirected to.
    pub redirect: Option<u64>,
    /// The descriptor of its socket.
    pub fd: i32,
    last_active: Instant,
    request: [u8; REQUEST_BYTES],
    request_len: usize,
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
                shared: [0; 2],
                multi: None,
                blocked: false,
                blocks: 0,
                blocked_here: false,
                watching: 0,
                monitor: false,
                no_evict: false,
                no_touch: false,
                tracking: false,
                broadcast: false,
                redirect: None,
                fd: -1,
                last_active: now,
                request: [0; REQUEST_BYTES],
                request_len: 0,
            }),
            killed: AtomicBool::new(false),
            wishes: Mutex::default(),
            has_wishes: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            memory: AtomicUsize::new(0),
            names: AtomicUsize::new(0),
            pinned: AtomicU64::new(0),
            pinned_at: AtomicU32::new(0),
            kept: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            commands: AtomicU64::new(0),
        });
        self.clients.lock().insert(entry.id, Arc::clone(&entry));
        self.connected.fetch_add(1, Ordering::Relaxed);
        entry
    }

    /// Removes a client; gives back what others still want of it.
    pub(super) fn remove(&self, id: u64) -> Vec<Wish> {
        let entry = self.clients.lock().remove(&id);
        entry.map_or_else(Vec::new, |entry| {
            entry.kill();
            entry.take_wishes()
        })
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

    /// One client. One that was killed is gone, as in Redis, however long its session takes to end.
    pub fn get(&self, id: u64) -> Option<Arc<ClientEntry>> {
        let client = self.clients.lock().get(&id).cloned();
        client.filter(|client| !client.is_killed())
    }

    /// All clients, by id, without those that were killed.
    pub fn all(&self) -> Vec<Arc<ClientEntry>> {
        let clients = self.clients.lock();
        let live = clients.values().filter(|client| !client.is_killed());
        live.cloned().collect()
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

    /// Seconds since it last sent a request.
    pub fn idle_secs(&self) -> u64 {
        self.facts.lock().last_active.elapsed().as_secs()
    }

    /// Bytes and requests that have come from it.
    pub fn received(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.bytes_in), count(&self.commands))
    }

    /// Notes activity: the request that was last accepted, and how many bytes and requests came.
    pub(super) fn touch(&self, request: &[u8], bytes: usize, requests: u64) {
        let mut facts = self.facts.lock();
        facts.last_active = Instant::now();
        facts.set_request(request);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        self.commands.fetch_add(requests, Ordering::Relaxed);
    }

    /// Changes what is known.
    pub(super) fn update(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts.lock();
        change(&mut facts);
        let names = facts.name.len() + facts.lib_name.len() + facts.lib_ver.len();
        self.names.store(names, Ordering::Relaxed);
    }

    /// Bytes of the names that it gave itself.
    pub(super) fn name_bytes(&self) -> usize {
        self.names.load(Ordering::Relaxed)
    }

    /// Bytes that are kept for it, about.
    pub(super) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Notes how many bytes are kept for it.
    pub(super) fn set_memory(&self, bytes: usize) {
        self.memory.store(bytes, Ordering::Relaxed);
    }

    /// Marks it to be cut off for the memory it takes; its worker must be told to look.
    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::Release);
    }

    /// Whether it is to be cut off for the memory it takes.
    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }

    /// Whether it may be cut off for the memory it takes: not after `CLIENT NO-EVICT on`.
    pub(super) fn may_be_evicted(&self) -> bool {
        !self.facts.lock().no_evict
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

    /// Leaves a wish; its worker must be told to look. Comes back when the client is gone.
    pub(super) fn wish(&self, wish: Wish) -> Result<(), Wish> {
        let mut wishes = self.wishes.lock();
        if self.is_killed() {
            return Err(wish);
        }
        if let Wish::Keep { session, .. } = &wish {
            let same =
                |old: &Wish| matches!(old, Wish::Keep { session: old, .. } if old == session);
            wishes.retain(|old| !same(old));
        }
        wishes.push(wish);
        self.has_wishes.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether somebody wants something of its session.
    #[inline]
    pub(super) fn has_wishes(&self) -> bool {
        self.has_wishes.load(Ordering::Acquire)
    }

    /// What others want of its session. Each has one wish at most: it waits for the answer.
    pub(super) fn take_wishes(&self) -> Vec<Wish> {
        let mut wishes = self.wishes.lock();
        self.has_wishes.store(false, Ordering::Release);
        std::mem::take(&mut *wishes)
    }

    /// The number of the blocking command that it waits in at the backing.
    pub(super) fn blocked_in(&self) -> Option<u64> {
        let facts = self.facts.lock();
        facts.blocked.then_some(facts.blocks)
    }

    /// Tells what there is of the connection that it keeps for others.
    pub(super) fn set_kept(&self, kept: Kept) {
        let id = match kept {
            Kept::NotYet => 0,
            Kept::Id(id) => id,
            Kept::Refused => NONE_TO_BE_HAD,
        };
        self.kept.store(id, Ordering::Release);
    }

    /// What there is of the connection that it keeps for others.
    pub(super) fn kept(&self) -> Kept {
        match self.kept.load(Ordering::Acquire) {
            0 => Kept::NotYet,
            NONE_TO_BE_HAD => Kept::Refused,
            id => Kept::Id(id),
        }
    }

    /// Notes which connection of the backing is pinned for it.
    pub(super) fn set_pinned(&self, node: NodeId, backing_id: u64) {
        self.pinned_at.store(node.0, Ordering::Release);
        self.pinned.store(backing_id, Ordering::Release);
    }

    /// The backing's id of its pinned connection, and to which node that leads.
    pub fn pinned(&self) -> Option<(NodeId, u64)> {
        let id = self.pinned.load(Ordering::Acquire);
        (id != 0).then(|| (NodeId(self.pinned_at.load(Ordering::Acquire)), id))
    }

    /// Its kind, as `CLIENT LIST TYPE` names it.
    pub fn kind(&self) -> &'static str {
        let facts = self.facts.lock();
        if facts.is_subscriber() {
            "pubsub"
        } else {
            "normal"
        }
    }
}

// === impl Facts ===

impl Facts {
    /// Channels, patterns and shard channels, on whatever connection.
    pub fn all_subscriptions(&self) -> [u32; 3] {
        let [channels, patterns, shard] = self.subscriptions;
        [channels + self.shared[0], patterns + self.shared[1], shard]
    }

    /// Whether there are any.
    pub fn is_subscriber(&self) -> bool {
        self.all_subscriptions() != [0; 3]
    }

    /// Clears what a pinned connection had.
    pub(super) fn forget_pinned(&mut self) {
        self.subscriptions = [0; 3];
        self.multi = None;
        self.watching = 0;
        self.blocked = false;
        self.no_touch = false;
        self.tracking = false;
        self.broadcast = false;
        self.redirect = None;
    }

    /// Notes the request that was last accepted.
    pub(super) fn set_request(&mut self, request: &[u8]) {
        let n = request.len().min(REQUEST_BYTES);
        self.request[..n].copy_from_slice(&request[..n]);
        self.request_len = n;
    }

    /// The beginning of the request that was last accepted.
    pub(super) fn request(&self) -> &[u8] {
        &self.request[..self.request_len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_not_reused_and_the_killed_are_gone() {
        let registry = Registry::default();
        let first = registry.add(0, "127.0.0.1:5".into(), "127.0.0.1:7379".into(), 0);
        registry.remove(first.id);
        let second = registry.add(1, "127.0.0.1:6".into(), "127.0.0.1:7379".into(), 3);
        assert_eq!((second.id, registry.len()), (2, 1));
        second.kill();
        assert_eq!((registry.all().len(), registry.len()), (0, 1));
        assert!(registry.get(2).is_none());
    }

    #[test]
    fn a_wish_comes_back_from_who_is_gone() {
        let registry = Registry::default();
        let client = registry.add(0, "127.0.0.1:5".into(), "127.0.0.1:7379".into(), 0);
        let keep = || Wish::Keep {
            worker: 0,
            session: 9,
        };
        assert!(client.wish(keep()).is_ok() && client.wish(keep()).is_ok());
        assert_eq!(client.take_wishes().len(), 1, "one of each session");
        assert!(client.wish(keep()).is_ok());
        assert_eq!(registry.remove(client.id).len(), 1);
        assert!(client.wish(keep()).is_err() && !client.has_wishes());
    }
}
