//! That a Respite is there, noted at the backing twice a second, so that an outage is noticed.
//!
//! Leases run on while nobody can renew them. Each script therefore refuses to judge unless its
//! Respite has been there within the last two seconds of the backing's clock; then the Respite notes
//! its presence first, and that script finds the gap in the notes of all Respites. The scripts on
//! groups are told of the latest gaps and prolong the leases that were good when one began. On a cluster this is
//! so for each node.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::error::DiscoveryError;
use super::keys::PRESENCE;
use super::scripts::Scripts;
use crate::command::slot_of;
use crate::tasks::{self, Kind};
use crate::upstream::{ControlLink, NodeId, Topology};

/// How often the presence is noted: four may fail before it counts as an outage.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// How often a Respite whose clients do not use discovery looks whether others do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Keys that are looked at to find one for each node.
const MOST_TRIED: u32 = 1_000_000;

/// A node that is not about any group in use is no longer told, after so many notes.
const UNUSED: u32 = 600;

/// The notes of this Respite, one for each node: each node has a clock, and outages, of its own.
#[derive(Debug)]
pub(super) struct Presence {
    link: Arc<ControlLink>,
    scripts: Arc<Scripts>,
    nodes: Mutex<Nodes>,
    /// Whether discovery is used on this backing, as far as is known.
    in_use: AtomicBool,
    used: Notify,
}

#[derive(Debug, Default)]
struct Nodes {
    /// The topology by which the keys were chosen.
    version: Option<u64>,
    /// The key of each node's notes.
    keys: HashMap<NodeId, Arc<str>>,
    notes: HashMap<Arc<str>, Note>,
}

/// What is known of one key.
#[derive(Debug)]
struct Note {
    seen: Arc<Seen>,
    /// How often it was noted since it was used last.
    unused: u32,
}

/// What the last note brought back, as the scripts want it.
#[derive(Debug)]
pub(super) struct Seen {
    /// Which key it is from.
    key: Arc<str>,
    /// The node's clock, in milliseconds.
    pub(super) now: Vec<u8>,
    /// When the latest outage ended; 0 for none.
    pub(super) ended: Vec<u8>,
    /// The latest outages.
    pub(super) outages: Vec<u8>,
    beats: Vec<u8>,
}

impl Presence {
    pub(super) fn new(link: Arc<ControlLink>, scripts: Arc<Scripts>) -> Self {
        Presence {
            link,
            scripts,
            nodes: Mutex::default(),
            in_use: AtomicBool::new(false),
            used: Notify::new(),
        }
    }

    /// What is known now at the node that has this key; it is about to be used.
    pub(super) fn seen(&self, key: &str) -> Arc<Seen> {
        if !self.in_use.swap(true, Ordering::Relaxed) {
            self.used.notify_one();
        }
        let presence = self.key_beside(key);
        let mut nodes = self.nodes.lock();
        let note = nodes.notes.entry(presence);
        let note = note.or_insert_with_key(Note::new);
        note.unused = 0;
        Arc::clone(&note.seen)
    }

    /// Notes that this Respite is there, unless that was done since `seen`.
    pub(super) async fn renew(&self, seen: &Arc<Seen>) -> Result<(), DiscoveryError> {
        let held = {
            let nodes = self.nodes.lock();
            let note = nodes.notes.get(&seen.key);
            note.is_none_or(|note| Arc::ptr_eq(seen, &note.seen))
        };
        if held {
            self.beat(&seen.key).await?;
        }
        Ok(())
    }

    /// The key of the notes of the node that has this key.
    fn key_beside(&self, key: &str) -> Arc<str> {
        if !self.link.backing().is_cluster() {
            return Arc::from(PRESENCE);
        }
        let node = self.link.node_of(key);
        let keys = self.keys();
        // While nobody has the slot, nobody can be asked.
        let known = node.and_then(|node| keys.get(&node));
        known.map_or_else(|| Arc::from(PRESENCE), Arc::clone)
    }

    /// The key of the notes of each node, the same for all Respites: one of its own, so that it moves and fails over
    /// with the node.
    fn keys(&self) -> HashMap<NodeId, Arc<str>> {
        let topology = self.link.backing().topology();
        let mut nodes = self.nodes.lock();
        if nodes.version != Some(topology.version) {
            nodes.version = Some(topology.version);
            nodes.keys = keys_of_nodes(&topology);
        }
        nodes.keys.clone()
    }

    async fn beat(&self, key: &Arc<str>) -> Result<(), DiscoveryError> {
        let beats = {
            let nodes = self.nodes.lock();
            let note = nodes.notes.get(key);
            note.map_or_else(|| b"0".to_vec(), |note| note.seen.beats.clone())
        };
        let replied = self
            .link
            .script(&self.scripts.presence, &[key], &[beats])
            .await?;
        let seen = Seen::read(key, replied).ok_or(DiscoveryError::Damaged("presence"))?;
        let mut nodes = self.nodes.lock();
        let note = nodes.notes.entry(Arc::clone(key));
        let note = note.or_insert_with_key(Note::new);
        // Of two notes that cross, the later one stays. Shorter numbers are smaller.
        let later = |a: &[u8], b: &[u8]| (a.len(), a) >= (b.len(), b);
        if later(&seen.beats, &note.seen.beats) {
            note.seen = Arc::new(seen);
        }
        Ok(())
    }

    /// Keeps noting the presence for as long as the server runs, once discovery is used here or by
    /// another Respite on the same backing.
    pub(super) async fn keep(self: Arc<Self>) {
        while !self.in_use.load(Ordering::Relaxed) {
            if self.used_by_others().await {
                self.in_use.store(true, Ordering::Relaxed);
            } else {
                let _ = timeout(LOOK_EVERY, self.used.notified()).await;
            }
        }
        let mut beats = HashMap::<Arc<str>, JoinHandle<()>>::new();
        loop {
            beats.retain(|_, beat| !beat.is_finished());
            for key in self.noted() {
                // A node that is away holds up its own notes only.
                beats.entry(key).or_insert_with_key(|key| {
                    let (own, key) = (Arc::clone(&self), Arc::clone(key));
                    tokio::spawn(tasks::named(Kind::Discovery, async move {
                        if let Err(error) = own.beat(&key).await {
                            debug!(%key, "cannot note the presence at the backing: {error}");
                        }
                    }))
                });
            }
            sleep(BEAT_EVERY).await;
        }
    }

    /// The keys that have to be noted: of all nodes, and those that were used lately.
    fn noted(&self) -> Vec<Arc<str>> {
        let all: Vec<Arc<str>> = match self.link.backing().is_cluster() {
            true => self.keys().into_values().collect(),
            false => vec![Arc::from(PRESENCE)],
        };
        let mut nodes = self.nodes.lock();
        nodes.notes.retain(|key, note| {
            note.unused += 1;
            note.unused < UNUSED || all.contains(key)
        });
        all
    }

    async fn used_by_others(&self) -> bool {
        let asked = self.noted().into_iter().map(async |key| {
            let mut exists = redis::cmd("EXISTS");
            exists.arg(&*key);
            matches!(self.link.command_at(&key, &exists).await, Ok(Value::Int(1)))
        });
        join_all(asked).await.contains(&true)
    }
}

/// For each node the first of the keys `respite:d:{n}:presence` that it has.
fn keys_of_nodes(topology: &Topology) -> HashMap<NodeId, Arc<str>> {
    let owners = topology.nodes().iter().map(|node| node.id);
    let mut missing: HashSet<NodeId> = owners.filter(|id| topology.has_slots(*id)).collect();
    let mut keys = HashMap::new();
    // Among so many keys each slot has several.
    for n in 0..MOST_TRIED {
        if missing.is_empty() {
            break;
        }
        let key = format!("respite:d:{{{n}}}:presence");
        if let Some(owner) = topology.owner(slot_of(key.as_bytes()))
            && missing.remove(&owner)
        {
            keys.insert(owner, Arc::from(key));
        }
    }
    keys
}

impl Note {
    fn new(key: &Arc<str>) -> Self {
        let never = Seen {
            key: Arc::clone(key),
            now: b"0".to_vec(),
            ended: b"0".to_vec(),
            outages: Vec::new(),
            beats: b"0".to_vec(),
        };
        Note {
            seen: Arc::new(never),
            unused: 0,
        }
    }
}

impl Seen {
    fn read(key: &Arc<str>, reply: Value) -> Option<Self> {
        let Value::Array(values) = reply else {
            return None;
        };
        let mut texts = values.into_iter().map(|value| match value {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        });
        let mut next = || texts.next().flatten();
        let (now, beats, ended, outages) = (next()?, next()?, next()?, next()?);
        Some(Seen {
            key: Arc::clone(key),
            now,
            ended,
            outages,
            beats,
        })
    }
}
