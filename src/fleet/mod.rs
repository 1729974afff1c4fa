//! INFO of a fleet of Redis servers, kept in memory.
//!
//! Watchers find the servers to track, pollers ask each for its `INFO`, and everybody reads what they
//! brought. No client ever reaches a tracked server through it.
//!
//! # Layout
//!
//! - `target`: a server to be tracked, as a watcher names it.
//! - [`watcher`]: the sources of targets and their supervisor.

mod target;
pub mod watcher;

pub use target::{Credentials, MAX_TARGETS, Target, check_id};
