//! What the parts of the cache cost: a hit, the ways of a miss, a fill, an invalidation, a guard.
//!
//! It measures the cache alone, in one thread, without sockets and sessions; `compare` measures the whole.
//! `cargo bench --bench cache -- --quick` takes half a minute.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use respite::parts::{
    Cache, CacheMode, CacheSettings, Filler, Guard, Lookup, Proto, Query, Waiter, Wanted,
};

/// Enough that they do not all stay in the processor's nearest cache.
const KEYS: usize = 20_000;
const HOUR: Duration = Duration::from_secs(3600);
const WAITER: Waiter = Waiter {
    worker: 0,
    session: 1,
    ticket: 0,
    proto: Proto::Resp3,
    part: false,
};

/// A cache with one fill link that has just proved to be alive.
struct Bench {
    cache: Arc<Cache>,
    filler: Filler,
    keys: Vec<Vec<u8>>,
    next: usize,
    scanned: u64,
    now: Instant,
    full_key: Vec<u8>,
    out: Vec<u8>,
}

impl Bench {
    fn new(max_entries: usize) -> Self {
        let cache = Cache::new(CacheSettings {
            mode: CacheMode::Tracking,
            max_entries,
            max_bytes: 1 << 30,
            expiry: HOUR,
            max_value_bytes: 1 << 20,
            max_variants: 64,
            commands: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            staleness_max: HOUR,
            strict: false,
        });
        let filler = Filler::new(Arc::clone(&cache), 0, 0, Box::new(|_, _, _| {}));
        filler.connected(true);
        let now = Instant::now();
        filler.answered(now);
        Self {
            cache,
            filler,
            keys: (0..KEYS)
                .map(|n| format!("key:{n:012}").into_bytes())
                .collect(),
            next: 0,
            scanned: 0,
            now,
            full_key: Vec::new(),
            out: Vec::with_capacity(64 * 1024),
        }
    }

    /// The next key in an order that is not that of their making.
    fn step(&mut self) -> usize {
        // coprime to KEYS, so that all of them get their turn
        self.next = (self.next + 7919) % KEYS;
        self.next
    }

    fn lookup(&mut self, key: usize, can_fill: bool) -> Lookup {
        let query = Query {
            db: 0,
            key: &self.keys[key],
            variant: None,
            proto: Proto::Resp2,
            now: self.now,
            dear: false,
            hurried: false,
            awaited: None,
        };
        self.out.clear();
        let (full_key, out) = (&mut self.full_key, &mut self.out);
        self.cache
            .lookup(query, full_key, out, || can_fill, || WAITER)
    }

    /// Asks a full cache for a key that nobody has asked for before, which is not worth a place.
    fn scan(&mut self) {
        self.scanned += 1;
        self.keys[0].splice(4..12, self.scanned.to_be_bytes());
        // now and then the sketch takes it for another
        if let Lookup::Lead(token) = self.lookup(0, true) {
            self.filler.failed(Wanted::get(&self.keys[0]), token);
        }
    }

    /// Begins a fetch, after taking away what is cached.
    fn lead(&mut self, key: usize) -> u64 {
        self.protect(key);
        match self.lookup(key, true) {
            Lookup::Lead(token) => token,
            other => panic!("expected a miss: {other:?}"),
        }
    }

    fn land(&self, key: usize, token: u64, reply: &[u8]) {
        let epoch = 0;
        self.filler.filled(
            Wanted::get(&self.keys[key]),
            token,
            -1,
            reply,
            self.now,
            epoch,
        );
    }

    fn protect(&self, key: usize) {
        let mut guard = Guard::new(Arc::clone(&self.cache));
        guard.protect(0, &self.keys[key]);
    }

    /// Fills the cache as far as it has places.
    fn fill_all(&mut self, reply: &[u8]) {
        for key in 0..KEYS {
            if let Lookup::Lead(token) = self.lookup(key, true) {
                self.land(key, token, reply);
            }
        }
    }
}

fn reply(bytes: usize) -> Vec<u8> {
    format!("${bytes}\r\n{}\r\n", "x".repeat(bytes)).into_bytes()
}

fn hits(group: &mut BenchmarkGroup<'_, WallTime>) {
    for bytes in [64, 4096] {
        let mut bench = Bench::new(KEYS * 2);
        bench.fill_all(&reply(bytes));
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("hit", bytes), |b| {
            b.iter(|| {
                let key = bench.step();
                let found = bench.lookup(black_box(key), true);
                assert_eq!(found, Lookup::Hit);
            });
        });
    }
}

fn misses(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut bench = Bench::new(KEYS * 2);
    group.bench_function("miss/bypass", |b| {
        b.iter(|| {
            let key = bench.step();
            let found = bench.lookup(black_box(key), false);
            assert_eq!(found, Lookup::Bypass);
        });
    });
    group.bench_function("miss/scan", |b| {
        let mut full = Bench::new(KEYS / 10);
        full.fill_all(&reply(64));
        b.iter(|| full.scan());
    });
    let mut bench = Bench::new(KEYS * 2);
    group.bench_function("miss/lead_and_land", |b| {
        let reply = reply(64);
        b.iter(|| {
            let key = bench.step();
            let token = bench.lead(black_box(key));
            bench.land(key, token, &reply);
        });
    });
}

fn fills(group: &mut BenchmarkGroup<'_, WallTime>) {
    let reply = reply(64);
    let bench = std::cell::RefCell::new(Bench::new(KEYS * 2));
    group.bench_function("fill", |b| {
        b.iter_batched(
            || {
                let mut bench = bench.borrow_mut();
                let key = bench.step();
                (key, bench.lead(key))
            },
            |(key, token)| bench.borrow().land(key, token, &reply),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("invalidate", |b| {
        b.iter_batched(
            || {
                let mut bench = bench.borrow_mut();
                let key = bench.step();
                let token = bench.lead(key);
                bench.land(key, token, &reply);
                key
            },
            |key| {
                let bench = bench.borrow();
                bench.filler.invalidated(&bench.keys[key]);
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("guard", |b| {
        b.iter(|| {
            let key = bench.borrow_mut().step();
            bench.borrow().protect(black_box(key));
        });
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("cache");
    hits(&mut group);
    misses(&mut group);
    fills(&mut group);
    group.finish();
    criterion.final_summary();
}
