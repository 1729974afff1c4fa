//! How much is asked for a client at once, by the sizes of what came.
//!
//! What was asked of the backing comes, whether the client reads or not. So as much is asked as is
//! sure to be bearable: sizes are learnt from replies that may have one, and a run of `+OK` says
//! nothing of the values that are read next.

/// Replies that may be outstanding before anything is known of their size; as many more as have come.
const FIRST_WINDOW: usize = 32;
/// Replies to reads that may be outstanding however small those before them were: the next may be
/// as large as values are.
const READS: usize = 256;
/// From this size on, replies are counted by their bytes.
const LARGE_REPLY: usize = 16 * 1024;
/// Bytes of large replies that may be on their way to one client.
const WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// A reply that is no longer (`+OK`, `:1`, `$-1`) says nothing of the size of the others.
const SHORT: usize = 5;

/// What kind of reply a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Mostly a status or a number: it writes.
    Status,
    /// A value of any size.
    Value,
}

/// What is known of the replies of one client.
#[derive(Debug, Default)]
pub(super) struct Window {
    all: Sizes,
    /// Without the short ones.
    values: Sizes,
    /// Bytes that have come of the reply at hand.
    begun: usize,
}

#[derive(Debug, Default)]
struct Sizes {
    /// Bytes of a reply: the largest of late, forgotten slowly.
    mean: usize,
    /// Replies that have come.
    seen: usize,
}

// === impl Window ===

impl Window {
    /// Notes the size of what came. A large reply counts at once, also while it is coming.
    #[inline]
    pub(super) fn measure(&mut self, bytes: usize, replies: usize) {
        self.begun += bytes;
        let size = self.begun / replies.max(1);
        self.all.note(size, replies);
        if self.begun > SHORT * replies {
            self.values.note(size, replies);
        }
        if replies > 0 {
            self.begun = 0;
        }
    }

    /// How many replies may be outstanding, at most `most`, when the next request is one that
    /// `asks` for this.
    pub(super) fn size(&self, most: usize, asks: Asks) -> usize {
        match asks {
            Asks::Status => self.all.window(most),
            Asks::Value => self.values.window(most.min(READS)),
        }
    }
}

impl Sizes {
    #[inline]
    fn note(&mut self, size: usize, replies: usize) {
        if size > self.mean {
            self.mean = size;
        } else if replies > 0 {
            self.mean = (self.mean * 7 + size) / 8;
        }
        self.seen = self.seen.saturating_add(replies);
    }

    fn window(&self, most: usize) -> usize {
        let most = most.min(FIRST_WINDOW.saturating_add(self.seen));
        if self.mean < LARGE_REPLY {
            most
        } else {
            most.min((WINDOW_BYTES / self.mean).max(2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1024;
    const MIB: usize = 1 << 20;

    #[test]
    fn statuses_say_nothing_of_values() {
        let mut window = Window::default();
        window.measure(600 * 5, 600);
        assert_eq!(window.size(MOST, Asks::Status), 632);
        assert_eq!(window.size(MOST, Asks::Value), FIRST_WINDOW);
    }

    #[test]
    fn small_values_do_not_admit_any_number_of_large_ones() {
        let mut window = Window::default();
        window.measure(5_000 * 50, 5_000);
        assert_eq!(window.size(MOST, Asks::Status), MOST);
        assert_eq!(window.size(MOST, Asks::Value), READS);
    }

    #[test]
    fn a_large_value_counts_while_it_comes_and_is_not_forgotten_over_statuses() {
        let mut window = Window::default();
        window.measure(5_000 * 50, 5_000);
        (0..16).for_each(|_| window.measure(MIB / 16, 0));
        assert_eq!(window.size(MOST, Asks::Value), 32);
        window.measure(2, 1);
        (0..600).for_each(|_| window.measure(5, 1));
        assert_eq!(window.size(MOST, Asks::Status), MOST);
        assert_eq!(window.size(MOST, Asks::Value), 31);
    }

    #[test]
    fn two_replies_of_any_size_may_be_on_their_way() {
        let mut window = Window::default();
        window.measure(512 * MIB, 1);
        assert_eq!(window.size(MOST, Asks::Value), 2);
    }
}
