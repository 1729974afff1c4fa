//! Fleets that never were: many memberships, one model of the backing, and time that passes when nothing is left to do.
//!
//! Checked at every step: no two living Respites hold one shard; nobody polls a shard again before its interval has
//! passed, unless whoever polled it before was lost; nobody leaves it for its interval and two seconds.

mod model;
mod records;
mod script;
mod world;

use world::World;

const SECOND: u64 = 1_000_000;

/// A life of a fleet, with everything that may happen to it.
fn live(respites: usize, shards: usize, seed: u64) -> Vec<String> {
    let mut world = World::new(shards, seed);
    let mut lines = Vec::new();
    let mut tell = |line: String| lines.push(line);
    for _ in 0..respites {
        world.join();
    }
    tell(world.phase("the start", 6 * SECOND));
    tell(world.phase("nothing happens", 30 * SECOND));
    world.kill(0);
    tell(world.phase("one is killed", 12 * SECOND));
    world.join();
    tell(world.phase("one comes", 12 * SECOND));
    world.leave(1);
    tell(world.phase("one leaves", 12 * SECOND));
    world.stop(2, 5 * SECOND);
    tell(world.phase("one stands still for 5 s", 17 * SECOND));
    for _ in 0..respites / 10 {
        world.kill_any();
    }
    tell(world.phase("a tenth are killed at once", 12 * SECOND));
    for _ in 0..respites / 10 {
        world.join();
    }
    tell(world.phase("a tenth come at once", 12 * SECOND));
    world.backing(false);
    tell(world.phase("the backing is away for 10 s", 10 * SECOND));
    world.backing(true);
    tell(world.phase("it is back, and empty", 12 * SECOND));
    lines
}

/// `FLEET_SIMULATION=100x10000`: one life of so many Respites and shards, for the numbers of docs/fleet.md.
fn wanted() -> Option<(usize, usize)> {
    let text = std::env::var("FLEET_SIMULATION").ok()?;
    let (respites, shards) = text.split_once('x').expect("RESPITESxSHARDS");
    let number = |text: &str| text.parse().expect("a number");
    Some((number(respites), number(shards)))
}

#[test]
fn no_shard_is_polled_twice_or_left_alone() {
    if let Some((respites, shards)) = wanted() {
        for line in live(respites, shards, 1) {
            eprintln!("{line}");
        }
        return;
    }
    for seed in 1..=5 {
        for line in live(10, 300, seed) {
            eprintln!("{line}");
        }
    }
    live(3, 50, 7);
}

#[test]
fn the_model_costs_what_records_cost() {
    let (whole, following) = records::sizes();
    let mean = following.iter().sum::<usize>() / following.len();
    eprintln!("{whole} bytes a record, {mean} of one that follows");
    assert!(mean * 2 < whole, "{mean} and {whole}");
}
