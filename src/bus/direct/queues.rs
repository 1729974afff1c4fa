//! The direct calls that wait for a worker, by method, the oldest first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::bus::method::any_matches;

/// The numbers of calls. No method is without one.
#[derive(Debug, Default)]
pub(in crate::bus) struct Queues(HashMap<Arc<str>, VecDeque<(Instant, String)>>);

impl Queues {
    /// Adds a call that began then.
    pub(in crate::bus) fn push(&mut self, method: &str, number: &str, begun: Instant) {
        let queue = self.0.entry(method.into()).or_default();
        queue.push_back((begun, number.to_owned()));
    }

    /// Adds a call that had its turn already.
    pub(in crate::bus) fn push_front(&mut self, method: &str, number: &str, begun: Instant) {
        let queue = self.0.entry(method.into()).or_default();
        queue.push_front((begun, number.to_owned()));
    }

    /// Takes the call that waits longest for a pattern.
    pub(in crate::bus) fn pop(&mut self, pattern: &String) -> Option<String> {
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

    pub(in crate::bus) fn wants(&self, pattern: &String) -> bool {
        self.oldest(pattern).is_some()
    }

    pub(in crate::bus) fn remove(&mut self, method: &str, number: &str) {
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
    pub(in crate::bus) fn drain(&mut self) -> Vec<String> {
        let queues = std::mem::take(&mut self.0).into_values();
        queues.flatten().map(|(_, number)| number).collect()
    }

    /// How many wait, by method.
    pub(in crate::bus) fn counts(&self) -> Vec<(Arc<str>, usize)> {
        let queues = self.0.iter();
        queues
            .map(|(name, queue)| (Arc::clone(name), queue.len()))
            .collect()
    }

    /// How many wait for a method.
    pub(in crate::bus) fn count(&self, method: &str) -> usize {
        self.0.get(method).map_or(0, VecDeque::len)
    }

    pub(in crate::bus) fn is_empty(&self) -> bool {
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
