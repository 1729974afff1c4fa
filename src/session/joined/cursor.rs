//! The cursor of a `SCAN` through all masters of a cluster. All that is known of the scan is in it, so it goes on
//! over another Respite, or after a restart.
//!
//! ```text
//!   bits of the fingerprint │ which master │ the master's own cursor │ how many bits that has: 6
//! ```
//!
//! Which master is its number in the order of ids, in as many bits as their count needs. The fingerprint (of the masters,
//! their slots and epochs at the beginning) fills what is left below 2^53: there are clients that take a cursor
//! for a JavaScript number. A master's cursor of more than some 30 bits leaves room for too little of it; then it
//! may have up to 64.

/// Bits for the length of the master's cursor.
const LENGTH_BITS: u32 = 6;
/// What every client reads as it is.
const USUAL_BITS: u32 = 53;
/// Less of the fingerprint would let too many other maps pass for the same.
const LEAST_CHECK: u32 = 12;

/// Where a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The number of the master at hand.
    pub(super) master: usize,
    /// Its own cursor.
    pub(super) inner: u64,
}

/// How the bits of a cursor are divided.
struct Layout {
    inner: u32,
    master: u32,
    check: u32,
}

impl Layout {
    /// None when there is no room.
    fn of(inner: u32, masters: usize) -> Option<Self> {
        let most = u64::try_from(masters.saturating_sub(1)).ok()?;
        let master = (u64::BITS - most.leading_zeros()).max(1);
        let used = LENGTH_BITS + inner + master;
        let whole = match used + LEAST_CHECK <= USUAL_BITS {
            true => USUAL_BITS,
            false => u64::BITS,
        };
        let check = whole.checked_sub(used)?.min(48);
        (check >= LEAST_CHECK).then_some(Layout {
            inner,
            master,
            check,
        })
    }

    fn check(&self, fingerprint: u64) -> u64 {
        fingerprint >> (u64::BITS - self.check)
    }
}

impl Cursor {
    /// As the client gets it; none when the master's own cursor has too many bits.
    pub(super) fn encode(self, masters: usize, fingerprint: u64) -> Option<u64> {
        let inner = u64::BITS - self.inner.leading_zeros();
        let layout = Layout::of(inner, masters)?;
        let number = u64::try_from(self.master).ok()?;
        let mut cursor = layout.check(fingerprint);
        cursor = (cursor << layout.master) | number;
        cursor = (cursor << layout.inner) | self.inner;
        Some((cursor << LENGTH_BITS) | u64::from(inner))
    }

    /// What a client sends back; none when it was made of other masters, slots or epochs, or not here.
    pub(super) fn decode(cursor: u64, masters: usize, fingerprint: u64) -> Option<Self> {
        let inner = u32::try_from(cursor & ((1 << LENGTH_BITS) - 1)).ok()?;
        let layout = Layout::of(inner, masters)?;
        let rest = cursor >> LENGTH_BITS;
        let mask = |bits: u32| (1_u64 << bits) - 1;
        let found = Cursor {
            inner: rest & mask(layout.inner),
            master: usize::try_from((rest >> layout.inner) & mask(layout.master)).ok()?,
        };
        let same = rest >> layout.inner >> layout.master == layout.check(fingerprint);
        // One that is written in another way is none of ours.
        let ours = same && found.master < masters;
        (ours && found.encode(masters, fingerprint) == Some(cursor)).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: u64 = 0x9E37_79B9_7F4A_7C15;

    #[test]
    fn what_was_encoded_is_read_back_and_nothing_else() {
        for masters in [1, 2, 3, 12, 1000] {
            for inner in [0, 1, 5, 1 << 14, (1 << 27) + 3, (1 << 34) + 1] {
                let cursor = Cursor {
                    master: masters - 1,
                    inner,
                };
                let encoded = cursor.encode(masters, SOME).expect("room");
                assert_eq!(Cursor::decode(encoded, masters, SOME), Some(cursor));
                assert_eq!(Cursor::decode(encoded, masters, !SOME), None);
                assert_eq!(Cursor::decode(encoded ^ (1 << 63), masters, SOME), None);
                if inner < 1 << 28 && masters <= 12 {
                    assert!(encoded < 1 << 53, "{masters} {inner}");
                }
            }
        }
        for odd in [1, 63, 64, u64::MAX, 1 << 60] {
            assert_eq!(Cursor::decode(odd, 3, SOME), None, "{odd}");
        }
    }

    #[test]
    fn a_cursor_is_never_the_end() {
        // The first master's zero is the beginning, which is asked for by another name.
        for (master, inner) in [(1, 0), (0, 1), (2, 7)] {
            let encoded = Cursor { master, inner }.encode(3, 0).expect("room");
            assert_ne!(encoded, 0);
        }
    }

    #[test]
    fn too_long_a_cursor_is_refused() {
        let cursor = |bits: u32| Cursor {
            master: 0,
            inner: 1 << (bits - 1),
        };
        assert!(cursor(44).encode(3, SOME).is_some());
        assert!(cursor(45).encode(3, SOME).is_none());
    }
}
