//! How much is kept, and what leaves first.

use super::{start, stat, warm};
use crate::support::Client;

fn is_cached(client: &mut Client, key: &str) -> bool {
    !client.call(&["CACHE.INSPECT", key]).is_null()
}

#[test]
fn a_small_cache_holds_what_was_configured_and_evicts_the_least_recently_used() {
    let (_redis, _respite, mut client) = start("[cache]\nmax_entries = 100");
    for n in 0..100 {
        warm(&mut client, &format!("k{n}"));
    }
    assert_eq!(stat(&mut client, "entries"), 100);
    assert_eq!(stat(&mut client, "evictions"), 0);
    for n in (0..100).step_by(2) {
        client.call(&["GET", &format!("k{n}")]);
    }
    for n in 0..50 {
        // a key that is asked for once is the most recently used one
        client.call(&["GET", &format!("new{n}")]);
        assert_eq!(stat(&mut client, "entries"), 100);
        let gone = format!("k{}", 2 * n + 1);
        assert!(!is_cached(&mut client, &gone), "{gone} is next");
    }
    for n in 0..50 {
        assert!(is_cached(&mut client, &format!("k{}", 2 * n)), "{n}");
        assert!(is_cached(&mut client, &format!("new{n}")), "{n}");
    }
    assert_eq!(stat(&mut client, "evictions"), 50);
}

#[test]
fn no_more_bytes_are_kept_than_configured() {
    let (_redis, _respite, mut client) =
        start("[cache]\nmax_bytes = 20000\nmax_value_bytes = 15000");
    for n in 0..300_usize {
        let (key, value) = (format!("k{n}"), "x".repeat(n * 37 % 3000));
        client.call(&["SET", &key, &value]).assert_ok();
        client.call(&["GET", &key]).assert_str(&value);
        let bytes = stat(&mut client, "bytes");
        assert!(bytes <= 20_000, "{bytes} bytes after {n} keys");
    }
    assert!(stat(&mut client, "bytes") > 15_000);
    // One that fits alone drives out the others; one that does not drives out nobody.
    for (key, bytes) in [("large", 14_000), ("larger", 30_000)] {
        client.call(&["SET", key, &"x".repeat(bytes)]).assert_ok();
        client.call(&["GET", key]);
    }
    assert!(is_cached(&mut client, "large") && !is_cached(&mut client, "larger"));
}
