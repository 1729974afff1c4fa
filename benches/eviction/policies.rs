//! Policies under comparison: what each keeps of the same bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use respite::parts::{
    Cache, CacheMode, CacheSettings, Filler, Lookup, Proto, Query, Waiter, Wanted,
};

use crate::traces::{cost, reply_bytes};

/// What an entry costs besides its reply: that of the cache, and the key of 16 bytes.
const OVERHEAD: usize = 184 + 16;

/// Something that keeps replies.
pub(crate) trait Policy {
    /// Reads a key, which is kept from then on if the policy wants it; whether it was there.
    fn read(&mut self, key: u32) -> bool;
}

fn weight(key: u32) -> usize {
    reply_bytes(key) + OVERHEAD
}

/// The least recently used goes; a missed key is let in if it finds a mark of an earlier miss (`cache/admission.rs`).
pub(crate) struct Lru {
    entries: LruCache<u32, ()>,
    bytes: usize,
    most: usize,
    marks: Option<Vec<u32>>,
    misses: u32,
    /// Whether a miss that was dear leaves a mark more often.
    by_cost: bool,
}

impl Lru {
    pub(crate) fn plain(most: usize) -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
            most,
            marks: None,
            misses: 0,
            by_cost: false,
        }
    }

    pub(crate) fn marked(most: usize) -> Self {
        let marks = (most / 256 / 16).next_power_of_two();
        Self {
            marks: Some(vec![0; marks]),
            ..Self::plain(most)
        }
    }

    pub(crate) fn marked_by_cost(most: usize) -> Self {
        Self {
            by_cost: true,
            ..Self::marked(most)
        }
    }

    fn admits(&mut self, key: u32) -> bool {
        let Some(marks) = &mut self.marks else {
            return true;
        };
        if self.bytes < self.most / 32 * 31 {
            return true;
        }
        let hash = u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let at = (hash >> 20) as usize & (marks.len() - 1);
        let mark = (hash >> 32) as u32 | 1;
        if marks[at] == mark {
            return true;
        }
        // One miss in eight; with the cost, more for what is dear for its size and fewer for what is not.
        let every = match self.by_cost {
            false => 8,
            true => (24.0 * weight(key) as f64 / 1000.0 / cost(key)).clamp(1.0, 32.0) as u32,
        };
        self.misses = self.misses.wrapping_add(1);
        if self.misses.is_multiple_of(every) {
            marks[at] = mark;
        }
        false
    }
}

impl Policy for Lru {
    fn read(&mut self, key: u32) -> bool {
        if self.entries.get(&key).is_some() {
            return true;
        }
        if self.admits(key) {
            while self.bytes + weight(key) > self.most {
                let Some((gone, ())) = self.entries.pop_lru() else {
                    break;
                };
                self.bytes -= weight(gone);
            }
            self.bytes += weight(key);
            self.entries.put(key, ());
        }
        false
    }
}

/// S3-FIFO (Yang and others, SOSP 2023): a small queue for what is new, a large one for what was asked for again there,
/// and names of what has left the small one.
pub(crate) struct S3Fifo {
    entries: HashMap<u32, (u8, bool)>,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    ghost: VecDeque<u32>,
    ghosts: HashMap<u32, usize>,
    bytes: [usize; 2],
    most: usize,
}

impl S3Fifo {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            entries: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: VecDeque::new(),
            ghosts: HashMap::new(),
            bytes: [0; 2],
            most,
        }
    }

    fn evict(&mut self) {
        if self.bytes[0] > self.most / 10 || self.main.is_empty() {
            while let Some(key) = self.small.pop_front() {
                self.bytes[0] -= weight(key);
                let (uses, _) = self.entries[&key];
                if uses > 0 {
                    self.entries.insert(key, (0, true));
                    self.main.push_back(key);
                    self.bytes[1] += weight(key);
                } else {
                    self.entries.remove(&key);
                    self.remember(key);
                    return;
                }
            }
        }
        while let Some(key) = self.main.pop_front() {
            let (uses, _) = self.entries[&key];
            if uses > 0 {
                self.entries.insert(key, (uses - 1, true));
                self.main.push_back(key);
            } else {
                self.bytes[1] -= weight(key);
                self.entries.remove(&key);
                return;
            }
        }
    }

    /// As many names as there are entries.
    fn remember(&mut self, key: u32) {
        *self.ghosts.entry(key).or_default() += 1;
        self.ghost.push_back(key);
        while self.ghost.len() > self.entries.len().max(16) {
            let Some(old) = self.ghost.pop_front() else {
                break;
            };
            let count = self.ghosts.entry(old).or_default();
            *count -= 1;
            if *count == 0 {
                self.ghosts.remove(&old);
            }
        }
    }
}

impl Policy for S3Fifo {
    fn read(&mut self, key: u32) -> bool {
        if let Some((uses, _)) = self.entries.get_mut(&key) {
            *uses = (*uses + 1).min(3);
            return true;
        }
        while self.bytes[0] + self.bytes[1] + weight(key) > self.most && !self.entries.is_empty() {
            self.evict();
        }
        let known = self.ghosts.contains_key(&key);
        self.entries.insert(key, (0, known));
        self.bytes[usize::from(known)] += weight(key);
        if known {
            &mut self.main
        } else {
            &mut self.small
        }
        .push_back(key);
        false
    }
}

/// The crate quick_cache, by weight.
pub(crate) struct Quick(quick_cache::unsync::Cache<u32, (), Weight>);

#[derive(Clone)]
pub(crate) struct Weight;

impl quick_cache::Weighter<u32, ()> for Weight {
    fn weight(&self, key: &u32, (): &()) -> u64 {
        weight(*key) as u64
    }
}

impl Quick {
    pub(crate) fn new(most: usize) -> Self {
        let items = most / 600;
        Self(quick_cache::unsync::Cache::with_weighter(
            items,
            most as u64,
            Weight,
        ))
    }
}

impl Policy for Quick {
    fn read(&mut self, key: u32) -> bool {
        let there = self.0.get(&key).is_some();
        if !there {
            self.0.insert(key, ());
        }
        there
    }
}

/// Respite's own cache, as it is.
pub(crate) struct Own {
    cache: Arc<Cache>,
    filler: Filler,
    full_key: Vec<u8>,
    now: Instant,
    replies: Vec<u8>,
}

impl Own {
    pub(crate) fn new(most: usize) -> Self {
        let hour = Duration::from_secs(3600);
        let cache = Cache::new(CacheSettings {
            mode: CacheMode::Tracking,
            max_entries: 10_000_000,
            max_bytes: most,
            expiry: hour,
            max_value_bytes: 16 * 1024,
            max_variants: 64,
            commands: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            staleness_max: hour,
            strict: false,
        });
        let filler = Filler::new(Arc::clone(&cache), 0, 0, Box::new(|_, _, _| {}));
        filler.connected(true);
        let now = Instant::now();
        filler.answered(now);
        Self {
            cache,
            filler,
            full_key: Vec::new(),
            now,
            replies: vec![b'x'; 16 * 1024],
        }
    }
}

impl Policy for Own {
    fn read(&mut self, key: u32) -> bool {
        let name = format!("key:{key:012}");
        let query = Query {
            db: 0,
            key: name.as_bytes(),
            variant: None,
            proto: Proto::Resp2,
            now: self.now,
            dear: cost(key) > 1.0,
            hurried: false,
            awaited: None,
        };
        let waiter = || Waiter {
            worker: 0,
            session: 1,
            ticket: 0,
            proto: Proto::Resp2,
            part: false,
        };
        let mut out = Vec::new();
        let full_key = &mut self.full_key;
        let found = (self.cache).lookup(query, full_key, &mut out, || true, waiter);
        if let Lookup::Lead(token) = found {
            let bytes = reply_bytes(key);
            let head = format!("${}\r\n", bytes - 10);
            let mut reply = self.replies[..bytes].to_vec();
            reply[..head.len()].copy_from_slice(head.as_bytes());
            let wanted = Wanted::get(name.as_bytes());
            self.filler.filled(wanted, token, -1, &reply, self.now, 0);
        }
        found == Lookup::Hit
    }
}
