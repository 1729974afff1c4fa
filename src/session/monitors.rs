//! Who is shown what clients send, and what they have not taken yet.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

/// Lines without their times.
pub(crate) type Lines = Vec<Box<[u8]>>;

/// Everybody who monitors.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    pub(super) any: AtomicBool,
    pub(super) all: Mutex<Vec<Arc<Monitor>>>,
}

/// One session that monitors.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) worker: usize,
    pub(super) session: u64,
    /// `limits.client_output_bytes`.
    pub(super) limit: usize,
    pub(super) waiting: Mutex<Waiting>,
}

/// What a session has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) bytes: Vec<u8>,
    /// The session knows that there is something.
    pub(super) told: bool,
    /// It has not taken it for too long.
    pub(super) overflown: bool,
}
