//! All shards by id. Reading takes no lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::shard::Shard;
use super::watcher::Found;
use crate::config::{Address, FleetSettings};

/// The shards that are tracked, and those that were until a moment ago.
#[derive(Debug, Default)]
pub struct Table {
    shards: ArcSwap<Shards>,
    /// One change after the other.
    changing: Mutex<()>,
}

/// The shards at one moment.
#[derive(Debug, Default, Clone)]
pub struct Shards {
    by_id: HashMap<Arc<str>, Arc<Shard>>,
    /// Of several at one address the first by id that is not gone.
    by_address: HashMap<Address, Arc<Shard>>,
    /// The same, sorted by id.
    sorted: Vec<Arc<Shard>>,
}

/// What a change of the targets means for the poller.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Shards to be asked as soon as possible: new ones, returned ones, moved ones.
    pub(super) ask: Vec<Arc<Shard>>,
    /// Shards that no watcher names any more.
    pub(super) gone: Vec<Arc<Shard>>,
}

impl Table {
    /// The shards as they are now.
    #[must_use]
    pub fn shards(&self) -> Arc<Shards> {
        self.shards.load_full()
    }

    /// The shard of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Shard>> {
        self.shards.load().by_id.get(id).cloned()
    }

    /// Makes these the targets.
    pub(super) fn apply(&self, all: Vec<Found>, settings: &FleetSettings) -> Changes {
        let changing = self.changing.lock();
        let old = self.shards.load_full();
        let mut changes = Changes::default();
        let mut new = HashMap::with_capacity(all.len());
        for found in all {
            let known = old.by_id.get(found.target.id.as_str());
            let shard = match known {
                Some(shard) => {
                    if shard.find_again(found, settings) {
                        changes.ask.push(Arc::clone(shard));
                    }
                    Arc::clone(shard)
                }
                None => {
                    let shard = Arc::new(Shard::new(found, settings));
                    changes.ask.push(Arc::clone(&shard));
                    shard
                }
            };
            new.insert(Arc::clone(shard.id()), shard);
        }
        for shard in &old.sorted {
            if !new.contains_key(shard.id()) {
                if shard.leave() {
                    changes.gone.push(Arc::clone(shard));
                }
                new.insert(Arc::clone(shard.id()), Arc::clone(shard));
            }
        }
        self.store(new);
        drop(changing);
        changes
    }

    /// Forgets the shards that have been gone for as long as `keep`; returns when the next one of
    /// those that are left will have been.
    pub(super) fn sweep(&self, keep: Duration) -> Option<Instant> {
        let changing = self.changing.lock();
        let now = Instant::now();
        let mut shards = self.shards.load().by_id.clone();
        let mut next = None::<Instant>;
        shards.retain(|_, shard| {
            let Some(end) = shard.gone_since().map(|since| since + keep) else {
                return true;
            };
            if end > now {
                next = Some(next.map_or(end, |next| next.min(end)));
            }
            end > now
        });
        self.store(shards);
        drop(changing);
        next
    }

    fn store(&self, by_id: HashMap<Arc<str>, Arc<Shard>>) {
        let mut sorted: Vec<_> = by_id.values().cloned().collect();
        sorted.sort_unstable_by(|a, b| a.id().cmp(b.id()));
        let mut by_address = HashMap::with_capacity(sorted.len());
        let (gone, here): (Vec<_>, Vec<_>) = sorted
            .iter()
            .partition(|shard| shard.gone_since().is_some());
        for shard in here.into_iter().chain(gone) {
            let address = shard.found().target.endpoint.address.clone();
            by_address
                .entry(address)
                .or_insert_with(|| Arc::clone(shard));
        }
        self.shards.store(Arc::new(Shards {
            by_id,
            by_address,
            sorted,
        }));
    }
}

impl Shards {
    /// All of them, sorted by id.
    #[must_use]
    pub fn sorted(&self) -> &[Arc<Shard>] {
        &self.sorted
    }

    /// The shard of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Shard>> {
        self.by_id.get(id)
    }

    /// The shard at this address.
    #[must_use]
    pub fn at(&self, address: &Address) -> Option<&Arc<Shard>> {
        self.by_address.get(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fleet::Target;

    fn found(id: &str, url: &str) -> Found {
        let target = Target {
            id: id.to_owned(),
            endpoint: url.parse().expect("a URL"),
            labels: Default::default(),
        };
        Found {
            target: Arc::new(target),
            source: "test".into(),
        }
    }

    fn ids(shards: &[Arc<Shard>]) -> Vec<&str> {
        shards.iter().map(|shard| &**shard.id()).collect()
    }

    #[test]
    fn shards_come_go_and_come_back() {
        let settings = Config::default().fleet;
        let table = Table::default();
        let targets = vec![found("b", "redis://b"), found("a", "redis://a")];
        let changes = table.apply(targets.clone(), &settings);
        assert_eq!(ids(&changes.ask), ["b", "a"]);
        assert_eq!(ids(table.shards().sorted()), ["a", "b"]);
        let a = table.get("a").expect("there");

        let changes = table.apply(targets, &settings);
        assert!(changes.ask.is_empty() && changes.gone.is_empty());

        let changes = table.apply(vec![found("b", "redis://elsewhere")], &settings);
        assert_eq!(
            (ids(&changes.ask), ids(&changes.gone)),
            (vec!["b"], vec!["a"])
        );
        assert_eq!(ids(table.shards().sorted()), ["a", "b"], "kept for a while");
        assert!(table.sweep(Duration::from_secs(60)).is_some());
        assert_eq!(ids(table.shards().sorted()), ["a", "b"]);

        let changes = table.apply(vec![found("a", "redis://a")], &settings);
        assert_eq!(
            (ids(&changes.ask), ids(&changes.gone)),
            (vec!["a"], vec!["b"])
        );
        assert!(
            Arc::ptr_eq(&a, &table.get("a").expect("there")),
            "the same as before"
        );
        assert_eq!(table.sweep(Duration::ZERO), None);
        assert_eq!(ids(table.shards().sorted()), ["a"]);
        assert!(table.get("b").is_none());
    }
}
