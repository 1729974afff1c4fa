//! What is asked for, drawn before the clock starts: a key, and whether it is read or written.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Draws of a sequence, which is played in a circle.
const DRAWS: usize = 1 << 20;
/// Set in a draw that writes its key.
const WRITES: u32 = 1 << 31;
/// No divisor of a number of keys: neighbouring ranks are keys far apart.
const APART: u64 = 7919;

/// The key of a draw.
pub(crate) fn key(draw: u32) -> u32 {
    draw & !WRITES
}

/// Whether a draw writes.
pub(crate) fn writes(draw: u32) -> bool {
    draw & WRITES != 0
}

/// Reads of so many keys by Zipf's law, and so many writes in a hundred among them.
pub(crate) fn zipfian(keys: u32, exponent: f64, percent: u32) -> Vec<u32> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += f64::from(rank).powf(-exponent);
            sum
        })
        .collect();
    let mut random = SmallRng::seed_from_u64(7);
    let draw = |_| {
        let at = random.random::<f64>() * sum;
        let rank = sums.partition_point(|sum| *sum < at) as u64;
        let key = (rank * APART % u64::from(keys)) as u32;
        match random.random_range(0..100) < percent {
            true => key | WRITES,
            false => key,
        }
    };
    (0..DRAWS).map(draw).collect()
}

/// Reads of each of the keys once, in turn.
pub(crate) fn reads(keys: std::ops::Range<u32>) -> Vec<u32> {
    keys.collect()
}

/// Writes of each of the keys once, in turn.
pub(crate) fn all_written(keys: std::ops::Range<u32>) -> Vec<u32> {
    keys.map(|key| key | WRITES).collect()
}
