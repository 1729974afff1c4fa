//! The workers of this Respite: their fetches, what they serve, and the calls that they hold. Decides nothing about calls.
//!
//! `work` and `exchange` fill it, `direct` hands calls to its slots.

mod held;
mod slot;
mod touched;

pub(super) use held::HeldCalls;
pub(super) use slot::{Delivered, Delivery, Park, Parked, Slot, TakesBack};
pub(super) use touched::{
    MOST_PATTERNS, TouchedWorkers, Worker, WorkerTtl, join, read_patterns, write_patterns,
};
