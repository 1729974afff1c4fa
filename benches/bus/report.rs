//! The report, as Markdown.

use std::thread;

/// What stands above the round trips.
pub(crate) fn heading(workers: usize, rounds: usize, seconds: f64) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "Round trips with a payload of 64 bytes there and back, {workers} workers; medians of {rounds} rounds of {seconds} s, in \
         which the ways take turns. A machine with {cores} cores carries everything. CPU is per round trip.\n\n\
         | callers | way | calls/s | p50 | p99 | calls/s to by hand | p50 to by hand | CPU of Redis, or of nats-server | CPU of Respite | scripts |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    )
}

/// One row: rate, p50, p99, processor times and scripts, beside the rate and the p50 of the way by hand.
pub(crate) fn row(callers: usize, way: &str, row: &[f64; 6], by_hand: &[f64; 6]) -> String {
    let [rate, p50, p99, redis, respite, scripts] = row;
    format!(
        "| {callers} | {way} | {rate:.0} | {p50:.0} µs | {p99:.0} µs | {:.2} | {:.2} | {redis:.0} µs | {respite:.0} µs | \
         {scripts:.2} |\n",
        rate / by_hand[0],
        p50 / by_hand[1],
    )
}
