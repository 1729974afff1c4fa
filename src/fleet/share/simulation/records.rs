//! How many bytes are told of a shard that is idle.

use std::time::Duration;

use super::super::record::{Base, Record};
use super::super::view::mix;

/// What an idle Redis 7.0 tells otherwise three seconds later.
const CHANGES: [&str; 15] = [
    "server_time_usec",
    "uptime_in_seconds",
    "lru_clock",
    "total_connections_received",
    "total_commands_processed",
    "total_net_input_bytes",
    "total_net_output_bytes",
    "instantaneous_input_kbps",
    "instantaneous_output_kbps",
    "total_reads_processed",
    "total_writes_processed",
    "used_cpu_user",
    "used_cpu_user_main_thread",
    "cmdstat_info",
    "latency_percentiles_usec_info",
];

/// A text with other digits where `changes` says so of a line's name.
fn text(of: &str, n: u64, changes: impl Fn(&str) -> bool) -> String {
    let mut random = n;
    let mut text = String::new();
    for line in of.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        text.push_str(name);
        text.push_str(if line.contains(':') { ":" } else { "" });
        for c in value.chars() {
            random = mix(random + 1);
            let digit = char::from(b'0' + u8::try_from(random % 10).expect("a digit"));
            let other = c.is_ascii_digit() && changes(name);
            text.push(if other { digit } else { c });
        }
        text.push_str("\r\n");
    }
    text
}

/// How long the records of idle servers are: of one that is told whole, and of those that follow.
pub(super) fn sizes() -> (usize, Vec<usize>) {
    // Another server differs in every number.
    let first = text(include_str!("../../testdata/redis-7.0.txt"), 1, |_| true);
    let record = |text: &str, base: Option<&str>| {
        let record = Record {
            poller: "respite-12.example:12345:0123abcd".to_owned(),
            tried: 1,
            asked: 1,
            interval: Duration::from_secs(3),
            failures: 0,
            trouble: None,
            ops_per_sec: Some(1),
            text: Some(text.as_bytes().to_vec()),
        };
        let base = base.map(|text| Base {
            asked: 1,
            text: text.as_bytes(),
        });
        record.encode(base).len()
    };
    let later = |n| {
        let later = text(&first, n, |name| CHANGES.contains(&name));
        record(&later, Some(&first))
    };
    (record(&first, None), (2..32).map(later).collect())
}

/// What a record takes in the mean: one of 50 is whole, and it is told twice, by itself and as a base.
pub(super) fn told() -> usize {
    let (whole, following) = sizes();
    let mean = following.iter().sum::<usize>() / following.len();
    mean + whole / 50
}
