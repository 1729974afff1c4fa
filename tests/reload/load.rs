//! Clients at work, of which every reply is checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::support::{Client, DEADLINE, wait_until};

/// Clients of each kind.
const EACH: usize = 2;
/// Keys that one client writes and others read.
const SHARED: usize = 4;

/// Clients that work until the load ends. Any reply that is not the right one ends the test.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Rounds that each client has done.
    done: Vec<AtomicU64>,
    /// The last number written to each shared key that was acknowledged.
    written: [AtomicI64; SHARED],
}

impl Load {
    /// Starts them, each on a connection that `connect` opens.
    pub(super) fn start(connect: impl Fn() -> Client) -> Self {
        let kinds = [own_keys, shared_writer, shared_reader, waiter];
        let shared = Arc::new(Shared {
            done: (0..kinds.len() * EACH).map(|_| AtomicU64::new(0)).collect(),
            ..Shared::default()
        });
        let clients = (0..kinds.len() * EACH).map(|n| {
            let (mut client, shared) = (connect(), Arc::clone(&shared));
            let round = kinds[n % kinds.len()];
            thread::spawn(move || {
                for count in 0.. {
                    if shared.stop.load(Ordering::Relaxed) {
                        break;
                    }
                    round(&mut client, n, count, &shared);
                    shared.done[n].fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        Load { shared, clients }
    }

    /// Waits until every client has done some more rounds.
    #[track_caller]
    pub(super) fn goes_on(&self) {
        let counts = || {
            self.shared
                .done
                .iter()
                .map(|done| done.load(Ordering::Relaxed))
        };
        let before: Vec<u64> = counts().collect();
        wait_until("all clients go on", DEADLINE, || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a client has failed");
            counts().zip(&before).all(|(now, before)| now > before + 20)
        });
    }

    /// Ends it; fails if one of them has failed.
    #[track_caller]
    pub(super) fn end(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("no command failed");
        }
    }
}

/// Clients that come one after the other until it ends; each has to be served.
pub(super) struct Comers {
    state: Arc<Came>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Came {
    stop: AtomicBool,
    served: AtomicU64,
}

impl Comers {
    /// They come to this port.
    pub(super) fn start(port: u16) -> Self {
        let state = Arc::new(Came::default());
        let clients = (0..EACH).map(|_| {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                while !state.stop.load(Ordering::Relaxed) {
                    Client::connect(port).call(&["PING"]).assert_str("PONG");
                    state.served.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        Comers { state, clients }
    }

    /// Waits until some more have come.
    #[track_caller]
    pub(super) fn go_on(&self) {
        let served = || self.state.served.load(Ordering::Relaxed);
        let before = served();
        wait_until("others come", DEADLINE, || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!failed, "one was not served");
            served() > before + 5
        });
    }

    /// Ends it; fails if one of them was not served.
    #[track_caller]
    pub(super) fn end(self) {
        self.state.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("everybody was served");
        }
    }
}

/// Counts in keys of its own, alone, in packets and in transactions.
fn own_keys(client: &mut Client, n: usize, count: i64, _: &Shared) {
    let (key, hash) = (format!("{{own:{n}}}"), format!("{{own:{n}}}:h"));
    let now = (3 * count + 1).to_string();
    client.call(&["INCR", &key]).assert_int(3 * count + 1);
    client.call(&["GET", &key]).assert_str(&now);
    let packet: [&[&str]; 4] = [
        &["HSET", &hash, "f", &now],
        &["HGET", &hash, "f"],
        &["INCR", &key],
        &["GET", &key],
    ];
    let replies = client.pipeline(&packet);
    assert!(!replies[0].is_error(), "{:?}", replies[0]);
    replies[1].assert_str(&now);
    replies[2].assert_int(3 * count + 2);
    replies[3].assert_str(&(3 * count + 2).to_string());
    client.call(&["MULTI"]).assert_ok();
    client.call(&["INCR", &key]).assert_str("QUEUED");
    client.call(&["EXEC"]).items()[0].assert_int(3 * count + 3);
}

/// Writes ascending numbers for others to read: as a command, a transaction and a script.
fn shared_writer(client: &mut Client, n: usize, count: i64, shared: &Shared) {
    // The writers of one kind share no key.
    let at =
        (n / 4 * (SHARED / EACH)) + usize::try_from(count).expect("not negative") % (SHARED / EACH);
    let (key, value) = (format!("shared:{at}"), (count + 1).to_string());
    match count / 2 % 3 {
        0 => client.call(&["SET", &key, &value]).assert_ok(),
        1 => {
            client.call(&["MULTI"]).assert_ok();
            client.call(&["SET", &key, &value]).assert_str("QUEUED");
            client.call(&["EXEC"]).items()[0].assert_ok();
        }
        _ => {
            let script = "return redis.call('SET', KEYS[1], ARGV[1])";
            client
                .call(&["EVAL", script, "1", &key, &value])
                .assert_ok();
        }
    }
    shared.written[at].store(count + 1, Ordering::SeqCst);
}

/// Reads nothing that is older than what was acknowledged before it asked, or than what it has seen.
fn shared_reader(client: &mut Client, _: usize, count: i64, shared: &Shared) {
    let at = usize::try_from(count).expect("not negative") % SHARED;
    let least = shared.written[at].load(Ordering::SeqCst);
    let read = |client: &mut Client| -> i64 {
        let reply = client.call(&["GET", &format!("shared:{at}")]);
        if reply.is_null() {
            return 0;
        }
        reply.as_str().parse().expect("a number")
    };
    let first = read(client);
    assert!(first >= least, "read {first} after {least} was written");
    let second = read(client);
    assert!(second >= first, "read {second} after {first}");
}

/// Waits for elements that it has others push, and hears what it publishes itself.
fn waiter(client: &mut Client, n: usize, count: i64, _: &Shared) {
    let (list, value) = (format!("list:{n}"), count.to_string());
    let packet: [&[&str]; 3] = [
        &["RPUSH", &list, &value],
        &["BLPOP", &list, "0"],
        &["LRANGE", &list, "0", "-1"],
    ];
    let replies = client.pipeline(&packet);
    replies[0].assert_int(1);
    assert_eq!(replies[1].strings(), [list, value]);
    assert!(replies[2].items().is_empty(), "{:?}", replies[2]);
}
