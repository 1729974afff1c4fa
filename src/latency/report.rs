//! All workers' times together: for `RESPITE.LATENCY`, for `/metrics`, for whoever draws curves.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::histogram::Counts;
use super::times::{MOST_KINDS, PLAIN, Times};
use crate::metrics::{self, Exposition};

/// So many users are told apart; all further ones count under an empty name. Each costs up to 70 KB a worker, and
/// up to 300 series.
const MOST_USERS: usize = 32;
/// Bounds of the buckets in `/metrics`: powers of two nanoseconds, from a microsecond to 17 seconds.
const BOUNDS: std::ops::RangeInclusive<u32> = 10..=34;

/// The times of all workers.
#[derive(Debug)]
pub struct Latency {
    kinds: Vec<String>,
    workers: Vec<Mutex<Vec<Arc<Times>>>>,
    /// What was counted when it was last reset.
    baseline: Mutex<BTreeMap<(usize, String), Counts>>,
}

/// The times of one kind of one user.
#[derive(Debug, Clone)]
pub struct Line {
    /// `hit`, `fetch`, `forward`, `pinned`, or the name of a family.
    pub kind: String,
    /// The user; empty for those that are not told apart.
    pub user: String,
    /// The times.
    pub counts: Counts,
}

impl Latency {
    /// No times yet, of so many workers and of these families.
    #[must_use]
    pub fn new(workers: usize, families: impl IntoIterator<Item = String>) -> Self {
        let plain = PLAIN.iter().map(|&name| name.to_owned());
        Latency {
            kinds: plain.chain(families).take(MOST_KINDS).collect(),
            workers: (0..workers).map(|_| Mutex::default()).collect(),
            baseline: Mutex::default(),
        }
    }

    /// The names of the kinds, in the order in which they are shown.
    #[must_use]
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// Where a worker counts what a user's commands take.
    #[must_use]
    pub fn times(&self, worker: usize, user: &str) -> Arc<Times> {
        let Some(known) = self.workers.get(worker) else {
            return Arc::new(Times::new(user));
        };
        let mut known = known.lock();
        let name = match known.len() {
            n if n >= MOST_USERS => "",
            _ => user,
        };
        let found = known.iter().find(|times| times.user() == user);
        if let Some(times) = found.or_else(|| known.iter().find(|times| times.user() == name)) {
            return Arc::clone(times);
        }
        let times = Arc::new(Times::new(name));
        known.push(Arc::clone(&times));
        times
    }

    /// What was counted since the start, by kind and user.
    fn counted(&self) -> BTreeMap<(usize, String), Counts> {
        let mut all: BTreeMap<(usize, String), Counts> = BTreeMap::new();
        for worker in &self.workers {
            let users: Vec<Arc<Times>> = worker.lock().clone();
            for times in users {
                for kind in 0..self.kinds.len() {
                    let mut counts = Counts::default();
                    if times.add_to(kind, &mut counts) {
                        let key = (kind, times.user().to_owned());
                        all.entry(key).or_default().add(&counts);
                    }
                }
            }
        }
        all
    }

    /// The times of each kind since the start, whoever the user.
    #[must_use]
    pub fn by_kind(&self) -> Vec<Counts> {
        let mut all = vec![Counts::default(); self.kinds.len()];
        for worker in &self.workers {
            for times in &*worker.lock() {
                for (kind, counts) in all.iter_mut().enumerate() {
                    times.add_to(kind, counts);
                }
            }
        }
        all
    }

    /// The times since the last reset, by kind and then by user.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let baseline = self.baseline.lock();
        let lines = self.counted().into_iter().map(|(key, counts)| {
            let counts = match baseline.get(&key) {
                Some(before) => counts.since(before),
                None => counts,
            };
            Line {
                kind: self.kinds[key.0].clone(),
                user: key.1,
                counts,
            }
        });
        lines.filter(|line| line.counts.count() > 0).collect()
    }

    /// Has [`Latency::lines`] begin anew.
    pub fn reset(&self) {
        *self.baseline.lock() = self.counted();
    }

    /// Writes the times since the start; of all users together unless they are to be named.
    pub fn write_metrics(&self, out: &mut Exposition, names_users: bool) {
        let mut samples = out.metric(&metrics::COMMAND_DURATION);
        let counted = if names_users {
            self.counted()
        } else {
            let kinds = self.by_kind().into_iter().enumerate();
            let counted = kinds.map(|(kind, counts)| ((kind, String::new()), counts));
            counted.filter(|(_, counts)| counts.count() > 0).collect()
        };
        for ((kind, user), counts) in counted {
            let kind = self.kinds[kind].as_str();
            let labels = [("kind", kind), ("user", user.as_str())];
            for power in BOUNDS {
                let bound = ((1_u64 << power) as f64 / 1e9).to_string();
                let labels = [labels[0], labels[1], ("le", &bound)];
                samples.part("_bucket", &labels, counts.below_power(power));
            }
            let count = counts.count();
            samples.part("_bucket", &[labels[0], labels[1], ("le", "+Inf")], count);
            samples.part("_sum", &labels, counts.sum().as_secs_f64());
            samples.part("_count", &labels, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::latency::Kind;

    fn latency() -> Latency {
        Latency::new(2, ["cache".to_owned()])
    }

    #[test]
    fn workers_are_added_up() {
        let latency = latency();
        for worker in 0..2 {
            let times = latency.times(worker, "ann");
            times.record(Kind::HIT, Duration::from_micros(3), 2);
            times.record(Kind::family(0), Duration::from_micros(9), 1);
        }
        latency
            .times(1, "bob")
            .record(Kind::HIT, Duration::from_micros(3), 1);
        let shown: Vec<_> = latency
            .lines()
            .into_iter()
            .map(|l| (l.kind, l.user, l.counts.count()))
            .collect();
        let line = |kind: &str, user: &str, n| (kind.to_owned(), user.to_owned(), n);
        assert_eq!(
            shown,
            [
                line("hit", "ann", 4),
                line("hit", "bob", 1),
                line("cache", "ann", 2)
            ]
        );
        assert_eq!(latency.by_kind()[0].count(), 5);
    }

    #[test]
    fn a_reset_leaves_the_metrics_alone() {
        let latency = latency();
        let times = latency.times(0, "default");
        times.record(Kind::FORWARD, Duration::from_micros(5), 1);
        latency.reset();
        assert!(latency.lines().is_empty());
        times.record(Kind::FORWARD, Duration::from_micros(5), 1);
        assert_eq!(latency.lines()[0].counts.count(), 1);
        let mut out = Exposition::default();
        latency.write_metrics(&mut out, true);
        let text = out.finish();
        let count = "respite_command_duration_seconds_count{kind=\"forward\",user=\"default\"} 2\n";
        assert!(text.contains(count), "{text}");
        assert!(
            text.contains("le=\"0.000004096\"} 0\n") && text.contains("le=\"0.000008192\"} 2\n"),
            "{text}"
        );
    }

    #[test]
    fn users_are_named_to_those_who_may_know_them() {
        let latency = latency();
        for user in ["ann", "bob"] {
            let times = latency.times(0, user);
            times.record(Kind::HIT, Duration::from_micros(1), 1);
        }
        let mut out = Exposition::default();
        latency.write_metrics(&mut out, false);
        let text = out.finish();
        let count = "respite_command_duration_seconds_count{kind=\"hit\",user=\"\"} 2\n";
        assert!(text.contains(count) && !text.contains("ann"), "{text}");
    }

    #[test]
    fn users_beyond_the_bound_share_one_name() {
        let latency = latency();
        for n in 0..MOST_USERS + 5 {
            let times = latency.times(0, &format!("user{n}"));
            times.record(Kind::HIT, Duration::from_micros(1), 1);
        }
        let lines = latency.lines();
        assert_eq!(lines.len(), MOST_USERS + 1);
        let rest = lines
            .iter()
            .find(|line| line.user.is_empty())
            .expect("the rest");
        assert_eq!(rest.counts.count(), 5);
        assert_eq!(latency.times(0, "user3").user(), "user3");
    }
}
