//! What was read of a key by other commands than `GET`.
//!
//! A variant is a read with its arguments. Clients of both versions of the protocol share one where its reply has the
//! same bytes for both, and have one each where not.

use super::value::Value;
use crate::resp::Proto;

/// What a variant costs besides its name and its reply.
const OVERHEAD_BYTES: usize = 128;

/// The variants of one key; a few, so they are looked through.
#[derive(Debug, Default)]
pub(super) struct Variants {
    list: Vec<Variant>,
    bytes: usize,
    /// Counts uses, to tell which is the oldest.
    clock: u64,
}

#[derive(Debug)]
struct Variant {
    hash: u64,
    name: Box<[u8]>,
    /// Whose it is; none: everybody's.
    proto: Option<Proto>,
    value: Value,
    used: u64,
}

/// A variant to be kept.
#[derive(Debug)]
pub(super) struct NewVariant<'a> {
    pub(super) name: &'a [u8],
    pub(super) hash: u64,
    pub(super) proto: Option<Proto>,
    pub(super) value: Value,
}

impl Variants {
    /// The value of a variant for clients of this version.
    pub(super) fn find(&mut self, name: &[u8], hash: u64, proto: Proto) -> Option<&mut Value> {
        let found = self.list.iter_mut().find(|variant| {
            variant.hash == hash
                && variant.proto.is_none_or(|of| of == proto)
                && *variant.name == *name
        })?;
        self.clock += 1;
        found.used = self.clock;
        Some(&mut found.value)
    }

    /// Keeps a variant; of more than `most` the one that was not used for longest goes.
    pub(super) fn put(&mut self, new: NewVariant<'_>, most: usize) {
        self.list.retain(|old| {
            let same = old.hash == new.hash
                && *old.name == *new.name
                && (old.proto == new.proto || old.proto.is_none() || new.proto.is_none());
            if same {
                self.bytes -= old.bytes();
            }
            !same
        });
        while self.list.len() >= most.max(1) {
            self.drop_oldest();
        }
        self.clock += 1;
        let variant = Variant {
            hash: new.hash,
            name: new.name.into(),
            proto: new.proto,
            value: new.value,
            used: self.clock,
        };
        self.bytes += variant.bytes();
        self.list.push(variant);
    }

    /// Drops the one that was not used for longest; false when there is none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let used = self.list.iter().enumerate().map(|(n, v)| (v.used, n));
        let Some((_, oldest)) = used.min() else {
            return false;
        };
        self.bytes -= self.list.swap_remove(oldest).bytes();
        true
    }

    /// Drops those whose value `stays` does not take.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&mut Value) -> bool) {
        self.list.retain_mut(|variant| {
            let stay = stays(&mut variant.value);
            if !stay {
                self.bytes -= variant.bytes();
            }
            stay
        });
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What they count against the limit.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Their values.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.list.iter().map(|variant| &variant.value)
    }

    /// Their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(|variant| &*variant.name)
    }
}

impl Variant {
    fn bytes(&self) -> usize {
        let reply = self.value.reply.as_ref().map_or(0, |reply| reply.len());
        self.name.len() + reply + OVERHEAD_BYTES
    }
}
