//! Counters of methods: kept for a moment until they are added to those in the backing, and since the start, for metrics.
//!
//! `bus` counts, `admin` tells.

mod counts;
mod tally;

pub(super) use counts::{BOUNDS, Counts, KeptCounts, Times};
pub(super) use tally::{Tally, Totals};
