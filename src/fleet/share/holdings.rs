//! Which shards this Respite may poll: those that are its own in the newest view, once everybody else knows so.
//!
//! ```text
//!            is its own in a view           all living members have taken over that view
//!  another's ───────────────────▶ expected ─────────────────────────────────────────────▶ held
//!      ▲      another's in a newer view │              another's in a newer view           │
//!      └───────────────────────────────┴───────────────────────────────────────────────────┘
//! ```
//!
//! Two members never hold one shard: who holds it lets go before it takes over a view in which the shard is another's, and
//! the other waits for that. Pure: it knows no clock, and nothing of what a shard is.

use std::collections::HashMap;
use std::sync::Arc;

use super::identity::ShardKey;
use super::view::View;

/// A shard that this Respite has begun to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acquired {
    pub(super) key: ShardKey,
    /// Who held it before may have polled it without saying so: it is gone.
    pub(super) abandoned: bool,
}

/// What a view has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) acquired: Vec<Acquired>,
    pub(super) released: Vec<ShardKey>,
}

/// What the backing has said besides who is there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// This Respite was no member any more: others may have taken over what it held.
    pub(super) rejoined: bool,
    /// The fleet is older than a lease. Before that nobody begins to hold anything: those who held it may not have come
    /// back yet, after an outage of the backing.
    pub(super) settled: bool,
    /// All that others have polled was heard: what is taken over from them is polled at its time.
    pub(super) complete: bool,
}

#[derive(Debug, Default)]
struct Entry {
    owner: Option<Arc<str>>,
    held: bool,
    /// The view from which on it is this Respite's own, 0: it is not.
    since: u64,
    abandoned: bool,
}

/// The shards that this Respite tracks, and who polls them.
#[derive(Debug)]
pub(super) struct Holdings {
    me: Arc<str>,
    entries: HashMap<ShardKey, Entry>,
    view: View,
}

impl Holdings {
    pub(super) fn new(me: Arc<str>) -> Self {
        Holdings {
            me,
            entries: HashMap::new(),
            view: View::default(),
        }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// Makes these the shards that are tracked here.
    pub(super) fn track(&mut self, keys: &[ShardKey]) {
        let mut old = std::mem::take(&mut self.entries);
        for key in keys {
            let entry = old.remove(key).unwrap_or_default();
            self.entries.insert(*key, entry);
        }
    }

    /// Who polls a shard in the newest view.
    pub(super) fn owner(&self, key: ShardKey) -> Option<&Arc<str>> {
        self.entries.get(&key)?.owner.as_ref()
    }

    pub(super) fn holds(&self, key: ShardKey) -> bool {
        self.entries.get(&key).is_some_and(|entry| entry.held)
    }

    pub(super) fn held(&self) -> impl Iterator<Item = ShardKey> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.held)
            .map(|(key, _)| *key)
    }

    /// Whether a shard waits for others to let go of it.
    pub(super) fn expects(&self) -> bool {
        self.entries
            .values()
            .any(|entry| entry.since > 0 && !entry.held)
    }

    /// Takes over a newer view.
    pub(super) fn adopt(&mut self, view: View, changes: &mut Changes) {
        let old = std::mem::replace(&mut self.view, view);
        for (key, entry) in &mut self.entries {
            let owner = self.view.owner(*key).map(|member| &member.name);
            if entry.owner.as_ref() != owner {
                // Who is still there has told when it polled last, before it let go.
                let before = entry.owner.as_ref();
                let lost = before.is_some_and(|name| self.view.member(name).is_none());
                entry.abandoned = lost || (entry.abandoned && !entry.held);
                entry.owner = owner.cloned();
            }
            if owner.is_some_and(|owner| *owner == self.me) {
                if entry.since == 0 {
                    entry.since = self.view.number;
                }
                continue;
            }
            entry.since = 0;
            if std::mem::take(&mut entry.held) {
                changes.released.push(*key);
            }
        }
        // A fleet whose clock has stepped back counts anew.
        if self.view.number < old.number {
            for entry in self.entries.values_mut().filter(|entry| entry.since > 0) {
                entry.since = self.view.number;
            }
        }
    }

    /// Lets go of everything, because others may hold it by now. What is its own in the next view is expected anew.
    pub(super) fn forfeit(&mut self, changes: &mut Changes) {
        for (key, entry) in &mut self.entries {
            entry.since = 0;
            if std::mem::take(&mut entry.held) {
                changes.released.push(*key);
            }
        }
    }

    /// Begins to hold what everybody else has let go of.
    pub(super) fn acquire(&mut self, standing: Standing, changes: &mut Changes) {
        if !standing.settled || !standing.complete {
            return;
        }
        let others = self.view.members().iter();
        let others = others.filter(|member| member.name != self.me);
        let acked = others.map(|member| member.acked).min();
        for (key, entry) in &mut self.entries {
            let free = acked.is_none_or(|acked| acked >= entry.since);
            if entry.since > 0 && !entry.held && free {
                entry.held = true;
                changes.acquired.push(Acquired {
                    key: *key,
                    abandoned: std::mem::take(&mut entry.abandoned),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::{KeySet, Member, SetDigest, mix};
    use super::*;

    const SETTLED: Standing = Standing {
        rejoined: false,
        settled: true,
        complete: true,
    };

    fn keys() -> Vec<ShardKey> {
        (1..=50).map(|n| ShardKey(mix(n))).collect()
    }

    /// A view of members, each with the newest view that it has taken over.
    fn view(number: u64, members: &[(&str, u64)]) -> View {
        let set = KeySet::new(keys());
        let digest = SetDigest::of(&set.encode());
        let member = |(name, acked): &(&str, u64)| {
            Member::parse(name.as_bytes(), format!("{acked}|{digest}|").as_bytes())
        };
        let members = members.iter().filter_map(member).collect();
        View::new(number, members, &[(digest, Arc::new(set))].into())
    }

    fn take(holdings: &mut Holdings, view: View) -> Changes {
        let mut changes = Changes::default();
        holdings.adopt(view, &mut changes);
        holdings.acquire(SETTLED, &mut changes);
        changes
    }

    #[test]
    fn a_shard_is_held_when_all_others_have_let_go() {
        let mut a = Holdings::new("a".into());
        a.track(&keys());
        assert_eq!(take(&mut a, view(1, &[("a", 0)])).acquired.len(), 50);
        let mut b = Holdings::new("b".into());
        b.track(&keys());
        let both = |a, b| view(2, &[("a", a), ("b", b)]);
        // B comes, and A has not heard of it.
        assert!(take(&mut b, both(1, 0)).acquired.is_empty());
        assert!(b.expects());
        // A lets go at once, says so with what it sends next, and B takes over.
        let released = take(&mut a, both(1, 0)).released;
        assert!(!released.is_empty() && released.len() < 50);
        let acquired = take(&mut b, both(2, 2)).acquired;
        assert_eq!(acquired.len(), released.len());
        assert!(acquired.iter().all(|shard| !shard.abandoned));
        assert!(!b.expects());
        assert!(keys().iter().all(|key| a.holds(*key) != b.holds(*key)));

        // A goes: what it held may have been polled since it last said so.
        let mut changes = take(&mut b, view(3, &[("b", 2)]));
        changes.acquired.retain(|shard| shard.abandoned);
        assert_eq!(
            (changes.acquired.len(), b.held().count()),
            (50 - released.len(), 50)
        );
    }

    #[test]
    fn who_was_no_member_lets_go_and_a_young_fleet_begins_nothing() {
        let mut a = Holdings::new("a".into());
        a.track(&keys());
        let mut changes = Changes::default();
        a.adopt(view(7, &[("a", 0)]), &mut changes);
        let young = Standing {
            settled: false,
            ..SETTLED
        };
        a.acquire(young, &mut changes);
        assert_eq!(changes, Changes::default());
        a.acquire(SETTLED, &mut changes);
        assert_eq!(changes.acquired.len(), 50);
        let mut changes = Changes::default();
        a.forfeit(&mut changes);
        assert_eq!((changes.released.len(), a.held().count()), (50, 0));
        a.acquire(SETTLED, &mut changes);
        assert_eq!(a.held().count(), 0, "not by what it knew before");
        assert!(
            take(&mut a, view(8, &[("a", 7), ("z", 7)]))
                .acquired
                .is_empty()
        );
        take(&mut a, view(9, &[("a", 8)]));
        assert_eq!(a.held().count(), 50);
        // The clock of another backing is behind: its views count anew.
        assert!(
            take(&mut a, view(3, &[("a", 3), ("z", 2)]))
                .acquired
                .is_empty()
        );
        let lost = take(&mut a, view(4, &[("a", 3)]));
        assert_eq!(a.held().count(), 50, "{lost:?}");
    }

    #[test]
    fn what_is_not_tracked_any_more_is_not_held() {
        let mut a = Holdings::new("a".into());
        a.track(&keys());
        take(&mut a, view(1, &[("a", 0)]));
        a.track(&keys()[..10]);
        assert_eq!(a.held().count(), 10);
        assert_eq!(a.owner(keys()[20]), None);
    }
}
