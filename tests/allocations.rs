//! A hit allocates nothing: not in the parser, not in the table of commands, not in the cache.
//!
//! A test binary of its own, because it counts what its whole process allocates: there is one test.

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

use respite::parts::{
    Cache, CacheMode, CacheSettings, Filler, Handling, Lookup, Parsed, Proto, Query, RequestLimits,
    RequestParser, Table, Waiter, Wanted, parse_reply, write_command,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HITS: usize = 1000;
const ROUNDS: usize = 3;
const HOUR: Duration = Duration::from_secs(3600);
const LIMITS: RequestLimits = RequestLimits {
    bulk_bytes: 1 << 20,
    request_bytes: 1 << 20,
    authenticated: true,
};

fn cache() -> Arc<Cache> {
    Cache::new(CacheSettings {
        mode: CacheMode::Tracking,
        max_entries: 1000,
        max_bytes: 1 << 20,
        expiry: HOUR,
        max_value_bytes: 1000,
        max_variants: 64,
        commands: Vec::new(),
        include: Vec::new(),
        exclude: Vec::new(),
        staleness_max: HOUR,
        strict: false,
    })
}

/// The table of a backing that has `GET` only.
fn table() -> Table {
    let commands = b"*1\r\n*6\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n";
    let (reply, _) = parse_reply(commands).expect("valid").expect("whole");
    Table::from_backing(&reply, &[]).expect("a list of commands")
}

/// What serves a client, as far as a hit needs it.
struct Server {
    parser: RequestParser,
    table: Table,
    cache: Arc<Cache>,
    full_key: Vec<u8>,
    out: Vec<u8>,
}

impl Server {
    /// Serves a request as a session does; returns what the cache said.
    fn serve(&mut self, request: &[u8], now: Instant) -> Lookup {
        let parsed = self.parser.parse(request, &LIMITS);
        assert_eq!(parsed, Ok(Parsed::Request { len: request.len() }));
        let args = self.parser.args(request);
        let row = self.table.get(&args[0]).expect("GET is known");
        assert_eq!(row.handling, Handling::Forward);
        let query = Query {
            db: 0,
            key: &args[1],
            variant: None,
            proto: Proto::Resp2,
            now,
            dear: false,
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
        self.out.clear();
        let (full_key, out) = (&mut self.full_key, &mut self.out);
        self.cache.lookup(query, full_key, out, || true, waiter)
    }
}

#[test]
fn a_hit_allocates_nothing() {
    let cache = cache();
    let filler = Filler::new(Arc::clone(&cache), 0, 0, Box::new(|_, _, _| {}));
    let epoch = filler.connected(true);
    let now = Instant::now();
    filler.answered(now);
    let mut server = Server {
        parser: RequestParser::default(),
        table: table(),
        cache,
        full_key: Vec::new(),
        out: Vec::with_capacity(1024),
    };
    let keys = ["k", "a longer key with some words in it", "none"];
    let requests = keys.map(|key| {
        let mut request = Vec::new();
        write_command(&mut request, &[b"get", key.as_bytes()]);
        request
    });
    let replies = [&b"$5\r\nvalue\r\n"[..], &reply(500), b"_\r\n"];
    for (n, request) in requests.iter().enumerate() {
        let Lookup::Lead(token) = server.serve(request, now) else {
            panic!("the first GET is a miss");
        };
        filler.filled(
            Wanted::get(keys[n].as_bytes()),
            token,
            -1,
            replies[n],
            now,
            epoch,
        );
        // the buffers grow once
        assert_eq!(server.serve(request, now), Lookup::Hit);
    }

    // the harness has a thread of its own that may allocate meanwhile, a hit that allocates does so in each round
    let rounds = (0..ROUNDS).map(|_| {
        let region = Region::new(ALLOCATOR);
        for n in 0..HITS {
            let found = server.serve(&requests[n % requests.len()], now);
            assert_eq!(found, Lookup::Hit);
        }
        let stats = region.change();
        stats.allocations + stats.reallocations + stats.deallocations
    });
    assert_eq!(rounds.min(), Some(0), "calls in {HITS} hits");

    // and the counter counts
    let region = Region::new(ALLOCATOR);
    drop(std::hint::black_box(Box::new(1)));
    assert!(region.change().allocations > 0);
}

fn reply(bytes: usize) -> Vec<u8> {
    format!("${bytes}\r\n{}\r\n", "x".repeat(bytes)).into_bytes()
}
