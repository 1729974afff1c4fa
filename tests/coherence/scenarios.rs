//! The scenarios that must hold.

use std::time::Duration;

use super::faults::{Fault, Lag};
use super::history::Place;
use super::load::{Flush, Load, Op, WAYS, lives};
use super::run::{Scenario, holds};
use crate::support::RedisServer;

/// Databases are flushed through any door, and their writers then quiet for longer than δ.
fn flush() -> Option<Flush> {
    Some(Flush {
        routes: Place::ALL.to_vec(),
        every: Duration::from_millis(400),
        quiet: Duration::from_millis(300),
    })
}

fn scenario(name: &'static str) -> Scenario {
    Scenario {
        name,
        ..Scenario::default()
    }
}

/// Nothing goes wrong: every way of writing, through every door.
#[test]
fn calm() {
    let mut missing = WAYS.to_vec();
    missing.retain(|way| *way != "FCALL" || !RedisServer::lacks((7, 0), "functions"));
    // A slow machine does not come to all of them at once.
    for _ in 0..10 {
        let played = holds(&scenario("calm"));
        missing.retain(|way| !played.ways.contains(way));
        if missing.is_empty() {
            return;
        }
    }
    panic!("never done: {missing:?}");
}

/// Keys that are always written together, and reads of all of them. Invalidations come late, connections are lost,
/// and a cache of several links has some of them from one and some from another.
#[test]
fn snapshots() {
    let mut scenario = scenario("snapshots");
    scenario.load = Load {
        writers: 1,
        readers: [1, 0, 1],
        together: [4, 2, 1],
        ..Load::default()
    };
    let _ = holds(&scenario);
    scenario.name = "snapshots, lagging";
    scenario.lag = Lag {
        fills_down: Duration::from_millis(7),
        others_up: Duration::from_millis(2),
    };
    let _ = holds(&scenario);
    scenario.name = "snapshots, lost connections and flushes";
    scenario.load.flush = flush();
    scenario.faults = &[Fault::Kill, Fault::KillFills, Fault::HoldFills, Fault::Cut];
    let _ = holds(&scenario);
}

/// Databases are flushed and swapped.
#[test]
fn flushed_and_swapped() {
    let mut scenario = scenario("flushed and swapped");
    scenario.load = Load {
        swaps: true,
        flush: flush(),
        ..Load::default()
    };
    let _ = holds(&scenario);
}

/// What commands do not say of themselves: scripts that swap databases, write or read what they do not declare,
/// whose replies nobody wants; copies into another database. Invalidations come late.
#[test]
fn hidden() {
    let mut scenario = scenario("hidden");
    scenario.lag.fills_down = Duration::from_millis(10);
    scenario.load = Load {
        ops: vec![
            Op::Set,
            Op::Set,
            Op::CopyDb,
            Op::Silent,
            Op::EvalHidden,
            Op::Fcall,
        ],
        unnamed: true,
        swaps: true,
        ..Load::default()
    };
    let played = holds(&scenario);
    for way in ["SWAPDB", "COPY DB", "silent EVAL"] {
        assert!(played.ways.contains(way), "never done: {way}");
    }
}

/// Invalidations come late, and writes through Respite race with fills.
#[test]
fn lagging() {
    let mut scenario = scenario("lagging");
    scenario.lag = Lag {
        fills_down: Duration::from_millis(10),
        others_up: Duration::from_millis(3),
    };
    let _ = holds(&scenario);
}

/// Connections are killed and cut.
#[test]
fn lost_connections() {
    let mut scenario = scenario("lost connections");
    scenario.faults = &[Fault::Kill, Fault::KillFills, Fault::Cut];
    let _ = holds(&scenario);
}

/// Fill connections hang, for a while or for ever.
#[test]
fn hanging_fills() {
    let mut scenario = scenario("hanging fills");
    // a reader that misses hangs as well
    scenario.load.names = 4;
    scenario.load.readers = [8, 2, 1];
    scenario.load.reads_past = false;
    scenario.pauses = [200, 600].map(Duration::from_millis);
    scenario.faults = &[
        Fault::HoldFills,
        Fault::HoldFills,
        Fault::LoseFills,
        Fault::Kill,
    ];
    let _ = holds(&scenario);
}

/// The backing sleeps and stands still.
#[test]
fn slow_backing() {
    let mut scenario = scenario("slow backing");
    scenario.faults = &[Fault::Sleep, Fault::Freeze];
    scenario.load.flush = flush();
    let _ = holds(&scenario);
}

/// The backing is busy with a script, also when the fill links ask it to track.
#[test]
fn busy_backing() {
    let mut scenario = scenario("busy backing");
    scenario.backing = &["--lua-time-limit", "20"];
    scenario.faults = &[Fault::Busy];
    scenario.least_hits = 0;
    let _ = holds(&scenario);
}

/// The backing is replaced by an empty one.
#[test]
fn restarted_backing() {
    let mut scenario = scenario("restarted backing");
    scenario.load.typed_ops = Op::TYPED_ANEW.to_vec();
    scenario.faults = &[Fault::Restart, Fault::Kill];
    scenario.least_hits = 0;
    let _ = holds(&scenario);
}

/// Three sentinels, a master and its replica. How long it takes until the new master is used is not promised to the
/// millisecond, so δ is longer than that; all else is promised as ever.
fn with_sentinels(name: &'static str, faults: &'static [Fault]) -> Scenario {
    let mut scenario = scenario(name);
    scenario.sentinels = true;
    scenario.cache = "staleness_max = \"2s\"";
    scenario.rules.staleness = Some(Duration::from_secs(2));
    scenario.faults = faults;
    // What reads the old master directly is told by nobody that there is another.
    scenario.load.readers = [3, 2, 0];
    scenario
}

/// The sentinels name another master.
#[test]
fn failed_over() {
    let _ = holds(&with_sentinels("failed over", &[Fault::FailOver]));
}

/// The master dies and comes back empty.
#[test]
fn killed_master() {
    let _ = holds(&with_sentinels("killed master", &[Fault::KillMaster]));
}

/// The master goes on serving those who are connected, while the others have another.
#[test]
fn isolated_master() {
    let _ = holds(&with_sentinels("isolated master", &[Fault::IsolateMaster]));
}

/// A cluster of three masters and their replicas.
fn with_cluster(name: &'static str, faults: &'static [Fault]) -> Scenario {
    let mut scenario = scenario(name);
    scenario.cluster = true;
    scenario.load.cluster = true;
    scenario.load.ops = Op::IN_A_CLUSTER.to_vec();
    scenario.load.names = 6;
    scenario.load.together = [1, 1, 0];
    // What is left of the life of a key is counted anew where the key has moved to.
    scenario.rules.slack = Duration::from_millis(250);
    scenario.faults = faults;
    scenario
}

/// Slots move back and forth, key by key.
#[test]
fn moving_slots() {
    let mut scenario = with_cluster("moving slots", &[Fault::MoveSlot, Fault::MoveSlowly]);
    scenario.pauses = [5, 50].map(Duration::from_millis);
    let _ = holds(&scenario);
}

/// `MGET` and `MSET` of keys in many slots: what one slot has of them is never torn. Slots move meanwhile.
#[test]
fn snapshots_of_many_slots() {
    let mut scenario = with_cluster("snapshots of many slots", &[Fault::MoveSlot]);
    scenario.load = Load {
        writers: 1,
        readers: [1, 0, 1],
        together: [3, 2, 1],
        ..scenario.load
    };
    let _ = holds(&scenario);
}

/// Replicas take the places of their masters. How long it takes until the new master is used is not promised to the
/// millisecond, as with sentinels.
fn with_failing_nodes(name: &'static str, faults: &'static [Fault]) -> Scenario {
    let mut scenario = with_cluster(name, faults);
    scenario.cache = "staleness_max = \"2s\"";
    scenario.rules.staleness = Some(Duration::from_secs(2));
    scenario.load.readers = [3, 2, 0];
    scenario
}

/// By command, while slots move.
#[test]
fn failed_over_nodes() {
    let faults = &[Fault::FailOverNode, Fault::MoveSlot, Fault::MoveSlot];
    let _ = holds(&with_failing_nodes("failed over nodes", faults));
}

/// They die.
#[test]
fn killed_nodes() {
    let _ = holds(&with_failing_nodes("killed nodes", &[Fault::KillNode]));
}

/// They stand still, and come back.
#[test]
fn stopped_nodes() {
    let _ = holds(&with_failing_nodes("stopped nodes", &[Fault::StopNode]));
}

/// The backing forgets which keys it has to tell about, and says so by invalidating them.
#[test]
fn small_tracking_table() {
    let mut scenario = scenario("small tracking table");
    scenario.load.together = [2, 0, 0];
    scenario.backing = &["--tracking-table-max-keys", "50"];
    scenario.faults = &[Fault::Kill, Fault::Sleep];
    let _ = holds(&scenario);
}

/// The backing evicts keys. Nil is always legal then.
#[test]
fn evicting_backing() {
    let mut scenario = scenario("evicting backing");
    scenario.load.together = [2, 0, 0];
    scenario.load.typed_ops = Op::TYPED_ANEW.to_vec();
    scenario.backing = &["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"];
    scenario.rules.keys_vanish = true;
    let played = holds(&scenario);
    assert!(played.evicted > 0, "nothing was evicted");
}

/// Logically expired keys stay in memory until they are touched.
#[test]
fn lazy_expiry() {
    let mut scenario = scenario("lazy expiry");
    scenario.setup = &[&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]];
    scenario.load.longest_ttl = Duration::from_millis(60);
    scenario.faults = &[Fault::Sleep];
    let _ = holds(&scenario);
}

/// Fields of hashes end, and nobody says so until somebody touches them.
#[test]
fn field_lives() {
    if RedisServer::lacks((7, 4), "lives of fields") {
        return;
    }
    let mut scenario = scenario("field lives");
    scenario.setup = &[&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]];
    scenario.load = Load {
        names: 1,
        typed: 2,
        readers: [4, 1, 1],
        field_lives: true,
        ..scenario.load
    };
    scenario.load.typed_ops.extend([Op::FieldLives; 12]);
    scenario.load.longest_ttl = Duration::from_millis(100);
    let mut missing = lives().to_vec();
    // A slow machine does not come to all of them at once.
    for _ in 0..10 {
        let played = holds(&scenario);
        missing.retain(|way| !played.ways.contains(way));
        if missing.is_empty() {
            return;
        }
    }
    panic!("never done: {missing:?}");
}

/// The cache holds a few entries only.
#[test]
fn few_entries() {
    let mut scenario = scenario("few entries");
    scenario.load.together = [2, 0, 0];
    scenario.cache = "staleness_max = \"200ms\"\nmax_entries = 16";
    let _ = holds(&scenario);
}

/// Without tracking, only P2 is not promised (its bound is an hour).
#[test]
fn expiry_mode() {
    let mut scenario = scenario("expiry mode");
    scenario.load.together = [2, 0, 0];
    scenario.cache = "mode = \"expiry\"";
    scenario.rules.staleness = None;
    scenario.faults = &[Fault::Kill];
    // P5 is promised for what this Respite can know: a deadline that is changed past it comes too late
    scenario.load.routes = vec![Place::A];
    scenario.load.readers = [3, 0, 1];
    let _ = holds(&scenario);
}

/// Strict mode is linearizable, whatever happens.
#[test]
fn strict_mode() {
    let mut scenario = scenario("strict mode");
    scenario.cache = "strict = true\nstaleness_max = \"200ms\"";
    scenario.rules.strict = true;
    scenario.load.flush = flush();
    scenario.faults = &[Fault::Kill, Fault::HoldFills, Fault::Sleep];
    scenario.least_hits = 0;
    let _ = holds(&scenario);
}
