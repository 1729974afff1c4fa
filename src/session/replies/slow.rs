//! Replies that took long, until they are written: whoever reads slowly is part of the time.

use std::time::{Duration, Instant};

use crate::upstream::Share;

/// Quicker ones are not worth a look.
pub(super) const SLOW: Duration = Duration::from_millis(1);
/// So many are remembered until they are written; further ones are not told of.
pub(super) const MOST: usize = 16;
/// Of a request so many bytes are remembered: more than are shown.
const HEAD_BYTES: usize = 16 * 1024;

/// A reply that took long.
#[derive(Debug)]
pub(crate) struct Slow {
    /// The beginning of its request.
    pub(crate) request: Box<[u8]>,
    /// When the request was read.
    pub(crate) asked: Instant,
    /// When the backing could begin with it.
    pub(crate) begun: Instant,
    /// When the reply came.
    pub(crate) came: Instant,
    /// Of replies that came together.
    pub(crate) share: Option<Share>,
}

/// What is remembered of a request.
pub(super) fn head(request: &[u8]) -> Box<[u8]> {
    request[..request.len().min(HEAD_BYTES)].into()
}
