//! Looks at the buses in use here now and then: which method has calls that wait, and since when none has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::bus::{Backlog, Hub};
use crate::command::Rights;
use crate::doctor::StuckMethod;
use crate::upstream::Backing;

/// How often the backing is asked.
const EVERY: Duration = Duration::from_secs(2);
/// So many buses are looked at; a process that uses more has a monitoring of its own.
const MOST_BUSES: usize = 32;
/// Calls that wait for less are on their way.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of the methods on which calls wait.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    waiting: Mutex<BTreeMap<(String, String), Waiting>>,
}

/// A method on which calls wait.
#[derive(Debug)]
struct Waiting {
    /// Since then none of its calls has ended.
    since: Instant,
    seen: Backlog,
}

impl Backlogs {
    /// Looks for ever.
    pub(super) async fn look(self: Arc<Self>, hub: Arc<Hub>, backing: Arc<Backing>) {
        let mut clock = tokio::time::interval(EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            if !backing.is_ready() {
                continue;
            }
            let mut found = Vec::new();
            for bus in hub.bus_names().into_iter().take(MOST_BUSES) {
                // One that is not registered yet, or cannot be asked, has nothing to tell.
                if let Ok(backlogs) = hub.backlog(&bus).await {
                    found.extend(backlogs.into_iter().map(|seen| (bus.clone(), seen)));
                }
            }
            self.note(found, Instant::now());
        }
    }

    fn note(&self, found: Vec<(String, Backlog)>, now: Instant) {
        let mut waiting = self.waiting.lock();
        let mut before = std::mem::take(&mut *waiting);
        for (bus, seen) in found.into_iter().filter(|(_, seen)| seen.queued > 0) {
            let key = (bus, seen.method.clone());
            let same = before.remove(&key);
            let same = same.filter(|before| before.seen.ended == seen.ended);
            let since = same.map_or(now, |before| before.since);
            waiting.insert(key, Waiting { since, seen });
        }
    }

    /// The methods, of buses that the asker may use, of which no call has ended for a while although some wait.
    pub(super) fn stuck(&self, now: Instant, rights: &Rights) -> Vec<StuckMethod> {
        let waiting = self.waiting.lock();
        let stuck = waiting.iter().filter_map(|((bus, method), waiting)| {
            let time = now.duration_since(waiting.since);
            let may = || rights.may_use(Hub::rule_key(bus).as_bytes());
            (time >= PATIENCE && may()).then(|| StuckMethod {
                name: format!("{bus}/{method}"),
                queued: waiting.seen.queued,
                in_flight: waiting.seen.in_flight,
                workers: waiting.seen.workers as u64,
                seconds: time.as_secs(),
            })
        });
        stuck.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_stuck_when_calls_wait_and_none_ends() {
        let backlogs = Backlogs::default();
        let begin = Instant::now();
        let seen = |method: &str, queued, ended| {
            let seen = Backlog {
                method: method.to_owned(),
                queued,
                in_flight: 1,
                workers: 1,
                ended,
            };
            ("b".to_owned(), seen)
        };
        backlogs.note(
            vec![seen("stuck", 1, 7), seen("busy", 9, 1), seen("idle", 0, 1)],
            begin,
        );
        let all = &Rights::Everything;
        assert!(backlogs.stuck(begin, all).is_empty());
        let later = begin + PATIENCE;
        backlogs.note(
            vec![seen("stuck", 4, 7), seen("busy", 9, 2), seen("idle", 0, 1)],
            later,
        );
        let stuck = backlogs.stuck(later, all);
        let told: Vec<_> = stuck
            .iter()
            .map(|stuck| (stuck.name.as_str(), stuck.queued, stuck.seconds))
            .collect();
        assert_eq!(told, [("b/stuck", 4, PATIENCE.as_secs())]);
        backlogs.note(vec![seen("stuck", 0, 7)], later);
        assert!(backlogs.stuck(later + PATIENCE, all).is_empty());
    }
}
