//! How the cache is divided into segments, and how much each may hold.
//!
//! The limits are those of all segments together, and exact: what they hold never exceeds them. A small
//! cache is one segment, so that its order of use is one order.

use super::segment::Room;
use crate::config::CacheSettings;

/// There are never more.
pub(super) const MOST_SEGMENTS: usize = 64;
/// Up to so many entries there is one segment.
const ONE_SEGMENT: usize = 10_000;
/// From there on a segment has at least so many: fewer would fill up unevenly.
const ENTRIES_PER_SEGMENT: usize = 2_500;
/// The largest values that a segment has room for at least.
const VALUES_PER_SEGMENT: usize = 4;

/// The entries that may be kept: those of the configuration, and at most what the backing tracks. Beyond
/// that each fetch has the backing forget another key, and say that it has changed. Keys count there, not
/// who reads them, so the number of links does not matter. `table` 0: not known, or as many as there are.
pub(super) fn most_entries(settings: &CacheSettings, table: usize) -> usize {
    if table == 0 {
        settings.max_entries
    } else {
        settings.max_entries.min(table)
    }
}

/// How many segments there are: a power of two.
fn segments(entries: usize, settings: &CacheSettings) -> usize {
    if entries <= ONE_SEGMENT {
        return 1;
    }
    let value = settings.max_value_bytes.saturating_mul(VALUES_PER_SEGMENT);
    let most = (entries / ENTRIES_PER_SEGMENT)
        .min(settings.max_bytes / value.max(1))
        .clamp(1, MOST_SEGMENTS);
    1 << most.ilog2()
}

/// What each of the segments in use may hold.
pub(super) fn rooms(settings: &CacheSettings, table: usize) -> Vec<Room> {
    let entries = most_entries(settings, table);
    let count = segments(entries, settings);
    let share = |whole: usize, n: usize| whole / count + usize::from(n < whole % count);
    let room = |n| Room {
        entries: share(entries, n),
        bytes: share(settings.max_bytes, n),
        selective: count > 1,
    };
    (0..count).map(room).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::CacheMode;

    fn settings(max_entries: usize, max_bytes: usize) -> CacheSettings {
        CacheSettings {
            mode: CacheMode::Tracking,
            max_entries,
            max_bytes,
            expiry: Duration::from_secs(3600),
            max_value_bytes: 1 << 20,
            max_variants: 64,
            commands: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            staleness_max: Duration::from_millis(500),
            strict: false,
        }
    }

    #[test]
    fn the_segments_hold_what_was_configured_and_not_one_more() {
        for entries in [1, 100, 10_000, 10_001, 12_345, 20_000, 999_999, 4_000_000] {
            for bytes in [1, 1000, (1 << 28) - 1, 1 << 28, 1 << 34] {
                let rooms = rooms(&settings(entries, bytes), 0);
                assert!(rooms.len().is_power_of_two() && rooms.len() <= MOST_SEGMENTS);
                assert_eq!(rooms.iter().map(|r| r.entries).sum::<usize>(), entries);
                assert_eq!(rooms.iter().map(|r| r.bytes).sum::<usize>(), bytes);
            }
        }
    }

    #[test]
    fn a_small_cache_is_one_segment_and_a_large_one_has_many() {
        let count = |entries, bytes| rooms(&settings(entries, bytes), 0).len();
        assert_eq!(count(10_000, 1 << 28), 1);
        assert_eq!(count(1_000_000, 1 << 28), 64);
        assert_eq!(count(1_000_000, 1 << 20), 1, "a value would not fit");
    }

    #[test]
    fn the_backing_tracks_so_many_keys_and_no_more_are_kept() {
        let settings = settings(4_000_000, 1 << 28);
        let kept = |table| -> usize { rooms(&settings, table).iter().map(|r| r.entries).sum() };
        assert_eq!(kept(0), 4_000_000);
        assert_eq!(kept(1_000_000), 1_000_000);
        assert_eq!(kept(5_000_000), 4_000_000);
    }
}
