//! The direct calls that wait for a worker, by method, the oldest first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::registry::any_matches;

/// The numbers of calls. No method is without one.
#[derive(Debug, Default)]
pub(super) struct Queues(HashMap<Arc<str>, VecDeque<(Instant, String)>>);

impl Queues {
    /// Adds a call that began then.
    pub(super) fn push(&mut self, method: &str, number: &str, begun: Instant) {
        let queue = self.0.entry(method.into()).or_default();
        queue.push_back((begun, number.to_owned()));
    }

    /// Adds a call that had its turn already.
    pub(super) fn push_front(&mut self, method: &str, number: &str, begun: Instant) {
        let queue = self.0.entry(method.into()).or_default();
        queue.push_front((begun, number.to_owned()));
    }

    /// Takes the call that waits longest for a pattern.
    pub(super) fn pop(&mut self, pattern: &String) -> Option<String> {
        let method = self.oldest(pattern)?;
        let queue = self.0.get_mut(&method)?;
        let (_, number) = queue.pop_front()?;
        if queue.is_empty() {
            self.0.remove(&method);
        }
        Some(number)
    }

    /// The method with the call that waits longest for a pattern.
    fn oldest(&self, pattern: &String) -> Option<Arc<str>> {
        let pattern = std::slice::from_ref(pattern);
        let matching = self.0.iter().filter(|(name, _)| any_matches(pattern, name));
        let oldest = matching.min_by_key(|(_, queue)| queue.front().map(|(begun, _)| *begun));
        oldest.map(|(name, _)| Arc::clone(name))
    }

    pub(super) fn wants(&self, pattern: &String) -> bool {
        self.oldest(pattern).is_some()
    }

    pub(super) fn remove(&mut self, method: &str, number: &str) {
        let Some(queue) = self.0.get_mut(method) else {
            return;
        };
        // Near the front, most often.
        if let Some(at) = queue.iter().position(|(_, other)| other == number) {
            queue.remove(at);
        }
        if queue.is_empty() {
            self.0.remove(method);
        }
    }

    /// Takes all calls.
    pub(super) fn drain(&mut self) -> Vec<String> {
        let queues = std::mem::take(&mut self.0).into_values();
        queues.flatten().map(|(_, number)| number).collect()
    }

    /// How many wait, by method.
    pub(super) fn counts(&self) -> Vec<(Arc<str>, usize)> {
        let queues = self.0.iter();
        queues
            .map(|(name, queue)| (Arc::clone(name), queue.len()))
            .collect()
    }

    /// How many wait for a method.
    pub(super) fn count(&self, method: &str) -> usize {
        self.0.get(method).map_or(0, VecDeque::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_of_a_pattern_comes_first() {
        let mut queues = Queues::default();
        let now = Instant::now();
        for (at, (method, number)) in [("b", "0"), ("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")]
            .into_iter()
            .enumerate()
        {
            queues.push(method, number, now + Duration::from_millis(at as u64));
        }
        queues.push_front("a", "back", now + Duration::from_millis(1));
        queues.remove("b", "2");
        queues.remove("b", "nobody");
        assert_eq!(queues.count("a"), 3);
        let [a, ab, all] = ["a", "[ab]", "*"].map(str::to_owned);
        assert!(queues.wants(&a) && !queues.wants(&"d".to_owned()));
        assert_eq!(queues.pop(&a).as_deref(), Some("back"));
        assert_eq!(queues.pop(&ab).as_deref(), Some("0"));
        assert_eq!(queues.pop(&all).as_deref(), Some("1"));
        let mut rest = queues.drain();
        rest.sort();
        assert_eq!(rest, ["3", "4"]);
        assert!(queues.is_empty() && queues.counts().is_empty());
    }
}
