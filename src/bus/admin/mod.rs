//! What is known of a bus: registering, listing, counters, the dead list, cleaning up; and the same for pages and metrics.
//!
//! `commands` uses it for `BUS.*`, the app for the admin listener and for whoever looks after a backlog.

mod backlog;
mod json;
mod manage;
mod metrics;

pub use backlog::Backlog;
pub use json::LookError;
pub(super) use manage::{
    MethodRow, cleanup, dead, methods, register, revive, stats, uncache, unregister, workers,
};
