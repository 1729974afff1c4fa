//! Sealed frames: who may not read the keys of a bus can neither read nor make them.
//!
//! Whoever may publish can say anything on a channel, and whoever may subscribe hears everything. So each frame is
//! encrypted with AES-256-GCM. The key is derived from the secret of the bus, which stands beside its registrations, and
//! from the sender's name, which is new with every process; the nonce is a number that a process uses once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;

/// No more keys of other Respites are remembered than that.
const MOST_KEYS: usize = 1000;

/// The secret of a bus: only those who may read its keys know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct Secret(Vec<u8>);

/// The keys that were derived, by the name of the sender.
#[derive(Default)]
pub(in crate::bus) struct Keys(Mutex<Derived>);

#[derive(Default)]
struct Derived {
    secret: Option<Secret>,
    keys: HashMap<Vec<u8>, Arc<LessSafeKey>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Where a frame goes: nothing of it can be changed without its being noticed.
#[derive(Debug, Clone, Copy)]
pub(in crate::bus) struct Address<'a> {
    pub(in crate::bus) bus: &'a str,
    pub(in crate::bus) from: &'a str,
    pub(in crate::bus) to: &'a str,
    /// The number of the frame, which its sender gives to no other one.
    pub(in crate::bus) number: u64,
}

impl Secret {
    /// Takes what the backing keeps; none if there is no secret.
    pub(in crate::bus) fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= 32).then_some(Secret(bytes))
    }

    fn key(&self, from: &str) -> Option<LessSafeKey> {
        let parent = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let derived = hmac::sign(&parent, format!("respite bus frame {from}").as_bytes());
        let key = UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?;
        Some(LessSafeKey::new(key))
    }
}

impl Keys {
    /// Notes the secret of the bus as the backing has it now.
    pub(in crate::bus) fn set(&self, secret: Secret) {
        let mut derived = self.0.lock();
        if derived.secret.as_ref() != Some(&secret) {
            derived.secret = Some(secret);
            derived.keys.clear();
        }
    }

    fn of(&self, from: &str) -> Option<Arc<LessSafeKey>> {
        let mut derived = self.0.lock();
        if let Some(key) = derived.keys.get(from.as_bytes()) {
            return Some(Arc::clone(key));
        }
        let key = Arc::new(derived.secret.as_ref()?.key(from)?);
        if derived.keys.len() >= MOST_KEYS {
            derived.keys.clear();
        }
        derived.keys.insert(from.into(), Arc::clone(&key));
        Some(key)
    }

    /// Seals what is behind the first `head` bytes in place; none while the secret is not known.
    pub(in crate::bus) fn seal(
        &self,
        at: Address<'_>,
        frame: &mut Vec<u8>,
        head: usize,
    ) -> Option<()> {
        let key = self.of(at.from)?;
        let body = frame.get_mut(head..)?;
        let tag = key
            .seal_in_place_separate_tag(at.nonce(), at.aad(), body)
            .ok()?;
        frame.extend_from_slice(tag.as_ref());
        Some(())
    }

    /// Opens a sealed body; none if it was not made with this secret by this sender for this address.
    pub(in crate::bus) fn open<'a>(
        &self,
        at: Address<'_>,
        body: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let key = self.of(at.from)?;
        key.open_in_place(at.nonce(), at.aad(), body).ok()
    }
}

impl Address<'_> {
    fn nonce(&self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.number.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    fn aad(&self) -> Aad<Vec<u8>> {
        Aad::from([self.bus, self.from, self.to].join("\n").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &[u8]) -> Keys {
        let keys = Keys::default();
        keys.set(Secret::new(secret.to_vec()).expect("long enough"));
        keys
    }

    #[test]
    fn only_who_knows_the_secret_opens_a_frame_and_only_as_it_was_sent() {
        let (own, other) = (keys(&[1; 32]), keys(&[2; 32]));
        let at = Address {
            bus: "b",
            from: "one",
            to: "two",
            number: 7,
        };
        let mut frame = b"head:words".to_vec();
        own.seal(at, &mut frame, 5).expect("a secret");
        assert!(!frame.ends_with(b"words") && frame.starts_with(b"head:"));
        let body = &frame[5..];
        let mut same = body.to_vec();
        assert_eq!(
            own.open(at, &mut same).map(|opened| opened.to_vec()),
            Some(b"words".to_vec())
        );
        let refused = |keys: &Keys, at: Address<'_>, mut body: Vec<u8>| {
            assert!(keys.open(at, &mut body).is_none(), "{at:?}");
        };
        refused(&other, at, body.to_vec());
        refused(&own, Address { bus: "c", ..at }, body.to_vec());
        refused(&own, Address { from: "two", ..at }, body.to_vec());
        refused(&own, Address { to: "one", ..at }, body.to_vec());
        refused(&own, Address { number: 8, ..at }, body.to_vec());
        refused(&own, at, body[..body.len() - 1].to_vec());
        refused(&own, at, Vec::new());
        let mut changed = body.to_vec();
        changed[0] ^= 1;
        refused(&own, at, changed);
        assert_eq!(Secret::new(b"short".to_vec()), None);
    }

    #[test]
    fn without_a_secret_nothing_is_sealed_and_a_new_one_replaces_the_old() {
        let keys = Keys::default();
        let at = Address {
            bus: "b",
            from: "one",
            to: "two",
            number: 7,
        };
        assert!(keys.seal(at, &mut b"words".to_vec(), 0).is_none());
        let mut sealed = Vec::new();
        for secret in [[1; 32], [2; 32]] {
            keys.set(Secret::new(secret.to_vec()).expect("long enough"));
            let mut frame = b"words".to_vec();
            keys.seal(at, &mut frame, 0).expect("a secret");
            sealed.push(frame);
        }
        assert_ne!(sealed[0], sealed[1]);
    }
}
