//! Who is to be polled when: each shard once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::super::shard::Shard;

/// Shards by the time when they are due. A shard that is put in again moves.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
    /// What the numbers in the heap stand for; a number that is not here was moved or taken out.
    entries: HashMap<u64, Arc<Shard>>,
    /// The number of each shard, by its address in memory.
    numbers: HashMap<usize, u64>,
    next: u64,
}

fn address(shard: &Arc<Shard>) -> usize {
    Arc::as_ptr(shard).addr()
}

impl Queue {
    /// Puts a shard in, or moves it.
    pub(super) fn put(&mut self, shard: Arc<Shard>, due: Instant) {
        self.next += 1;
        if let Some(old) = self.numbers.insert(address(&shard), self.next) {
            self.entries.remove(&old);
        }
        self.entries.insert(self.next, shard);
        self.heap.push(Reverse((due, self.next)));
        // What was moved stays in the heap until then.
        if self.heap.len() > 64 + 4 * self.entries.len() {
            let entries = &self.entries;
            self.heap
                .retain(|Reverse((_, number))| entries.contains_key(number));
        }
    }

    /// When the next shard is due.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        while let Some(Reverse((due, number))) = self.heap.peek() {
            if self.entries.contains_key(number) {
                return Some(*due);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes the next shard out, with the time when it was due.
    pub(super) fn pop(&mut self) -> Option<(Instant, Arc<Shard>)> {
        let due = self.next_due()?;
        let Reverse((_, number)) = self.heap.pop()?;
        let shard = self.entries.remove(&number)?;
        self.numbers.remove(&address(&shard));
        Some((due, shard))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::fleet::{Target, watcher::Found};

    fn shard(id: &str) -> Arc<Shard> {
        let target = Target {
            id: id.to_owned(),
            endpoint: "redis://h".parse().expect("a URL"),
            labels: Default::default(),
        };
        let found = Found {
            target: Arc::new(target),
            source: "test".into(),
        };
        Arc::new(Shard::new(found, &Config::default().fleet))
    }

    #[test]
    fn shards_come_out_when_they_are_due_and_once() {
        let (a, b) = (shard("a"), shard("b"));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut queue = Queue::default();
        queue.put(Arc::clone(&a), at(1));
        queue.put(Arc::clone(&b), at(2));
        queue.put(Arc::clone(&a), at(3));
        assert_eq!(queue.next_due(), Some(at(2)));
        let mut order = Vec::new();
        while let Some((due, shard)) = queue.pop() {
            order.push((due, shard.id().to_string()));
        }
        assert_eq!(order, [(at(2), "b".to_owned()), (at(3), "a".to_owned())]);
        assert_eq!(queue.next_due(), None);
        for n in 0..10_000 {
            queue.put(Arc::clone(&a), at(n));
        }
        assert!(queue.heap.len() < 100, "{}", queue.heap.len());
        assert_eq!(queue.pop().map(|(due, _)| due), Some(at(9999)));
        assert!(queue.pop().is_none());
    }
}
