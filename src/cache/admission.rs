//! Which keys are worth a place when the cache is full: those asked for again before long.
//!
//! A key that is missed leaves a mark now and then, and one whose mark is still there is let in
//! (the ghost queue of 2Q, Johnson and Shasha, 1994, as a table without an order). There are far
//! fewer marks than entries, so reads spread evenly over more keys than fit hardly ever find
//! theirs: such a read is forwarded like any command and costs the backing nothing extra.

/// One miss in so many leaves a mark: marks last longer, and what is asked often leaves one soon.
const MARK_EVERY: u32 = 8;
/// The same for replies that are dear to make: each place that they get saves the backing more.
const MARK_DEAR_EVERY: u32 = 2;
/// Entries for each mark.
const ENTRIES_PER_MARK: usize = 16;

/// Entries for each key that was missed by a read of many.
const ENTRIES_PER_MISSED: usize = 4;

/// Marks of keys that were missed lately.
#[derive(Debug)]
pub(super) struct Ghosts {
    marks: Box<[u32]>,
    misses: u32,
}

impl Ghosts {
    /// Marks for a segment of so many entries.
    pub(super) fn new(entries: usize) -> Self {
        let marks = (entries / ENTRIES_PER_MARK).clamp(16, 1 << 12);
        Ghosts {
            marks: vec![0; marks.next_power_of_two()].into(),
            misses: 0,
        }
    }

    /// Whether a key that is missed was missed before; it may leave a mark.
    pub(super) fn is_known(&mut self, hash: u64, dear: bool) -> bool {
        let (at, mark) = place(hash, self.marks.len());
        if self.marks[at] == mark {
            return true;
        }
        self.misses = self.misses.wrapping_add(1);
        let every = match dear {
            true => MARK_DEAR_EVERY,
            false => MARK_EVERY,
        };
        if self.misses.is_multiple_of(every) {
            self.marks[at] = mark;
        }
        false
    }
}

/// Keys that reads of many have missed, as a table without an order.
///
/// A read of many whose keys are mostly not known is one command for the backing; to fetch its keys is two for each.
/// That pays for keys that are asked for again, so their first miss is only noted.
#[derive(Debug)]
pub(super) struct Missed {
    /// As many as `size` from the first note on.
    marks: Box<[u32]>,
    size: usize,
}

impl Missed {
    /// Of a segment of so many entries.
    pub(super) fn new(entries: usize) -> Self {
        let size = (entries / ENTRIES_PER_MISSED).clamp(64, 1 << 14);
        Missed {
            marks: Box::default(),
            size: size.next_power_of_two(),
        }
    }

    /// Whether a key was missed before; it is noted.
    pub(super) fn note(&mut self, hash: u64) -> bool {
        if self.marks.is_empty() {
            self.marks = vec![0; self.size].into();
        }
        let (at, mark) = place(hash, self.size);
        std::mem::replace(&mut self.marks[at], mark) == mark
    }
}

/// Where a key is in a table of so many marks, and its mark. That is never zero, the mark of nobody.
fn place(hash: u64, marks: usize) -> (usize, u32) {
    ((hash >> 20) as usize & (marks - 1), (hash >> 32) as u32 | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
    }

    #[test]
    fn lets_in_what_is_asked_again() {
        let mut ghosts = Ghosts::new(16_384);
        let mut asked = 0;
        while !ghosts.is_known(mixed(1), false) {
            asked += 1;
            assert!(asked <= MARK_EVERY, "marked by now");
        }
    }

    #[test]
    fn lets_in_what_is_dear_sooner() {
        let let_in = |dear| {
            let mut ghosts = Ghosts::new(16_384);
            let asked_twice = (0..800).map(|n| mixed(n / 2));
            asked_twice
                .filter(|hash| ghosts.is_known(*hash, dear))
                .count()
        };
        assert!(
            let_in(true) >= 2 * let_in(false),
            "{} {}",
            let_in(true),
            let_in(false)
        );
    }

    #[test]
    fn what_was_missed_is_known_until_others_take_its_place() {
        let mut missed = Missed::new(4096);
        assert!(!missed.note(mixed(1)));
        assert!(missed.note(mixed(1)));
        assert!((2..10_000).all(|n| !missed.note(mixed(n))));
        assert!(!missed.note(mixed(1)), "its place was taken");
    }

    #[test]
    fn keeps_out_what_is_asked_once_in_a_long_while() {
        let mut ghosts = Ghosts::new(1024);
        let mut random = fastrand::Rng::with_seed(7);
        let known = (0..100_000)
            .filter(|_| ghosts.is_known(mixed(random.u64(0..100_000)), false))
            .count();
        assert!(known < 200, "{known} of 100000");
    }
}
