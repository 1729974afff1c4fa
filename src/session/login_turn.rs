//! A login that has to wait, because too many from its address have failed.

use std::pin::Pin;

use tokio::time::Sleep;

use crate::access::Place;

/// A login that waits to be judged.
#[derive(Debug)]
pub(super) struct LoginTurn {
    pub(super) sleep: Pin<Box<Sleep>>,
    pub(super) _place: Place,
}
