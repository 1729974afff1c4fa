//! Packets that read and write: a miss in front of a write is not fetched, since the write would wait for that.

use super::{count, start, warm};
use crate::support::Client;

/// A packet that begins with a read of a key of this number, and writes.
fn packet(client: &mut Client, number: usize) {
    let key = format!("k{number}");
    let replies = client.pipeline(&[&["GET", &key][..], &["SET", "x", "1"], &["GET", "x"]]);
    assert!(replies[0].is_null());
    replies[1].assert_ok();
    replies[2].assert_str("1");
}

#[test]
fn one_in_eight_misses_of_packets_with_writes_is_fetched() {
    let (redis, _respite, mut client) = start("");
    warm(&mut client, "warm");
    packet(&mut client, 0);
    let before = ["pttl", "get"].map(|name| count(&redis, name));
    for number in 1..=80 {
        packet(&mut client, number);
    }
    let after = ["pttl", "get"].map(|name| count(&redis, name));
    // One read of each packet is in front of the write, one behind it.
    assert_eq!([after[0] - before[0], after[1] - before[1]], [10, 160]);
    // Nor has one that comes alone anything behind it.
    let fetched = count(&redis, "pttl");
    for number in 100..110 {
        assert!(client.call(&["GET", &format!("k{number}")]).is_null());
    }
    assert_eq!(count(&redis, "pttl"), fetched + 10);
}
