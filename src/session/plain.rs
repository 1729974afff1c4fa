//! Which plain reads a client may have from the cache.

use std::sync::Arc;

use crate::access::AccessList;

/// The plain reads (`GET`) that may use the cache, by what their client may.
#[derive(Debug, Clone)]
pub(super) enum Plain {
    /// None, or it has to be looked at more closely.
    No,
    /// Of every key.
    All,
    /// Of every key, and so may all other reads of one key.
    Every,
    /// Of the keys that these rules of the only user let him read.
    By(Arc<AccessList>),
}

impl Plain {
    #[inline]
    pub(super) fn may(&self, key: &[u8]) -> bool {
        match self {
            Plain::No => false,
            Plain::All | Plain::Every => true,
            Plain::By(list) => list.may_get(key),
        }
    }
}
