//! Which keys are hit most: a sketch of bounded size for each segment.
//!
//! It counts a random sample of the hits, one in sixteen, in small Space-Saving tables (Metwally, Agrawal and
//! El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005): a key that is not
//! in its table takes the place of the least one there and goes on from its count. So counts are rather too
//! high than too low, and a key with more than its share of the hits is there. They are halved now and
//! then, so that the past fades. It does not know what is still cached.

use super::full_key::hash_of;

/// Tables of a segment.
const TABLES: usize = 8;
/// Keys of a table: few, because all are looked at.
const KEYS: usize = 8;
/// One hit of so many is counted, on average.
const SAMPLED: u64 = 16;
/// So many hits at the beginning are all counted, so that little traffic shows too.
const EARLY: u64 = 256;
/// Counts are halved when they add up to this.
const FADE_AT: u64 = 1 << 19;
/// Keys that are longer are not remembered, so that the sketch stays small.
const MOST_KEY_BYTES: usize = 1024;
/// Room for a key, so that one that takes another's place seldom needs more.
const KEY_BYTES: usize = 64;

/// The keys of one segment that were hit most of late.
#[derive(Debug)]
pub(super) struct HotKeys {
    /// Hits to come up to the next one that is counted, itself included.
    wait: u64,
    /// Hits up to [`EARLY`].
    early: u64,
    /// All counts together.
    total: u64,
    /// The state of a xorshift generator.
    random: u64,
    /// One table after the other; nothing before the first hit.
    places: Vec<Place>,
}

#[derive(Debug, Clone, Default)]
struct Place {
    hash: u64,
    /// Zero: nobody's.
    count: u64,
    key: Vec<u8>,
}

impl Default for HotKeys {
    fn default() -> Self {
        HotKeys {
            wait: 1,
            early: 0,
            total: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            places: Vec::new(),
        }
    }
}

impl HotKeys {
    /// Notes a hit on a full key.
    #[inline]
    pub(super) fn hit(&mut self, key: &[u8]) {
        self.wait -= 1;
        if self.wait == 0 {
            self.sample(key);
        }
    }

    /// The full keys and about how often each was hit of late, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let taken = self.places.iter().filter(|place| place.count > 0);
        taken.map(|place| (place.key.as_slice(), place.count))
    }

    #[cold]
    fn sample(&mut self, key: &[u8]) {
        if self.early < EARLY {
            self.early += 1;
            self.wait = 1;
            return self.count(key, 1);
        }
        // At random, because clients that go round in circles would meet a fixed pace.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.wait = 1 + self.random % (2 * SAMPLED - 1);
        self.count(key, SAMPLED);
    }

    fn count(&mut self, key: &[u8], hits: u64) {
        if key.len() > MOST_KEY_BYTES {
            return;
        }
        if self.places.is_empty() {
            self.places = vec![Place::default(); TABLES * KEYS];
        }
        let hash = hash_of(key);
        // Bits by which all keys of a segment do not already agree.
        let table = (hash >> 12) as usize % TABLES * KEYS;
        let table = &mut self.places[table..table + KEYS];
        // One name in two databases has one hash.
        let is_it = |place: &Place| place.hash == hash && place.key == key;
        let place = match table.iter().position(is_it) {
            Some(at) => &mut table[at],
            None => take_least(table, hash, key),
        };
        place.count += hits;
        self.total += hits;
        if self.total >= FADE_AT {
            self.fade();
        }
    }

    fn fade(&mut self) {
        for place in &mut self.places {
            place.count /= 2;
        }
        self.total /= 2;
    }
}

/// Gives the place of the least key to this one, count and all.
fn take_least<'a>(table: &'a mut [Place], hash: u64, key: &[u8]) -> &'a mut Place {
    let mut least = 0;
    for at in 1..table.len() {
        if table[at].count < table[least].count {
            least = at;
        }
    }
    let place = &mut table[least];
    place.hash = hash;
    place.key.clear();
    if place.key.capacity() < key.len() {
        place.key.reserve(key.len().max(KEY_BYTES));
    }
    place.key.extend_from_slice(key);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key whose hash is as good as random.
    fn key(n: u64) -> [u8; 8] {
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).to_ne_bytes()
    }

    fn hit(hot: &mut HotKeys, n: u64) {
        hot.hit(&key(n));
    }

    fn count(hot: &HotKeys, n: u64) -> u64 {
        let mut all = hot.iter();
        all.find(|(name, _)| *name == key(n))
            .map_or(0, |(_, count)| count)
    }

    #[test]
    fn few_hits_are_counted_exactly() {
        let mut hot = HotKeys::default();
        for key in [1, 2, 1, 3, 1] {
            hit(&mut hot, key);
        }
        assert_eq!([1, 2, 3, 4].map(|key| count(&hot, key)), [3, 1, 1, 0]);
    }

    #[test]
    fn a_hot_key_stands_out_of_any_number_of_others() {
        let mut hot = HotKeys::default();
        for n in 0..200_000 {
            // one hit in ten, between others that never come again
            hit(&mut hot, if n % 10 == 0 { 7 } else { 1000 + n });
        }
        assert_eq!(hot.iter().count(), TABLES * KEYS);
        let most = hot.iter().map(|(_, count)| count).max();
        assert_eq!(most, Some(count(&hot, 7)));
        let estimate = count(&hot, 7);
        assert!((10_000..40_000).contains(&estimate), "{estimate}");
    }

    #[test]
    fn keys_in_turn_are_all_seen() {
        let mut hot = HotKeys::default();
        for n in 0..160_000 {
            hit(&mut hot, n % SAMPLED);
        }
        for key in 0..SAMPLED {
            let estimate = count(&hot, key);
            assert!((5_000..20_000).contains(&estimate), "{key}: {estimate}");
        }
    }

    #[test]
    fn the_past_fades() {
        let mut hot = HotKeys::default();
        (0..400_000).for_each(|_| hit(&mut hot, 1));
        (0..800_000).for_each(|_| hit(&mut hot, 2));
        assert!(count(&hot, 2) > count(&hot, 1));
        assert!(count(&hot, 1) + count(&hot, 2) < FADE_AT);
    }

    #[test]
    fn one_hash_may_stand_for_two_keys() {
        let mut hot = HotKeys::default();
        for key in [b"the hash in 0", b"the hash in 1", b"the hash in 1"] {
            hot.hit(key);
        }
        let mut all: Vec<_> = hot.iter().collect();
        all.sort_unstable();
        assert_eq!(all, [(&b"the hash in 0"[..], 1), (b"the hash in 1", 2)]);
        hot.hit(&[0; MOST_KEY_BYTES + 1]);
        assert_eq!(hot.iter().count(), 2);
    }
}
