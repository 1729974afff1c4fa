//! That a Respite is there, noted at the backing twice a second, so that an outage is noticed.
//!
//! Leases run on while nobody can renew them. Each script therefore refuses to judge unless its
//! Respite has been there within the last two seconds of the backing's clock; then the Respite notes
//! its presence first, and that script finds the gap in the notes of all Respites. The scripts on
//! groups are told of the latest gaps and prolong the leases that were good when one began.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::Value;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::error::DiscoveryError;
use super::keys::PRESENCE;
use super::scripts::Scripts;
use crate::upstream::ControlLink;

/// How often the presence is noted: four may fail before it counts as an outage.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// How often a Respite whose clients do not use discovery looks whether others do.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The notes of this Respite.
#[derive(Debug)]
pub(super) struct Presence {
    link: Arc<ControlLink>,
    scripts: Arc<Scripts>,
    seen: Mutex<Arc<Seen>>,
    /// Whether discovery is used on this backing, as far as is known.
    in_use: AtomicBool,
    used: Notify,
}

/// What the last note brought back, as the scripts want it.
#[derive(Debug)]
pub(super) struct Seen {
    /// The backing's clock, in milliseconds.
    pub(super) now: Vec<u8>,
    /// When the latest outage ended; 0 for none.
    pub(super) ended: Vec<u8>,
    /// The latest outages.
    pub(super) outages: Vec<u8>,
    beats: Vec<u8>,
}

impl Presence {
    pub(super) fn new(link: Arc<ControlLink>, scripts: Arc<Scripts>) -> Self {
        let never = Seen {
            now: b"0".to_vec(),
            ended: b"0".to_vec(),
            outages: Vec::new(),
            beats: b"0".to_vec(),
        };
        Presence {
            link,
            scripts,
            seen: Mutex::new(Arc::new(never)),
            in_use: AtomicBool::new(false),
            used: Notify::new(),
        }
    }

    /// What is known now; it is about to be used.
    pub(super) fn seen(&self) -> Arc<Seen> {
        if !self.in_use.swap(true, Ordering::Relaxed) {
            self.used.notify_one();
        }
        Arc::clone(&self.seen.lock())
    }

    /// Notes that this Respite is there, unless that was done since `seen`.
    pub(super) async fn renew(&self, seen: &Arc<Seen>) -> Result<(), DiscoveryError> {
        if Arc::ptr_eq(seen, &self.seen.lock()) {
            self.beat().await?;
        }
        Ok(())
    }

    async fn beat(&self) -> Result<(), DiscoveryError> {
        let beats = self.seen.lock().beats.clone();
        let replied = self
            .link
            .script(&self.scripts.presence, &[PRESENCE], &[beats])
            .await?;
        let seen = Seen::read(replied).ok_or(DiscoveryError::Damaged("presence"))?;
        let mut held = self.seen.lock();
        // Of two notes that cross, the later one stays. Shorter numbers are smaller.
        let later = |a: &[u8], b: &[u8]| (a.len(), a) >= (b.len(), b);
        if later(&seen.beats, &held.beats) {
            *held = Arc::new(seen);
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
        loop {
            if let Err(error) = self.beat().await {
                debug!("cannot note the presence at the backing: {error}");
            }
            sleep(BEAT_EVERY).await;
        }
    }

    async fn used_by_others(&self) -> bool {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(PRESENCE);
        matches!(self.link.command(&exists).await, Ok(Value::Int(1)))
    }
}

impl Seen {
    fn read(reply: Value) -> Option<Self> {
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
            now,
            ended,
            outages,
            beats,
        })
    }
}
