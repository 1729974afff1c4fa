//! A backing whose every byte the test decides: what is answered, what is pushed, and in which order.
//!
//! It answers by itself what Respite asks to come up (`HELLO`, `SELECT`, `CLIENT`, `COMMAND`), each `PING`, and
//! reads of the keys that [`Scripted::holds`] names; Respite's own connections get nil for anything else. Every other
//! command of a client waits for the test, which takes it with [`Wire::expect`] and answers it. As in Redis, a
//! connection's replies come in the order of its commands, so an answer stays here until those before it are given;
//! a push goes out at once, between the replies given before and after it.

mod wire;

use std::collections::HashMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::port::reusable_socket;
use super::{DEADLINE, RedisServer, ReservedPort};
use wire::Connection;
pub(crate) use wire::{Asked, Fetch, Wire};

/// What the scripted backing says of itself, so that a test can see that Respite has heard it.
pub(crate) const VERSION: &str = "7.0.15";

/// A database and a key.
type FullKey = (u32, Vec<u8>);

#[derive(Default)]
struct State {
    connections: Vec<Connection>,
    holds: HashMap<FullKey, Option<Vec<u8>>>,
    /// What is said to who wants to track a database, and how often it was.
    refusals: HashMap<u32, String>,
    refused: usize,
    gone: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The scripted backing; dropping it closes every connection.
pub(crate) struct Scripted {
    port: ReservedPort,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("scripted backing lock")
    }

    /// Waits until `look` finds something; panics naming `what`, with all that waits for an answer.
    #[track_caller]
    fn wait<T>(&self, what: &str, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                let open: Vec<String> = state.connections.iter().map(ToString::to_string).collect();
                drop(state);
                panic!("waited in vain: {what}\n{}", open.join("\n"));
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.expect("scripted backing lock").0;
        }
    }
}

impl Scripted {
    /// Listens on a free port.
    #[track_caller]
    pub(crate) fn start() -> Self {
        commands();
        let port = ReservedPort::any();
        let socket = reusable_socket(port.get());
        socket.listen(128).expect("listen");
        let listener: TcpListener = socket.into();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || accept_loop(&shared, &listener))
        };
        Self {
            port,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// As an upstream is written, `redis://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port.get())
    }

    /// From now on reads of this key are answered with this value, without an expiry; `None`: with nil. What was
    /// asked before still waits for the test.
    pub(crate) fn holds(&self, db: u32, key: &str, value: Option<&str>) {
        let value = value.map(|value| value.as_bytes().to_vec());
        self.shared.lock().holds.insert((db, key.into()), value);
    }

    /// From now on `CLIENT TRACKING` in this database is refused with this error; `None`: it is not.
    pub(crate) fn refuses_tracking(&self, db: u32, error: Option<&str>) {
        let mut state = self.shared.lock();
        match error {
            Some(error) => drop(state.refusals.insert(db, error.to_owned())),
            None => drop(state.refusals.remove(&db)),
        }
    }

    /// How often `CLIENT TRACKING` was refused.
    pub(crate) fn refused(&self) -> usize {
        self.shared.lock().refused
    }

    /// The newest connection that fetches from a database, once there are `count` of them and Respite uses it.
    #[track_caller]
    pub(crate) fn fill_link(&self, db: u32, count: usize) -> Wire {
        let what = format!("fill link {count} of database {db}");
        let index = self.shared.wait(&what, |state| {
            let up = state.connections.iter().filter(|found| found.fetches(db));
            let up: Vec<usize> = up.map(|connection| connection.index).collect();
            up.last().copied().filter(|_| up.len() >= count)
        });
        Wire::new(&self.shared, index)
    }

    /// The fill link that comes after this one, once it is used; this one has to be gone.
    #[track_caller]
    pub(crate) fn fill_link_after(&self, gone: &Wire) -> Wire {
        let (db, index) = gone.place();
        self.wire("another fill link", |connection| {
            connection.fetches(db) && connection.index > index
        })
    }

    /// The newest connection that a client has for itself.
    #[track_caller]
    pub(crate) fn pinned(&self) -> Wire {
        self.wire("a pinned connection", |connection| {
            connection.is_open() && connection.name == "respite-pinned"
        })
    }

    /// Takes the fetch of a key from whichever fill link asks for it.
    #[track_caller]
    pub(crate) fn fetch_anywhere(&self, key: &str) -> (Wire, Fetch) {
        let wire = self.wire(&format!("a fetch of {key}"), |connection| {
            connection.name == "respite-fill" && connection.asks(&["PTTL", key])
        });
        let fetch = wire.fetch(key);
        (wire, fetch)
    }

    /// Takes a command from whichever connection it comes on.
    #[track_caller]
    pub(crate) fn expect_anywhere(&self, command: &[&str]) -> (Wire, Asked) {
        let wire = self.wire(&command.join(" "), |connection| connection.asks(command));
        let asked = wire.expect(command);
        (wire, asked)
    }

    /// How many fill links of a database are in use.
    pub(crate) fn fill_links(&self, db: u32) -> usize {
        let state = self.shared.lock();
        let fetch = |connection: &&Connection| connection.fetches(db);
        state.connections.iter().filter(fetch).count()
    }

    #[track_caller]
    fn wire(&self, what: &str, is_it: impl Fn(&Connection) -> bool) -> Wire {
        let index = self.shared.wait(what, |state| {
            let found = state.connections.iter().rev().find(|found| is_it(found));
            found.map(|connection| connection.index)
        });
        Wire::new(&self.shared, index)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.lock().gone = true;
        let _wake = TcpStream::connect(("127.0.0.1", self.port.get()));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for connection in &self.shared.lock().connections {
            let _ = connection.stream.shutdown(Shutdown::Both); // may be closed already
        }
    }
}

fn accept_loop(shared: &Arc<Shared>, listener: &TcpListener) {
    for stream in listener.incoming().map_while(Result::ok) {
        let mut state = shared.lock();
        if state.gone {
            return;
        }
        stream.set_nodelay(true).expect("set_nodelay");
        let index = state.connections.len();
        let reader = stream.try_clone().expect("dup");
        state.connections.push(Connection::new(index, stream));
        let shared = Arc::clone(shared);
        std::thread::spawn(move || wire::read(&shared, index, reader));
    }
}

/// What a real server answers to `COMMAND` over RESP3.
fn commands() -> &'static [u8] {
    static COMMANDS: OnceLock<Vec<u8>> = OnceLock::new();
    COMMANDS.get_or_init(|| {
        let redis = RedisServer::start();
        let mut client = redis.connect();
        client.hello3();
        client.call_raw(&["COMMAND"])
    })
}
