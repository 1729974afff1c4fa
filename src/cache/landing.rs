//! What a fetch brings: whether it is kept, and who waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::entry::{Entry, Waiter};
use super::flights::Landed;
use super::full_key::write_full_key;
use super::lease::{Lease, ticks};
use super::mutant::{Mutant, is_active};
use super::segment::Segment;
use super::stats::count;
use super::store::Cache;
use super::value::{Value, is_nil, is_same};
use super::variants::NewVariant;
use crate::config::CacheSettings;
use crate::resp::{Proto, Shape, downgrade};

/// Redis counts expiry in whole milliseconds of a clock that it reads now and then.
const CLOCK_SLACK: Duration = Duration::from_millis(1);
/// `MGET` says nil of a key that is no string, and `GET` an error: such a nil is not kept, and the key is known by this
/// name, among what cannot be kept, until it changes.
pub(super) const NO_STRING: &[u8] = b"mget";
/// A reply may be so much longer than its value.
const FRAME_BYTES: usize = 32;

/// What a fetch brought.
pub(super) struct Fill<'a> {
    pub(super) db: u32,
    pub(super) key: &'a [u8],
    pub(super) token: u64,
    pub(super) outcome: Outcome<'a>,
    /// What was left of the life of what was read when it was asked for.
    pub(super) ttl: Option<Duration>,
    /// The longest that it is kept, counted from when it was asked for.
    pub(super) longest: Option<Duration>,
    /// When it was asked for.
    pub(super) sent: Instant,
    pub(super) lease: &'a Arc<Lease>,
    pub(super) epoch: u64,
}

/// What came of a fetch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome<'a> {
    /// A reply, nil included.
    Reply(&'a [u8]),
    /// Nothing that may be kept: an error, or no reply.
    Nothing,
    /// The error of a `GET` whose key is no string.
    OtherType,
    /// A reply that is too large to be kept, and was not held.
    TooLarge,
}

/// A fetch that has come to its end.
pub(super) struct Ended {
    pub(super) waiters: Vec<Waiter>,
    /// How its reply differs between the versions of the protocol.
    pub(super) shape: Shape,
    /// Clients have seen another value meanwhile: who waits may have begun behind that.
    pub(super) outdated: bool,
}

impl Cache {
    /// Ends a flight and keeps what it brought, unless something happened to the key meanwhile.
    /// Returns who waits for it.
    pub(super) fn land(&self, fill: &Fill<'_>) -> Ended {
        let hash = self.hash(fill.key);
        let mut full_key = Vec::new();
        write_full_key(hash, fill.db, fill.key, &mut full_key);
        let settings = self.settings.load();
        let (_, mut segment) = self.lock(hash);
        let segment = &mut *segment;
        let landed = segment.flights.land(&full_key, fill.token);
        let outdated = landed.shown.as_ref().is_some_and(
            |shown| !matches!(fill.outcome, Outcome::Reply(reply) if is_same(reply, shown)),
        );
        let unchanged = landed.version.is_some() && self.stripes.version(hash) == landed.version
            || is_active(Mutant::TokenNotVoidedByWrite);
        let unchanged = unchanged && !outdated && fill.lease.is_current(fill.epoch);
        match fill.outcome {
            Outcome::Reply(reply) if unchanged => {
                self.keep(segment, &full_key, fill, reply, &landed, &settings);
            }
            // It is as new as all that its link has brought.
            Outcome::Nothing | Outcome::OtherType if unchanged => {
                if matches!(fill.outcome, Outcome::OtherType) {
                    segment.note_large(&full_key, Some(NO_STRING));
                }
                segment.change(&full_key, |entry| {
                    entry.retain(|value| Arc::ptr_eq(&value.lease, fill.lease));
                });
                count(&self.stats.rejected_fills);
            }
            outcome => {
                if matches!(outcome, Outcome::TooLarge) {
                    segment.note_large(&full_key, landed.name.as_deref());
                }
                // Who waits for it may see something newer than what another link has brought.
                if !is_active(Mutant::BypassReadKeepsEntry) {
                    segment.remove(&full_key);
                    segment.flights.void(&full_key);
                }
                count(&self.stats.rejected_fills);
            }
        }
        Ended {
            waiters: landed.waiters,
            shape: landed.shape,
            outdated,
        }
    }

    fn keep(
        &self,
        segment: &mut Segment,
        full_key: &[u8],
        fill: &Fill<'_>,
        reply: &[u8],
        landed: &Landed,
        settings: &CacheSettings,
    ) {
        let large = |segment: &mut Segment| {
            segment.note_large(full_key, landed.name.as_deref());
            count(&self.stats.rejected_fills);
        };
        if reply.len() > settings.max_value_bytes + FRAME_BYTES {
            segment.change(full_key, |entry| {
                make_way(entry, fill.lease, settings.staleness_max);
            });
            return large(segment);
        }
        let (key, mut entry) = segment
            .remove(full_key)
            .unwrap_or_else(|| (full_key.into(), Entry::default()));
        make_way(&mut entry, fill.lease, settings.staleness_max);
        self.put(&mut entry, fill, reply, landed, settings);
        if entry.is_empty() {
            return;
        }
        match segment.insert(key, entry) {
            Some(evicted) => {
                count(&self.stats.fills);
                self.stats.evictions.fetch_add(evicted, Ordering::Relaxed);
            }
            None => large(segment),
        }
    }

    /// Puts what was read into an entry.
    fn put(
        &self,
        entry: &mut Entry,
        fill: &Fill<'_>,
        reply: &[u8],
        landed: &Landed,
        settings: &CacheSettings,
    ) {
        let ttl = fill.ttl.filter(|_| !is_active(Mutant::PttlIgnored));
        let left = ttl.map_or(settings.expiry, |ttl| {
            ttl.saturating_sub(CLOCK_SLACK).min(settings.expiry)
        });
        let left = fill.longest.map_or(left, |longest| longest.min(left));
        let value = |reply: Option<&[u8]>| Value {
            reply: reply.map(Into::into),
            deadline: ticks(fill.sent + left),
            expires: ttl.is_some(),
            lease: Arc::clone(fill.lease),
            epoch: fill.epoch,
            landed: ticks(Instant::now()),
            token: fill.token,
            overtaken: 0,
        };
        let Some(name) = &landed.name else {
            entry.put_get(value(Some(reply).filter(|reply| !is_nil(reply))));
            return;
        };
        let hash = self.hash(name);
        let mut put = |proto, reply: &[u8]| {
            let new = NewVariant {
                name,
                hash,
                proto,
                value: value(Some(reply)),
            };
            entry.put_other(new, settings.max_variants);
        };
        let mut older = Vec::new();
        let known = downgrade(reply, landed.shape, &mut older);
        if known && older == reply {
            return put(None, reply);
        }
        for proto in [Proto::Resp2, Proto::Resp3] {
            let wanted = landed.waiters.iter().any(|waiter| waiter.proto == proto);
            match proto {
                _ if !wanted => {}
                Proto::Resp3 => put(Some(proto), reply),
                Proto::Resp2 if known => put(Some(proto), &older),
                Proto::Resp2 => {}
            }
        }
    }

    /// Keeps a value without any of the checks of [`Cache::land`].
    #[cfg(feature = "mutants")]
    pub(super) fn insert_unchecked(&self, db: u32, key: &[u8], reply: &[u8], lease: &Arc<Lease>) {
        let hash = self.hash(key);
        let mut full_key = Vec::new();
        write_full_key(hash, db, key, &mut full_key);
        let now = Instant::now();
        let value = Value {
            reply: (!is_nil(reply)).then(|| reply.into()),
            deadline: ticks(now + self.settings.load().expiry),
            expires: false,
            lease: Arc::clone(lease),
            epoch: lease.epoch(),
            landed: ticks(now),
            token: 0,
            overtaken: 0,
        };
        let (part, mut segment) = self.lock(hash);
        part.occupied.store(true, Ordering::SeqCst);
        segment.insert(full_key.into(), Entry::of_get(value));
    }
}

/// Prepares an entry for what this link has brought of its key. What is there may be older. Where that was brought
/// by the same link, its push would have come first. What another link brought is served again once that link
/// has answered what is sent from now on. A link that hears no pushes proves nothing.
fn make_way(entry: &mut Entry, lease: &Arc<Lease>, staleness_max: Duration) {
    let now = Instant::now();
    let proof = ticks(now + staleness_max);
    entry.retain(|value| {
        if is_active(Mutant::OvertakenIsServed) {
            return true;
        }
        if value.lease.is_endless() || !value.lease.is_current(value.epoch) {
            return false;
        }
        if !Arc::ptr_eq(&value.lease, lease) {
            value.overtaken = value.overtaken.max(proof);
        }
        true
    });
}
