//! Keys as the segments know them: the hash in front, so that no table hashes them again, then the
//! database, then the key.

use std::hash::{BuildHasherDefault, Hasher};

/// A key with its hash and database in front.
pub(super) type FullKey = Box<[u8]>;

/// Builds the hasher of tables over full keys.
pub(super) type HashInFront = BuildHasherDefault<TakeHash>;

const HASH: usize = 8;
const DB: usize = 4;

/// Writes the full key into a buffer that is used again.
#[inline]
pub(super) fn write_full_key(hash: u64, db: u32, key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(HASH + DB + key.len());
    out.extend_from_slice(&hash.to_ne_bytes());
    out.extend_from_slice(&db.to_be_bytes());
    out.extend_from_slice(key);
}

/// The hash alone.
#[inline]
pub(super) fn hash_of(full_key: &[u8]) -> u64 {
    full_key
        .first_chunk()
        .map_or(0, |hash| u64::from_ne_bytes(*hash))
}

/// The key alone.
pub(super) fn key_of(full_key: &[u8]) -> &[u8] {
    full_key.get(HASH + DB..).unwrap_or_default()
}

/// The database alone.
pub(super) fn db_of(full_key: &[u8]) -> u32 {
    let db = full_key.get(HASH..).and_then(|rest| rest.first_chunk());
    db.map_or(0, |db| u32::from_be_bytes(*db))
}

/// Takes the hash that a full key brings.
#[derive(Debug, Default)]
pub(super) struct TakeHash(u64);

impl Hasher for TakeHash {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash_of(bytes);
    }

    /// The length, which says nothing more.
    #[inline]
    fn write_usize(&mut self, _: usize) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn hashes_to_what_is_in_front() {
        let mut full_key = Vec::new();
        write_full_key(0x1234_5678_9abc_def0, 3, b"k", &mut full_key);
        let boxed: FullKey = full_key.as_slice().into();
        let hasher = HashInFront::default();
        assert_eq!(hasher.hash_one(&boxed), 0x1234_5678_9abc_def0);
        assert_eq!(hasher.hash_one(&*full_key), 0x1234_5678_9abc_def0);
        assert_eq!((db_of(&boxed), key_of(&boxed)), (3, b"k".as_slice()));
    }
}
