//! Large buffers that a thread keeps for the next use: to get one from the system, and to give it back each time, costs
//! more than to fill it.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

/// Smaller ones are the allocator's. A good size for what needs less.
pub(crate) const MEDIUM: usize = 32 * 1024;
/// From here on one is not medium any more.
pub(crate) const LEAST: usize = 48 * 1024;
/// Larger ones are given back to the system.
pub(crate) const MOST: usize = 512 * 1024;
/// From here on one is large.
const LARGE: usize = 256 * 1024;
/// So many of each kind are kept.
const KEPT: usize = 4;
/// The same in bytes, by threads that call [`trim`]: what a link holds at most.
const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// Buffers of about the same size.
#[derive(Default)]
struct Kind {
    spares: Vec<Vec<u8>>,
    /// Of these so many were not needed since the last look.
    idle: usize,
}

/// What a thread keeps.
#[derive(Default)]
struct Kept {
    /// Medium ones, those below [`LARGE`], and the others.
    kinds: [Kind; 3],
    /// Of all of them.
    bytes: usize,
    /// Somebody looks after it.
    is_trimmed: bool,
}

thread_local! {
    static SPARE: RefCell<Kept> = RefCell::default();
}

fn kind(bytes: usize) -> usize {
    match bytes {
        ..LEAST => 0,
        LEAST..LARGE => 1,
        _ => 2,
    }
}

/// An empty buffer with room for so much.
#[cold]
pub(crate) fn take(bytes: usize) -> Vec<u8> {
    let spare = SPARE.with_borrow_mut(|kept| {
        let kind = kept.kinds.get_mut(kind(bytes))?;
        let mut spares = kind.spares.iter();
        let at = spares.rposition(|spare| spare.capacity() >= bytes)?;
        let spare = kind.spares.swap_remove(at);
        kind.idle = kind.idle.min(kind.spares.len());
        kept.bytes -= spare.capacity();
        Some(spare)
    });
    spare.unwrap_or_else(|| Vec::with_capacity(bytes))
}

/// Keeps a buffer for others, if it is of use to them.
#[cold]
pub(crate) fn give(mut bytes: Vec<u8>) {
    let capacity = bytes.capacity();
    if !(MEDIUM..=MOST).contains(&capacity) {
        return;
    }
    bytes.clear();
    // When the thread ends, it may be gone already.
    let _ = SPARE.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        let all = kept.bytes + capacity;
        let is_trimmed = kept.is_trimmed;
        let spares = &mut kept.kinds[kind(capacity)].spares;
        if spares.len() < KEPT || (is_trimmed && all <= KEPT_BYTES) {
            spares.push(bytes);
            kept.bytes = all;
        }
    });
}

/// Gives back half of what was not needed since the last call. A thread that calls it now and then keeps more.
pub(crate) fn trim() {
    SPARE.with_borrow_mut(|kept| {
        kept.is_trimmed = true;
        for kind in &mut kept.kinds {
            let stay = kind.spares.len() - kind.idle.div_ceil(2);
            // The ones at the front are taken last.
            let gone = kind.spares.drain(..kind.spares.len() - stay);
            kept.bytes -= gone.map(|spare| spare.capacity()).sum::<usize>();
            kind.idle = kind.spares.len();
        }
    });
}

/// A buffer that several have; it is given back when nobody has it any more.
#[derive(Debug)]
pub(crate) struct Shared(Arc<Lent>);

#[derive(Debug)]
struct Lent(Vec<u8>);

impl Drop for Lent {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Shared {
    /// Of this buffer.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Shared(Arc::new(Lent(bytes)))
    }

    /// Its bytes, which may outlive this.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes::from_owner(Shared(Arc::clone(&self.0)))
    }

    /// Its bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0.0
    }

    /// The buffer, if nobody else has it.
    pub(crate) fn take_back(self) -> Result<Vec<u8>, Self> {
        match Arc::try_unwrap(self.0) {
            Ok(mut lent) => Ok(std::mem::take(&mut lent.0)),
            Err(shared) => Err(Shared(shared)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a buffer of so many bytes; returns where it is.
    fn given(bytes: usize) -> *const u8 {
        let buffer = Vec::with_capacity(bytes);
        let place = buffer.as_ptr();
        give(buffer);
        place
    }

    fn kept() -> [usize; 3] {
        SPARE.with_borrow(|kept| kept.kinds.each_ref().map(|kind| kind.spares.len()))
    }

    fn kept_bytes() -> usize {
        SPARE.with_borrow(|kept| kept.bytes)
    }

    #[test]
    fn a_few_of_each_kind_are_kept_and_found_again() {
        let (small, large) = (given(64 * 1024), given(300 * 1024));
        let again = [take(60 * 1024), take(280 * 1024)];
        assert_eq!(
            again.each_ref().map(|buffer| buffer.as_ptr()),
            [small, large]
        );
        assert!(again.iter().all(Vec::is_empty));
        for _ in 0..2 * KEPT {
            given(MEDIUM - 1);
            given(MOST + 1);
            given(LEAST);
            given(MEDIUM);
        }
        assert_eq!(
            (kept(), kept_bytes()),
            ([KEPT, KEPT, 0], KEPT * (MEDIUM + LEAST))
        );
    }

    #[test]
    fn more_are_kept_for_as_long_as_they_are_needed() {
        const SIZE: usize = 64 * 1024;
        trim();
        for _ in 0..2 * KEPT_BYTES / SIZE {
            given(SIZE);
        }
        assert_eq!(kept_bytes(), KEPT_BYTES);
        trim();
        for _ in 0..8 {
            let taken: Vec<Vec<u8>> = (0..100).map(|_| take(SIZE)).collect();
            taken.into_iter().for_each(give);
            trim();
        }
        let left = kept()[1];
        assert!((100..120).contains(&left), "{left}");
        assert_eq!(kept_bytes(), left * SIZE);
        (0..10).for_each(|_| trim());
        assert_eq!((kept(), kept_bytes()), ([0, 0, 0], 0));
    }

    #[test]
    fn what_is_shared_comes_back_when_nobody_has_it() {
        let mut bytes = take(LEAST);
        bytes.extend_from_slice(b"abc");
        let place = bytes.as_ptr();
        let shared = Shared::of(bytes);
        let part = shared.bytes().slice(1..);
        let shared = shared.take_back().expect_err("a part is there");
        drop(shared);
        assert_eq!((&part[..], kept()), (b"bc".as_slice(), [0, 0, 0]));
        drop(part);
        let again = take(LEAST);
        assert_eq!(again.as_ptr(), place);
        let own = Shared::of(again).take_back().expect("nobody has it");
        assert_eq!(own.as_ptr(), place);
    }
}
