//! Passwords, held as SHA-256 hashes and compared in constant time.

use sha2::{Digest as _, Sha256};

/// The hash of a password.
pub(super) type Hash = [u8; 32];

/// Hashes a password.
pub(super) fn hash(password: &[u8]) -> Hash {
    Sha256::digest(password).into()
}

/// Compares two hashes without stopping at the first difference.
pub(super) fn same(a: &Hash, b: &Hash) -> bool {
    let difference = a.iter().zip(b).fold(0, |seen, (a, b)| seen | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_plain_sha256() {
        let hex: String = hash(b"secret")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
        );
    }

    #[test]
    fn every_bit_counts() {
        let hashed = hash(b"secret");
        assert!(same(&hashed, &hash(b"secret")));
        for bit in 0..256 {
            let mut other = hashed;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!same(&hashed, &other), "bit {bit}");
        }
    }
}
