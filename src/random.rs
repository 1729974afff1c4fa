//! Words that nobody can guess: the system's randomness, in batches.
//!
//! For tokens, leases, passwords and names that are secrets. What need only be spread out takes `fastrand`.

use std::cell::RefCell;

/// So many bytes are asked of the system at once: a call for each word would cost more than the word.
const BATCH: usize = 512;
/// The bytes of a word.
const WORD: usize = 8;

struct Batch {
    bytes: [u8; BATCH],
    /// Those from here on are unused.
    at: usize,
}

thread_local! {
    static LEFT: RefCell<Batch> = const {
        RefCell::new(Batch {
            bytes: [0; BATCH],
            at: BATCH,
        })
    };
}

/// Gives 64 bits as 16 hexadecimal digits.
///
/// # Panics
/// When the system has no randomness to give: nothing that is made without it would be safe.
#[must_use]
pub fn word() -> String {
    LEFT.with_borrow_mut(|batch| {
        if batch.at == BATCH {
            getrandom::fill(&mut batch.bytes)
                .expect("a system without randomness is not supported");
            batch.at = 0;
        }
        let mut word = [0; WORD];
        let range = batch.at..batch.at + WORD;
        word.copy_from_slice(&batch.bytes[range.clone()]);
        // What was given away is not kept.
        batch.bytes[range].fill(0);
        batch.at += WORD;
        format!("{:016x}", u64::from_ne_bytes(word))
    })
}

/// Gives 256 bits as 64 hexadecimal digits.
#[must_use]
pub fn password() -> String {
    [word(), word(), word(), word()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_sixteen_digits_and_none_comes_twice() {
        let words: HashSet<String> = (0..1000).map(|_| word()).collect();
        assert_eq!(words.len(), 1000);
        assert!(words.iter().all(|word| word.len() == 16));
        assert!(
            words
                .iter()
                .all(|word| word.chars().all(|c| c.is_ascii_hexdigit()))
        );
        assert_eq!(password().len(), 64);
    }
}
