//! Which topics there are, and how far the event stream of each group has been read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::topic::{Subject, Topic};
use crate::discovery::error::DiscoveryError;
use crate::discovery::index::Index;
use crate::discovery::names::{WATCHED_GROUPS, WATCHED_OF_ADDRESS};

/// How long a topic stays that nobody waits for: clients that watch in a loop come back at once.
const LINGER: Duration = Duration::from_secs(5);
/// The most topics, those that linger included. Clients wait for one each.
const TOPICS: usize = 50_000;

/// The topics by group.
#[derive(Debug, Default)]
pub(super) struct Table {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    groups: HashMap<Arc<str>, Group>,
    topics: usize,
    /// Whether a tail follows the groups.
    followed: bool,
}

#[derive(Debug, Default)]
struct Group {
    /// The address of the client that named it first; none for Respite itself.
    first_peer: Option<IpAddr>,
    topics: HashMap<Subject, Entry>,
    /// Unknown until the first read.
    position: Option<Position>,
    /// When the group is to be ticked.
    due: Option<Instant>,
    /// The group was ahead of the position at the last tick.
    behind: bool,
}

#[derive(Debug)]
struct Entry {
    topic: Arc<Topic>,
    waiting: usize,
    /// Since when nobody waits.
    idle: Option<Instant>,
}

/// The last entry of an event stream that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) index: Index,
    pub(super) entry: (u64, u64),
}

/// What an event stream told: the entry, and the service that it names; none for all of them.
pub(super) type Event = ((u64, u64), Option<String>);

impl Position {
    fn at(index: Index) -> Self {
        Position {
            index,
            entry: (index.revision(), u64::MAX),
        }
    }
}

impl Table {
    /// Adds one who waits. True when a tail has to be started.
    pub(super) fn subscribe(
        &self,
        group: &str,
        subject: Subject,
        peer: Option<IpAddr>,
    ) -> Result<(Arc<Topic>, bool), DiscoveryError> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        if inner.topics >= TOPICS {
            inner.purge(Duration::ZERO);
        }
        if inner.topics >= TOPICS {
            return Err(DiscoveryError::Full("services are watched"));
        }
        if !inner.groups.contains_key(group) {
            if inner.is_full_for(peer) {
                inner.purge(Duration::ZERO);
            }
            if inner.groups.len() >= WATCHED_GROUPS {
                return Err(DiscoveryError::Full("groups are watched"));
            }
            if inner.is_full_for(peer) {
                return Err(DiscoveryError::Full("groups are watched from this address"));
            }
        }
        let starts = !std::mem::replace(&mut inner.followed, true);
        let name = match inner.groups.get_key_value(group) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(group),
        };
        let entry = inner.groups.entry(Arc::clone(&name));
        let topics = &mut entry.or_insert_with(|| Group::named_by(peer)).topics;
        let entry = topics.entry(subject).or_insert_with_key(|subject| {
            inner.topics += 1;
            Entry {
                topic: Topic::new(name, subject.clone()),
                waiting: 0,
                idle: None,
            }
        });
        entry.waiting += 1;
        entry.idle = None;
        Ok((Arc::clone(&entry.topic), starts))
    }

    pub(super) fn unsubscribe(&self, topic: &Topic) {
        let mut inner = self.inner.lock();
        let group = inner.groups.get_mut(&topic.group);
        if let Some(entry) = group.and_then(|group| group.topics.get_mut(&topic.subject)) {
            entry.waiting -= 1;
            if entry.waiting == 0 {
                entry.idle = Some(Instant::now());
            }
        }
    }

    /// Drops the topics that nobody has waited for in a while; false when none is left, and with
    /// them the tail ends.
    pub(super) fn tidy(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.purge(LINGER);
        inner.followed = !inner.groups.is_empty();
        inner.followed
    }

    /// The groups whose tick is due.
    pub(super) fn due(&self, now: Instant) -> Vec<Arc<str>> {
        let inner = self.inner.lock();
        let due = |group: &Group| group.due.is_none_or(|due| due <= now);
        let groups = inner.groups.iter().filter(|(_, group)| due(group));
        groups.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Notes when a group is to be ticked next.
    pub(super) fn next_due(&self, group: &str, due: Instant) {
        if let Some(group) = self.inner.lock().groups.get_mut(group) {
            group.due = Some(due);
        }
    }

    /// The time of the next tick.
    pub(super) fn first_due(&self) -> Option<Instant> {
        let inner = self.inner.lock();
        inner.groups.values().filter_map(|group| group.due).min()
    }

    /// From where the streams are to be read; groups that were never read are left out.
    pub(super) fn positions(&self) -> Vec<(Arc<str>, Position)> {
        let inner = self.inner.lock();
        let known = inner.groups.iter().filter_map(|(name, group)| {
            let position = group.position?;
            Some((Arc::clone(name), position))
        });
        known.collect()
    }

    /// From where a group's stream is to be read, if it was ever read.
    pub(super) fn position(&self, group: &str) -> Option<Position> {
        self.inner.lock().groups.get(group)?.position
    }

    /// The groups whose streams have not told all that is known of them.
    pub(super) fn behind(&self) -> Vec<Arc<str>> {
        let inner = self.inner.lock();
        let behind = inner.groups.iter().filter(|(_, group)| group.behind);
        behind.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Takes note of where a group is. Returns whether the tail must read from elsewhere, and the topics
    /// that are out of date with that.
    pub(super) fn learn(&self, group: &str, index: Index) -> (bool, Vec<Arc<Topic>>) {
        let mut inner = self.inner.lock();
        let Some(group) = inner.groups.get_mut(group) else {
            return (false, Vec::new());
        };
        match group.position {
            Some(position) if position.index.same_epoch(index) => (false, Vec::new()),
            before => {
                group.position = Some(Position::at(index));
                let reset = before.is_some();
                (true, if reset { group.all() } else { Vec::new() })
            }
        }
    }

    /// Compares a group's index, as a tick found it, with how far its stream has been read. Returns the
    /// topics to read again: all, when the group is not what it was or the stream does not tell.
    pub(super) fn compare(&self, group: &str, index: Index) -> Vec<Arc<Topic>> {
        let mut inner = self.inner.lock();
        let Some(group) = inner.groups.get_mut(group) else {
            return Vec::new();
        };
        let Some(position) = group.position else {
            return Vec::new();
        };
        let ahead = index.revision() > position.index.revision();
        let lost = position.index.is_reset_by(index) || !position.index.same_epoch(index);
        let stuck = std::mem::replace(&mut group.behind, ahead) && ahead;
        if lost && position.index.same_epoch(index) {
            group.position = Some(Position::at(index));
        }
        if lost || stuck {
            group.all()
        } else {
            Vec::new()
        }
    }

    /// Moves on behind the events that were read. Returns the topics that they concern.
    pub(super) fn advance(&self, group: &str, events: &[Event]) -> Vec<Arc<Topic>> {
        let mut inner = self.inner.lock();
        let Some(group) = inner.groups.get_mut(group) else {
            return Vec::new();
        };
        let Some(position) = &mut group.position else {
            return Vec::new();
        };
        let mut everything = false;
        for ((revision, n), service) in events {
            // Entries may have been dropped from the stream before they were read.
            everything |= *revision > position.index.revision() + 1 || service.is_none();
            position.index = position.index.moved_to(*revision);
            position.entry = (*revision, *n);
        }
        group.behind = false;
        if everything {
            return group.all();
        }
        let concerned = |subject: &Subject| match subject {
            Subject::Group => true,
            Subject::Service(service) => events
                .iter()
                .any(|(_, named)| named.as_deref() == Some(&**service)),
        };
        let entries = group.topics.iter().filter(|(s, _)| concerned(s));
        entries.map(|(_, entry)| Arc::clone(&entry.topic)).collect()
    }

    /// The groups, and those who wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        let topics = inner
            .groups
            .values()
            .flat_map(|group| group.topics.values());
        (inner.groups.len(), topics.map(|entry| entry.waiting).sum())
    }

    /// All topics of all groups.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        let inner = self.inner.lock();
        inner.groups.values().flat_map(Group::all).collect()
    }
}

impl Inner {
    /// Whether there is no place for one more group, which a client of this address names first.
    fn is_full_for(&self, peer: Option<IpAddr>) -> bool {
        let theirs = |group: &&Group| group.first_peer == peer;
        let is_theirs = || self.groups.values().filter(theirs).count() >= WATCHED_OF_ADDRESS;
        self.groups.len() >= WATCHED_GROUPS || (peer.is_some() && is_theirs())
    }

    fn purge(&mut self, linger: Duration) {
        let now = Instant::now();
        let mut left = 0;
        self.groups.retain(|_, group| {
            group.topics.retain(|_, entry| {
                let idle = entry.idle.map(|since| now.duration_since(since));
                idle.is_none_or(|idle| idle < linger)
            });
            left += group.topics.len();
            !group.topics.is_empty()
        });
        self.topics = left;
    }
}

impl Group {
    fn named_by(first_peer: Option<IpAddr>) -> Self {
        Group {
            first_peer,
            ..Group::default()
        }
    }

    fn all(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.values();
        topics.map(|entry| Arc::clone(&entry.topic)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribe(table: &Table, group: usize, peer: Option<&str>) -> Result<(), DiscoveryError> {
        let peer = peer.map(|peer| peer.parse().expect("an address"));
        let subscribed = table.subscribe(&format!("g{group}"), Subject::Group, peer);
        subscribed.map(drop)
    }

    #[test]
    fn one_address_does_not_take_the_places_of_others() {
        let table = Table::default();
        for group in 0..WATCHED_OF_ADDRESS {
            subscribe(&table, group, Some("10.0.0.1")).expect("a place");
        }
        let more = WATCHED_OF_ADDRESS;
        let refused = subscribe(&table, more, Some("10.0.0.1")).expect_err("enough");
        assert_eq!(
            refused.to_string(),
            "ERR too many groups are watched from this address"
        );
        subscribe(&table, 0, Some("10.0.0.1")).expect("it is watched already");
        subscribe(&table, more, Some("10.0.0.2")).expect("a place of its own");
        subscribe(&table, more + 1, None).expect("Respite itself");
    }

    #[test]
    fn places_that_nobody_waits_at_are_given_away() {
        let table = Table::default();
        for group in 0..WATCHED_OF_ADDRESS {
            let peer = Some("10.0.0.1".parse().expect("an address"));
            let subscribed = table.subscribe(&format!("g{group}"), Subject::Group, peer);
            table.unsubscribe(&subscribed.expect("a place").0);
        }
        subscribe(&table, WATCHED_OF_ADDRESS, Some("10.0.0.1")).expect("a place");
    }
}
