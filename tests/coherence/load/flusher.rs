//! Flushes a database now and then, while all writers wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::conn::{Conn, command};
use super::super::history::{Content, History, Write};
use super::super::world::{DBS, World};
use super::Flush;
use super::writer::{Outcome, judge};
use crate::support::Random;

/// `everything`: whether all databases may be flushed at once.
pub(super) fn run(
    world: &Arc<World>,
    flush: &Flush,
    everything: bool,
    mut random: Random,
) -> History {
    let mut history = History::default();
    let mut next = Instant::now() + flush.every;
    while world.running() {
        std::thread::sleep(Duration::from_millis(10));
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + flush.every;
        let place = *random.pick(&flush.routes);
        let mut conn = Conn::new(place, world, false);
        let db = *random.pick(&DBS);
        let all = everything && random.one_in(3);
        let quiet = world.writing.write().expect("the lock of writing");
        if !conn.ready(db) {
            continue;
        }
        world.flushed();
        let start = world.clock.now();
        let replies = conn.exchange(&[command![if all { "FLUSHALL" } else { "FLUSHDB" }]]);
        let end = world.clock.now();
        let outcome = judge(replies.as_deref(), |_| true);
        if outcome != Outcome::Nothing {
            let slots = world.slots_where(|slot| all || slot.db == db);
            history.writes.extend(slots.into_iter().map(|slot| Write {
                slot,
                place,
                start,
                end,
                content: Content::Nil,
                size: 0,
                ttl: None,
                sure: outcome == Outcome::Done,
                how: "flush",
            }));
        }
        if random.one_in(2) {
            std::thread::sleep(flush.quiet);
        }
        drop(quiet);
    }
    history
}
