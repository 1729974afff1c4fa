//! The scripts that clients have shown, remembered where a cluster is behind: one Redis knows a script everywhere
//! once it was loaded or run, a node of a cluster only what was sent to it.
//!
//! By their SHA1, as Redis names them. Bounded in bytes; the one that was not used for longest goes. Who may run
//! what is not asked here: only what somebody may load or run gets in, and only who may call it gets at it.

use lru::LruCache;
use parking_lot::Mutex;
use sha1_smol::Sha1;

/// Bytes of all scripts.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// How Redis names a script.
pub(super) type Digest = [u8; 20];

/// Scripts by their digests.
pub(super) struct Scripts {
    known: Mutex<Known>,
}

struct Known {
    bodies: LruCache<Digest, Box<[u8]>>,
    bytes: usize,
    /// Grows when all are forgotten.
    epoch: u64,
}

impl Default for Scripts {
    fn default() -> Self {
        Scripts {
            known: Mutex::new(Known {
                bodies: LruCache::unbounded(),
                bytes: 0,
                epoch: 0,
            }),
        }
    }
}

impl Scripts {
    /// Remembers a script.
    pub(super) fn remember(&self, body: &[u8]) {
        if body.len() > MOST_BYTES {
            return;
        }
        let digest = Sha1::from(body).digest().bytes();
        let mut known = self.known.lock();
        let known = &mut *known;
        if known.bodies.get(&digest).is_some() {
            return;
        }
        known.bytes += body.len();
        known.bodies.put(digest, body.into());
        while known.bytes > MOST_BYTES
            && let Some((_, oldest)) = known.bodies.pop_lru()
        {
            known.bytes -= oldest.len();
        }
    }

    /// The script with a digest, and the epoch that it is known in.
    pub(super) fn body_of(&self, digest: &Digest) -> Option<(Box<[u8]>, u64)> {
        let mut known = self.known.lock();
        let epoch = known.epoch;
        known.bodies.get(digest).map(|body| (body.clone(), epoch))
    }

    /// The epoch that a script is known in.
    pub(super) fn epoch_of(&self, digest: &Digest) -> Option<u64> {
        let known = self.known.lock();
        known.bodies.contains(digest).then_some(known.epoch)
    }

    /// Whether there is a script of this name.
    pub(super) fn knows(&self, name: &[u8]) -> bool {
        digest(name).is_some_and(|digest| self.known.lock().bodies.contains(&digest))
    }

    /// Forgets all of them.
    pub(super) fn forget(&self) {
        let mut known = self.known.lock();
        known.bodies.clear();
        known.bytes = 0;
        known.epoch += 1;
    }
}

/// What a name means, 40 hexadecimal digits in any case.
pub(super) fn digest(name: &[u8]) -> Option<Digest> {
    let name = std::str::from_utf8(name).ok()?;
    Some(name.parse::<sha1_smol::Digest>().ok()?.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_have_the_names_that_redis_gives_them() {
        let scripts = Scripts::default();
        scripts.remember(b"return 1");
        // SCRIPT LOAD "return 1" of redis-server 7.0.15.
        let name = b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
        let known = digest(name).and_then(|digest| scripts.body_of(&digest));
        assert_eq!(known, Some((b"return 1"[..].into(), 0)));
        assert!(scripts.knows(&name.to_ascii_uppercase()));
        assert!(!scripts.knows(b"e0e1"));
        scripts.forget();
        assert!(!scripts.knows(name));
    }

    #[test]
    fn they_are_bounded() {
        let scripts = Scripts::default();
        let body = |n: u8| vec![n; MOST_BYTES / 4];
        let name = |n: u8| Sha1::from(body(n)).digest().to_string().into_bytes();
        (0..4).for_each(|n| scripts.remember(&body(n)));
        let first = digest(&name(0)).expect("a digest");
        assert!(scripts.body_of(&first).is_some());
        scripts.remember(&body(4));
        assert!(scripts.knows(&name(0)) && !scripts.knows(&name(1)));
        scripts.remember(&vec![0; MOST_BYTES + 1]);
        assert!(scripts.knows(&name(4)));
    }
}
