//! Asks every shard for its INFO, each at its own pace.
//!
//! One scheduler knows who is next and runs so many polls at a time; a shard that is not being polled
//! costs a socket and a place in its queue, no task and no timer.

mod exchange;
mod lateness;
mod queue;
mod scheduler;

pub use scheduler::PollStats;
pub(super) use scheduler::Poller;
