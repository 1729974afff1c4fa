//! Each rule finds what it is for, and nothing in a healthy server.

use super::*;

fn healthy() -> Facts {
    Facts {
        upstream_up: true,
        upstream: "127.0.0.1:6379".to_owned(),
        cache_mode: "tracking",
        hits_per_sec: 900.0,
        misses_per_sec: 100.0,
        fills_per_sec: 90.0,
        cache_bytes: (1 << 20, 256 << 20),
        cache_entries: (100, 1000),
        clients: (5, 10_000),
        pinned: (1, 1000),
        forward_p99_ms: 0.4,
        shards: vec![shard("live")],
        tracked_keys: Some(1000),
        instances_down: (0, 3),
        ..Facts::default()
    }
}

fn shard(state: &'static str) -> ShardFacts {
    ShardFacts {
        id: "one".to_owned(),
        state,
        age_ms: Some(900),
        ..ShardFacts::default()
    }
}

/// One change each that a rule, and no other, has to find, with a number that it must say.
type Case = (&'static str, fn(&mut Facts), &'static str);

const CASES: &[Case] = &[
    ("upstream-down", |f| f.upstream_up = false, "127.0.0.1:6379"),
    ("shards-down", |f| f.shards.push(shard("down")), "1 of 2"),
    (
        "services-down",
        |f| f.services_down = vec!["api".to_owned()],
        "'api'",
    ),
    (
        "open-to-all",
        |f| f.open_addresses = vec!["0.0.0.0:7379".to_owned()],
        "0.0.0.0:7379",
    ),
    ("clients-rejected", |f| f.rejected_clients = 7, "7 clients"),
    (
        "calls-stuck",
        |f| {
            f.stuck_methods.push(StuckMethod {
                name: "mail/send".to_owned(),
                queued: 12,
                ..StuckMethod::default()
            });
        },
        "'mail/send' has 12 queued",
    ),
    (
        "replicas-behind",
        |f| f.shards[0].lag_bytes = Some(64 << 20),
        "64.0 MiB",
    ),
    (
        "shards-stale",
        |f| {
            f.shards[0].state = "stale";
            f.shards[0].age_ms = Some(12_000);
        },
        "12.0 s",
    ),
    ("save-failed", |f| f.shards[0].save_failed = true, "'one'"),
    (
        "memory-full",
        |f| f.shards[0].memory = Some((95 << 20, 100 << 20)),
        "95.0 MiB of 100.0 MiB",
    ),
    ("clients-near-limit", |f| f.clients = (8000, 10_000), "80 %"),
    ("pinned-near-limit", |f| f.pinned = (950, 1000), "95 %"),
    (
        "slow-commands",
        |f| f.slow = (3, Some(("KEYS".to_owned(), 250.0))),
        "KEYS with 250 ms",
    ),
    ("slow-backing", |f| f.forward_p99_ms = 8.0, "8.0 ms"),
    (
        "cache-too-small",
        |f| {
            f.evictions_per_sec = 40.0;
            f.cache_bytes.0 = f.cache_bytes.1;
            f.hits_per_sec = 100.0;
        },
        "50 %",
    ),
    ("cache-degraded", |f| f.cache_degraded = true, "7.0.9"),
    (
        "tracking-table-full",
        |f| f.tracked_keys = Some(950_000),
        "950000",
    ),
    (
        "uncacheable",
        |f| f.rejected_fills_per_sec = 110.0,
        "110 of 200",
    ),
    (
        "watchers-failing",
        |f| f.failing_watchers = vec![("file".to_owned(), "no such file".to_owned())],
        "no such file",
    ),
    ("instances-down", |f| f.instances_down = (1, 3), "1 of 3"),
    ("cache-of-no-use", |f| f.hits_per_sec = 10.0, "9 %"),
    (
        "one-hot-key",
        |f| {
            f.hits_per_sec = 5000.0;
            f.hottest = Some(("k".to_owned(), 0.75));
        },
        "75 %",
    ),
];

#[test]
fn each_rule_finds_its_own() {
    for (rule, change, says) in CASES {
        let mut facts = healthy();
        change(&mut facts);
        let found = examine(&facts);
        let names: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
        assert_eq!(names, [*rule]);
        assert!(found[0].text.contains(says), "{rule}: {}", found[0].text);
    }
    let tested: Vec<&str> = CASES.iter().map(|(rule, ..)| *rule).collect();
    let all: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(
        tested, all,
        "a test for each rule, in the order of the table"
    );
}

#[test]
fn of_a_cluster_the_masters_that_are_away_are_named() {
    let mut facts = healthy();
    facts.upstream_up = false;
    facts.masters = Some(MasterFacts {
        count: 3,
        away: vec!["10.0.0.2:6379".to_owned()],
        slots_away: 5462,
    });
    let says =
        "5462 of 16384 slots are not served; of its 3 masters '10.0.0.2:6379' does not answer";
    assert!(texts(&facts)[0].contains(says), "{:?}", texts(&facts));
}

#[test]
fn a_healthy_server_is_told_so() {
    assert_eq!(texts(&healthy()), [ALL_WELL]);
}

#[test]
fn the_worst_comes_first_and_long_lists_are_cut() {
    let mut facts = healthy();
    facts.cache_degraded = true;
    facts.shards = (0..9)
        .map(|n| ShardFacts {
            id: format!("s\n{n}"),
            ..shard("down")
        })
        .collect();
    let found = examine(&facts);
    assert_eq!(found[0].rule, "shards-down");
    assert!(
        found[0].text.contains("'s 0', 's 1', 's 2' and 6 more"),
        "{}",
        found[0].text
    );
}
