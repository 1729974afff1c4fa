//! How the allocator treats what was freed.
//!
//! mimalloc gives a freed range back to the system after a delay, and looks at what is due only when
//! something else of the same 32 MiB segment is freed. After a burst that may be never: some 30 MiB
//! per worker stayed. Without the delay nothing stays.

#![allow(unsafe_code)]

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay` of mimalloc v2's `mi_option_t`; the bindings do not name it.
const PURGE_DELAY: mi_option_t = 15;

/// Makes the allocator give memory back at once. To be called before there is a second thread.
pub fn purge_at_once() {
    // SAFETY: `mi_option_set` writes one field of a table that the allocator reads; 15 is within the
    // table (`_mi_option_last` is 38), so nothing else is touched. It is not synchronized: `main`
    // calls it before it starts a thread.
    unsafe { mi_option_set(PURGE_DELAY, 0) }
}
