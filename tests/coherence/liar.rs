//! A proxy with a bad cache, to see the checker catch what it must: each [`Lie`] breaks one promise.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::check::{Promise, Rules};
use super::load::{Load, Op};
use super::run::{Door, Scenario, play};
use crate::support::{Random, Reply, frame};

/// How its cache is bad. Without a lie it forwards everything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lie {
    /// How long it serves what it once read, whatever happens behind it.
    keep: Duration,
    /// Whether it forgets a key that a command names.
    forgets_written: bool,
    /// Whether every second read goes to the backing, and leaves what is kept alone.
    reads_past: bool,
    /// Whether it looks at the key without its database.
    mixes_dbs: bool,
}

type Key = (Vec<u8>, Vec<u8>);

#[derive(Debug)]
struct Shared {
    lie: Lie,
    upstream: u16,
    kept: Mutex<HashMap<Key, (Instant, Vec<u8>)>>,
    ended: AtomicBool,
}

/// The running proxy.
#[derive(Debug)]
pub(crate) struct Liar {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// One side of a connection: a socket and what was read ahead.
struct Side {
    stream: TcpStream,
    buffer: Vec<u8>,
}

// === impl Liar ===

impl Liar {
    pub(crate) fn start(upstream: u16, lie: Lie, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind on loopback");
        let port = listener.local_addr().expect("a bound socket").port();
        let shared = Arc::new(Shared {
            lie,
            upstream,
            kept: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for (number, stream) in (0..).zip(listener.incoming()) {
                    if shared.ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    let random = Random::with_seed(seed.wrapping_add(number));
                    let stream = stream.expect("accept");
                    std::thread::spawn(move || serve(&shared, stream, random));
                }
            })
        };
        Self {
            port,
            shared,
            acceptor: Some(acceptor),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _wake = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Serves one client until either side closes.
fn serve(shared: &Shared, downstream: TcpStream, mut random: Random) {
    let Ok(upstream) = TcpStream::connect(("127.0.0.1", shared.upstream)) else {
        return;
    };
    let (mut client, mut backing) = (Side::new(downstream), Side::new(upstream));
    let (mut db, mut queueing) = (b"0".to_vec(), false);
    while let Some(request) = client.frame() {
        let words: Vec<Vec<u8>> = Reply::parse(&request)
            .items()
            .iter()
            .map(|word| word.as_bytes().to_vec())
            .collect();
        let name = words[0].to_ascii_uppercase();
        let is_get = name == b"GET" && !queueing;
        let key = words.get(1).map(|key| (db.clone(), key.clone()));
        let key = key.map(|(db, key)| (if shared.lie.mixes_dbs { Vec::new() } else { db }, key));
        let past = shared.lie.reads_past && random.one_in(2);
        let kept = key
            .as_ref()
            .filter(|_| is_get && !past)
            .and_then(|key| shared.kept(key));
        let reply = match kept {
            Some(reply) => Some(reply),
            None => backing.write(&request).and_then(|()| backing.frame()),
        };
        let Some(reply) = reply else { break };
        if let (Some(key), true) = (&key, is_get && !past) {
            shared.keep(key, &reply);
        }
        if shared.lie.forgets_written && !is_get && name != b"MGET" {
            let mut kept = shared.kept.lock().expect("the lock of kept");
            kept.retain(|(_, key), _| !words.contains(key));
        }
        match name.as_slice() {
            b"SELECT" => db = words[1].clone(),
            b"MULTI" => queueing = true,
            b"EXEC" => queueing = false,
            _ => {}
        }
        if client.write(&reply).is_none() {
            break;
        }
    }
    client.close();
    backing.close();
}

impl Shared {
    fn kept(&self, key: &Key) -> Option<Vec<u8>> {
        let kept = self.kept.lock().expect("the lock of kept");
        let (since, reply) = kept.get(key)?;
        (since.elapsed() < self.lie.keep).then(|| reply.clone())
    }

    fn keep(&self, key: &Key, reply: &[u8]) {
        // the nulls of the two protocols differ
        if reply.first() == Some(&b'$') && !reply.starts_with(b"$-1") {
            let mut kept = self.kept.lock().expect("the lock of kept");
            let entry = kept
                .entry(key.clone())
                .or_insert_with(|| (Instant::now(), reply.to_vec()));
            if entry.0.elapsed() >= self.lie.keep {
                *entry = (Instant::now(), reply.to_vec());
            }
        }
    }
}

// === impl Side ===

impl Side {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The next request or reply, as it is; both look alike.
    fn frame(&mut self) -> Option<Vec<u8>> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            if let Some(end) = frame::end(&self.buffer).ok()? {
                return Some(self.buffer.drain(..end).collect());
            }
            match self.stream.read(&mut chunk) {
                Ok(count) if count > 0 => self.buffer.extend_from_slice(&chunk[..count]),
                _ => return None,
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).ok()
    }

    fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both); // it may be closed already
    }
}

/// The lie is caught, by the promise that it breaks.
#[track_caller]
fn caught(promise: Promise, lie: Lie, change: impl FnOnce(&mut Scenario)) {
    let mut scenario = Scenario {
        name: "liar",
        ..Scenario::default()
    };
    change(&mut scenario);
    let length = Duration::from_millis(1500);
    let mut random = Random::from_env();
    // A machine that stands still for a while does not come to enough in one run.
    for _ in 0..8 {
        let played = play(&scenario, Door::Liar(lie), length, &mut random);
        let found = |promise| played.violations.iter().any(|v| v.promise == promise);
        assert!(!found(Promise::Model), "{}", played.story);
        if found(promise) {
            return;
        }
    }
    panic!("{promise:?} is never among them");
}

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(2);

#[test]
fn honest_proxy_breaks_nothing() {
    let mut scenario = Scenario {
        name: "honest proxy",
        ..Scenario::default()
    };
    scenario.rules.strict = true;
    let length = Duration::from_millis(1500);
    let played = play(
        &scenario,
        Door::Liar(Lie::default()),
        length,
        &mut Random::from_env(),
    );
    assert!(played.violations.is_empty(), "{}", played.story);
}

#[test]
fn foreign_values_break_p1() {
    caught(
        Promise::P1,
        Lie {
            keep: SHORT,
            mixes_dbs: true,
            ..Lie::default()
        },
        |_| {},
    );
}

#[test]
fn stale_values_break_p2() {
    caught(
        Promise::P2,
        Lie {
            keep: LONG,
            forgets_written: true,
            ..Lie::default()
        },
        |_| {},
    );
}

#[test]
fn forgotten_writes_break_p3() {
    caught(
        Promise::P3,
        Lie {
            keep: SHORT,
            ..Lie::default()
        },
        |_| {},
    );
}

#[test]
fn going_back_breaks_p4() {
    let lie = Lie {
        keep: SHORT,
        forgets_written: true,
        reads_past: true,
        ..Lie::default()
    };
    caught(Promise::P4, lie, |_| {});
}

#[test]
fn late_expiry_breaks_p5() {
    caught(
        Promise::P5,
        Lie {
            keep: SHORT,
            forgets_written: true,
            ..Lie::default()
        },
        |scenario| {
            scenario.load = Load {
                ops: vec![Op::SetPx],
                ..Load::default()
            };
        },
    );
}

#[test]
fn short_staleness_breaks_p6() {
    caught(
        Promise::P6,
        Lie {
            keep: SHORT,
            forgets_written: true,
            ..Lie::default()
        },
        |scenario| {
            scenario.rules = Rules {
                strict: true,
                ..scenario.rules
            };
        },
    );
}
