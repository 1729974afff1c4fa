//! A TCP relay in front of an upstream: what a network can do to bytes, on command.
//!
//! Held bytes stay in order and are sent on `resume`. Nothing is timed: a test waits for
//! [`Connection::wait_held`] and then knows that the bytes have arrived here and have gone no further. Only a [`Weather`]
//! takes time, for the tests of faults.
//! It does not reorder, drop or alter bytes, because TCP doesn't.

mod connection;
mod pipe;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

pub(crate) use connection::Connection;
use pipe::Gate;
pub(crate) use pipe::Weather;

use super::port::reusable_socket;
use super::{DEADLINE, ReservedPort, wait_until};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the side that connects to the upstream.
    Up,
    /// From the upstream to the side that connected.
    Down,
}

type Predicate = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;
type Action = Box<dyn Fn(&Connection) + Send + Sync>;

/// What to do with a connection once its first bytes match.
struct Rule {
    matches: Predicate,
    action: Action,
}

/// What the next connections start with.
#[derive(Debug, Default)]
struct Defaults {
    gates: [Gate; 2],
    split: Option<usize>,
    weather: Weather,
    black_hole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Shut,
    Gone,
}

struct State {
    defaults: Defaults,
    connections: Vec<Connection>,
    rules: Vec<Arc<Rule>>,
    /// What the accepting thread is asked for.
    wanted: Door,
    /// What it has done.
    actual: Door,
}

struct Shared {
    upstream: Mutex<SocketAddr>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("relay lock")
    }
}

/// The relay; dropping it cuts every connection.
pub(crate) struct Relay {
    port: ReservedPort,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relay").field(&self.port).finish()
    }
}

impl Relay {
    /// Listens on a free port in front of a port on loopback.
    #[track_caller]
    pub(crate) fn to(upstream: u16) -> Self {
        let port = ReservedPort::any();
        let state = State {
            defaults: Defaults::default(),
            connections: Vec::new(),
            rules: Vec::new(),
            wanted: Door::Open,
            actual: Door::Shut,
        };
        let upstream = SocketAddr::from(([127, 0, 0, 1], upstream));
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let acceptor = {
            let (shared, port) = (Arc::clone(&shared), port.get());
            std::thread::spawn(move || accept_loop(&shared, port))
        };
        let relay = Self {
            port,
            shared,
            acceptor: Some(acceptor),
        };
        relay.set_door(Door::Open);
        relay
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port.get()
    }

    /// As an upstream is written, `redis://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// Leads new connections to another port on loopback; those there are go on.
    pub(crate) fn lead_to(&self, upstream: u16) {
        let mut leads = self.shared.upstream.lock().expect("relay lock");
        *leads = SocketAddr::from(([127, 0, 0, 1], upstream));
    }

    /// Holds the bytes of this direction, on all connections there are and will be.
    pub(crate) fn pause(&self, direction: Direction) {
        self.gate_all(direction, &Gate::Held);
    }

    /// Sends on what is held and goes on.
    pub(crate) fn resume(&self, direction: Direction) {
        self.gate_all(direction, &Gate::Open);
    }

    /// Lets `count` more bytes through on each connection there is and will be, then holds.
    pub(crate) fn hold_after(&self, direction: Direction, count: usize) {
        self.gate_all(direction, &Gate::OpenFor(count));
    }

    /// Writes chunks of 1 to `largest` bytes from now on, on all connections; `None` for as they come.
    pub(crate) fn split(&self, largest: Option<usize>) {
        let mut state = self.shared.lock();
        state.defaults.split = largest;
        for connection in &state.connections {
            connection.split(largest);
        }
    }

    /// How slow the connections there are and will be are from now on, both ways.
    pub(crate) fn set_weather(&self, weather: Weather) {
        let mut state = self.shared.lock();
        state.defaults.weather = weather;
        for connection in &state.connections {
            connection.set_weather(weather);
        }
    }

    /// Closes every connection.
    pub(crate) fn cut_all(&self) {
        for connection in self.connections() {
            connection.cut();
        }
    }

    /// Stops listening: new connections are refused. Those there are go on.
    pub(crate) fn refuse(&self) {
        self.set_door(Door::Shut);
    }

    /// Listens again.
    pub(crate) fn accept(&self) {
        self.set_door(Door::Open);
    }

    /// Whether new connections are accepted and never answered.
    pub(crate) fn black_hole(&self, on: bool) {
        self.shared.lock().defaults.black_hole = on;
    }

    /// Calls `action` on each connection, there is and will be, whose first 4 KiB up match; before those
    /// bytes go on, and once per connection.
    pub(crate) fn when(
        &self,
        matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
        action: impl Fn(&Connection) + Send + Sync + 'static,
    ) {
        let rule = Arc::new(Rule {
            matches: Box::new(matches),
            action: Box::new(action),
        });
        let connections = {
            let mut state = self.shared.lock();
            state.rules.push(rule);
            state.connections.clone()
        };
        for connection in connections {
            apply_rules(&self.shared, &connection);
        }
    }

    /// Every connection so far in the order of accept, the closed ones too.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.shared.lock().connections.clone()
    }

    /// The `index`-th connection accepted, from 0; waits for it.
    #[track_caller]
    pub(crate) fn connection(&self, index: usize) -> Connection {
        wait_until("the relay accepts a connection", DEADLINE, || {
            self.accepted() > index
        });
        self.connections().swap_remove(index)
    }

    /// The first open connection whose first 4 KiB up match; waits for it.
    #[track_caller]
    pub(crate) fn find(&self, matches: impl Fn(&[u8]) -> bool) -> Connection {
        let mut found = None;
        wait_until("a connection matches", DEADLINE, || {
            let open = self.connections().into_iter().filter(Connection::is_open);
            found = open
                .into_iter()
                .find(|connection| matches(&connection.first_bytes()));
            found.is_some()
        });
        found.expect("just found")
    }

    /// How many connections were accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.connections()
            .iter()
            .filter(|connection| connection.is_open())
            .count()
    }

    /// How many bytes went on in this direction, over all connections.
    pub(crate) fn forwarded(&self, direction: Direction) -> u64 {
        self.connections()
            .iter()
            .map(|connection| connection.forwarded(direction))
            .sum()
    }

    fn gate_all(&self, direction: Direction, gate: &Gate) {
        let mut state = self.shared.lock();
        state.defaults.gates[direction as usize] = gate.clone();
        for connection in &state.connections {
            connection.gate(direction, gate.clone());
        }
    }

    fn set_door(&self, wanted: Door) {
        let mut state = self.shared.lock();
        state.wanted = wanted;
        if state.actual == Door::Open && wanted != Door::Open {
            drop(state);
            let _wake = TcpStream::connect(("127.0.0.1", self.port()));
            state = self.shared.lock();
        }
        self.shared.changed.notify_all();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, DEADLINE, |state| state.actual != wanted);
        assert!(
            !waited.expect("relay lock").1.timed_out(),
            "the relay does not become {wanted:?}"
        );
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set_door(Door::Gone);
        self.cut_all();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept_loop(shared: &Arc<Shared>, port: u16) {
    let mut listener: Option<TcpListener> = None;
    loop {
        {
            let mut state = shared.lock();
            match state.wanted {
                Door::Open => {
                    if listener.is_none() {
                        let socket = reusable_socket(port);
                        socket.listen(128).expect("listen");
                        listener = Some(socket.into());
                    }
                }
                Door::Shut | Door::Gone => listener = None,
            }
            state.actual = state.wanted;
            shared.changed.notify_all();
            match state.actual {
                Door::Open => {}
                Door::Shut => {
                    let waited = shared
                        .changed
                        .wait_while(state, |state| state.wanted == Door::Shut);
                    drop(waited.expect("relay lock"));
                    continue;
                }
                Door::Gone => return,
            }
        }
        let accepted = listener.as_ref().expect("the door is open").accept();
        if let Ok((stream, _)) = accepted
            && shared.lock().wanted == Door::Open
        {
            let _ = admit(shared, stream); // an upstream that is away closes the connection
        }
    }
}

fn admit(shared: &Arc<Shared>, downstream: TcpStream) -> io::Result<()> {
    downstream.set_nodelay(true)?;
    let black_hole = shared.lock().defaults.black_hole;
    let upstream = if black_hole {
        None
    } else {
        let leads = *shared.upstream.lock().expect("relay lock");
        Some(TcpStream::connect(leads)?)
    };
    if let Some(upstream) = &upstream {
        upstream.set_nodelay(true)?;
    }
    let connection = {
        let mut state = shared.lock();
        let connection = Connection::new(
            state.connections.len(),
            downstream,
            upstream,
            &state.defaults,
        );
        state.connections.push(connection.clone());
        connection
    };
    let shared = Arc::clone(shared);
    connection.run(move |connection| apply_rules(&shared, connection));
    Ok(())
}

fn apply_rules(shared: &Shared, connection: &Connection) {
    let rules = shared.lock().rules.clone();
    for (index, rule) in rules.iter().enumerate() {
        if (rule.matches)(&connection.first_bytes()) && connection.mark(index) {
            (rule.action)(connection);
        }
    }
}

/// Whether these bytes have that part, as [`Relay::find`] asks.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
