//! How long commands take, by what becomes of them and by user.
//!
//! Each worker has histograms of its own, which only that worker writes: a measurement is a few plain stores. Whoever
//! wants to know adds them up. Not here: what is measured, and from when to when.

mod histogram;
mod report;
mod times;

pub use histogram::Counts;
pub use report::Latency;
pub use times::{Kind, Times};
