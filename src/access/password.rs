//! Passwords as they are kept: a plain SHA-256, or a salted hash that is slow on purpose (Argon2id).
//!
//! Compares in constant time. Does not decide where a slow hash is worked out: see [`super::verifier`].

use std::sync::{Arc, LazyLock};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::random;

/// What [`hash_password`] makes: the first choice of the OWASP cheat sheet for password storage, in KiB and rounds.
const MEMORY: u32 = 19_456;
const ROUNDS: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// A login must not be a way to have all memory taken or a thread for minutes.
const MOST_MEMORY: u32 = 1 << 20;
const MOST_ROUNDS: u32 = 64;
const MOST_LANES: u32 = 16;

/// A password as the configuration gives it.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// The SHA-256 of it.
    Sha256([u8; 32]),
    /// `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
    Phc(String),
}

/// A password as it is kept.
#[derive(Clone)]
pub(super) enum Kept {
    Sha256([u8; 32]),
    Slow(Arc<SlowHash>),
}

/// A salted hash that takes long, and what it was last found right for.
pub(super) struct SlowHash {
    memory: u32,
    rounds: u32,
    lanes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
    /// The tag of the password that was found right: the next login with it is judged at once. A tag is worth
    /// nothing outside of this process, and is not written anywhere.
    right: Mutex<Option<[u8; 32]>>,
}

/// Makes the tags of one process.
static TAG_KEY: LazyLock<String> = LazyLock::new(random::password);

/// The refusal of a hash that cannot be used.
const BAD_HASH: &str = "password_hash must be one that `respite hash-password` prints: \
    $argon2id$v=19$m=19456,t=2,p=1$salt$hash";

/// Hashes a password with a new salt: the text for `password_hash`.
///
/// # Panics
/// When there is no memory for it.
#[must_use]
pub fn hash_password(password: &[u8]) -> String {
    let salt = Sha256::digest(random::password());
    let mut slow = SlowHash {
        memory: MEMORY,
        rounds: ROUNDS,
        lanes: LANES,
        salt: salt[..SALT_BYTES].to_vec(),
        hash: Vec::new(),
        right: Mutex::default(),
    };
    slow.hash = slow
        .of(password, HASH_BYTES)
        .expect("these parameters are valid");
    slow.text()
}

impl Kept {
    /// Takes over what the configuration gives.
    pub(super) fn new(password: &Password) -> Result<Self, &'static str> {
        Ok(match password {
            Password::Sha256(hash) => Self::Sha256(*hash),
            Password::Phc(text) => Self::Slow(Arc::new(SlowHash::parse(text).ok_or(BAD_HASH)?)),
        })
    }

    /// Whether this is the password, as far as that is known at once.
    pub(super) fn is_known_for(&self, password: &[u8]) -> bool {
        match self {
            Self::Sha256(hash) => same(hash, &sha256(password)),
            Self::Slow(slow) => {
                let tag = slow.tag(password);
                let right = slow.right.lock();
                right.is_some_and(|right| same(&right, &tag))
            }
        }
    }

    /// The same hash of another list, with what it was found right for.
    pub(super) fn or_known(&self, before: &Self) -> Self {
        match (self, before) {
            (Self::Slow(new), Self::Slow(old)) if new.text() == old.text() => {
                Self::Slow(Arc::clone(old))
            }
            _ => self.clone(),
        }
    }
}

impl SlowHash {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let mut costs = costs.split(',');
        let mut cost = |name: &str, most: u32| -> Option<u32> {
            let value: u32 = costs.next()?.strip_prefix(name)?.parse().ok()?;
            (1..=most).contains(&value).then_some(value)
        };
        let (memory, rounds, lanes) = (
            cost("m=", MOST_MEMORY)?,
            cost("t=", MOST_ROUNDS)?,
            cost("p=", MOST_LANES)?,
        );
        let read = |text: &str| BASE64_STANDARD_NO_PAD.decode(text).ok();
        let (salt, hash) = (read(salt)?, read(hash)?);
        let is_whole = costs.next().is_none() && parts.next().is_none();
        let fits = (8..=64).contains(&salt.len()) && (16..=64).contains(&hash.len());
        Params::new(memory, rounds, lanes, Some(hash.len())).ok()?;
        (is_whole && fits).then_some(Self {
            memory,
            rounds,
            lanes,
            salt,
            hash,
            right: Mutex::default(),
        })
    }

    fn text(&self) -> String {
        let (memory, rounds, lanes) = (self.memory, self.rounds, self.lanes);
        let salt = BASE64_STANDARD_NO_PAD.encode(&self.salt);
        let hash = BASE64_STANDARD_NO_PAD.encode(&self.hash);
        format!("$argon2id$v=19$m={memory},t={rounds},p={lanes}${salt}${hash}")
    }

    /// Takes long. None when there is no memory for it.
    fn of(&self, password: &[u8], bytes: usize) -> Option<Vec<u8>> {
        let params = Params::new(self.memory, self.rounds, self.lanes, Some(bytes)).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hash = vec![0; bytes];
        argon2
            .hash_password_into(password, &self.salt, &mut hash)
            .ok()?;
        Some(hash)
    }

    /// Whether this is the password. Takes long, right or wrong; what is right is known at once from then on.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let right = self
            .of(password, self.hash.len())
            .is_some_and(|hash| same(&hash, &self.hash));
        if right {
            *self.right.lock() = Some(self.tag(password));
        }
        right
    }

    fn tag(&self, password: &[u8]) -> [u8; 32] {
        let mut tag = Sha256::new();
        tag.update(TAG_KEY.as_bytes());
        tag.update(&self.salt);
        tag.update(password);
        tag.finalize().into()
    }
}

fn sha256(password: &[u8]) -> [u8; 32] {
    Sha256::digest(password).into()
}

/// Compares two hashes without stopping at the first difference.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |seen, (a, b)| seen | (a ^ b));
    std::hint::black_box(difference) == 0 && a.len() == b.len()
}

/// Never shows the hash.
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the `argon2` program of the reference implementation 20190702:
    /// `printf password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32 -e`.
    const REFERENCE: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
        $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    fn slow(text: &str) -> Kept {
        Kept::new(&Password::Phc(text.to_owned())).expect("a hash")
    }

    fn verify(kept: &Kept, password: &[u8]) -> bool {
        let Kept::Slow(slow) = kept else {
            panic!("not slow")
        };
        slow.verify(password)
    }

    #[test]
    fn hashes_are_plain_sha256() {
        let hex: String = sha256(b"secret")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
        );
        let kept = Kept::Sha256(sha256(b"secret"));
        assert!(kept.is_known_for(b"secret") && !kept.is_known_for(b"Secret"));
    }

    #[test]
    fn every_bit_counts() {
        let hashed = sha256(b"secret");
        assert!(same(&hashed, &sha256(b"secret")));
        for bit in 0..256 {
            let mut other = hashed;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!same(&hashed, &other), "bit {bit}");
        }
        assert!(!same(&hashed, &hashed[..31]) && !same(&hashed, &[]));
    }

    #[test]
    fn slow_hashes_are_those_of_the_reference_implementation() {
        let kept = slow(REFERENCE);
        assert!(!kept.is_known_for(b"password"));
        assert!(!verify(&kept, b"Password") && !kept.is_known_for(b"Password"));
        assert!(verify(&kept, b"password"));
        assert!(kept.is_known_for(b"password") && !kept.is_known_for(b"Password"));
        // A wrong one takes nothing away.
        assert!(!verify(&kept, b"x") && kept.is_known_for(b"password"));
        let next = slow(REFERENCE);
        assert!(next.or_known(&kept).is_known_for(b"password"));
        let other = slow(&hash_password(b"password"));
        assert!(!other.or_known(&kept).is_known_for(b"password"));
    }

    #[test]
    fn a_new_hash_has_a_salt_of_its_own() {
        let (one, other) = (hash_password(b"secret"), hash_password(b"secret"));
        assert_ne!(one, other);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert!(verify(&slow(&one), b"secret") && !verify(&slow(&other), b"other"));
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        let hash = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        for bad in [
            "".to_owned(),
            "secret".to_owned(),
            format!("$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=19$m=65536,t=2$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=19$t=2,m=65536,p=1$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=19$m=65536,t=2,p=1,x=1$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=19$m=65536,t=1000,p=1$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=19$m=65536,t=0,p=1$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=19$m=4,t=1,p=1$c29tZXNhbHQ${hash}"),
            format!("$argon2id$v=19$m=65536,t=2,p=1$c29t${hash}"),
            format!("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ${hash}$x"),
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$".to_owned(),
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFh".to_owned(),
            "$2b$12$abcdefghijklmnopqrstuv".to_owned(),
        ] {
            assert!(Kept::new(&Password::Phc(bad.clone())).is_err(), "{bad}");
        }
    }
}
