//! Respites with one rule of the cache left out: each must be caught, in a scenario made for it.
//!
//! The binary leaves a rule out when it is built with the feature `mutants` and told by `MUTANT=name`.
#![cfg_attr(
    not(feature = "mutants"),
    allow(dead_code, reason = "only played with mutants")
)]

use std::time::Duration;

use super::check::Promise;
use super::faults::{Fault, Lag};
use super::history::Place::{A, Direct};
use super::load::{Flush, Load, Op};
use super::run::Scenario;

/// A shorter δ, so that what is stale for ever shows sooner.
const DELTA: Duration = Duration::from_millis(100);

/// Plain writes past Respite, which hears of them by invalidations alone; and no read past the cache, which
/// would take an entry away that is wrong.
fn past(ops: &[Op]) -> Load {
    Load {
        ops: ops.to_vec(),
        routes: vec![Direct],
        readers: [4, 0, 1],
        reads_past: false,
        parts: false,
        typed: 0,
        ..Load::default()
    }
}

/// Keys that are written together past Respite, and read together.
fn together() -> Load {
    Load {
        writers: 1,
        readers: [0; 3],
        together: [8, 0, 0],
        pause: Duration::from_millis(10),
        ..past(&[Op::Set])
    }
}

/// Writes through the Respite that reads.
fn through(ops: &[Op]) -> Load {
    Load {
        routes: vec![A],
        ..past(ops)
    }
}

fn scenario(name: &'static str, load: Load) -> Scenario {
    let mut scenario = Scenario {
        name,
        cache: "staleness_max = \"100ms\"",
        load,
        ..Scenario::default()
    };
    scenario.rules.staleness = Some(DELTA);
    scenario
}

fn lag(fills_down: u64, others_up: u64) -> Lag {
    Lag {
        fills_down: Duration::from_millis(fills_down),
        others_up: Duration::from_millis(others_up),
    }
}

/// The scenario that must catch this mutant, and the promises of which it must break one.
#[expect(clippy::too_many_lines, reason = "a list")]
fn trap(name: &'static str) -> (Scenario, &'static [Promise]) {
    use Promise::{P2, P3, P4, P5, P7};
    match name {
        // no fill link writes; but a read on it may push keys out of the tracking table, and Redis takes the one
        // that reads for the cause. The key is then untracked and nobody was told. How large the table is cannot
        // be asked here: no more would be kept
        "noloop" => {
            let mut scenario = scenario(name, past(&[Op::Set, Op::Del]));
            scenario.backing = &[
                "--tracking-table-max-keys",
                "8",
                "--rename-command",
                "CONFIG",
                "",
            ];
            (scenario, &[P2])
        }
        // push and reply come in one burst, and whoever applies the reply comes second
        "fill_off_reader" => {
            let mut scenario = scenario(name, past(&[Op::Set, Op::Del]));
            scenario.lag = lag(4, 0);
            (scenario, &[P2, P4])
        }
        "ignore_null_push" => {
            let mut scenario = scenario(name, past(&[Op::Set]));
            scenario.load.flush = Some(Flush {
                routes: vec![Direct],
                every: Duration::from_millis(300),
                quiet: DELTA * 3,
            });
            (scenario, &[P2])
        }
        // the reply of the fill is on its way when the write is done
        "token_not_voided_by_write" => {
            let mut scenario = scenario(name, through(&[Op::Set, Op::Del, Op::Exec]));
            scenario.lag = lag(15, 0);
            (scenario, &[P3, P4])
        }
        // the connection is there and silent
        "lease_not_checked" => {
            // a reader that misses hangs as well, so few keys, all there when it happens, and many readers
            let load = Load {
                writers: 1,
                names: 2,
                pause: Duration::from_millis(100),
                readers: [12, 0, 0],
                ..past(&[Op::Set])
            };
            let mut scenario = scenario(name, load);
            scenario.faults = &[Fault::LoseFills];
            scenario.pauses = [700, 800].map(Duration::from_millis);
            (scenario, &[P2])
        }
        // nobody touches the expired key, so nobody says that it is gone
        "pttl_ignored" => {
            let mut scenario = scenario(name, past(&[Op::SetPx]));
            scenario.setup = &[&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]];
            scenario.load.longest_ttl = Duration::from_millis(80);
            scenario.load.readers = [4, 0, 0];
            (scenario, &[P5])
        }
        // a read past the cache shows what the late invalidation would have told
        "bypass_read_keeps_entry" => {
            let mut scenario = scenario(name, past(&[Op::Set, Op::Del]));
            scenario.load.reads_past = true;
            scenario.load.readers = [8, 0, 1];
            scenario.lag = lag(20, 0);
            (scenario, &[P4])
        }
        // a script wrote what it did not declare, and the invalidation is late
        "no_fence" => {
            let mut scenario = scenario(name, through(&[Op::EvalHidden, Op::Fcall]));
            scenario.lag = lag(20, 0);
            (scenario, &[P3])
        }
        // the entries of the lost connection are tracked by nobody
        "epoch_not_checked" => {
            let mut scenario = scenario(name, past(&[Op::Set, Op::Del]));
            scenario.faults = &[Fault::KillFills];
            scenario.pauses = [200, 300].map(Duration::from_millis);
            (scenario, &[P2])
        }
        // a fill comes between the sending of a write and its execution
        "write_guard_released_early" => {
            let mut scenario = scenario(name, through(&[Op::Set, Op::Del, Op::GetSet]));
            scenario.lag = lag(8, 6);
            (scenario, &[P3, P4])
        }
        // what GET brought goes, what GETRANGE, HGETALL or ZRANGE brought stays
        "variant_outlives_push" => {
            let mut load = past(&[Op::Set, Op::Del]);
            load.names = 2;
            load.typed = 1;
            load.parts = true;
            load.typed_ops = vec![Op::Head, Op::Grow, Op::Shrink, Op::Set];
            (scenario(name, load), &[P2, P4])
        }
        // one worker's link is late with its pushes, the other one has fetched the new value by another command
        "overtaken_is_served" => {
            let mut scenario = scenario(name, past(&[Op::Set]));
            scenario.load.readers = [12, 0, 0];
            scenario.load.names = 2;
            scenario.lag = lag(20, 0);
            (scenario, &[P4])
        }
        // what was there when the rest was asked for is shown with it
        "mget_unchecked" => {
            let mut scenario = scenario(name, together());
            scenario.lag = lag(5, 0);
            (scenario, &[P7])
        }
        // the same of keys in many slots of a cluster
        "mget_unchecked of many slots" => {
            let mut load = together();
            load.cluster = true;
            let mut scenario = scenario(name, load);
            scenario.cluster = true;
            (scenario, &[P7])
        }
        // nobody is told of a swap
        "swaps_not_counted" => {
            let mut scenario = scenario(name, through(&[Op::Set]));
            scenario.load.writers = 1;
            scenario.load.swaps = true;
            (scenario, &[P2, P3])
        }
        // what nobody wants the reply of has still been done
        "silent_is_unfenced" => {
            let mut scenario = scenario(name, through(&[Op::Silent]));
            scenario.lag = lag(20, 0);
            (scenario, &[P3])
        }
        // a script showed what the late invalidation would have told
        "unnamed_read_is_unfenced" => {
            let mut scenario = scenario(name, past(&[Op::Set, Op::Del]));
            scenario.load.unnamed = true;
            scenario.load.readers = [8, 0, 1];
            scenario.lag = lag(20, 0);
            (scenario, &[P4])
        }
        // what is missing when its slot begins to move comes into being elsewhere, and nobody says so
        "nil_kept" => {
            let mut load = past(&[Op::Set, Op::Del]);
            load.cluster = true;
            load.names = 3;
            let mut scenario = scenario(name, load);
            scenario.cluster = true;
            scenario.faults = &[Fault::MoveSlowly];
            scenario.pauses = [0, 20].map(Duration::from_millis);
            (scenario, &[P2])
        }
        other => panic!("no trap for {other}"),
    }
}

/// Plays the trap in short rounds until it snaps.
#[cfg(feature = "mutants")]
#[track_caller]
fn caught(name: &'static str) {
    use super::check::Violation;
    use super::run::{Door, has_cache, play};
    use crate::support::{Random, RedisServer};

    if !has_cache() {
        eprintln!("coherence mutant {name}: skipped, this Respite has no cache");
        return;
    }
    if name == "noloop" && RedisServer::lacks((7, 0), "tracking that this needs") {
        return;
    }
    let (scenario, promises) = trap(name);
    for _ in 0..ROUNDS {
        let played = play(
            &scenario,
            Door::Mutant(name.split(' ').next().unwrap_or(name)),
            ROUND,
            &mut Random::from_env(),
        );
        let broken = |violation: &Violation| promises.contains(&violation.promise);
        let torn = promises.contains(&Promise::P7) && !played.torn.is_empty();
        if torn || played.violations.iter().any(broken) {
            return;
        }
    }
    panic!("{name}: none of {promises:?} was broken in {ROUNDS} rounds of {ROUND:?}");
}

#[cfg(not(feature = "mutants"))]
fn caught(name: &'static str) {
    let _ = trap(name);
    eprintln!("coherence mutant {name}: skipped, needs --features mutants");
}

/// The length of a round: most mutants are caught in the first one.
const ROUND: Duration = Duration::from_millis(1500);

const ROUNDS: usize = 12;

macro_rules! mutants {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            caught(stringify!($name));
        }
    )*};
}

mutants!(
    noloop,
    fill_off_reader,
    ignore_null_push,
    token_not_voided_by_write,
    lease_not_checked,
    pttl_ignored,
    bypass_read_keeps_entry,
    no_fence,
    epoch_not_checked,
    write_guard_released_early,
    variant_outlives_push,
    overtaken_is_served,
    mget_unchecked,
    swaps_not_counted,
    silent_is_unfenced,
    unnamed_read_is_unfenced,
    nil_kept,
);

#[test]
fn mget_unchecked_of_many_slots() {
    caught("mget_unchecked of many slots");
}

/// Rules that matter in one order of events only, which a test plays that has to fail without the rule.
const RACES: &[(&str, &str)] = &[
    (
        "noloop",
        "races::fills::tracking_is_asked_for_in_its_default_mode",
    ),
    (
        "fence_given_up_alone",
        "races::stalls::a_script_does_not_wait_for_a_silent_link",
    ),
    (
        "read_passes_own_fetch",
        "races::stalls::a_read_does_not_pass_the_clients_own_fetch",
    ),
    (
        "fence_trusts_untracked",
        "races::tracking::a_fence_does_not_trust_a_link_that_cannot_track",
    ),
    ("swaps_not_counted", "effects::swaps::in_a_script"),
    (
        "silent_is_unfenced",
        "races::unnamed::a_script_whose_reply_nobody_wants_is_fenced",
    ),
    (
        "unnamed_read_is_unfenced",
        "races::unnamed::reads_that_do_not_name_their_keys_wait_for_the_pushes",
    ),
    (
        "watched_not_guarded",
        "races::unnamed::watched_keys_are_covered_at_an_exec_that_aborts",
    ),
    (
        "owners_kept",
        "cluster::entries::entries_of_a_slot_are_gone_before_its_new_owner_is_asked",
    ),
    (
        "redirects_overtaken",
        "cluster::order::what_follows_waits_for_what_is_sent_on",
    ),
    (
        "nil_kept",
        "cluster::entries::that_a_key_is_missing_is_kept_for_a_moment_only",
    ),
    (
        "mget_unchecked",
        "races::many::a_push_between_the_hits_and_the_fetch_sends_the_whole",
    ),
    (
        "mget_mixes_links",
        "races::many::what_another_link_brought_is_fetched_anew",
    ),
    (
        "flight_forgets_shown",
        "races::passed::a_fetch_that_brings_another_value_than_was_shown_is_not",
    ),
];

/// Plays a test of this program, alone, in a process of its own; returns whether it passed.
#[cfg(feature = "mutants")]
fn passes(test: &str, mutant: Option<&str>, server: &std::path::Path) -> bool {
    let program = std::env::current_exe().expect("this program");
    let mut command = std::process::Command::new(program);
    command.args(["--exact", test]).env_remove("MUTANT");
    command.env("RESPITE_TEST_REDIS", server);
    if let Some(name) = mutant {
        command.env("MUTANT", name);
    }
    let output = command.output().expect("this program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("running 1 test\n"), "no test {test}:\n{text}");
    output.status.success()
}

#[test]
fn races_catch_theirs() {
    #[cfg(feature = "mutants")]
    for (mutant, test) in RACES {
        let server = crate::support::RedisServer::program();
        assert!(passes(test, None, &server), "{test} fails as it is");
        assert!(
            !passes(test, Some(mutant), &server),
            "{mutant}: {test} passes"
        );
        eprintln!("coherence mutant {mutant}: caught by {test}");
    }
    #[cfg(not(feature = "mutants"))]
    eprintln!(
        "coherence mutants of {} races: skipped, they need --features mutants",
        RACES.len()
    );
}

/// The server to try fields of hashes with that have lives of their own: the one of the tests, or the newest that
/// `scripts/versions.sh` knows.
#[cfg(feature = "mutants")]
fn with_field_lives() -> std::path::PathBuf {
    use crate::support::RedisServer;

    if RedisServer::version() >= (7, 4, 0) {
        return RedisServer::program();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(std::path::PathBuf::from);
    let here = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let server = target.unwrap_or_else(here).join("servers/8.2/redis-server");
    assert!(
        server.exists(),
        "get {} with scripts/versions.sh --fetch",
        server.display()
    );
    server
}

#[test]
fn a_field_past_its_end_is_caught() {
    #[cfg(feature = "mutants")]
    for test in [
        "cache::fields::a_field_is_never_shown_past_its_end",
        "coherence::scenarios::field_lives",
    ] {
        let (mutant, server) = ("field_lives_ignored", with_field_lives());
        assert!(passes(test, None, &server), "{test} fails as it is");
        assert!(
            !passes(test, Some(mutant), &server),
            "{mutant}: {test} passes"
        );
        eprintln!("coherence mutant {mutant}: caught by {test}");
    }
}
