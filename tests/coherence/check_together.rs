//! Judges reads of keys that are always written together (P7).
//!
//! Each of them shows one version of all its keys, or none of them; and no version that is older than one which an
//! earlier read at that place has shown (P4). A read that went straight to the backing does so in any case, or the test
//! is wrong.

use std::collections::BTreeMap;

use super::history::{History, Nanos, Snapshot};

/// Returns the reads that break it. `keys_vanish`: whether a key may be gone at any time by itself.
pub(crate) fn torn(history: &History, keys_vanish: bool) -> Vec<Snapshot> {
    let mut torn: Vec<Snapshot> = Vec::new();
    let mut places: BTreeMap<_, Vec<(Nanos, bool, u64, usize)>> = BTreeMap::new();
    for (index, snapshot) in history.snapshots.iter().enumerate() {
        let mut seen = snapshot.seen.clone();
        seen.retain(|version| version.is_some() || !keys_vanish);
        if seen.iter().any(|version| *version != seen[0]) {
            torn.push(snapshot.clone());
        }
        if let (Some(Some(version)), "MGET") = (seen.first(), snapshot.how) {
            let events = places.entry((snapshot.place, snapshot.group)).or_default();
            events.push((snapshot.start, false, *version, index));
            events.push((snapshot.end, true, *version, index));
        }
    }
    for events in places.values_mut() {
        events.sort_unstable();
        let mut shown = 0;
        for (_, ended, version, index) in events {
            if *ended {
                shown = shown.max(*version);
            } else if *version < shown {
                torn.push(history.snapshots[*index].clone());
            }
        }
    }
    torn
}

#[cfg(test)]
mod tests {
    use super::super::history::Place;
    use super::*;

    fn snapshot(start: Nanos, end: Nanos, seen: &[u64]) -> Snapshot {
        let version = |n: &u64| (*n > 0).then_some(*n);
        Snapshot {
            place: Place::A,
            group: 0,
            start,
            end,
            seen: seen.iter().map(version).collect(),
            how: "MGET",
        }
    }

    fn count(snapshots: &[Snapshot], keys_vanish: bool) -> usize {
        let history = History {
            snapshots: snapshots.to_vec(),
            ..History::default()
        };
        torn(&history, keys_vanish).len()
    }

    #[test]
    fn one_version_or_none() {
        assert_eq!(
            count(&[snapshot(1, 2, &[3, 3]), snapshot(1, 2, &[0, 0])], false),
            0
        );
        assert_eq!(count(&[snapshot(1, 2, &[3, 4])], false), 1);
        assert_eq!(count(&[snapshot(1, 2, &[3, 0, 3])], false), 1);
        assert_eq!(count(&[snapshot(1, 2, &[3, 0, 3])], true), 0);
    }

    #[test]
    fn none_that_is_older_than_one_that_was_shown() {
        let [old, new] = [&[3, 3], &[4, 4]];
        assert_eq!(count(&[snapshot(1, 3, new), snapshot(2, 4, old)], false), 0);
        assert_eq!(count(&[snapshot(1, 3, new), snapshot(4, 5, old)], false), 1);
    }
}
