//! Large buffers that a thread keeps for the next use: to get one from the system, and to give it back each time, costs
//! more than to fill it.

use std::cell::RefCell;

/// Smaller ones are the allocator's.
pub(crate) const LEAST: usize = 48 * 1024;
/// Larger ones are given back to the system.
const MOST: usize = 512 * 1024;
/// From here on one is large.
const LARGE: usize = 256 * 1024;
/// So many of each kind are kept.
const KEPT: usize = 4;

/// Those below `LARGE`, and the others.
type Kinds = [Vec<Vec<u8>>; 2];

thread_local! {
    static SPARE: RefCell<Kinds> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

fn kind(bytes: usize) -> usize {
    usize::from(bytes >= LARGE)
}

/// An empty buffer with room for so much.
#[cold]
pub(crate) fn take(bytes: usize) -> Vec<u8> {
    let spare = SPARE.with_borrow_mut(|kinds| {
        let spares = kinds.get_mut(kind(bytes))?;
        let at = spares.iter().rposition(|spare| spare.capacity() >= bytes)?;
        Some(spares.swap_remove(at))
    });
    spare.unwrap_or_else(|| Vec::with_capacity(bytes))
}

/// Keeps a buffer for others, if it is of use to them.
#[cold]
pub(crate) fn give(mut bytes: Vec<u8>) {
    if !(LEAST..=MOST).contains(&bytes.capacity()) {
        return;
    }
    bytes.clear();
    SPARE.with_borrow_mut(|kinds| {
        let spares = &mut kinds[kind(bytes.capacity())];
        if spares.len() < KEPT {
            spares.push(bytes);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_of_each_kind_are_kept_and_found_again() {
        let given = |bytes: usize| {
            let buffer = Vec::with_capacity(bytes);
            let place = buffer.as_ptr();
            give(buffer);
            place
        };
        let (small, large) = (given(64 * 1024), given(300 * 1024));
        let again = [take(60 * 1024), take(280 * 1024)];
        assert_eq!(
            again.each_ref().map(|buffer| buffer.as_ptr()),
            [small, large]
        );
        assert!(again.iter().all(Vec::is_empty));
        for _ in 0..2 * KEPT {
            given(LEAST - 1);
            given(MOST + 1);
            given(LEAST);
        }
        let kept = SPARE.with_borrow(|kinds| kinds.each_ref().map(Vec::len));
        assert_eq!(kept, [KEPT, 0]);
    }
}
