//! Calls whose caller and worker are on one Respite: handed over there, and in the backing as soon as somebody asks.

mod backing;
mod ends;
mod lease;
mod waits;

use super::{World, wait_for_worker};
use crate::support::{Client, DEADLINE, wait_until};

/// A worker that waits at the first Respite, which knows by then that no other one has workers.
fn waiting(world: &World, worker: &str, pattern: &str) -> Client {
    let mut client = world.connect();
    client.send(&["BUS.FETCH", "b", worker, pattern, "TIMEOUT", "0"]);
    wait_for_worker(world, worker);
    wait_until_alone(world);
    client
}

/// How often the backing has carried out a command.
pub(super) fn executed(world: &World, command: &str) -> usize {
    let info = world.redis.call(&["INFO", "commandstats"]);
    let name = format!("cmdstat_{command}:calls=");
    let line = info
        .as_str()
        .lines()
        .find_map(|line| line.strip_prefix(&name));
    let count = line.and_then(|line| line.split(',').next());
    count.map_or(0, |count| count.parse().expect("a number"))
}

/// Waits until the Respite with workers knows that no other one has any, and hears what others say.
fn wait_until_alone(world: &World) {
    let before = executed(world, "zcount");
    wait_until("the others are counted twice", DEADLINE, || {
        executed(world, "zcount") > before + 1
    });
    wait_until("hints come", DEADLINE, || {
        let channels = world.redis.call(&["PUBSUB", "CHANNELS", "respite:b:*"]);
        !channels.items().is_empty()
    });
}

/// How many calls the backing holds as delivered.
fn kept(world: &World) -> i64 {
    world.redis.call(&["HLEN", &World::key("o")]).int()
}

fn wait_until_kept(world: &World) {
    wait_until("the call is in the backing", DEADLINE, || kept(world) == 1);
}
